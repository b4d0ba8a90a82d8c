"""What crosses to a store and back: versions, commits, pages, notices. Values alone; what keeps them is `store.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.search.query import Node, Position
from fhir_dmp.search.terms import NO_TERMS, Terms


@dataclass(frozen=True, slots=True)
class Key:
    """A resource's type and logical id."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Version:
    """One stored version. `body` is the exact JSON served (empty on a deletion); times in ms since the epoch, UTC.

    method: the interaction that made it (POST, PUT, PATCH, DELETE). blob: sha-256 of the content of a Binary.
    seq: unique to the version; each write of a commit takes the next one, in order.
    """

    type: str
    id: str
    version: int
    updated_ms: int
    seq: int
    body: bytes
    method: str = "POST"
    deleted: bool = False
    blob: str | None = None
    patient: str | None = None

    @property
    def key(self) -> Key:
        """The resource this is a version of."""
        return Key(self.type, self.id)


@dataclass(frozen=True, slots=True)
class Write:
    """One new version to store.

    version: the number of this version; the current one must be `version - 1` (0: the resource must not exist; a
    tombstone counts as existing). body: exact JSON with id and meta already set. deleted: a tombstone, body empty; its
    terms are not searched, they only tell the history whose it is (HistoryQuery.node).
    """

    type: str
    id: str
    version: int
    updated_ms: int
    body: bytes
    terms: Terms = NO_TERMS
    method: str = "POST"
    deleted: bool = False
    blob: str | None = None


#: `Claim.seen` of a mark: a claim that is never lost and only says that a commit touched something (see `stamps`).
MARK = 2**62


@dataclass(frozen=True, slots=True)
class Claim:
    """Race-free "there is none yet": fails with ClaimLost when `key` was claimed by a commit after sequence `seen`."""

    key: str
    seen: int


@dataclass(frozen=True, slots=True)
class Require:
    """The commit holds only if this resource still has this current version (0: still does not exist)."""

    key: Key
    version: int


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to somebody, queued in the same commit as its cause and sent later by `fhir-dmp deliver`.

    id: made of its cause, so that the same cause tells once. event: a row of notices/events.toml. patient:
    `Patient/id`. due_ms: not before; 0: at once. variables never hold medical data.
    """

    id: str
    event: str
    patient: str
    created_ms: int
    variables: tuple[tuple[str, str], ...] = ()
    due_ms: int = 0


@dataclass(frozen=True, slots=True)
class Queued:
    """A notice and what became of it. done_ms, outcome: when and how it was settled; None while it waits."""

    notice: Notice
    due_ms: int = 0
    attempts: int = 0
    done_ms: int | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything one interaction changes: applied entirely, or not at all.

    Audit records alone (a read, a refusal) are a commit too.
    """

    writes: tuple[Write, ...] = ()
    claims: tuple[Claim, ...] = ()
    requires: tuple[Require, ...] = ()
    blobs: tuple[Blob, ...] = ()
    audit: tuple[AuditRecord, ...] = ()
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of versions in order. next, previous: positions to continue from, None at the end.

    bound: the sequence that limits the whole paging; total: all matches, when asked.
    """

    versions: tuple[Version, ...]
    next: Position | None = None
    previous: Position | None = None
    bound: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """History of one resource (type and id), a type, or everything; newest first by sequence.

    since_ms: versions made at or after it. at: [low, high) ms; versions that were current at some time in it.
    before_seq: continue below this sequence. node: only resources whose current version satisfies it.
    """

    type: str | None = None
    id: str | None = None
    count: int = 20
    since_ms: int | None = None
    at: tuple[float, float] | None = None
    before_seq: int | None = None
    node: Node | None = None
    types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Versions, newest first, and the sequence to continue below (None at the end)."""

    versions: tuple[Version, ...]
    next_seq: int | None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """A slice of the audit trail, newest first.

    patient: `Patient/id`. low_ms, high_ms: half open. before: continue below this position. keep: a predicate over
    the materialised event, for the parameters that have no index.
    """

    patient: str | None = None
    low_ms: int | None = None
    high_ms: int | None = None
    before: int | None = None
    count: int = 50
    keep: Callable[[AuditRecord], bool] | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """(position, record) pairs, newest first, and where to continue."""

    records: tuple[tuple[int, AuditRecord], ...]
    next: int | None
