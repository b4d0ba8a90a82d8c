"""Reading the audit trail."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice

from fhir_dmp.audit import codec as audit_codec
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.ports import AuditPage, AuditQuery
from fhir_dmp.store.sqlite.codec import Codec
from fhir_dmp.store.sqlite.prepare import patient_key

#: A time slice with fewer records than this is read through the index of times, a longer one along the trail.
_FEW = 5000


def audit(con: sqlite3.Connection, query: AuditQuery, codec: Codec) -> AuditPage:
    """Return a slice, newest first: the order is the position, which is the order of the commits."""
    kept = _kept(con, query, codec)
    page = tuple(islice(kept, max(query.count, 0)))
    more = bool(page) and next(kept, None) is not None
    return AuditPage(page, page[-1][0] if more else None)


def _kept(con: sqlite3.Connection, query: AuditQuery, codec: Codec) -> Iterator[tuple[int, AuditRecord]]:
    sql, params = _slice(con, query, codec)
    for seq, data in con.execute(sql, params):
        record = audit_codec.decode(data)
        if (query.patient is None or record.patient == query.patient) and (query.keep is None or query.keep(record)):
            yield seq, record


def _slice(con: sqlite3.Connection, query: AuditQuery, codec: Codec) -> tuple[str, list[object]]:
    conditions, params = ["1"], list[object]()
    for text, value in (
        ("seq < ?", query.before),
        ("pat = ?", None if query.patient is None else patient_key(query.patient, codec)),
        ("ts >= ?", query.low_ms),
        ("ts < ?", query.high_ms),
    ):
        if value is not None:
            conditions.append(text)
            params.append(value)
    index = "NOT INDEXED"
    if query.patient is not None:
        index = "INDEXED BY audit_pat"
    elif _is_short(con, query):
        index = "INDEXED BY audit_ts"
    return f"SELECT seq, rec FROM audit {index} WHERE {' AND '.join(conditions)} ORDER BY seq DESC", params


def _is_short(con: sqlite3.Connection, query: AuditQuery) -> bool:
    if query.low_ms is None:
        return False
    high = 2**62 if query.high_ms is None else query.high_ms
    sql = "SELECT count(*) FROM (SELECT 1 FROM audit INDEXED BY audit_ts WHERE ts >= ? AND ts < ? LIMIT ?)"
    return int(con.execute(sql, (query.low_ms, high, _FEW)).fetchone()[0]) < _FEW


def audit_record(con: sqlite3.Connection, id_: str) -> tuple[int, AuditRecord] | None:
    """Return one record by the id of its AuditEvent."""
    row = con.execute("SELECT seq, rec FROM audit WHERE id = ? ORDER BY seq LIMIT 1", (id_,)).fetchone()
    return None if row is None else (row[0], audit_codec.decode(row[1]))
