"""Connections to the file: their settings, a pool of readers, and the translation of SQLite's errors.
https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from math import inf
from pathlib import Path
from time import monotonic
from types import TracebackType

from fhir_dmp.errors import DmpError, StoreUnavailable
from fhir_dmp.search.joins import too_slow

#: Statements that stay prepared on each connection.
_STATEMENTS = 512
#: Instructions of SQLite between two looks at the clock: a fraction of a millisecond.
_TICK = 10_000


class Connection(sqlite3.Connection):
    """A connection whose statements are interrupted when their time is over. deadline: of time.monotonic()."""

    deadline = inf

    def watch(self) -> None:
        """Look at the clock while statements run; a connection has one such handler."""
        self.set_progress_handler(self._is_late, _TICK)

    def _is_late(self) -> bool:
        return monotonic() > self.deadline


def connect(path: Path, *, mmap_bytes: int, cache_kib: int, busy_ms: int, readonly: bool = False) -> Connection:
    """Open the file for one user at a time, in WAL mode, with commits that survive a power cut."""
    con = sqlite3.connect(
        path,
        timeout=busy_ms / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
        factory=Connection,
    )
    con.watch()
    con.execute("PRAGMA journal_mode = WAL").fetchone()
    con.execute("PRAGMA synchronous = FULL")
    con.execute("PRAGMA wal_autocheckpoint = 0")  # checkpoints run in the background (checkpoint.py)
    con.execute(f"PRAGMA mmap_size = {mmap_bytes}").fetchone()
    con.execute(f"PRAGMA cache_size = -{cache_kib}")
    con.execute("PRAGMA temp_store = MEMORY")
    con.execute("PRAGMA recursive_triggers = ON")  # so that REPLACE cannot delete a row of the trail unnoticed
    if readonly:
        con.execute("PRAGMA query_only = ON")
    return con


def refusal_of(error: sqlite3.Error) -> DmpError:
    """Return what a reader is told of an error: that its time was over, or that the file could not be used."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
        return too_slow()
    return unavailable(error)


def unavailable(error: Exception) -> StoreUnavailable:
    """Return the refusal that stands for an error of SQLite; its text names the cause, never content."""
    code = getattr(error, "sqlite_errorname", None) or type(error).__name__
    todo = "Restore a backup." if code.startswith("SQLITE_CORRUPT") else "Try again later."
    return StoreUnavailable(f"The database could not be used ({code}); nothing was written. {todo}")


class Reader:
    """A read connection on loan: `with readers.borrow() as con`."""

    __slots__ = ("_con", "_readers", "seconds", "snapshot")

    def __init__(self, con: Connection, readers: Readers) -> None:
        self._con = con
        self._readers = readers
        self.snapshot = False
        self.seconds = inf

    def __enter__(self) -> Connection:
        self._con.deadline = monotonic() + self.seconds
        if self.snapshot:
            try:
                self._con.execute("BEGIN")
            except sqlite3.Error as error:
                raise unavailable(error) from error
        return self._con

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._con.deadline = inf
        try:
            if self.snapshot and self._con.in_transaction:
                self._con.execute("COMMIT")
        except sqlite3.Error as failure:
            raise unavailable(failure) from failure
        self._readers.give_back(self)
        if isinstance(error, sqlite3.Error):
            raise refusal_of(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._con.close()


class Readers:
    """As many read connections as there are readers at the same time; a thread gets the one used last.

    query_ms: the longest that one loan may run statements, unless it is for upkeep.
    """

    def __init__(self, path: Path, *, mmap_bytes: int, cache_kib: int, busy_ms: int, query_ms: int) -> None:
        self._path = path
        self._mmap_bytes = mmap_bytes
        self._cache_kib = cache_kib
        self._busy_ms = busy_ms
        self._seconds = query_ms / 1000
        self._free: list[Reader] = []
        self._closed = False

    def borrow(self, *, snapshot: bool = False, upkeep: bool = False) -> Reader:
        """Return a reader; it comes back to the pool by itself. snapshot: all its statements see the same state.

        upkeep: no request waits for it; it may take as long as it takes.
        """
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        try:
            reader = self._free.pop()
        except IndexError:
            reader = self._open()
        reader.snapshot = snapshot
        reader.seconds = inf if upkeep else self._seconds
        return reader

    def _open(self) -> Reader:
        try:
            con = connect(
                self._path,
                mmap_bytes=self._mmap_bytes,
                cache_kib=self._cache_kib,
                busy_ms=self._busy_ms,
                readonly=True,
            )
        except sqlite3.Error as error:
            raise unavailable(error) from error
        return Reader(con, self)

    def give_back(self, reader: Reader) -> None:
        """Take a reader back, or close it when the pool was closed meanwhile."""
        self._free.append(reader)
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close the readers that are not on loan; the others close when they come back."""
        self._closed = True
        while self._free:
            with suppress(IndexError):
                self._free.pop().close()
