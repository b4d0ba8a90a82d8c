"""The ports: what the use cases need from the outside, and the small types that cross.

A store keeps every version of every resource, its index terms, contents (blobs), the audit trail and the outbox, and
changes them through one door: `commit`. The contract is tests/store/test_contract.py, run against every store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, Protocol

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.identity.upstream import UpstreamIdentity
from fhir_dmp.search.query import Node, Position, Search
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


@dataclass(frozen=True, slots=True)
class StateRecord:
    """One record of the authorization server: a client, a code, a refresh token, a login under way, an account.

    kind, key: its address; a secret is never a key (its SHA-256 is). body: JSON text. version: 1 at first, one more at
    each change. expires_ms: from then on the record is absent (None: stays). tags: labels that it is listed by
    (`sub:...`, `family:...`). updated_ms: when it was last written; put sets it, and the version.
    """

    kind: str
    key: str
    body: str
    expires_ms: int | None = None
    tags: tuple[str, ...] = ()
    version: int = 0
    updated_ms: int = 0


class StateStore(Protocol):
    """Keeps what the authorization server must remember. Thread safe; every worker sees a write at once.

    An expired record is absent to every method. The contract is tests/store/test_contract_state.py.
    Each method raises StoreUnavailable when the database cannot be reached.
    """

    def get(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        """Return the record, or None."""

    def put(self, record: StateRecord, now_ms: int, expected: int | None = None) -> StateRecord:
        """Write the record and return it as stored; durable when it returns.

        expected: the version that it must have now (0: it must be absent; None: whatever it is).

        Raises:
            StateConflict: it has another version.
        """

    def take(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        """Remove the record and return it; of several that take it at once, exactly one gets it."""

    def remove(self, kind: str, key: str) -> None:
        """Remove the record, if there is one."""

    def listed(
        self, kind: str, now_ms: int, *, tag: str | None = None, since_ms: int = 0, after: str = "", count: int = 1000
    ) -> tuple[StateRecord, ...]:
        """Return up to `count` records of a kind in a fixed order of their keys, those behind the key `after`.

        tag: only those that carry it. since_ms: only those written at or after it.
        """

    def sweep(self, now_ms: int) -> int:
        """Remove expired records; return how many."""


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


class Clock(Protocol):
    """Time, so that the core needs none of its own."""

    def now_ms(self) -> int:
        """Return the current time in ms since the epoch, UTC."""


class Ids(Protocol):
    """New identifiers."""

    def resource(self, patient: str | None = None) -> str:
        """Return a new logical id: a UUID of version 7 whose 12 random bits A hash the patient, when known."""

    def token(self) -> str:
        """Return an unguessable string."""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What the corridor knows of the HTTP request beside its content.

    base: public FHIR base URL without trailing slash. raw: method and URL as received, for the audit of searches
    (never logged). prefer_return: minimal, representation or OperationOutcome; prefer_stated: the client said so, which
    decides what the entries of a bundle answer. strict: Prefer handling=strict.
    """

    request_id: str
    address: str
    base: str
    raw: str = ""
    prefer_return: str = "representation"
    prefer_stated: bool = False
    strict: bool = False
    if_match: tuple[int, ...] | None = None
    if_match_any: bool = False
    if_none_match_any: bool = False
    if_none_exist: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignInSecrets:
    """What binds one sign-in at an identity provider to this server: nonce and PKCE verifier, new for each."""

    nonce: str
    verifier: str


class SignInFailed(Exception):
    """Nobody was identified. The text is for the log; refused: the person or the provider said no, for good.

    pending: what the sign-in was for, when that is known.
    """

    def __init__(self, text: str, *, refused: bool = False, pending: str = "") -> None:
        super().__init__(text)
        self.refused = refused
        self.pending = pending


class IdentityProvider(Protocol):
    """A national identity provider. The contract is tests/upstream."""

    @property
    def name(self) -> str:
        """`psc` (health professionals) or `fc` (everybody)."""

    def begin(self, redirect_uri: str, state: str, secrets: SignInSecrets) -> str:
        """Return the URL to send the browser to.

        Raises:
            SignInFailed: the provider cannot be reached.
        """

    def complete(self, answer: Mapping[str, str], redirect_uri: str, secrets: SignInSecrets) -> UpstreamIdentity:
        """Return who signed in, from the parameters of the callback.

        Raises:
            SignInFailed: refused there, or anything that does not fit.
        """

    def introspect(self, token: str) -> Mapping[str, Any] | None:
        """Return what the provider says of an access token that somebody else obtained, None when it is not active.

        Raises:
            Unavailable: it does not answer.
        """

    def end(self, id_token: str, state: str, return_to: str) -> str | None:
        """Return the URL that ends the sign-in at the provider, None when it has none."""


class Mailer(Protocol):
    """Sends one message at once."""

    def send(self, message: EmailMessage) -> None:
        """Hand a message over; when this returns it was accepted.

        Raises:
            MailUnavailable: another try may succeed. MailRefused: none will.
        """
