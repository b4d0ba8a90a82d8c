"""The store in one SQLite file: the port's methods, each a few lines over the modules beside this one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.errors import ConfigurationError, Problem, StoreUnavailable
from fhir_dmp.ports import AuditPage, AuditQuery, Commit, HistoryPage, HistoryQuery, Key, Page, Version
from fhir_dmp.search.joins import JOIN_CAP, resolve_joins, too_costly
from fhir_dmp.search.query import Node, Search
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.sqlite import blobs, erase, history, pages, reindex, select, trail, verify, versions
from fhir_dmp.store.sqlite.blobs import INLINE_LIMIT, SqliteBlobs
from fhir_dmp.store.sqlite.checkpoint import Checkpointer
from fhir_dmp.store.sqlite.codec import Codec, unpack_terms
from fhir_dmp.store.sqlite.conditions import Scope
from fhir_dmp.store.sqlite.connections import Readers, connect
from fhir_dmp.store.sqlite.drivers import TUNING, Choice, Chooser, Tuning
from fhir_dmp.store.sqlite.ledger import SqliteLedger
from fhir_dmp.store.sqlite.outbox import SqliteOutbox
from fhir_dmp.store.sqlite.prepare import ready
from fhir_dmp.store.sqlite.schema import migrate
from fhir_dmp.store.sqlite.state import SqliteState
from fhir_dmp.store.sqlite.writer import Writer

#: A file that was staged less long ago may be named by a commit under way.
DROP_AFTER_S = 3600.0

_SEQUENCE = "SELECT value FROM meta WHERE name = 'seq'"
_HOLDER = "SELECT r.type, r.id FROM uq CROSS JOIN res r ON r.pk = uq.pk WHERE uq.key = ?"


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and times that a file is opened with. claims_kept: sequences for which claims are remembered.

    mmap_bytes is 0 because every commit, an audit record included, makes SQLite unmap the file in every reader: the
    page faults that follow cost a read three times as much as copying its pages from the system's cache. Each commit
    of another connection also empties a connection's own cache: it need not hold more than one search touches, or, for
    the writer, what a large commit changes.
    """

    mmap_bytes: int = 0
    writer_cache_kib: int = 32 * 1024
    reader_cache_kib: int = 2 * 1024
    busy_ms: int = 5000
    join_cap: int = JOIN_CAP
    inline_limit: int = INLINE_LIMIT
    claims_kept: int = 1_000_000
    query_ms: int = 20_000
    tuning: Tuning = TUNING


class SqliteStore:
    """Every version in one file. Several processes may open it; each opens it after it was forked."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Open the file, which `open_sqlite` has prepared."""
        self._limits = limits
        self._chooser = Chooser(limits.tuning)
        self._readers = Readers(
            path,
            mmap_bytes=limits.mmap_bytes,
            cache_kib=limits.reader_cache_kib,
            busy_ms=limits.busy_ms,
            query_ms=limits.query_ms,
        )
        with self._readers.borrow() as con:
            self._codec = Codec(con.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()[0])
        self._blobs = SqliteBlobs(self._readers, path.with_name(path.name + "-blobs"), limits.inline_limit)
        self._writer = Writer(self._connect(path), path.with_name(path.name + "-lock"), self._codec, self._written)
        self._ledger = SqliteLedger(self._readers, self._writer, self._codec)
        self._outbox = SqliteOutbox(self._readers, self._writer)
        self._state = SqliteState(self._readers, self._writer)
        self._checkpointer = Checkpointer(self._connect(path, cache_kib=256), self._writer.alone)

    def _connect(self, path: Path, cache_kib: int | None = None) -> sqlite3.Connection:
        limits = self._limits
        return connect(
            path,
            mmap_bytes=limits.mmap_bytes,
            cache_kib=cache_kib or limits.writer_cache_kib,
            busy_ms=limits.busy_ms,
        )

    def _written(self, size: int) -> None:
        self._checkpointer.written(size)

    @property
    def blobs(self) -> SqliteBlobs:
        """The contents."""
        return self._blobs

    @property
    def ledger(self) -> SqliteLedger:
        """The audit trail as evidence."""
        return self._ledger

    @property
    def outbox(self) -> SqliteOutbox:
        """The notices."""
        return self._outbox

    @property
    def state(self) -> SqliteState:
        """What the authorization server remembers."""
        return self._state

    @property
    def transactional(self) -> bool:
        """Every commit is one transaction."""
        return True

    def read(self, key: Key) -> Version | None:
        """Return the current version, a tombstone when deleted."""
        with self._readers.borrow() as con:
            return versions.read(con, key)

    def read_many(self, keys: Sequence[Key]) -> dict[Key, Version]:
        """Return the current versions of those keys that exist."""
        with self._readers.borrow(snapshot=True) as con:
            return versions.read_many(con, keys)

    def read_version(self, key: Key, version: int) -> Version | None:
        """Return that version."""
        with self._readers.borrow(snapshot=True) as con:
            return versions.read_version(con, key, version)

    def sealed_terms(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        """Return the sealed terms of those resources that have any."""
        with self._readers.borrow(snapshot=True) as con:
            return versions.sealed_terms(con, keys)

    def search(self, search: Search) -> Page:
        """Return one page; everything is read from one snapshot."""
        with self._readers.borrow(snapshot=True) as con:
            bound = con.execute(_SEQUENCE).fetchone()[0] if search.bound is None else search.bound
            resolved: list[tuple[Node, Node]] = []

            def node_of(type_: str) -> Node:
                node = search.node_of(type_)
                # Many types are mostly asked the very same; to compare nodes would cost more than to resolve them.
                if not resolved or resolved[-1][0] is not node:
                    resolved.append((node, self._resolved(con, node)))
                return resolved[-1][1]

            return pages.page(con, search, node_of, self._codec, bound, self._chooser)

    def find(self, type_: str, node: Node, limit: int) -> list[str]:
        """Return at most `limit` ids of matching resources."""
        with self._readers.borrow(snapshot=True) as con:
            return self._find(con, type_, self._resolved(con, node), limit)

    def count(self, types: Sequence[str], node: Node) -> int:
        """Return how many resources match."""
        with self._readers.borrow(snapshot=True) as con:
            resolved = self._resolved(con, node)
            scopes = [Scope(self._codec, type_) for type_ in dict.fromkeys(types)]
            return sum(select.total(con, scope, self._choose(con, resolved, scope), None) for scope in scopes)

    def holder(self, unique: str) -> Key | None:
        """Return the resource that holds the business key."""
        with self._readers.borrow() as con:
            row = con.execute(_HOLDER, (unique,)).fetchone()
        return None if row is None else Key(*row)

    def _choose(self, con: sqlite3.Connection, node: Node, scope: Scope) -> Choice:
        return self._chooser.choose(con, node, scope)

    def _find(self, con: sqlite3.Connection, type_: str, node: Node, limit: int) -> list[str]:
        scope = Scope(self._codec, type_)
        return select.ids(con, scope, self._chooser.choose(con, node, scope, ordered=False), limit)

    def _resolved(self, con: sqlite3.Connection, node: Node) -> Node:
        cap = self._limits.join_cap

        def find(type_: str, inner: Node) -> list[str]:
            ids = self._find(con, type_, inner, cap + 1)
            if len(ids) > cap:
                raise too_costly(type_, cap)
            return ids

        def referenced(type_: str, param: str, inner: Node) -> list[str]:
            return self._referenced(con, type_, param, inner)

        return resolve_joins(node, find, referenced)

    def _referenced(self, con: sqlite3.Connection, type_: str, param: str, node: Node) -> list[str]:
        """Return what the matching resources refer to, from their packed terms."""
        scope, cap = Scope(self._codec, type_), self._limits.join_cap
        text, params = select.pks(scope, self._choose(con, node, scope))
        start = f"{param}=r:"
        found: dict[str, None] = {}
        for (data,) in con.execute(f"SELECT terms FROM trm WHERE pk IN ({text})", params):
            tokens = unpack_terms(data).tokens
            found.update(dict.fromkeys(token.removeprefix(start) for token in tokens if token.startswith(start)))
            if len(found) > cap:
                raise too_costly(f"{type_}:{param}", cap)
        return list(found)

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Return versions by descending sequence."""
        with self._readers.borrow(snapshot=True) as con:
            node = None if query.node is None else self._resolved(con, query.node)
            return history.history(con, query, node, history.Reading(self._codec, self._chooser))

    def sequence(self) -> int:
        """Return the last sequence."""
        with self._readers.borrow() as con:
            return int(con.execute(_SEQUENCE).fetchone()[0])

    def stamps(self, keys: Sequence[str]) -> tuple[int, ...]:
        """Return the sequence of the last claim of each key."""
        marks = ", ".join("?" * len(keys))
        with self._readers.borrow() as con:
            found = dict(con.execute(f"SELECT key, s FROM claim WHERE key IN ({marks})", tuple(keys)))
        return tuple([found.get(key, 0) for key in keys])

    def commit(self, commit: Commit) -> tuple[Version, ...]:
        """Apply everything or nothing."""
        if any(blob.data is None and self._blobs.size(blob.sha256) is None for blob in commit.blobs):
            raise StoreUnavailable("A content that was sent is not stored any more. Send it again.")
        return self._writer.commit(ready(commit, self._codec))

    def audit(self, query: AuditQuery) -> AuditPage:
        """Return a slice of the trail, newest first."""
        with self._readers.borrow(snapshot=True) as con:
            return trail.audit(con, query, self._codec)

    def audit_record(self, id_: str) -> tuple[int, AuditRecord] | None:
        """Return the record of that AuditEvent."""
        with self._readers.borrow() as con:
            return trail.audit_record(con, id_)

    def reindex(self, type_: str, terms: Callable[[Version], Terms], after: str | None, count: int) -> str | None:
        """Recompute the terms of the next `count` resources."""
        with self._readers.borrow() as con:
            ids = reindex.next_ids(con, type_, after, count + 1)
        for id_ in ids[:count]:
            self._writer.commit(reindex.task(Key(type_, id_), terms, self._codec))
        return ids[count - 1] if len(ids) > count else None

    def deleted(self, patient: str) -> list[Key]:
        """Return the tombstones of a patient."""
        with self._readers.borrow(snapshot=True) as con:
            return erase.deleted(con, history.stored_types(con), patient)

    def erase(self, keys: Sequence[Key]) -> int:
        """Destroy resources, a batch in each transaction."""
        count = 0
        for start in range(0, len(keys), erase.BATCH):
            erased: list[Key] = []
            contents: set[str] = set()
            self._writer.commit(erase.task(keys[start : start + erase.BATCH], self._codec, erased, contents))
            self._blobs.drop_files(contents, DROP_AFTER_S)
            count += len(erased)
        return count

    def types(self) -> dict[str, int]:
        """Return how many current resources of each type there are."""
        with self._readers.borrow(snapshot=True) as con:
            sql = "SELECT count(*) FROM res INDEXED BY res_u WHERE type = ? AND d = 0"
            counts = {type_: con.execute(sql, (type_,)).fetchone()[0] for type_ in history.stored_types(con)}
        return {type_: number for type_, number in counts.items() if number}

    def sweep(self, older_than_s: float = 86_400) -> int:
        """Delete contents that no version refers to, files only when older than this; return how many.

        Claims that no request under way can still depend on are forgotten as well.
        """
        self._writer.commit(lambda applier: applier.forget_claims(self._limits.claims_kept))
        with self._readers.borrow(upkeep=True) as con:
            idle = blobs.unreferenced(con)
        deleted: list[int] = []
        for sha in idle:
            self._writer.commit(blobs.deletion(sha, deleted))
        return len(deleted) + self._blobs.sweep_files(older_than_s)

    def verify(self, terms: Callable[[Version], Terms] | None = None) -> list[str]:
        """Return what is wrong with the file, one sentence each; with `terms`, also compare terms with bodies."""
        with self._readers.borrow(snapshot=True, upkeep=True) as con:
            return list(verify.problems(con, self._codec, self._blobs.has_file, terms))

    def ping(self) -> None:
        """Read something."""
        self.sequence()

    def close(self) -> None:
        """Stop the checkpoints, then close every connection; the last one to close empties the log."""
        self._checkpointer.close()
        self._readers.close()
        self._writer.close()


def open_sqlite(path: Path | str, limits: Limits | None = None) -> SqliteStore:
    """Open the file, make it if it does not exist (readable by its owner alone), and bring it to this release's layout.

    Raises:
        ConfigurationError: the file cannot be opened, is no store, or is newer than this release.
    """
    path, limits = Path(path), limits or Limits()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Health data: a new file is its owner's alone, and SQLite gives its log the mode of the file.
        # A file that is there is not opened: to close any handle of it gives up all locks that this process has on it.
        # https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _close_to_others(path)
        con = connect(path, mmap_bytes=0, cache_kib=2048, busy_ms=limits.busy_ms)
        try:
            migrate(con)
        finally:
            con.close()
        return SqliteStore(path, limits)
    except (sqlite3.Error, OSError) as error:
        what = f"cannot be opened ({type(error).__name__}: {error})"
        raise ConfigurationError(Problem("store.url", what, _todo(error))) from error


def _close_to_others(path: Path) -> None:
    """Take the rights of other users away from a file that came with them, as a restored backup does."""
    held = path.stat()
    if held.st_mode & 0o007 and held.st_uid == os.geteuid():
        path.chmod(held.st_mode & 0o770)


#: What an operator does about an error of SQLite, by its primary code; else the file or its folder is wrong.
_TODO = {
    sqlite3.SQLITE_NOTADB: "name another file, this one is no database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: keep a copy of it and restore a backup",
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_BUSY: "another program holds the file: end it, or try again",
}


def _todo(error: sqlite3.Error | OSError) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    return _TODO.get(-1 if code is None else code & 0xFF, "name a file on a local disk that may be written")
