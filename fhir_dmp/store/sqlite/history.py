"""History: current and superseded versions of one resource, of types or of everything, by descending sequence.

The current version of a resource is in `res`, the others are in `hist`: each page merges both, type by type.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fhir_dmp.ports import HistoryPage, HistoryQuery, Version
from fhir_dmp.search.query import Node
from fhir_dmp.store.sqlite import select, versions
from fhir_dmp.store.sqlite.codec import Codec
from fhir_dmp.store.sqlite.conditions import Candidate, Scope, combined, holds
from fhir_dmp.store.sqlite.drivers import Chooser
from fhir_dmp.store.sqlite.spans import Fragment

#: A `_since` that is followed by fewer versions than this is answered from the index of times.
_RECENT = 5000


@dataclass(frozen=True, slots=True)
class Reading:
    """What a query on a file needs beside its connection."""

    codec: Codec
    chooser: Chooser


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the two tables: how its versions are reached."""

    rows: str
    alias: str
    by_sequence: str
    by_time: str
    until: str | None


_CURRENT = _Part("res r{index}", "r", " INDEXED BY res_s", " INDEXED BY res_u", None)
_OLD = _Part(
    "hist h{index} CROSS JOIN res r ON r.pk = h.pk", "h", " INDEXED BY hist_type", " INDEXED BY hist_u", "h.until"
)


def history(con: sqlite3.Connection, query: HistoryQuery, node: Node | None, reader: Reading) -> HistoryPage:
    """Return one page; `node` is that of the query with its joins resolved."""
    query = replace(query, node=node)
    limit = max(query.count, 0)
    found: list[tuple[int, int | None]] = []
    for type_ in _types(con, query):
        for part in (_CURRENT, _OLD):
            found += _sequences(con, query, type_, part, reader, limit + 1)
    found.sort(reverse=True)
    page = tuple(_load(con, found[:limit]))
    return HistoryPage(page, page[-1].seq if page and len(found) > limit else None, _total(con, query, reader))


def _total(con: sqlite3.Connection, query: HistoryQuery, reader: Reading) -> int | None:
    """Return how many versions of one resource there are; for a type or everything that would be a scan."""
    if query.id is None or query.type is None:
        return None
    total = 0
    for part in (_CURRENT, _OLD):
        rows, text, params = _matching(con, replace(query, before_seq=None), query.type, part, reader)
        total += con.execute(f"SELECT count(*) FROM {rows} WHERE {text}", params).fetchone()[0]
    return total


def _types(con: sqlite3.Connection, query: HistoryQuery) -> list[str]:
    wanted = query.types
    if query.type is not None:
        return [query.type] if wanted is None or query.type in wanted else []
    return list(dict.fromkeys(wanted)) if wanted is not None else stored_types(con)


def stored_types(con: sqlite3.Connection) -> list[str]:
    """Return the types that were ever stored, by leaps along the index."""
    rows = con.execute(
        "WITH RECURSIVE t (type) AS (SELECT min(type) FROM res UNION ALL "
        "SELECT (SELECT min(type) FROM res WHERE type > t.type) FROM t WHERE t.type IS NOT NULL) "
        "SELECT type FROM t WHERE type IS NOT NULL"
    )
    return [type_ for (type_,) in rows]


def _load(con: sqlite3.Connection, found: Sequence[tuple[int, int | None]]) -> list[Version]:
    current = versions.by_pk(con, [pk for _, pk in found if pk is not None])
    old = versions.by_sequence(con, [seq for seq, pk in found if pk is None])
    return [old[seq] if pk is None else current[pk] for seq, pk in found]


def _sequences(
    con: sqlite3.Connection, query: HistoryQuery, type_: str, part: _Part, reader: Reading, limit: int
) -> list[tuple[int, int | None]]:
    """Return (sequence, pk when current) of the newest versions of a type in one of the tables."""
    rows, text, params = _matching(con, query, type_, part, reader)
    pk = "NULL" if part is _OLD else "r.pk"
    sql = f"SELECT {part.alias}.s, {pk} FROM {rows} WHERE {text} ORDER BY {part.alias}.s DESC LIMIT ?"
    return con.execute(sql, (*params, limit)).fetchall()


def _matching(
    con: sqlite3.Connection, query: HistoryQuery, type_: str, part: _Part, reader: Reading
) -> tuple[str, str, tuple[object, ...]]:
    """Return the rows, the condition and its parameters for the versions of a type in one of the tables."""
    conditions = _conditions(query, type_, part)
    index = part.by_sequence
    if query.id is not None:
        index = ""
    elif query.since_ms is not None and _is_recent(con, type_, query.since_ms):
        index = part.by_time
    if query.node is not None:
        conditions.append(_node(con, query.node, type_, reader))
    return part.rows.format(index=index), *combined("AND", conditions, "1")


def _conditions(query: HistoryQuery, type_: str, part: _Part) -> list[Fragment]:
    table = part.alias
    found: list[Fragment] = [(f"{table}.type = ?", (type_,))]
    if part is _CURRENT or query.id is not None:
        found.append(("r.d IN (0, 1)", ()))
    if query.id is not None:
        one = "(SELECT pk FROM res WHERE type = ? AND id = ?)"
        found.append((f"{table}.pk = {one}", (type_, query.id)))
    if query.before_seq is not None:
        found.append((f"{table}.s < ?", (query.before_seq,)))
    if query.since_ms is not None:
        found.append((f"{table}.u >= ?", (query.since_ms,)))
    if query.at is not None:
        low, high = query.at
        found.append((f"{table}.u < ?", (high,)))
        if part.until is not None:
            found.append((f"{part.until} > ?", (low,)))
    return found


def _is_recent(con: sqlite3.Connection, type_: str, since_ms: int) -> bool:
    found = 0
    for source in ("res INDEXED BY res_u WHERE type = ? AND d IN (0, 1)", "hist INDEXED BY hist_u WHERE type = ?"):
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {source} AND u >= ? LIMIT ?)"
        found += con.execute(sql, (type_, since_ms, _RECENT)).fetchone()[0]
    return found < _RECENT


def _node(con: sqlite3.Connection, node: Node, type_: str, reader: Reading) -> Fragment:
    """Return the condition on the current version, living or deleted: each is indexed under its own type."""
    options: list[Fragment] = []
    for scope in (Scope(reader.codec, type_), Scope(reader.codec, type_, deleted=True)):
        choice = reader.chooser.choose(con, node, scope)
        if choice.selective:
            text, params = select.pks(scope, choice)
            options.append((f"r.pk IN ({text})", params))
        else:
            text, params = holds(node, scope, Candidate(expected=1))
            options.append((f"(r.d = {int(scope.deleted)} AND {text})", params))
    return combined("OR", options, "0")
