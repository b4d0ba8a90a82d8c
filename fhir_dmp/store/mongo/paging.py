"""Keyset paging: the order of rows as columns of a document, and the ranges that lie behind a position. Pure.

Rows behind a position are read as a few contiguous ranges, one query each and most often only one or two: every range
is a plain walk of an index, where one big `$or` would not be. The order is that of search/order.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fhir_dmp.search.order import ID, LAST_UPDATED, effective
from fhir_dmp.search.query import Position, SortKey, SortValue
from fhir_dmp.store.mongo.documents import LARGEST, sort_field
from fhir_dmp.store.mongo.views import Doc, Filter, View, everything_of


@dataclass(frozen=True, slots=True)
class Column:
    """One field of the order. direction: 1 or -1 when read forwards.

    optional: rows may lack it (they come last). mixed: it holds numbers in some rows and texts in others.
    """

    field: str
    direction: int
    optional: bool = False
    mixed: bool = False


def columns(sort: Sequence[SortKey], address: str) -> tuple[Column, ...]:
    """Return the columns of the sort keys, without the id that ends every order."""
    found: list[Column] = []
    for key in effective(sort):
        direction = -1 if key.descending else 1
        if key.param == ID:
            found.append(Column(address, direction))
            break  # ids are unique: nothing behind it can matter
        if key.param == LAST_UPDATED:
            found.append(Column("u", direction))
        elif key.descending:
            found.append(Column(sort_field(key.param, "d"), -1, optional=True, mixed=True))
        else:
            # null sorts first in ascending order: presence, descending, comes before it
            found.append(Column(sort_field(key.param, "z"), -1, optional=True))
            found.append(Column(sort_field(key.param, "a"), 1, mixed=True))
    unique: dict[str, Column] = {}
    for column in found:
        unique.setdefault(column.field, column)
    return tuple(unique.values())


def order_by(parts: Sequence[Column], address: str, sign: int) -> list[tuple[str, int]]:
    """Return the sort of a query. sign: 1 forwards, -1 backwards."""
    order = [(part.field, part.direction * sign) for part in parts]
    return order if parts and parts[-1].field == address else [*order, (address, sign)]


def _field_values(sort: Sequence[SortKey], position: Position) -> dict[str, SortValue | None]:
    """Return what a row at the position holds in each column, by field."""
    held: dict[str, SortValue | None] = {}
    for key, value in zip(effective(sort), position.values, strict=True):
        if key.param == LAST_UPDATED:
            held.setdefault("u", value)
        elif key.param != ID and key.descending:
            held.setdefault(sort_field(key.param, "d"), value)
        elif key.param != ID:
            held.setdefault(sort_field(key.param, "z"), None if value is None else 1)
            held.setdefault(sort_field(key.param, "a"), value)
    return held


def behind(sort: Sequence[SortKey], position: Position, type_: str, address: str, sign: int) -> Iterator[Filter]:
    """Yield the ranges of rows of a type that lie behind the position, in the order in which they follow it."""
    parts = columns(sort, address)
    held = _field_values(sort, position)
    held[address] = position.id
    equal: list[Filter] = [{part.field: {"$eq": held[part.field]}} for part in parts]
    later_type = (type_ > position.type) - (type_ < position.type)
    by_id = bool(parts) and parts[-1].field == address
    if later_type == sign:
        yield everything_of(*equal)
    elif later_type == 0 and not by_id:
        yield everything_of(*equal, {address: {"$gt" if sign > 0 else "$lt": position.id}})
    for at in range(len(parts) - 1, -1, -1):
        for condition in _beyond(parts[at], held[parts[at].field], sign):
            yield everything_of(*equal[:at], condition)


def _beyond(part: Column, value: SortValue | None, sign: int) -> Iterator[Filter]:
    """Yield the conditions on one column for rows that follow a row with this value."""
    ascending = part.direction * sign > 0
    if value is None:
        if ascending and part.optional:
            yield {part.field: {"$ne": None}}
        return
    yield {part.field: {"$gt" if ascending else "$lt": value}}
    if part.mixed and isinstance(value, str) is not ascending:
        # comparisons stay within a type; numbers come before texts
        yield {part.field: {"$gte": ""} if ascending else {"$lte": LARGEST}}
    if not ascending and part.optional:
        yield {part.field: {"$eq": None}}


def place(doc: Doc, view: View, sort: Sequence[SortKey], type_: str) -> Position:
    """Return the position of a row."""
    address = view.address_of(doc)
    return Position(tuple(_value(doc, key, address) for key in effective(sort)), type_, address)


def _value(doc: Doc, key: SortKey, address: str) -> SortValue | None:
    if key.param == ID:
        return address
    path = "u" if key.param == LAST_UPDATED else sort_field(key.param, "d" if key.descending else "a")
    found: object = doc
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, int | float | str) else None


def projection(sort: Sequence[SortKey]) -> dict[str, int]:
    """Return the fields that a page needs: the version and its place, not its terms."""
    wanted = dict.fromkeys(("i", "v", "u", "s", "d", "m", "b", "blob", "cp", "dt"), 1)
    return wanted | ({"o": 1} if sort else {})
