"""The ports of a store: resources, contents, the audit trail as evidence, and the notices that wait.

A store keeps every version of every resource, its index terms, contents (blobs), the audit trail and the outbox, and
changes them through one door: `commit`. The contract is tests/store/test_contract.py, run against every store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.ports.state import StateStore
from fhir_dmp.ports.values import AuditPage, AuditQuery, Commit, HistoryPage, HistoryQuery, Key, Page, Queued, Version
from fhir_dmp.search.query import Node, Search
from fhir_dmp.search.terms import Terms


class BlobStore(Protocol):
    """Contents, addressed by sha-256; streamed in and out."""

    def stage(self, chunks: Iterator[bytes]) -> Blob:
        """Take a content in. Small ones stay in memory (Blob.data) until the commit; big ones are durable already.

        A staged content that no commit names is swept later.
        """

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes, or None when the content is not stored."""

    def read(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to `end` (exclusive) in chunks of at most 256 KiB.

        Raises:
            NotFound: the content is not stored.
        """


class Ledger(Protocol):
    """The audit trail as evidence: its rows in the order of their position, and the seals over them (audit/chain.py).

    Rows and seals are only ever added. Thread safe.
    """

    @property
    def slack(self) -> int:
        """How far behind the newest position a row may still appear; 0: rows appear in the order of their position."""

    def rows(self, after: int, count: int) -> Sequence[tuple[int, bytes, bool]]:
        """Return up to `count` rows with positions greater than `after`, ascending.

        Each is the position, the stored bytes of the record, and whether the columns that it is found by agree with it.
        """

    def seals(self, after: int, count: int) -> Sequence[bytes]:
        """Return up to `count` seals with numbers greater than `after`, ascending, as they were added."""

    def seal_of(self, seq: int) -> bytes | None:
        """Return the seal that covers the record with this number, or None."""

    def last_seal(self) -> bytes | None:
        """Return the seal with the highest number, or None."""

    def add_seal(self, number: int, last: int, seal: bytes) -> bool:
        """Add the seal if there is none with this number yet, durably; say whether it was added.

        last: number of the last record it covers.
        """


class Outbox(Protocol):
    """The notices, from their commit on: what waits, who sends it, what became of it. Thread safe."""

    def find(self, id_: str) -> Queued | None:
        """Return the notice with this id, or None."""

    def due(self, now_ms: int, count: int) -> Sequence[Queued]:
        """Return up to `count` notices that wait, whose time has come and that nobody has leased, oldest first."""

    def lease(self, id_: str, attempts: int, now_ms: int, until_ms: int) -> bool:
        """Take a notice for oneself until then, if nobody else has and it was tried so often; say whether it worked.

        Exactly one of those who try at the same time succeeds, in whatever process.
        """

    def defer(self, id_: str, due_ms: int, attempts: int) -> None:
        """Give a leased notice back, to be tried again not before `due_ms`."""

    def settle(self, id_: str, outcome: str, now_ms: int) -> None:
        """Mark a leased notice as done."""

    def inbox(self, patient: str, count: int) -> Sequence[Queued]:
        """Return the newest notices of a patient, newest first."""

    def waiting(self) -> int:
        """Return how many notices are not settled."""


class ResourceStore(Protocol):
    """Keeps every version of every resource. Thread safe."""

    @property
    def blobs(self) -> BlobStore:
        """The contents."""

    @property
    def ledger(self) -> Ledger:
        """The audit trail as evidence."""

    @property
    def outbox(self) -> Outbox:
        """The notices."""

    @property
    def state(self) -> StateStore:
        """What the authorization server remembers; no part of the record, and never in a commit."""

    @property
    def transactional(self) -> bool:
        """Whether a commit of several writes is atomic (False: transaction bundles answer 501)."""

    def read(self, key: Key) -> Version | None:
        """Return the current version (a tombstone when deleted), or None when it never existed."""

    def read_many(self, keys: Sequence[Key]) -> dict[Key, Version]:
        """Return the current versions of those keys that exist, tombstones included, in one query per type at most."""

    def read_version(self, key: Key, version: int) -> Version | None:
        """Return that version, or None when it never existed."""

    def search(self, search: Search) -> Page:
        """Return one page of current, not deleted versions.

        Raises:
            Unprocessable: code too-costly; an intermediate set exceeds the cap (10,000 ids).
        """

    def find(self, type_: str, node: Node, limit: int) -> list[str]:
        """Return at most `limit` ids of current resources that satisfy the node, in no particular order."""

    def count(self, types: Sequence[str], node: Node) -> int:
        """Return how many current resources satisfy the node."""

    def holder(self, unique: str) -> Key | None:
        """Return the current resource that holds this unique business key, or None."""

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Return versions, newest first, deletions included."""

    def sealed_terms(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        """Return `Terms.sealed` of those current resources, tombstones included, that have any."""

    def sequence(self) -> int:
        """Return the sequence of the last commit that readers can see."""

    def stamps(self, keys: Sequence[str]) -> tuple[int, ...]:
        """Return, for each claim key, the sequence of the last commit that claimed it (0: none that is remembered).

        One point read: what was derived from the store stays true as long as the stamps of its marks do.
        """

    def commit(self, commit: Commit) -> tuple[Version, ...]:
        """Apply everything or nothing; the only way to write. Durable when it returns.

        Raises:
            VersionConflict: a write or a Require expected another current version.
            DuplicateKey: a unique business key belongs to another current resource.
            ClaimLost: a claim was taken meanwhile.
            NotImplementedHere: several writes on a store without transactions.
            Unprocessable: an encrypted store would have to show what it must not, as in an id made of an INS.
            StoreUnavailable: the database could not be reached; nothing was written.
        """

    def audit(self, query: AuditQuery) -> AuditPage:
        """Return a slice of the audit trail, newest first."""

    def audit_record(self, id_: str) -> tuple[int, AuditRecord] | None:
        """Return one audit record by the id of its AuditEvent."""

    def reindex(self, type_: str, terms: Callable[[Version], Terms], after: str | None, count: int) -> str | None:
        """Recompute the terms of up to `count` current resources of a type with ids greater than `after`.

        Returns the last id done, or None when the type is finished. Safe to run beside writers and to restart.
        """

    def sweep(self) -> int:
        """Remove staged contents that no version names and that are older than a day; return how many."""

    def deleted(self, patient: str) -> list[Key]:
        """Return the resources of `Patient/id` of which a tombstone is left."""

    def erase(self, keys: Sequence[Key]) -> int:
        """Destroy resources: every version, terms, business keys, and the contents that no other version names.

        No tombstone is left: the ids are as if they had never been given. Returns how many resources there were. The
        current version goes last, so that an interrupted call is asked again; nobody may write these resources
        meanwhile. Records of the trail stay.
        """

    def types(self) -> dict[str, int]:
        """Return how many current resources of each type are stored (approximate is fine)."""

    def ping(self) -> None:
        """Check that the store answers.

        Raises:
            StoreUnavailable: it does not.
        """

    def close(self) -> None:
        """Flush and release everything."""
