"""A patient's newest resources, from the timeline alone: page and total in one pass, versions only for the page.

The rows of a timeline lie side by side and hold the two values that these orders need, and name the set of tokens by
which they are narrowed (facets.py); going to `res` or to an index for each of them would touch a page for each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

from fhir_dmp.search.order import LAST_UPDATED, effective
from fhir_dmp.search.query import And, Ids, Node, Not, Or, Search, SortKey, Term
from fhir_dmp.store.sqlite.conditions import Candidate, Scope, combined, holds, json_list
from fhir_dmp.store.sqlite.drivers import LONGEST_TIMELINE, Choice, Chooser, needed
from fhir_dmp.store.sqlite.facets import Facets, Test
from fhir_dmp.store.sqlite.select import Row

#: Gives the ids of resources by pk; what is not of the type is left out.
IdsOf = Callable[[list[int]], dict[int, str]]


def serves(search: Search, choice: Choice) -> bool:
    """Say whether this is the first page of a patient's resources, in an order that the timeline knows."""
    driver = choice.driver
    if driver is None or not driver.dated or not driver.exact or driver.estimate >= LONGEST_TIMELINE:
        return False
    return _is_first_page(search) and not any(_names_ids(node) for node in choice.rest)


def _is_first_page(search: Search) -> bool:
    keys = effective(search.sort)
    if search.count <= 0 or (search.after, search.before, search.bound) != (None, None, None) or len(keys) > 1:
        return False
    # By date and without a total the timeline is read only as far as the page needs: select.py does that.
    return keys[0].param == LAST_UPDATED or (search.total and keys[0] == SortKey("date", descending=True))


def _names_ids(node: Node) -> bool:
    match node:
        case Ids():
            return True
        case And(nodes) | Or(nodes):
            return any(_names_ids(part) for part in nodes)
        case Not(inner):
            return _names_ids(inner)
        case _:
            return False


def at_once(
    con: sqlite3.Connection, search: Search, scope: Scope, node: Node, chooser: Chooser, ids_of: IdsOf
) -> tuple[list[Row], int] | None:
    """Return what `first` returns when the timeline tells all that is asked, so that there is nothing to choose.

    None: it does not, or is long.
    """
    if not _is_first_page(search):
        return None
    parts = needed(node)
    named = next((part for part in parts if isinstance(part, Term) and scope.token(part.key)[1]), None)
    if named is None:
        return None
    tests = [chooser.facets.test(part, scope) for part in parts if part is not named]
    known = [test for test in tests if test is not None]
    longest = min(LONGEST_TIMELINE, chooser.tuning.many)
    if len(known) < len(tests):
        return None
    sql = f"SELECT {_value(search)}, d.pk, d.a FROM tl d WHERE d.k = ? LIMIT ?"
    rows = con.execute(sql, (scope.token(named.key)[0], longest)).fetchall()
    found = _kept(con, rows, known, chooser.facets) if len(rows) < longest else None
    return None if found is None else _page(search, found, ids_of)


def first(
    con: sqlite3.Connection, search: Search, scope: Scope, choice: Choice, facets: Facets, ids_of: IdsOf
) -> tuple[list[Row], int]:
    """Return the rows of the first page, one more than it holds when there are more, and how many match."""
    return _page(search, _matching(con, scope, choice, facets, _value(search)), ids_of)


def _value(search: Search) -> str:
    return "d.u" if effective(search.sort)[0].param == LAST_UPDATED else "d.date"


def _page(search: Search, found: list[Row], ids_of: IdsOf) -> tuple[list[Row], int]:
    key = effective(search.sort)[0]
    # The sort is stable, ties are settled by id below.
    _sort(found, 0, descending=key.descending)
    limit = search.count + 1
    while limit < len(found) and found[limit][0] == found[limit - 1][0]:
        limit += 1
    ids = ids_of([pk for _, pk, _ in found[:limit]])
    page = [(pk, ids[pk], value) for value, pk, _ in found[:limit] if pk in ids]
    page.sort(key=itemgetter(1))
    _sort(page, 2, descending=key.descending)
    return page[: search.count + 1], len(found)


def _sort(rows: list[Row], column: int, *, descending: bool) -> None:
    """Sort by a column. Numbers come before strings (search/order.py); rarely do both occur."""
    try:
        rows[:] = sorted(rows, key=itemgetter(column), reverse=descending)
    except TypeError:
        rows.sort(key=lambda row: (isinstance(row[column], str), row[column]), reverse=descending)


def _matching(con: sqlite3.Connection, scope: Scope, choice: Choice, facets: Facets, value: str) -> list[Row]:
    """Return (value, pk, set) of the rows that satisfy all that is asked."""
    told = [(node, facets.test(node, scope)) for node in choice.rest]
    tests = [test for _, test in told if test is not None]
    found = _kept(con, _rows(con, scope, choice, [node for node, test in told if test is None], value), tests, facets)
    return _rows(con, scope, choice, choice.rest, value) if found is None else found


def _kept(con: sqlite3.Connection, rows: list[Row], tests: Sequence[Test], facets: Facets) -> list[Row] | None:
    """Return the rows whose sets pass; None when a row has none: written before there were sets, not reindexed since.

    The indexes then tell the same.
    """
    if not tests:
        return rows
    named = {a for _, _, a in rows}
    sets = facets.read(con, named - {None})
    if len(sets) < len(named):
        return None
    for test in tests:
        sets = {a: keys for a, keys in sets.items() if test(keys)}
    return [row for row in rows if row[2] in sets]


def _rows(con: sqlite3.Connection, scope: Scope, choice: Choice, asked: Sequence[Node], value: str) -> list[Row]:
    driver = choice.driver
    assert driver is not None
    candidate = Candidate("d.pk", "d.date", "d.u", driver.estimate)
    text, params = combined("AND", [holds(node, scope, candidate) for node in asked], "1")
    sql = f"SELECT {value}, d.pk, d.a FROM {driver.rows} WHERE {driver.where} AND {text}"
    return con.execute(sql, (*driver.params, *params)).fetchall()


def ids(con: sqlite3.Connection, scope: Scope, pks: Iterable[int]) -> dict[int, str]:
    """Return the ids of those of these rows that are resources of the type."""
    sql = "SELECT r.pk, r.id FROM json_each(?) j CROSS JOIN res r ON r.pk = j.value WHERE r.type = ? AND r.d = ?"
    return dict(con.execute(sql, (json_list(list(pks)), scope.type, int(scope.deleted))).fetchall())
