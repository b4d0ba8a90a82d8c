"""The notices in the file. A lease is an update under the write lock, so exactly one process gets it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from fhir_dmp.ports import Notice, Queued
from fhir_dmp.store.sqlite.apply import Applier
from fhir_dmp.store.sqlite.connections import Readers
from fhir_dmp.store.sqlite.writer import Writer

_COLUMNS = "id, event, pat, created, variables, due, tries, done, outcome"
_DUE = (
    f"SELECT {_COLUMNS} FROM outbox INDEXED BY outbox_due "
    "WHERE done IS NULL AND due <= ? AND until <= ? ORDER BY due, seq LIMIT ?"
)
_LEASE = "UPDATE outbox SET until = ? WHERE id = ? AND tries = ? AND done IS NULL AND until <= ?"


class SqliteOutbox:
    """Notices of one file."""

    def __init__(self, readers: Readers, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer

    def find(self, id_: str) -> Queued | None:
        """Return one."""
        found = self._read(f"SELECT {_COLUMNS} FROM outbox WHERE id = ?", id_)
        return found[0] if found else None

    def due(self, now_ms: int, count: int) -> Sequence[Queued]:
        """Return what waits to be sent now."""
        return self._read(_DUE, now_ms, now_ms, count)

    def lease(self, id_: str, attempts: int, now_ms: int, until_ms: int) -> bool:
        """Take one."""
        return self._write(_LEASE, until_ms, id_, attempts, now_ms) == 1

    def defer(self, id_: str, due_ms: int, attempts: int) -> None:
        """Give one back."""
        self._write("UPDATE outbox SET due = ?, tries = ?, until = 0 WHERE id = ?", due_ms, attempts, id_)

    def settle(self, id_: str, outcome: str, now_ms: int) -> None:
        """Mark one as done."""
        self._write("UPDATE outbox SET done = ?, outcome = ?, until = 0 WHERE id = ?", now_ms, outcome, id_)

    def inbox(self, patient: str, count: int) -> Sequence[Queued]:
        """Return those of a patient."""
        return self._read(f"SELECT {_COLUMNS} FROM outbox WHERE pat = ? ORDER BY seq DESC LIMIT ?", patient, count)

    def waiting(self) -> int:
        """Count those that are not settled."""
        with self._readers.borrow() as con:
            return int(con.execute("SELECT count(*) FROM outbox WHERE done IS NULL").fetchone()[0])

    def _read(self, sql: str, *values: Any) -> list[Queued]:
        with self._readers.borrow() as con:
            return [_queued(row) for row in con.execute(sql, values)]

    def _write(self, sql: str, *values: Any) -> int:
        changed: list[int] = []

        def update(applier: Applier) -> tuple[()]:
            changed.append(applier.connection.execute(sql, values).rowcount)
            return ()

        self._writer.commit(update)
        return changed[-1]


def _queued(row: tuple[Any, ...]) -> Queued:
    id_, event, patient, created, variables, due, tries, done, outcome = row
    pairs = tuple((name, value) for name, value in orjson.loads(variables))
    return Queued(Notice(id_, event, patient, created, pairs, due), due, tries, done, outcome)
