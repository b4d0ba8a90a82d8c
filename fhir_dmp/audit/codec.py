"""Audit records as bytes and back: what stores keep and chain, one short line of UTF-8 for each record.

A record is a JSON array that starts with the version of its layout; fields follow in the order of `_V1` and trailing
defaults are left out. A new layout gets a new number, and `decode` reads every number that was ever written: bytes in
a chained trail are never rewritten.
"""

from __future__ import annotations

from typing import Any

import orjson

from fhir_dmp.audit.record import AuditRecord

VERSION = 1

#: Trailing defaults of the layout, from the last field backwards; `what` and before are always written.
_DEFAULTS: tuple[Any, ...] = (None, (), "", "", None, None, "normal", (), None, None, "", "", "", "", "", None)


def encode(record: AuditRecord) -> bytes:
    """Return the bytes of a record. The same record always gives the same bytes."""
    row = [
        VERSION,
        record.id,
        record.kind,
        record.recorded_ms,
        record.outcome,
        record.reason,
        record.patient,
        record.what,
        record.query,
        record.actor,
        record.subject,
        record.issuer,
        record.client,
        record.name,
        record.professional,
        record.structure,
        record.roles,
        record.mode,
        record.motive,
        record.jti,
        record.address,
        record.request_id,
        record.details,
        None if record.given is None else record.given.decode("utf-8"),
    ]
    for default in _DEFAULTS:
        if row[-1] != default:
            break
        row.pop()
    try:
        return orjson.dumps(row)
    except TypeError:
        # A raw request may hold lone surrogates (undecodable bytes of a URL), which UTF-8 cannot carry.
        return orjson.dumps(_clean(row))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, (list, tuple)):
        return [_clean(part) for part in value]
    return value


def _pairs(rows: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((left, right) for left, right in rows)


def decode(data: bytes) -> AuditRecord:
    """Return the record of the bytes.

    Raises:
        ValueError: not bytes of this codec, or of a layout that this release does not know.
    """
    row = orjson.loads(data)
    if not isinstance(row, list) or len(row) < 8 or row[0] != VERSION:
        raise ValueError("not an audit record of a known layout")
    row.extend(reversed(_DEFAULTS[: 24 - len(row)]))
    return AuditRecord(
        id=row[1],
        kind=row[2],
        recorded_ms=row[3],
        outcome=row[4],
        reason=row[5],
        patient=row[6],
        what=tuple(row[7]),
        query=row[8],
        actor=row[9],
        subject=row[10],
        issuer=row[11],
        client=row[12],
        name=row[13],
        professional=row[14],
        structure=row[15],
        roles=_pairs(row[16]),
        mode=row[17],
        motive=row[18],
        jti=row[19],
        address=row[20],
        request_id=row[21],
        details=_pairs(row[22]),
        given=None if row[23] is None else row[23].encode("utf-8"),
    )
