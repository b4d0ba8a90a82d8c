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
from fhir_dmp.store.sqlite.facets import Facets, is_told, test_of
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
    # Numbers come before strings (search/order.py); the sort is stable, ties are settled by id below.
    found.sort(key=lambda row: (isinstance(row[0], str), row[0]), reverse=key.descending)
    limit = search.count + 1
    while limit < len(found) and found[limit][0] == found[limit - 1][0]:
        limit += 1
    page = _with_ids(con, scope, found[:limit])
    page.sort(key=itemgetter(1))
    page.sort(key=lambda row: (isinstance(row[2], str), row[2]), reverse=key.descending)
    return page[: search.count + 1], len(found)


def _matching(con: sqlite3.Connection, scope: Scope, choice: Choice, facets: Facets, value: str) -> list[Row]:
    """Return (value, pk) of the rows that satisfy all that is asked."""
    told = [node for node in choice.rest if is_told(node)]
    if not told:
        return [row[:2] for row in _rows(con, scope, choice, choice.rest, value)]
    rows = _rows(con, scope, choice, [node for node in choice.rest if node not in told], value)
    sets = facets.read(con, {a for _, _, a in rows if a is not None})
    tests = [test_of(node, scope) for node in told]
    kept = {a for a, keys in sets.items() if all(test(keys) for test in tests)}
    if any(a not in sets for _, _, a in rows):
        # Written before there were sets, and not reindexed since: the indexes tell the same.
        return [row[:2] for row in _rows(con, scope, choice, choice.rest, value)]
    return [(of, pk) for of, pk, a in rows if a in kept]


def _rows(con: sqlite3.Connection, scope: Scope, choice: Choice, asked: Sequence[Node], value: str) -> list[Row]:
    driver = choice.driver
    assert driver is not None
    candidate = Candidate("d.pk", "d.date", "d.u", driver.estimate)
    text, params = combined("AND", [holds(node, scope, candidate) for node in asked], "1")
    sql = f"SELECT {value}, d.pk, d.a FROM {driver.rows} WHERE {driver.where} AND {text}"
    return con.execute(sql, (*driver.params, *params)).fetchall()


def _with_ids(con: sqlite3.Connection, scope: Scope, found: Sequence[Row]) -> list[Row]:
    ids = dict(_ids(con, scope, [pk for _, pk in found]))
    return [(pk, ids[pk], value) for value, pk in found if pk in ids]


def _ids(con: sqlite3.Connection, scope: Scope, pks: Iterable[int]) -> list[tuple[int, str]]:
    sql = "SELECT r.pk, r.id FROM json_each(?) j CROSS JOIN res r ON r.pk = j.value WHERE r.type = ? AND r.d = ?"
    return con.execute(sql, (json_list(list(pks)), scope.type, int(scope.deleted))).fetchall()
