"""Pages, totals and ids of one type: the SQL that runs a Choice. The order is that of search/order.py.

Three ways: from a driver whose rows are few; along an index that has the order already, stopping early; and, when that
walk takes too long, from the best driver after all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fhir_dmp.search.order import ID, LAST_UPDATED, effective
from fhir_dmp.search.query import Node, Position, Search, SortKey, SortValue
from fhir_dmp.store.sqlite.conditions import Candidate, Scope, combined, holds
from fhir_dmp.store.sqlite.connections import Connection
from fhir_dmp.store.sqlite.drivers import TUNING, Choice, Tuning
from fhir_dmp.store.sqlite.schema import NO_DATE
from fhir_dmp.store.sqlite.spans import Fragment

#: SQLite asks so often whether a walk along an ordered index goes on.
_TICKS = 40
#: A walk is expected to end after about as many rows.
_WALKED = 100


#: A row of a page: pk, id, and the sort values as SQL gives them.
Row = tuple[Any, ...]


def place_of(row: Row, type_: str) -> Position:
    """Return where the row stands in the order of the search."""
    return Position(tuple(None if value == NO_DATE else value for value in row[2:]), type_, row[1])


@dataclass(frozen=True, slots=True)
class _Column:
    """One sort key in SQL. sentinel: the value that stands for none, when the expression is never NULL."""

    key: SortKey
    sql: str
    params: tuple[object, ...] = ()
    nullable: bool = False
    sentinel: int | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    """What candidates come from: FROM clause up to `res r`, its condition, and how rows look from there."""

    rows: str
    where: Fragment
    rest: Sequence[Node]
    row: Candidate


def page(
    con: sqlite3.Connection, search: Search, scope: Scope, choice: Choice, limit: int, tuning: Tuning = TUNING
) -> list[Row]:
    """Return the first `limit` rows in sort order; for `search.before` the last ones, in reverse order."""
    if choice.nothing or limit <= 0:
        return []
    walk = _ordered_walk(search, scope, choice)
    if walk is None or choice.selective:
        return _run(con, search, scope, _source(scope, choice), limit)
    if choice.driver is None:
        return _run(con, search, scope, walk, limit)
    try:
        with _patience(con, tuning.patience):
            return _run(con, search, scope, walk, limit)
    except _GaveUp:
        return _run(con, search, scope, _source(scope, choice), limit)


def total(con: sqlite3.Connection, scope: Scope, choice: Choice, bound: int | None) -> int:
    """Return how many rows match, those committed after the bound left out."""
    if choice.nothing:
        return 0
    source = _source(scope, choice)
    text, params = _where(source, scope, bound)
    return int(con.execute(f"SELECT count(*) FROM {source.rows} WHERE {text}", params).fetchone()[0])


def ids(con: sqlite3.Connection, scope: Scope, choice: Choice, limit: int) -> list[str]:
    """Return at most `limit` ids, in no particular order."""
    if choice.nothing:
        return []
    source = _source(scope, choice)
    text, params = _where(source, scope, None)
    rows = con.execute(f"SELECT r.id FROM {source.rows} WHERE {text} LIMIT ?", (*params, max(limit, 0)))
    return [id_ for (id_,) in rows]


def pks(scope: Scope, choice: Choice) -> Fragment:
    """Return a SELECT of the matching rows' pk, for use inside another statement."""
    if choice.nothing:
        return "SELECT NULL WHERE 0", ()
    source = _source(scope, choice)
    text, params = _where(source, scope, None)
    return f"SELECT r.pk FROM {source.rows} WHERE {text}", params


def _source(scope: Scope, choice: Choice) -> _Source:
    driver = choice.driver
    if driver is None:
        where: Fragment = "r.type = ? AND r.d = ?", (scope.type, int(scope.deleted))
        return _Source("res r INDEXED BY res_u", where, choice.rest, Candidate())
    row = Candidate("d.pk", "d.date" if driver.dated else "r.date", expected=driver.estimate)
    # The type is in the hash already; r.type is checked because a hash alone proves nothing.
    where = f"{driver.where} AND r.type = ? AND r.d = ?", (*driver.params, scope.type, int(scope.deleted))
    return _Source(f"{driver.rows} CROSS JOIN res r ON r.pk = d.pk", where, choice.rest, row)


def _ordered_walk(search: Search, scope: Scope, choice: Choice) -> _Source | None:
    """Return the source whose index gives the order of the first sort key, None when there is no such index."""
    first = effective(search.sort)[0]
    by_date = first == SortKey("date", descending=True)
    driver = choice.driver
    if by_date and driver is not None and driver.dated:
        return None  # the timeline itself has the order
    index = "res_date" if by_date else {LAST_UPDATED: "res_u", ID: "res_id"}.get(first.param)
    if index is None:
        return None
    nodes = [*choice.rest, *([] if driver is None or not driver.exact else [driver.node])]
    where: Fragment = "r.type = ? AND r.d = ?", (scope.type, int(scope.deleted))
    return _Source(f"res r INDEXED BY {index}", where, nodes, Candidate(expected=_WALKED))


def _where(source: _Source, scope: Scope, bound: int | None, more: Sequence[Fragment] = ()) -> Fragment:
    parts = [source.where, *more, *(holds(node, scope, source.row) for node in source.rest)]
    if bound is not None:
        parts.append(("r.s <= ?", (bound,)))
    return " AND ".join(text for text, _ in parts), tuple(param for _, params in parts for param in params)


def _run(con: sqlite3.Connection, search: Search, scope: Scope, source: _Source, limit: int) -> list[Row]:
    columns = [_column(key, source.row) for key in effective(search.sort)]
    backwards = search.before is not None
    start = search.before if backwards else search.after
    more = [] if start is None else _behind(columns, start, scope.type, backwards=backwards)
    text, params = _where(source, scope, search.bound, more)
    rows = source.rows
    if any(column.nullable for column in columns):
        rows += " CROSS JOIN trm o ON o.pk = r.pk"
    values = ", ".join(f"{column.sql} AS v{number}" for number, column in enumerate(columns))
    order = ", ".join(_order(number, column, backwards=backwards) for number, column in enumerate(columns))
    sql = (
        f"SELECT r.pk, r.id, {values} FROM {rows} WHERE {text} "
        f"ORDER BY {order}, r.id {'DESC' if backwards else 'ASC'} LIMIT ?"
    )
    selected = tuple(param for column in columns for param in column.params)
    return con.execute(sql, (*selected, *params, limit)).fetchall()


def _column(key: SortKey, row: Candidate) -> _Column:
    if key.param == ID:
        return _Column(key, "r.id")
    if key.param == LAST_UPDATED:
        return _Column(key, "r.u")
    if key == SortKey("date", descending=True):
        return _Column(key, row.date, sentinel=NO_DATE)
    path = '$."{}"[{}]'.format(key.param.replace('"', ""), int(key.descending))
    return _Column(key, "json_extract(o.ord, ?)", (path,), nullable=True)


def _order(number: int, column: _Column, *, backwards: bool) -> str:
    direction = "DESC" if column.key.descending != backwards else "ASC"
    if not column.nullable:
        return f"v{number} {direction}"
    return f"v{number} {direction} NULLS {'FIRST' if backwards else 'LAST'}"


def _behind(columns: Sequence[_Column], start: Position, type_: str, *, backwards: bool) -> list[Fragment]:
    """Return the conditions that a row comes behind (or, backwards, before) the position."""
    values = [column.sentinel if value is None else value for column, value in zip(columns, start.values, strict=True)]
    options: list[Fragment] = []
    equal: list[Fragment] = []
    for column, value in zip(columns, values, strict=True):
        strictly = _strictly(column, value, backwards=backwards)
        if strictly is not None:
            options.append(combined("AND", [*equal, strictly], "1"))
        equal.append((f"{column.sql} IS ?", (*column.params, value)))
    options += _ties(equal, start, type_, backwards=backwards)
    return [*_bound(columns[0], values[0], backwards=backwards), combined("OR", options, "0")]


def _strictly(column: _Column, value: SortValue | None, *, backwards: bool) -> Fragment | None:
    if value is None:
        return (f"{column.sql} IS NOT NULL", column.params) if backwards else None
    sign = "<" if column.key.descending != backwards else ">"
    beyond = f"{column.sql} {sign} ?"
    if column.nullable and not backwards:
        return f"({beyond} OR {column.sql} IS NULL)", (*column.params, value, *column.params)
    return beyond, (*column.params, value)


def _ties(equal: list[Fragment], start: Position, type_: str, *, backwards: bool) -> list[Fragment]:
    """Return the rows with the same values: those of a later type, or of the same type with a later id."""
    if type_ == start.type:
        return [combined("AND", [*equal, (f"r.id {'<' if backwards else '>'} ?", (start.id,))], "1")]
    later = type_ < start.type if backwards else type_ > start.type
    return [combined("AND", equal, "1")] if later else []


def _bound(column: _Column, value: SortValue | None, *, backwards: bool) -> list[Fragment]:
    """Return the bound of the first key by itself, so that an ordered index is entered at the right place."""
    if column.nullable:
        return []
    sign = "<=" if column.key.descending != backwards else ">="
    return [(f"{column.sql} {sign} ?", (value,))]


class _GaveUp(Exception):
    """The walk took too long."""


@contextmanager
def _patience(con: sqlite3.Connection, instructions: int) -> Iterator[None]:
    """Interrupt what runs inside after a number of instructions, with _GaveUp."""
    ticks = 0

    def tick() -> bool:
        nonlocal ticks
        ticks += 1
        return ticks > _TICKS

    con.set_progress_handler(tick, max(1, instructions // _TICKS))
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise _GaveUp from error
        raise
    finally:
        con.set_progress_handler(None, 0)
        if isinstance(con, Connection):
            con.watch()
