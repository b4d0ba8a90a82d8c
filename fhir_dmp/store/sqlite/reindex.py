"""Recomputing index terms: one resource in each transaction, so that writers never wait long."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from fhir_dmp.ports import Key, Version, Write
from fhir_dmp.search.terms import Terms, recomputed
from fhir_dmp.store.sqlite import versions
from fhir_dmp.store.sqlite.apply import UPDATE_TERMS, Applier, IndexChange, insert_facets
from fhir_dmp.store.sqlite.codec import Codec, IndexRows, unpack_terms
from fhir_dmp.store.sqlite.prepare import ready_write

_STORED = "SELECT r.pk, t.terms FROM res r CROSS JOIN trm t ON t.pk = r.pk WHERE r.type = ? AND r.id = ?"


def next_ids(con: sqlite3.Connection, type_: str, after: str | None, count: int) -> list[str]:
    """Return the ids of the next living resources of a type, in order."""
    sql = "SELECT id FROM res WHERE type = ? AND id > ? AND d = 0 ORDER BY id LIMIT ?"
    return [id_ for (id_,) in con.execute(sql, (type_, after or "", count))]


def _complete(con: sqlite3.Connection, pk: int, rows: IndexRows) -> None:
    """Give timelines from before there were facets theirs."""
    insert_facets(con, (rows,))
    con.executemany(
        "UPDATE tl SET a = ? WHERE k = ? AND date = ? AND pk = ? AND a IS NULL",
        [(a, k, date, pk) for k, date, _, a in rows.timelines],
    )


def task(key: Key, terms: Callable[[Version], Terms], codec: Codec) -> Callable[[Applier], tuple[Version, ...]]:
    """Return what replaces the terms of one resource, to be run by the writer."""

    def run(applier: Applier) -> tuple[Version, ...]:
        con = applier.connection
        version = versions.read(con, key)
        if version is None or version.deleted:
            return ()
        pk, old = con.execute(_STORED, (key.type, key.id)).fetchone()
        new = recomputed(terms(version), unpack_terms(old).tokens)
        write = Write(key.type, key.id, version.version, version.updated_ms, version.body, new)
        ready = ready_write(write, codec)
        index = IndexChange()
        applier.reindex(pk, key.type, ready, index)
        index.flush(con)
        _complete(con, pk, ready.rows)
        con.execute(UPDATE_TERMS, (*ready.terms_row, pk))
        con.execute("UPDATE res SET date = ?, pat = ? WHERE pk = ?", (ready.date, write.terms.patient, pk))
        return ()

    return run
