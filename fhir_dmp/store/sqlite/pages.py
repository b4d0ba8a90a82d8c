"""One page of a search: the rows of each type, merged, cut, and their versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

from fhir_dmp.ports import Page, Version
from fhir_dmp.search.order import ordered
from fhir_dmp.search.query import Node, Position, Search
from fhir_dmp.store.sqlite import select, timeline, versions
from fhir_dmp.store.sqlite.codec import Codec
from fhir_dmp.store.sqlite.conditions import Scope
from fhir_dmp.store.sqlite.drivers import Chooser
from fhir_dmp.store.sqlite.select import Row, place_of

#: A row and its type.
Found = tuple[str, Row]

#: Up to so many candidates, page and total come from one statement that reads them all.
_AT_ONCE = 512


def page(
    con: sqlite3.Connection,
    search: Search,
    node_of: Callable[[str], Node],
    codec: Codec,
    bound: int,
    chooser: Chooser,
) -> Page:
    """Return the page. node_of: what is asked of a type, joins resolved; bound: what the page shows as its own."""
    found: list[Found] = []
    read: dict[int, Version] = {}
    total = 0
    for type_ in dict.fromkeys(search.types):
        scope = Scope(codec, type_)
        ids_of = partial(_read, con, scope, read) if len(search.types) == 1 else partial(timeline.ids, con, scope)
        rows, counted = _of_type(con, search, scope, chooser, node_of(type_), ids_of)
        found += [(type_, row) for row in rows]
        total += counted
    return _cut(con, search, found, bound, total, read)


def _read(con: sqlite3.Connection, scope: Scope, read: dict[int, Version], pks: list[int]) -> dict[int, str]:
    """Return what `timeline.ids` returns, from the versions, which the page will show: one statement for both."""
    read.update(versions.by_pk(con, pks))
    return {pk: one.id for pk, one in read.items() if one.type == scope.type and one.deleted == scope.deleted}


def _of_type(
    con: sqlite3.Connection, search: Search, scope: Scope, chooser: Chooser, node: Node, ids_of: timeline.IdsOf
) -> tuple[list[Row], int]:
    """Return the rows of one type in the order they were asked for, one more than the page holds, and their total."""
    told = timeline.at_once(con, search, scope, node, chooser, ids_of)
    if told is not None:
        return told
    choice = chooser.choose(con, node, scope)
    if not choice.nothing and timeline.serves(search, choice):
        return timeline.first(con, search, scope, choice, chooser.facets, ids_of)
    limit = search.count + 1 if search.count > 0 else 0
    first = limit > 0 and search.after is None and search.before is None
    everything = False
    if search.total and first and choice.selective and choice.driver is not None:
        everything = choice.driver.estimate <= _AT_ONCE
    rows = select.page(con, search, scope, choice, max(limit, _AT_ONCE + 1) if everything else limit, chooser.tuning)
    if not search.total:
        return rows, 0
    if everything or (first and len(rows) < limit):
        return rows[:limit], len(rows)
    return rows, select.total(con, scope, choice, search.bound)


def _cut(
    con: sqlite3.Connection, search: Search, found: list[Found], bound: int, total: int, read: dict[int, Version]
) -> Page:
    backwards = search.before is not None
    if len(search.types) > 1:
        found = ordered(search.sort, found, _place)
        found = found[-search.count - 1 :] if backwards else found[: search.count + 1]
    elif backwards:
        found.reverse()
    more = len(found) > search.count
    if more:
        found = found[1:] if backwards else found[:-1]
    bodies = read or versions.by_pk(con, [row[0] for _, row in found])
    return Page(
        tuple([bodies[row[0]] for _, row in found]),
        next=_place(found[-1]) if found and (backwards or more) else None,
        previous=_place(found[0]) if found and (more if backwards else search.after is not None) else None,
        bound=bound,
        total=total if search.total else None,
    )


def _place(found: Found) -> Position:
    type_, row = found
    return place_of(row, type_)
