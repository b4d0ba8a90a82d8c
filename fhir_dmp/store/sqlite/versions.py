"""Rows as versions: reading current and superseded versions by key, by pk and by sequence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from fhir_dmp.ports import Key, Version
from fhir_dmp.store.sqlite.codec import unpack
from fhir_dmp.store.sqlite.conditions import json_list

_CURRENT = "r.type, r.id, r.v, r.u, r.s, r.d, r.method, r.pat, r.blob, o.body"
_OLD = "r.type, r.id, h.v, h.u, h.s, h.d, h.method, h.pat, h.blob, h.body"

_READ = f"SELECT {_CURRENT} FROM res r CROSS JOIN doc o ON o.pk = r.pk WHERE r.type = ? AND r.id = ?"
_READ_MANY = (
    f"SELECT {_CURRENT} FROM json_each(?) j CROSS JOIN res r ON r.type = ? AND r.id = j.value "
    "CROSS JOIN doc o ON o.pk = r.pk"
)
_READ_OLD = f"SELECT {_OLD} FROM res r CROSS JOIN hist h ON h.pk = r.pk AND h.v = ? WHERE r.type = ? AND r.id = ?"
_SEALED = (
    "SELECT r.id, t.sealed FROM json_each(?) j CROSS JOIN res r ON r.type = ? AND r.id = j.value "
    "CROSS JOIN trm t ON t.pk = r.pk WHERE t.sealed IS NOT NULL"
)
_BY_PK = (
    f"SELECT r.pk, {_CURRENT} FROM json_each(?) j CROSS JOIN res r ON r.pk = j.value CROSS JOIN doc o ON o.pk = r.pk"
)
_BY_SEQUENCE = f"SELECT {_OLD} FROM json_each(?) j CROSS JOIN hist h ON h.s = j.value CROSS JOIN res r ON r.pk = h.pk"


def version_of(row: Sequence[Any]) -> Version:
    """Return the version of a row with the columns that this module selects."""
    type_, id_, number, updated, seq, deleted, method, patient, blob, body = row
    return Version(type_, id_, number, updated, seq, unpack(body), method, bool(deleted), blob, patient)


def read(con: sqlite3.Connection, key: Key) -> Version | None:
    """Return the current version."""
    row = con.execute(_READ, (key.type, key.id)).fetchone()
    return None if row is None else version_of(row)


def read_many(con: sqlite3.Connection, keys: Iterable[Key]) -> dict[Key, Version]:
    """Return the current versions of those keys that exist; one statement for each type."""
    by_type: dict[str, list[str]] = {}
    for key in dict.fromkeys(keys):
        by_type.setdefault(key.type, []).append(key.id)
    found = (
        version_of(row) for type_, ids in by_type.items() for row in con.execute(_READ_MANY, (json_list(ids), type_))
    )
    return {version.key: version for version in found}


def sealed_terms(con: sqlite3.Connection, keys: Iterable[Key]) -> dict[Key, bytes]:
    """Return the sealed terms of those current versions that have any; one statement for each type."""
    by_type: dict[str, list[str]] = {}
    for key in dict.fromkeys(keys):
        by_type.setdefault(key.type, []).append(key.id)
    return {
        Key(type_, id_): sealed
        for type_, ids in by_type.items()
        for id_, sealed in con.execute(_SEALED, (json_list(ids), type_))
    }


def read_version(con: sqlite3.Connection, key: Key, number: int) -> Version | None:
    """Return one version."""
    row = con.execute(_READ_OLD, (number, key.type, key.id)).fetchone()
    if row is not None:
        return version_of(row)
    current = read(con, key)
    return current if current is not None and current.version == number else None


def by_pk(con: sqlite3.Connection, pks: Sequence[int]) -> dict[int, Version]:
    """Return the current versions of these pk."""
    return {row[0]: version_of(row[1:]) for row in con.execute(_BY_PK, (json_list(pks),))}


def by_sequence(con: sqlite3.Connection, sequences: Sequence[int]) -> dict[int, Version]:
    """Return the superseded versions of these sequences."""
    found = (version_of(row) for row in con.execute(_BY_SEQUENCE, (json_list(sequences),)))
    return {version.seq: version for version in found}
