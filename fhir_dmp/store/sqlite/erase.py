"""Destroying resources: rows, index rows and contents, overwritten in the file; run by the writer, in its turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence

from fhir_dmp.ports import Key, Version
from fhir_dmp.store.sqlite.apply import Applier, IndexChange
from fhir_dmp.store.sqlite.blobs import is_named
from fhir_dmp.store.sqlite.codec import NO_ROWS, Codec, indexed_type, unpack_terms

#: Resources of one transaction, so that writers do not wait long.
BATCH = 100

_STORED = (
    "SELECT r.pk, r.d, r.u, r.blob, t.terms FROM res r CROSS JOIN trm t ON t.pk = r.pk WHERE r.type = ? AND r.id = ?"
)
_DELETED = "SELECT id FROM res INDEXED BY res_u WHERE type = ? AND d = 1 AND pat = ?"


def deleted(con: sqlite3.Connection, types: Iterable[str], patient: str) -> list[Key]:
    """Return the tombstones of a patient, type by type."""
    return [Key(type_, id_) for type_ in types for (id_,) in con.execute(_DELETED, (type_, patient))]


def task(
    keys: Sequence[Key], codec: Codec, erased: list[Key], contents: set[str]
) -> Callable[[Applier], tuple[Version, ...]]:
    """Return what destroys these resources in one transaction.

    erased: receives those that there were. contents: receives the contents that nothing names any more; those inside
    the database are destroyed already.
    """

    def run(applier: Applier) -> tuple[Version, ...]:
        con = applier.connection
        con.execute("PRAGMA secure_delete = ON")
        try:
            index = IndexChange()
            named: set[str] = set()
            found = [key for key in keys if _erase(con, key, codec, index, named)]
            index.flush(con)
            idle = {sha for sha in named if not is_named(con, sha)}
            con.executemany("DELETE FROM blob WHERE sha = ?", [(bytes.fromhex(sha),) for sha in idle])
        finally:
            con.execute("PRAGMA secure_delete = OFF")
        erased[:] = found
        contents.update(idle)
        return ()

    return run


def _erase(con: sqlite3.Connection, key: Key, codec: Codec, index: IndexChange, named: set[str]) -> bool:
    row = con.execute(_STORED, (key.type, key.id)).fetchone()
    if row is None:
        return False
    pk, is_deleted, updated_ms, blob, packed = row
    named.update(sha for (sha,) in con.execute("SELECT blob FROM hist WHERE pk = ?", (pk,)) if sha is not None)
    if blob is not None:
        named.add(blob)
    rows = codec.rows(indexed_type(key.type, bool(is_deleted)), unpack_terms(packed), updated_ms)
    index.replace(con, pk, rows, NO_ROWS)
    con.execute("DELETE FROM uq WHERE pk = ?", (pk,))
    for table in ("hist", "doc", "trm", "res"):
        con.execute(f"DELETE FROM {table} WHERE pk = ?", (pk,))
    return True
