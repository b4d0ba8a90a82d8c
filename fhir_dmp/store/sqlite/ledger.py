"""The audit trail as evidence, in the file: its rows by position, which is the rowid, and the seals.

A rowid is given under the write lock and grows with every commit, so no row ever appears behind another one.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from fhir_dmp.store.sqlite.apply import Applier
from fhir_dmp.store.sqlite.codec import Codec
from fhir_dmp.store.sqlite.connections import Readers
from fhir_dmp.store.sqlite.writer import Writer

_ROWS = "SELECT seq, rec, id, ts, pat FROM audit WHERE seq > ? ORDER BY seq LIMIT ?"
#: Places of the columns inside a record's array (audit/codec.py).
_ID, _TIME, _PATIENT = 1, 3, 6


class SqliteLedger:
    """Rows and seals of one file."""

    slack = 0

    def __init__(self, readers: Readers, writer: Writer, codec: Codec) -> None:
        self._readers = readers
        self._writer = writer
        self._codec = codec

    def rows(self, after: int, count: int) -> Sequence[tuple[int, bytes, bool]]:
        """Return the next rows."""
        with self._readers.borrow() as con:
            found = con.execute(_ROWS, (after, count)).fetchall()
        return [(seq, rec, self._agrees(rec, id_, ts, pat)) for seq, rec, id_, ts, pat in found]

    def _agrees(self, rec: bytes, id_: str, ts: int, pat: int | None) -> bool:
        try:
            row = orjson.loads(rec)
            patient = row[_PATIENT]
            key = None if patient is None else self._codec.key("AuditEvent", patient)
            return bool(row[_ID] == id_ and row[_TIME] == ts and key == pat)
        except (ValueError, TypeError, LookupError):
            return False

    def seals(self, after: int, count: int) -> Sequence[bytes]:
        """Return the next seals."""
        with self._readers.borrow() as con:
            sql = "SELECT body FROM seal WHERE number > ? ORDER BY number LIMIT ?"
            return [body for (body,) in con.execute(sql, (after, count))]

    def seal_of(self, seq: int) -> bytes | None:
        """Return the seal that covers the record."""
        return self._one("SELECT body FROM seal WHERE last >= ? ORDER BY last LIMIT 1", seq) if seq > 0 else None

    def last_seal(self) -> bytes | None:
        """Return the newest seal."""
        return self._one("SELECT body FROM seal ORDER BY number DESC LIMIT 1")

    def _one(self, sql: str, *values: int) -> bytes | None:
        with self._readers.borrow() as con:
            row = con.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def add_seal(self, number: int, last: int, seal: bytes) -> bool:
        """Add the seal, through the writer like every change."""
        added: list[bool] = []

        def insert(applier: Applier) -> tuple[()]:
            sql = "INSERT OR IGNORE INTO seal (number, last, body) VALUES (?, ?, ?)"
            added.append(applier.connection.execute(sql, (number, last, seal)).rowcount == 1)
            return ()

        self._writer.commit(insert)
        return added[-1]
