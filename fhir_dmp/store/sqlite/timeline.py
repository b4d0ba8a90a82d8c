"""A patient's newest resources, from the timeline alone: page and total in one pass, ids only for the page.

The rows of a timeline lie side by side and hold the two values that these orders need, and name the set of tokens by
which they are narrowed (facets.py); going to `res` or to an index for each of them would touch a page for each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from operator import itemgetter

from fhir_dmp.search.order import LAST_UPDATED, effective
from fhir_dmp.search.query import And, Ids, Node, Not, Or, Search, SortKey
from fhir_dmp.store.sqlite.conditions import Candidate, Scope, combined, holds, json_list
from fhir_dmp.store.sqlite.drivers import LONGEST_TIMELINE, Choice
from fhir_dmp.store.sqlite.facets import Facets
from fhir_dmp.store.sqlite.select import Row


def serves(search: Search, choice: Choice) -> bool:
    """Say whether this is the first page of a patient's resources, in an order that the timeline knows."""
    driver, keys = choice.driver, effective(search.sort)
    if driver is None or not driver.dated or not driver.exact or driver.estimate >= LONGEST_TIMELINE:
        return False
    if search.count <= 0 or (search.after, search.before, search.bound) != (None, None, None) or len(keys) > 1:
        return False
    # By date and without a total the timeline is read only as far as the page needs: select.py does that.
    known = keys[0].param == LAST_UPDATED or (search.total and keys[0] == SortKey("date", descending=True))
    return known and not any(_names_ids(node) for node in choice.rest)


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


def first(
    con: sqlite3.Connection, search: Search, scope: Scope, choice: Choice, facets: Facets
) -> tuple[list[Row], int]:
    """Return the rows of the first page, one more than it holds when there are more, and how many match."""
    key = effective(search.sort)[0]
    value = "d.u" if key.param == LAST_UPDATED else "d.date"
    found = _matching(con, scope, choice, facets, value)
    # The sort is stable, ties are settled by id below.
    _sort(found, 0, descending=key.descending)
    limit = search.count + 1
    while limit < len(found) and found[limit][0] == found[limit - 1][0]:
        limit += 1
    page = _with_ids(con, scope, found[:limit])
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
    rows = _rows(con, scope, choice, [node for node, test in told if test is None], value)
    named = {a for _, _, a in rows} if tests else set()
    sets = facets.read(con, named - {None})
    if len(sets) < len(named):
        # Written before there were sets, and not reindexed since: the indexes tell the same.
        return _rows(con, scope, choice, choice.rest, value)
    for test in tests:
        sets = {a: keys for a, keys in sets.items() if test(keys)}
    return [row for row in rows if row[2] in sets] if tests else rows


def _rows(con: sqlite3.Connection, scope: Scope, choice: Choice, asked: Sequence[Node], value: str) -> list[Row]:
    driver = choice.driver
    assert driver is not None
    candidate = Candidate("d.pk", "d.date", "d.u", driver.estimate)
    text, params = combined("AND", [holds(node, scope, candidate) for node in asked], "1")
    sql = f"SELECT {value}, d.pk, d.a FROM {driver.rows} WHERE {driver.where} AND {text}"
    return con.execute(sql, (*driver.params, *params)).fetchall()


def _with_ids(con: sqlite3.Connection, scope: Scope, found: Sequence[Row]) -> list[Row]:
    ids = dict(_ids(con, scope, [pk for _, pk, _ in found]))
    return [(pk, ids[pk], value) for value, pk, _ in found if pk in ids]


def _ids(con: sqlite3.Connection, scope: Scope, pks: Iterable[int]) -> list[tuple[int, str]]:
    sql = "SELECT r.pk, r.id FROM json_each(?) j CROSS JOIN res r ON r.pk = j.value WHERE r.type = ? AND r.d = ?"
    return con.execute(sql, (json_list(list(pks)), scope.type, int(scope.deleted))).fetchall()
