"""The sealed store: any store behind a wrapper that seals what goes in and opens what comes out.

The store below works as ever and knows nothing of it: versions, order, claims, uniqueness and durability are its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.errors import DuplicateKey, NotFound
from fhir_dmp.ports import (
    AuditPage,
    AuditQuery,
    Claim,
    Commit,
    HistoryPage,
    HistoryQuery,
    Key,
    Page,
    ResourceStore,
    Version,
    Write,
)
from fhir_dmp.search.joins import JOIN_CAP
from fhir_dmp.search.order import ID, LAST_UPDATED, effective, ordered, position_of
from fhir_dmp.search.query import Everything, Node, Position, Search, Term
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.pages import page_of
from fhir_dmp.store.sealed.blinding import Blinding
from fhir_dmp.store.sealed.contents import IN_MEMORY, Handle, SealedBlobs
from fhir_dmp.store.sealed.judging import Judge
from fhir_dmp.store.sealed.keys import DataKeys, Purpose
from fhir_dmp.store.sealed.state import SealedState
from fhir_dmp.store.sealed.trail import SealedLedger, SealedOutbox, TrailCipher
from fhir_dmp.store.sealed.versions import CONTENTS, Sealing, owner_of, owners, refuse_telling_ids

#: Orders that the store below has: their values are stored as they are.
_CLEAR_ORDERS = (ID, LAST_UPDATED, "date")
_BATCH = 500


class SealedStore:
    """ResourceStore over another one. Thread safe if that one is.

    elsewhere: the store that keeps the data keys, when it is not that one. cap: most resources whose texts a search
    opens. in_memory: contents up to this size, in bytes, are staged in memory.
    """

    def __init__(
        self,
        inner: ResourceStore,
        keys: DataKeys,
        *,
        elsewhere: ResourceStore | None = None,
        cap: int = JOIN_CAP,
        in_memory: int = IN_MEMORY,
    ) -> None:
        self.inner = inner
        self._elsewhere = elsewhere
        self.keys = keys
        self._blinding = Blinding(keys.secret(Purpose.INDEX))
        self._sealing = Sealing(keys, self._blinding)
        self._judge = Judge(inner, self._blinding, self._sealing.open_terms, cap)
        self._blobs = SealedBlobs(inner.blobs, self._content, in_memory)
        self._trail = TrailCipher(keys)
        self._ledger = SealedLedger(inner.ledger, self._trail)
        self._outbox = SealedOutbox(inner.outbox, keys)
        self._state = SealedState(inner.state, keys, self._blinding)

    @property
    def blobs(self) -> SealedBlobs:
        """The contents."""
        return self._blobs

    @property
    def ledger(self) -> SealedLedger:
        """The audit trail as evidence."""
        return self._ledger

    @property
    def outbox(self) -> SealedOutbox:
        """The notices."""
        return self._outbox

    @property
    def state(self) -> SealedState:
        """What the authorization server remembers."""
        return self._state

    @property
    def transactional(self) -> bool:
        """That of the store below."""
        return self.inner.transactional

    def _content(self, sha256: str) -> Handle | None:
        """Return the handle of a content that a current Binary names."""
        for id_ in self.inner.find(CONTENTS[0], Term(self._sealing.content_token(sha256)), 1):
            version = self.read(Key(CONTENTS[0], id_))
            if version is not None and isinstance(version.blob, Handle):
                return version.blob
        return None

    # Reading

    def read(self, key: Key) -> Version | None:
        """Return the current version."""
        found = self.inner.read(key)
        return None if found is None else self._sealing.open(found)

    def read_many(self, keys: Sequence[Key]) -> dict[Key, Version]:
        """Return the current versions of those keys that exist."""
        opened = self._sealing.open_all(self.inner.read_many(keys).values())
        return {version.key: version for version in opened}

    def read_version(self, key: Key, version: int) -> Version | None:
        """Return that version."""
        found = self.inner.read_version(key, version)
        return None if found is None else self._sealing.open(found)

    def search(self, search: Search) -> Page:
        """Return one page of living resources."""
        if any(key.param not in _CLEAR_ORDERS for key in effective(search.sort)):
            return self._sorted_here(search)
        each = tuple((type_, self._judge.exact(type_, search.node_of(type_))) for type_ in dict.fromkeys(search.types))
        page = self.inner.search(replace(search, node=Everything(), each=each))
        return replace(page, versions=self._sealing.open_all(page.versions))

    def _sorted_here(self, search: Search) -> Page:
        """Return a page in an order that the store below does not have."""
        bound = self.inner.sequence() if search.bound is None else search.bound
        keys = [Key(type_, id_) for type_ in dict.fromkeys(search.types) for id_ in self._found(search, type_)]
        if len(keys) > self._judge.cap:
            raise self._judge.too_many(search.types[0])
        terms: dict[Key, Terms] = {}
        rows: list[Version] = []
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            terms |= self._judge.terms_of(batch)
            living = (version for version in self.inner.read_many(batch).values() if not version.deleted)
            rows += [version for version in living if version.seq <= bound]

        def place(row: Version) -> Position:
            return position_of(search.sort, terms.get(row.key, Terms()), row.type, row.id, row.updated_ms)

        page = page_of(search, ordered(search.sort, rows, place), place)
        return Page(self._sealing.open_all(page.rows), page.next, page.previous, bound, page.total)

    def _found(self, search: Search, type_: str) -> list[str]:
        return self.inner.find(type_, self._judge.exact(type_, search.node_of(type_)), self._judge.cap + 1)

    def find(self, type_: str, node: Node, limit: int) -> list[str]:
        """Return at most `limit` ids of matching resources."""
        return self.inner.find(type_, self._judge.exact(type_, node), limit)

    def count(self, types: Sequence[str], node: Node) -> int:
        """Return how many resources match."""
        return sum(self.inner.count((type_,), self._judge.exact(type_, node)) for type_ in dict.fromkeys(types))

    def holder(self, unique: str) -> Key | None:
        """Return the resource that holds the business key."""
        return self.inner.holder(self._blinding.value(unique))

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Return versions, newest first."""
        if query.node is None or not self._judge.texts(query.node):
            node = None if query.node is None else self._judge.widened(query.node)
            page = self.inner.history(replace(query, node=node))
            return replace(page, versions=self._sealing.open_all(page.versions))
        return self._judged_history(query, query.node)

    def _judged_history(self, query: HistoryQuery, node: Node) -> HistoryPage:
        """Walk through what may match, window by window; a window is then asked again with what does match."""
        texts, widened = self._judge.texts(node), self._judge.widened(node)
        whole = query.id is not None
        found: list[Version] = []
        before = query.before_seq
        while whole or len(found) <= query.count:
            window = self.inner.history(replace(query, node=widened, before_seq=before, count=_BATCH))
            if not window.versions:
                break
            answers = self._judge.answers(texts, list(dict.fromkeys(version.key for version in window.versions)))
            judged = self._judge.judged(node, answers)
            page = self.inner.history(replace(query, node=judged, before_seq=before, count=_BATCH))
            found += [version for version in page.versions if version.seq >= window.versions[-1].seq]
            before = window.next_seq
            if before is None:
                break
        page_ = self._sealing.open_all(found[: max(query.count, 0)])
        more = page_ and len(found) > query.count
        return HistoryPage(page_, page_[-1].seq if more else None, len(found) if whole else None)

    def sequence(self) -> int:
        """Return the last sequence that readers can see."""
        return self.inner.sequence()

    def stamps(self, keys: Sequence[str]) -> tuple[int, ...]:
        """Return the sequence of the last claim of each key."""
        return self.inner.stamps([self._blinding.value(key) for key in keys])

    def sealed_terms(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        """Nothing: what is sealed is opened here."""
        return {}

    # Writing

    def commit(self, commit: Commit) -> tuple[Version, ...]:
        """Apply everything or nothing."""
        refuse_telling_ids(commit.writes)
        contents = [self._blobs.below(blob) for blob in commit.blobs]
        staged = {str(handle): handle for handle, _ in contents}
        below = Commit(
            writes=self._sealed(commit.writes, staged),
            claims=tuple(Claim(self._blinding.value(claim.key), claim.seen) for claim in commit.claims),
            requires=commit.requires,
            blobs=tuple(blob for _, blob in contents),
            audit=tuple(map(self._trail.seal, commit.audit)),
            notices=tuple(map(self._outbox.seal, commit.notices)),
        )
        try:
            stored = self.inner.commit(below)
        except DuplicateKey as error:
            names = {self._blinding.value(key): key for write in commit.writes for key in write.terms.uniques}
            raise DuplicateKey(names.get(error.key, error.key), error.holder) from error
        return tuple(
            replace(version, body=write.body, blob=write.blob)
            for version, write in zip(stored, commit.writes, strict=True)
        )

    def _sealed(self, writes: Sequence[Write], staged: dict[str, Handle]) -> tuple[Write, ...]:
        known = owners(writes)
        sealed = []
        for write in writes:
            handle = None
            if write.blob is not None:
                handle = staged.get(write.blob) or self._blobs.handle(write.blob)
                if handle is None:
                    raise NotFound("The content is not stored.")
            owner = known.get(Key(write.type, write.id)) or self._former_owner(write)
            sealed.append(self._sealing.seal(write, owner, handle))
        return tuple(sealed)

    def _former_owner(self, write: Write) -> str:
        """Return the key of what names no patient: for a content that of its version before."""
        if write.type in CONTENTS and write.version > 1:
            before = self.inner.read(Key(write.type, write.id))
            if before is not None:
                return owner_of(before)
        return Purpose.SHARED

    def reindex(self, type_: str, terms: Callable[[Version], Terms], after: str | None, count: int) -> str | None:
        """Recompute the terms of the next `count` resources."""
        return self.inner.reindex(type_, self.sealed_as(terms), after, count)

    def sealed_as(self, terms: Callable[[Version], Terms]) -> Callable[[Version], Terms]:
        """Return what gives the terms of a sealed version as the store below keeps them."""

        def sealed(version: Version) -> Terms:
            opened = self._sealing.open(version)
            if opened is None:
                return Terms(patient=version.patient)
            return self._sealing.terms(version.key, terms(opened), owner_of(version))

        return sealed

    def deleted(self, patient: str) -> list[Key]:
        """Return the tombstones of a patient."""
        return self.inner.deleted(patient)

    def erase(self, keys: Sequence[Key]) -> int:
        """Destroy resources; with a Patient, the key of everything that was ever sealed with it, copies included."""
        count = self.inner.erase(keys)
        for key in keys:
            if key.type == "Patient" and self.keys.exists(str(key)):
                self.keys.destroy(str(key))
        return count

    # Audit, life

    def audit(self, query: AuditQuery) -> AuditPage:
        """Return a slice of the trail, newest first."""
        wanted = query.keep
        keep = None if wanted is None else lambda record: wanted(self._trail.open(record))
        page = self.inner.audit(replace(query, keep=keep))
        return replace(page, records=tuple((at, self._trail.open(record)) for at, record in page.records))

    def audit_record(self, id_: str) -> tuple[int, AuditRecord] | None:
        """Return the record of that AuditEvent."""
        found = self.inner.audit_record(id_)
        return None if found is None else (found[0], self._trail.open(found[1]))

    def sweep(self) -> int:
        """Remove contents that nothing refers to."""
        return self.inner.sweep()

    def types(self) -> dict[str, int]:
        """Return how many resources of each type there are."""
        return self.inner.types()

    def ping(self) -> None:
        """Ask the store below, and that of the data keys."""
        self.inner.ping()
        if self._elsewhere is not None:
            self._elsewhere.ping()

    def close(self) -> None:
        """Close the store below, and that of the data keys."""
        self.inner.close()
        if self._elsewhere is not None:
            self._elsewhere.close()
