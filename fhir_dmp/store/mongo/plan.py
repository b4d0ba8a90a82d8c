"""What a group of commits changes, decided against what was gathered. Pure: the rules of `commit`, said once.

Commits of one group are judged in their order, each on top of those before it; a refused one leaves no trace. The
result is a list of rows, which transactions.py and intents.py write in their own ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_dmp.errors import DuplicateKey, KeyHolder
from fhir_dmp.ports import Claim, Commit, Key, Require, Version, Write
from fhir_dmp.search.terms import Terms, recomputed
from fhir_dmp.store.commits import expect, expect_unclaimed, written
from fhir_dmp.store.mongo import documents
from fhir_dmp.store.mongo.views import Doc


@dataclass(frozen=True, slots=True)
class Head:
    """The current row of a resource: its `_id`, version, sequence, unique keys; its tokens when they were wanted."""

    row: Any
    version: int
    sequence: int
    uniques: tuple[str, ...]
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database holds of all that a group of commits touches, seen at one moment.

    sequence: the last one taken. uniques: key -> (`_id` of the row, holder). claims: key -> (`_id`, sequence).
    notices: ids that are in the outbox already.
    """

    sequence: int
    heads: Mapping[Key, Head] = field(default_factory=dict)
    uniques: Mapping[str, tuple[Any, Key]] = field(default_factory=dict)
    claims: Mapping[str, tuple[Any, int]] = field(default_factory=dict)
    notices: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Row:
    """A row to write at an address of a collection. replaces: `_id` of the row that it takes the place of, if any."""

    collection: str
    address: str
    doc: Doc
    replaces: Any = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of a group of commits. ends: (collection, `_id`) of rows without successor.

    past: (address in the history, end in ms, sequence) of versions that are no longer current. sets: (collection,
    `_id`, fields) of current rows whose terms alone change (reindex).
    """

    base: int
    last: int
    rows: tuple[Row, ...]
    ends: tuple[tuple[str, Any], ...] = ()
    past: tuple[tuple[str, int, int], ...] = ()
    sets: tuple[tuple[str, Any, Doc], ...] = ()


@dataclass
class _Change:
    """One commit in the making, on top of the group."""

    sequence: int
    writes: dict[Key, list[tuple[Write, int]]] = field(default_factory=dict)
    uniques: dict[str, Key | None] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)


class Group:
    """Judges commits one after the other and collects what the accepted ones change."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._sequence = facts.sequence
        self._writes: dict[Key, list[tuple[Write, int]]] = {}
        self._uniques: dict[str, Key | None] = {}
        self._claims: dict[str, int] = {}
        self._accepted: list[tuple[Commit, int]] = []
        self._sets: list[tuple[str, Any, Doc]] = []

    def admit(self, commit: Commit) -> tuple[Version, ...]:
        """Accept a commit and return its versions.

        Raises:
            VersionConflict, DuplicateKey, ClaimLost: as `commit` of the port says; the group is as it was.
        """
        self._check_requires(commit.requires)
        self._check_claims(commit.claims)
        change = _Change(self._sequence)
        for write in commit.writes:
            self._judge(write, change)
        if not commit.writes:
            change.sequence += 1
        self._keep(commit, change)
        return tuple(change.versions)

    def retag(self, version: Version, terms: Terms) -> None:
        """Replace the index terms of a current version; nothing happens when it is no longer the current one.

        Raises:
            DuplicateKey: a unique key of the new terms belongs to another resource.
        """
        head = self._facts.heads.get(version.key)
        if head is None or head.version != version.version:
            return
        change = _Change(self._sequence)
        self._judge_uniques(version.key, head.uniques, terms.uniques, change)
        self._uniques.update(change.uniques)
        self._sequence = self._facts.sequence + 1
        self._sets.append((version.type, head.row, documents.term_fields(version.id, recomputed(terms, head.tokens))))

    def _current(self, key: Key, change: _Change | None = None) -> tuple[int | None, tuple[str, ...]]:
        """Return the version and the unique keys that a resource has by now."""
        for writes in (change.writes if change is not None else {}, self._writes):
            if key in writes:
                write = writes[key][-1][0]
                return write.version, () if write.deleted else write.terms.uniques
        head = self._facts.heads.get(key)
        return (None, ()) if head is None else (head.version, head.uniques)

    def _check_requires(self, requires: tuple[Require, ...]) -> None:
        for require in requires:
            current, _ = self._current(require.key)
            expect(require.key, require.version, current or 0)

    def _check_claims(self, claims: tuple[Claim, ...]) -> None:
        for claim in claims:
            stored = self._facts.claims.get(claim.key)
            taken = self._claims.get(claim.key, stored[1] if stored is not None else 0)
            expect_unclaimed(claim, taken)

    def _judge(self, write: Write, change: _Change) -> None:
        key = Key(write.type, write.id)
        current, held = self._current(key, change)
        expect(key, write.version - 1, current or 0)
        change.sequence += 1
        self._judge_uniques(key, held, () if write.deleted else write.terms.uniques, change)
        change.writes.setdefault(key, []).append((write, change.sequence))
        change.versions.append(written(write, change.sequence))

    def _judge_uniques(self, key: Key, held: tuple[str, ...], wanted: tuple[str, ...], change: _Change) -> None:
        for unique in held:
            if self._holder(unique, change) == key:
                change.uniques[unique] = None
        for unique in wanted:
            holder = self._holder(unique, change)
            if holder is not None and holder != key:
                raise DuplicateKey(unique, KeyHolder(holder.type, holder.id))
            change.uniques[unique] = key

    def _holder(self, unique: str, change: _Change) -> Key | None:
        for uniques in (change.uniques, self._uniques):
            if unique in uniques:
                return uniques[unique]
        stored = self._facts.uniques.get(unique)
        return None if stored is None else stored[1]

    def _keep(self, commit: Commit, change: _Change) -> None:
        self._sequence = change.sequence
        for key, writes in change.writes.items():
            self._writes.setdefault(key, []).extend(writes)
        self._uniques.update(change.uniques)
        self._claims.update((claim.key, change.sequence) for claim in commit.claims)
        self._accepted.append((commit, change.sequence))

    def plan(self, position: Mapping[str, tuple[str, int]]) -> Plan:
        """Return what the accepted commits change. position: audit record id -> (collection, position)."""
        rows = [*self._resource_rows(), *self._key_rows(), *self._trail_rows(position)]
        return Plan(
            self._facts.sequence,
            self._sequence,
            tuple(rows),
            tuple(self._freed()),
            tuple(self._past()),
            tuple(self._sets),
        )

    def _resource_rows(self) -> Iterator[Row]:
        for key, writes in self._writes.items():
            head = self._facts.heads.get(key)
            last, sequence = writes[-1]
            replaced = None if head is None else head.row
            yield Row(key.type, key.id, documents.current_document(last, sequence), replaced)
            for place, (write, number) in enumerate(writes):
                doc = documents.history_document(write, number)
                if place + 1 < len(writes):
                    doc |= {"ue": writes[place + 1][0].updated_ms, "un": writes[place + 1][1]}
                yield Row("history", documents.version_address(key.type, key.id, write.version), doc)

    def _key_rows(self) -> Iterator[Row]:
        for unique, key in self._uniques.items():
            stored = self._facts.uniques.get(unique)
            if key is not None and (stored is None or stored[1] != key):
                doc = {"type": key.type, "id": key.id, "s": self._sequence}
                yield Row("uniques", unique, doc, None if stored is None else stored[0])
        for claim, sequence in self._claims.items():
            taken = self._facts.claims.get(claim)
            yield Row("claims", claim, {"s": sequence}, None if taken is None else taken[0])

    def _trail_rows(self, position: Mapping[str, tuple[str, int]]) -> Iterator[Row]:
        told = set(self._facts.notices)
        for commit, sequence in self._accepted:
            for record in commit.audit:
                collection, place = position[record.id]
                yield Row(collection, record.id, {**documents.audit_document(record), "p": place, "s": sequence})
            for notice in commit.notices:
                if notice.id in told:
                    continue
                told.add(notice.id)
                yield Row("outbox", notice.id, {**documents.notice_document(notice), "s": sequence})

    def _freed(self) -> Iterator[tuple[str, Any]]:
        for unique, key in self._uniques.items():
            stored = self._facts.uniques.get(unique)
            if key is None and stored is not None:
                yield "uniques", stored[0]

    def _past(self) -> Iterator[tuple[str, int, int]]:
        for key, writes in self._writes.items():
            if key in self._facts.heads:
                write, sequence = writes[0]
                yield documents.version_address(key.type, key.id, write.version - 1), write.updated_ms, sequence
