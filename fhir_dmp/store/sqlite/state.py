"""The state of the authorization server in two tables of the file, written in the groups of the one writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from fhir_dmp.errors import StateConflict
from fhir_dmp.ports import StateRecord, Version
from fhir_dmp.store.sqlite.apply import Applier
from fhir_dmp.store.sqlite.connections import Readers
from fhir_dmp.store.sqlite.writer import Small, Writer

Result = TypeVar("Result")

_COLUMNS = "s.kind, s.key, s.body, s.x, s.tags, s.v, s.u"
_LIVES = "(s.x IS NULL OR s.x > :now)"
_GET = f"SELECT {_COLUMNS} FROM state s WHERE s.kind = :kind AND s.key = :key AND {_LIVES}"
_PUT = "INSERT OR REPLACE INTO state (kind, key, body, x, tags, v, u) VALUES (?, ?, ?, ?, ?, ?, ?)"
_REST = f"s.key > :after AND s.u >= :since AND {_LIVES} ORDER BY s.key LIMIT :count"
_LIST = f"SELECT {_COLUMNS} FROM state s WHERE s.kind = :kind AND {_REST}"
_LIST_SINCE = f"SELECT {_COLUMNS} FROM state s INDEXED BY state_u WHERE s.kind = :kind AND {_REST}"
_LIST_TAG = (
    f"SELECT {_COLUMNS} FROM state_tag t CROSS JOIN state s ON s.kind = t.kind AND s.key = t.key "
    f"WHERE t.kind = :kind AND t.tag = :tag AND t.key > :after AND {_REST}"
)
#: How many expired records one commit removes.
_AT_ONCE = 500
#: Between two tags of a row; no tag holds it.
_SEPARATOR = "\n"


class SqliteState:
    """StateStore over the connections of the store."""

    def __init__(self, readers: Readers, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    def get(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        """Return the record."""
        with self._readers.borrow() as con:
            return _get(con, kind, key, now_ms)

    def put(self, record: StateRecord, now_ms: int, expected: int | None = None) -> StateRecord:
        """Write the record."""

        def run(con: sqlite3.Connection) -> StateRecord:
            present = _get(con, record.kind, record.key, now_ms)
            version = 0 if present is None else present.version
            if expected is not None and version != expected:
                raise StateConflict("The record has changed meanwhile.")
            stored = replace(record, version=version + 1, updated_ms=now_ms)
            if present is None or present.tags != stored.tags:
                _delete(con, record.kind, record.key)
                tags = [(stored.kind, tag, stored.key) for tag in dict.fromkeys(stored.tags)]
                con.executemany("INSERT INTO state_tag (kind, tag, key) VALUES (?, ?, ?)", tags)
            con.execute(_PUT, _row(stored))
            return stored

        return self._write(run)

    def take(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        """Remove and return the record."""

        def run(con: sqlite3.Connection) -> StateRecord | None:
            found = _get(con, kind, key, now_ms)
            _delete(con, kind, key)
            return found

        return self._write(run)

    def remove(self, kind: str, key: str) -> None:
        """Remove the record."""
        self._write(lambda con: _delete(con, kind, key))

    def listed(
        self, kind: str, now_ms: int, *, tag: str | None = None, since_ms: int = 0, after: str = "", count: int = 1000
    ) -> tuple[StateRecord, ...]:
        """Return records of a kind by key."""
        values = {"kind": kind, "now": now_ms, "tag": tag, "since": since_ms, "after": after, "count": count}
        sql = _LIST_TAG if tag is not None else _LIST_SINCE if since_ms else _LIST
        with self._readers.borrow() as con:
            return tuple(_record(row) for row in con.execute(sql, values))

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of records."""
        with self._readers.borrow() as con:
            return tuple(kind for (kind,) in con.execute("SELECT DISTINCT kind FROM state ORDER BY kind"))

    def sweep(self, now_ms: int) -> int:
        """Remove expired records, some at a time: others write in between."""

        def run(con: sqlite3.Connection) -> int:
            sql = "SELECT kind, key FROM state WHERE x <= ? LIMIT ?"
            dead = con.execute(sql, (now_ms, _AT_ONCE)).fetchall()
            for kind, key in dead:
                _delete(con, kind, key)
            return len(dead)

        removed = 0
        while done := self._write(run):
            removed += done
            if done < _AT_ONCE:
                break
        return removed

    def _write(self, run: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run the change in a savepoint of some transaction, and return what it returned."""
        results: list[Result] = []

        def task(applier: Applier) -> tuple[Version, ...]:
            # A group that fails is run again one by one: the last result is the one that was committed.
            results[:] = [run(applier.connection)]
            return ()

        self._writer.commit(Small(task))
        return results[0]


def _get(con: sqlite3.Connection, kind: str, key: str, now_ms: int) -> StateRecord | None:
    row = con.execute(_GET, {"kind": kind, "key": key, "now": now_ms}).fetchone()
    return None if row is None else _record(row)


def _record(row: tuple[str, str, str, int | None, str, int, int]) -> StateRecord:
    kind, key, body, expires, tags, version, updated = row
    return StateRecord(kind, key, body, expires, tuple(tags.split(_SEPARATOR)) if tags else (), version, updated)


def _row(record: StateRecord) -> tuple[object, ...]:
    tags = _SEPARATOR.join(record.tags)
    return (record.kind, record.key, record.body, record.expires_ms, tags, record.version, record.updated_ms)


def _delete(con: sqlite3.Connection, kind: str, key: str) -> None:
    row = con.execute("SELECT tags FROM state WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    if row is None:
        return
    con.execute("DELETE FROM state WHERE kind = ? AND key = ?", (kind, key))
    tags = [(kind, tag, key) for tag in row[0].split(_SEPARATOR)] if row[0] else []
    con.executemany("DELETE FROM state_tag WHERE kind = ? AND tag = ? AND key = ?", tags)
