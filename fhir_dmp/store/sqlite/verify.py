"""The self check of a file: indexes agree with bodies, history has no gap, nothing is orphaned, keys are unique.

Each resource's index rows are computed again and looked up one by one; the totals of the tables then prove that there
are no others. Sentences name resources, never content.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from fhir_dmp.ports import Version
from fhir_dmp.search.terms import Terms, recomputed
from fhir_dmp.store.sqlite import versions
from fhir_dmp.store.sqlite.codec import Codec, Facet, IndexRows, indexed_type, sort_date, unpack_terms
from fhir_dmp.store.sqlite.prepare import order_of

_ROWS = (
    "SELECT r.pk, r.type, r.id, r.v, r.u, r.d, r.date, r.pat, t.terms, t.ord FROM res r LEFT JOIN trm t ON t.pk = r.pk "
    "ORDER BY r.pk"
)
_BATCH = 500


@dataclass(frozen=True, slots=True)
class _Resource:
    pk: int
    type: str
    id: str
    v: int
    u: int
    d: int
    date: object
    pat: str | None
    terms: bytes | None
    ord: bytes | None

    def __str__(self) -> str:
        return f"{self.type}/{self.id}"


@dataclass
class _Check:
    con: sqlite3.Connection
    codec: Codec
    has_file: Callable[[str], bool]
    terms: Callable[[Version], Terms] | None
    expected: Counter[str] = field(default_factory=Counter)


def problems(
    con: sqlite3.Connection,
    codec: Codec,
    has_file: Callable[[str], bool],
    terms: Callable[[Version], Terms] | None,
) -> Iterator[str]:
    """Yield what is wrong. terms: computes the terms of a version, to compare with those that are stored."""
    for (line,) in con.execute("PRAGMA integrity_check(20)"):
        if line != "ok":
            yield f"SQLite: {line}"
    check = _Check(con, codec, has_file, terms)
    cursor = con.execute(_ROWS)
    while rows := cursor.fetchmany(_BATCH):
        for row in rows:
            yield from _resource(check, _Resource(*row))
    yield from _totals(check)
    yield from _orphans(con)
    yield from _contents(check)


def _resource(check: _Check, one: _Resource) -> Iterator[str]:
    con = check.con
    version = versions.by_pk(con, [one.pk]).get(one.pk)
    if version is None or one.terms is None:
        yield f"{one}: body or terms are missing"
        return
    stored = unpack_terms(one.terms)
    if check.terms is not None and not one.d and recomputed(check.terms(version), stored.tokens) != stored:
        yield f"{one}: the stored terms are not those of the body (reindex)"
    if (one.date, one.pat, one.ord) != (sort_date(stored), stored.patient, order_of(stored)):
        yield f"{one}: sort values or patient differ from the terms"
    rows = check.codec.rows(indexed_type(one.type, bool(one.d)), stored, one.u)
    yield from (f"{one}: {table} lacks an index row" for table in _missing(check, one.pk, rows))
    if rows.facet is not None and not _has_facet(con, one.pk, rows, rows.facet):
        yield f"{one}: the set of tokens that its timelines name is missing"
    for unique in () if one.d else dict.fromkeys(stored.uniques):
        check.expected["uq"] += 1
        if con.execute("SELECT 1 FROM uq WHERE key = ? AND pk = ?", (unique, one.pk)).fetchone() is None:
            yield f"{one}: a unique key is not reserved"
    yield from _history(con, one)


def _has_facet(con: sqlite3.Connection, pk: int, rows: IndexRows, facet: Facet) -> bool:
    """Say whether the set is stored as it is computed; timelines that name none yet (before `reindex`) need none."""
    if con.execute("SELECT 1 FROM facet WHERE a = ? AND keys = ?", facet).fetchone() is not None:
        return True
    named = "SELECT 1 FROM tl WHERE k = ? AND date = ? AND pk = ? AND a IS NOT NULL"
    return all(con.execute(named, (k, date, pk)).fetchone() is None for k, date, _, _ in rows.timelines)


def _missing(check: _Check, pk: int, rows: IndexRows) -> Iterator[str]:
    expected: dict[str, list[tuple[object, ...]]] = {
        "tok WHERE k = ? AND pk = ?": [(k, pk) for k in rows.toks],
        "tl WHERE k = ? AND date = ? AND u = ? AND ifnull(a, ?4) = ?4 AND pk = ?5": [
            (*timeline, pk) for timeline in rows.timelines
        ],
        "span WHERE pk = ? AND k = ? AND w = ? AND lo = ? AND hi = ?": [(pk, *span) for span in rows.spans],
        "str WHERE pk = ? AND k = ? AND text = ?": [(pk, *string) for string in rows.strings],
        "fts WHERE fts MATCH ? AND rowid = ?": [
            (" ".join(f'"{word}"' for word in rows.text.split()), pk) for _ in (1,) if rows.text
        ],
    }
    for source, keys in expected.items():
        table = source.partition(" ")[0]
        check.expected[table] += len(keys)
        for key in keys:
            if check.con.execute(f"SELECT 1 FROM {source}", key).fetchone() is None:
                yield table


def _history(con: sqlite3.Connection, one: _Resource) -> Iterator[str]:
    sql = "SELECT v, s, u, until FROM hist WHERE pk = ? UNION ALL SELECT v, s, u, NULL FROM res WHERE pk = ? ORDER BY v"
    rows = con.execute(sql, (one.pk, one.pk)).fetchall()
    if [row[0] for row in rows] != list(range(1, one.v + 1)):
        yield f"{one}: history has a gap"
        return
    for older, newer in pairwise(rows):
        if older[1] >= newer[1] or older[3] != newer[2]:
            yield f"{one}: version {older[0]} does not end where version {newer[0]} begins"


def _totals(check: _Check) -> Iterator[str]:
    for table in ("tok", "tl", "span", "str", "uq", "fts"):
        source = "fts_docsize" if table == "fts" else table
        found = check.con.execute(f"SELECT count(*) FROM {source}").fetchone()[0]
        if found != check.expected[table]:
            yield f"{table}: {found} rows, {check.expected[table]} expected"


def _orphans(con: sqlite3.Connection) -> Iterator[str]:
    for table in ("doc", "trm", "hist"):
        sql = f"SELECT count(*) FROM {table} x WHERE NOT EXISTS (SELECT 1 FROM res r WHERE r.pk = x.pk)"
        found = con.execute(sql).fetchone()[0]
        if found:
            yield f"{table}: {found} rows without a resource"
    last = con.execute(
        "SELECT max((SELECT ifnull(max(s), 0) FROM res), (SELECT ifnull(max(s), 0) FROM hist))"
    ).fetchone()
    if last[0] > con.execute("SELECT value FROM meta WHERE name = 'seq'").fetchone()[0]:
        yield "meta: the sequence is behind the versions"


def _contents(check: _Check) -> Iterator[str]:
    sql = "SELECT blob FROM res WHERE blob IS NOT NULL UNION SELECT blob FROM hist WHERE blob IS NOT NULL"
    for (sha,) in check.con.execute(sql).fetchall():
        rows = check.con.execute(
            "SELECT count(*), max(n) + 1 FROM blob WHERE sha = ?", (bytes.fromhex(sha),)
        ).fetchone()
        if not check.has_file(sha) and (rows[0] == 0 or rows[0] != rows[1]):
            yield f"content {sha}: missing or incomplete"
