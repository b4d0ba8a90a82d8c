"""The store in memory: the reference. It keeps everything in plain collections behind one lock and asks `match`.

Correct before fast: a search looks at every current resource of its types. For tests and trials; nothing survives
the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import RLock
from time import monotonic

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.errors import DuplicateKey, KeyHolder
from fhir_dmp.ports import (
    AuditPage,
    AuditQuery,
    Claim,
    Commit,
    HistoryPage,
    HistoryQuery,
    Key,
    Page,
    Require,
    Version,
    Write,
)
from fhir_dmp.search.joins import JOIN_CAP, resolve_joins, too_costly, too_slow
from fhir_dmp.search.order import ordered, position_of
from fhir_dmp.search.query import Node, Position, Search
from fhir_dmp.search.terms import Terms, recomputed
from fhir_dmp.store.commits import expect, expect_unclaimed, written
from fhir_dmp.store.memory.blobs import MemoryBlobs
from fhir_dmp.store.memory.ledger import MemoryLedger
from fhir_dmp.store.memory.outbox import MemoryOutbox
from fhir_dmp.store.memory.rows import Row, satisfies
from fhir_dmp.store.memory.state import MemoryState
from fhir_dmp.store.pages import page_of


@dataclass
class _Change:
    """A commit in the making: what would replace the current state if every check holds."""

    sequence: int
    rows: dict[Key, Row] = field(default_factory=dict)
    uniques: dict[str, Key | None] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)


class MemoryStore:
    """Every version in memory, behind one lock. query_ms: the longest that one query may look at resources."""

    def __init__(
        self, *, join_cap: int = JOIN_CAP, inline_limit: int = 4 * 1024 * 1024, query_ms: int = 20_000
    ) -> None:
        self._query_s = query_ms / 1000
        self._lock = RLock()
        self._join_cap = join_cap
        self._blobs = MemoryBlobs(inline_limit)
        self._state = MemoryState()
        self._current: dict[Key, Row] = {}
        self._versions: dict[Key, list[Version]] = {}
        self._log: list[Version] = []
        self._uniques: dict[str, Key] = {}
        self._claims: dict[str, int] = {}
        self._sequence = 0
        self._audit: list[AuditRecord] = []
        self._ledger = MemoryLedger(self._audit, self._lock)
        self._outbox = MemoryOutbox(self._lock)

    @property
    def blobs(self) -> MemoryBlobs:
        """The contents."""
        return self._blobs

    @property
    def ledger(self) -> MemoryLedger:
        """The audit trail as evidence."""
        return self._ledger

    @property
    def outbox(self) -> MemoryOutbox:
        """The notices."""
        return self._outbox

    @property
    def state(self) -> MemoryState:
        """What the authorization server remembers."""
        return self._state

    @property
    def transactional(self) -> bool:
        """Everything is atomic here."""
        return True

    # Reading

    def read(self, key: Key) -> Version | None:
        """Return the current version, a tombstone when deleted."""
        with self._lock:
            row = self._current.get(key)
            return None if row is None else row.version

    def read_many(self, keys: Sequence[Key]) -> dict[Key, Version]:
        """Return the current versions of those keys that exist."""
        with self._lock:
            return {key: self._current[key].version for key in keys if key in self._current}

    def read_version(self, key: Key, version: int) -> Version | None:
        """Return that version."""
        with self._lock:
            versions = self._versions.get(key, [])
            return versions[version - 1] if 1 <= version <= len(versions) else None

    def search(self, search: Search) -> Page:
        """Return one page; the order and the positions are those of search/order.py."""
        with self._lock:
            bound = self._sequence if search.bound is None else search.bound
            rows = [
                row
                for type_ in search.types
                for row in self._matching(type_, search.node_of(type_))
                if row.version.seq <= bound
            ]

            def place(row: Row) -> Position:
                version = row.version
                return position_of(search.sort, row.terms, version.type, version.id, version.updated_ms)

            page = page_of(search, ordered(search.sort, rows, place), place)
            return Page(tuple(row.version for row in page.rows), page.next, page.previous, bound, page.total)

    def find(self, type_: str, node: Node, limit: int) -> list[str]:
        """Return at most `limit` ids of matching resources."""
        with self._lock:
            return [row.version.id for row in self._matching(type_, node)][:limit]

    def count(self, types: Sequence[str], node: Node) -> int:
        """Return how many resources match."""
        with self._lock:
            return sum(1 for type_ in types for _ in self._matching(type_, node))

    def holder(self, unique: str) -> Key | None:
        """Return the resource that holds the business key."""
        with self._lock:
            return self._uniques.get(unique)

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Return versions by descending sequence."""
        with self._lock:
            node = None if query.node is None else self._resolved(query.node)
            found = [v for v in reversed(self._log) if self._in_history(v, query, node)]
            rest = [v for v in found if query.before_seq is None or v.seq < query.before_seq]
            page = tuple(rest[: query.count])
            return HistoryPage(page, page[-1].seq if page and len(rest) > len(page) else None, len(found))

    def sealed_terms(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        """Return the sealed terms of those resources that have any."""
        with self._lock:
            rows = {key: self._current[key] for key in keys if key in self._current}
        return {key: row.terms.sealed for key, row in rows.items() if row.terms.sealed}

    def sequence(self) -> int:
        """Return the last sequence."""
        with self._lock:
            return self._sequence

    def sweep(self) -> int:
        """Nothing outlives the process, so nothing is swept."""
        return 0

    def stamps(self, keys: Sequence[str]) -> tuple[int, ...]:
        """Return the sequence of the last claim of each key."""
        with self._lock:
            return tuple(self._claims.get(key, 0) for key in keys)

    def types(self) -> dict[str, int]:
        """Return how many current resources of each type there are."""
        with self._lock:
            counts: dict[str, int] = {}
            for key, row in self._current.items():
                if not row.version.deleted:
                    counts[key.type] = counts.get(key.type, 0) + 1
            return counts

    def _matching(self, type_: str, node: Node) -> list[Row]:
        resolved = self._resolved(node)
        rows = [row for row in self._current.values() if row.version.type == type_ and not row.version.deleted]
        return list(self._satisfying(rows, resolved, monotonic() + self._query_s))

    def _satisfying(self, rows: Iterable[Row], node: Node, deadline: float) -> Iterator[Row]:
        for row in rows:
            if monotonic() > deadline:
                raise too_slow()
            if satisfies(row, node):
                yield row

    def _resolved(self, node: Node) -> Node:
        return resolve_joins(node, self._find_capped, self._referenced)

    def _find_capped(self, type_: str, node: Node) -> list[str]:
        ids = self.find(type_, node, self._join_cap + 1)
        if len(ids) > self._join_cap:
            raise too_costly(type_, self._join_cap)
        return ids

    def _referenced(self, type_: str, param: str, node: Node) -> list[str]:
        start = f"{param}=r:"
        found = {
            token.removeprefix(start)
            for row in self._matching(type_, node)
            for token in row.terms.tokens
            if token.startswith(start)
        }
        if len(found) > self._join_cap:
            raise too_costly(f"{type_}:{param}", self._join_cap)
        return list(found)

    def _in_history(self, version: Version, query: HistoryQuery, node: Node | None) -> bool:
        if (query.type is not None and version.type != query.type) or (query.id is not None and version.id != query.id):
            return False
        if query.types is not None and version.type not in query.types:
            return False
        if query.since_ms is not None and version.updated_ms < query.since_ms:
            return False
        if query.at is not None and not self._was_current(version, *query.at):
            return False
        return node is None or satisfies(self._current[version.key], node)

    def _was_current(self, version: Version, low: float, high: float) -> bool:
        versions = self._versions[version.key]
        ended = versions[version.version].updated_ms if version.version < len(versions) else None
        return version.updated_ms < high and (ended is None or ended > low)

    # Writing

    def commit(self, commit: Commit) -> tuple[Version, ...]:
        """Apply everything or nothing."""
        with self._lock:
            self._check_requires(commit.requires)
            self._check_claims(commit.claims)
            change = _Change(self._sequence)
            for write in commit.writes:
                self._plan(write, change)
            if commit.claims and not commit.writes:
                change.sequence += 1
            self._apply(change, commit)
            return tuple(change.versions)

    def _check_requires(self, requires: Iterable[Require]) -> None:
        for require in requires:
            row = self._current.get(require.key)
            current = 0 if row is None else row.version.version
            expect(require.key, require.version, current)

    def _check_claims(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            expect_unclaimed(claim, self._claims.get(claim.key, 0))

    def _plan(self, write: Write, change: _Change) -> None:
        key = Key(write.type, write.id)
        row = change.rows.get(key) or self._current.get(key)
        current = 0 if row is None else row.version.version
        expect(key, write.version - 1, current)
        change.sequence += 1
        version = written(write, change.sequence)
        self._plan_uniques(key, row, write, change)
        change.rows[key] = Row(version, write.terms)
        change.versions.append(version)

    def _plan_uniques(self, key: Key, row: Row | None, write: Write, change: _Change) -> None:
        for unique in row.terms.uniques if row is not None else ():
            if self._holder(unique, change) == key:
                change.uniques[unique] = None
        for unique in () if write.deleted else write.terms.uniques:
            holder = self._holder(unique, change)
            if holder is not None and holder != key:
                raise DuplicateKey(unique, KeyHolder(holder.type, holder.id))
            change.uniques[unique] = key

    def _holder(self, unique: str, change: _Change) -> Key | None:
        return change.uniques[unique] if unique in change.uniques else self._uniques.get(unique)

    def _apply(self, change: _Change, commit: Commit) -> None:
        self._sequence = change.sequence
        self._current.update(change.rows)
        for version in change.versions:
            self._versions.setdefault(version.key, []).append(version)
        self._log.extend(change.versions)
        for unique, holder in change.uniques.items():
            if holder is None:
                self._uniques.pop(unique, None)
            else:
                self._uniques[unique] = holder
        self._claims.update({claim.key: self._sequence for claim in commit.claims})
        self._blobs.keep(commit.blobs)
        self._audit.extend(commit.audit)
        self._outbox.add(commit.notices)

    def reindex(self, type_: str, terms: Callable[[Version], Terms], after: str | None, count: int) -> str | None:
        """Recompute the terms of the next `count` resources."""
        with self._lock:
            ids = sorted(k.id for k, row in self._current.items() if k.type == type_ and not row.version.deleted)
            todo = [id_ for id_ in ids if after is None or id_ > after][:count]
            for id_ in todo:
                self._reindex_one(Key(type_, id_), terms)
            return todo[-1] if todo and todo[-1] != ids[-1] else None

    def _reindex_one(self, key: Key, terms: Callable[[Version], Terms]) -> None:
        row = self._current[key]
        new = recomputed(terms(row.version), row.terms.tokens)
        change = _Change(self._sequence)
        write = Write(key.type, key.id, row.version.version, row.version.updated_ms, row.version.body, new)
        self._plan_uniques(key, row, write, change)
        change.rows[key] = Row(replace(row.version, patient=new.patient), new)
        self._apply(change, Commit())

    def deleted(self, patient: str) -> list[Key]:
        """Return the tombstones of a patient."""
        with self._lock:
            versions = [row.version for row in self._current.values()]
        return [version.key for version in versions if version.deleted and version.patient == patient]

    def erase(self, keys: Sequence[Key]) -> int:
        """Destroy resources with all their versions and contents."""
        gone = set(keys)
        with self._lock:
            erased = [key for key in gone if self._current.pop(key, None) is not None]
            dead = [version for key in erased for version in self._versions.pop(key)]
            self._log = [version for version in self._log if version.key not in gone]
            self._uniques = {unique: key for unique, key in self._uniques.items() if key not in gone}
            self._blobs.drop({version.blob for version in dead} - {version.blob for version in self._log})
        return len(erased)

    # Audit, outbox, life

    def audit(self, query: AuditQuery) -> AuditPage:
        """Return a slice of the trail, newest first."""
        with self._lock:
            found = [
                (at, record)
                for at, record in zip(range(len(self._audit), 0, -1), reversed(self._audit), strict=True)
                if (query.before is None or at < query.before) and _in_slice(record, query)
            ]
        page = tuple(found[: query.count])
        return AuditPage(page, page[-1][0] if page and len(found) > len(page) else None)

    def audit_record(self, id_: str) -> tuple[int, AuditRecord] | None:
        """Return the record of that AuditEvent."""
        with self._lock:
            return next(((at, record) for at, record in enumerate(self._audit, 1) if record.id == id_), None)

    def ping(self) -> None:
        """Memory always answers."""

    def close(self) -> None:
        """Nothing to release."""


def _in_slice(record: AuditRecord, query: AuditQuery) -> bool:
    if query.patient is not None and record.patient != query.patient:
        return False
    if query.low_ms is not None and record.recorded_ms < query.low_ms:
        return False
    if query.high_ms is not None and record.recorded_ms >= query.high_ms:
        return False
    return query.keep is None or query.keep(record)
