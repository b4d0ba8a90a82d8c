"""A patient's newest resources, from the timeline alone: page and total in one pass, ids only for the page.

The rows of a timeline lie side by side and hold the two values that these orders need; going to `res` for each of them
would touch a page for each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from operator import itemgetter

from fhir_dmp.search.order import LAST_UPDATED, effective
from fhir_dmp.search.query import And, Ids, Node, Not, Or, Search, SortKey
from fhir_dmp.store.sqlite.conditions import Candidate, Scope, combined, holds, json_list
from fhir_dmp.store.sqlite.drivers import Choice
from fhir_dmp.store.sqlite.select import Row

#: Timelines above this are left to the general way, which can stop early.
_LONGEST = 4096


def serves(search: Search, choice: Choice) -> bool:
    """Say whether this is the first page of a patient's resources, in an order that the timeline knows."""
    driver, keys = choice.driver, effective(search.sort)
    if driver is None or not driver.dated or not driver.exact or driver.estimate >= _LONGEST:
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


def first(con: sqlite3.Connection, search: Search, scope: Scope, choice: Choice) -> tuple[list[Row], int]:
    """Return the rows of the first page, one more than it holds when there are more, and how many match."""
    driver, key = choice.driver, effective(search.sort)[0]
    assert driver is not None
    candidate = Candidate("d.pk", "d.date", "d.u", driver.estimate)
    text, params = combined("AND", [holds(node, scope, candidate) for node in choice.rest], "1")
    value = "d.u" if key.param == LAST_UPDATED else "d.date"
    sql = f"SELECT {value}, d.pk FROM {driver.rows} WHERE {driver.where} AND {text}"
    found = con.execute(sql, (*driver.params, *params)).fetchall()
    # Numbers come before strings (search/order.py); the sort is stable, ties are settled by id below.
    found.sort(key=lambda row: (isinstance(row[0], str), row[0]), reverse=key.descending)
    limit = search.count + 1
    while limit < len(found) and found[limit][0] == found[limit - 1][0]:
        limit += 1
    page = _with_ids(con, scope, found[:limit])
    page.sort(key=itemgetter(1))
    page.sort(key=lambda row: (isinstance(row[2], str), row[2]), reverse=key.descending)
    return page[: search.count + 1], len(found)


def _with_ids(con: sqlite3.Connection, scope: Scope, found: Sequence[Row]) -> list[Row]:
    ids = dict(_ids(con, scope, [pk for _, pk in found]))
    return [(pk, ids[pk], value) for value, pk in found if pk in ids]


def _ids(con: sqlite3.Connection, scope: Scope, pks: Iterable[int]) -> list[tuple[int, str]]:
    sql = "SELECT r.pk, r.id FROM json_each(?) j CROSS JOIN res r ON r.pk = j.value WHERE r.type = ? AND r.d = ?"
    return con.execute(sql, (json_list(list(pks)), scope.type, int(scope.deleted))).fetchall()
