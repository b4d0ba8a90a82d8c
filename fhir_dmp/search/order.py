"""The order of rows, said once: what a Position of a row is, and which of two comes first.

Rows are ordered by each sort key in turn (rows without the value last, whatever the direction), then by type, then
by id. Without a sort, the most recently updated come first. Numbers come before strings. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cmp_to_key
from typing import TypeVar

from fhir_dmp.search.query import Position, SortKey, SortValue
from fhir_dmp.search.terms import Terms

LAST_UPDATED = "_lastUpdated"
ID = "_id"

#: What an empty `Search.sort` stands for.
NEWEST_FIRST = (SortKey(LAST_UPDATED, descending=True),)

Row = TypeVar("Row")


def effective(sort: Sequence[SortKey]) -> tuple[SortKey, ...]:
    """Return the sort keys, or those of "most recently updated first" when there is none."""
    return tuple(sort) or NEWEST_FIRST


def sort_value(key: SortKey, terms: Terms, id_: str, updated_ms: int) -> SortValue | None:
    """Return the value by which a resource takes its place for one key, None when it has none."""
    if key.param == ID:
        return id_
    if key.param == LAST_UPDATED:
        return updated_ms
    pair = terms.sort.get(key.param)
    return None if pair is None else pair[1 if key.descending else 0]


def position_of(sort: Sequence[SortKey], terms: Terms, type_: str, id_: str, updated_ms: int) -> Position:
    """Return the place of a resource in the order of `sort`."""
    return Position(tuple(sort_value(key, terms, id_, updated_ms) for key in effective(sort)), type_, id_)


def compare(sort: Sequence[SortKey], left: Position, right: Position) -> int:
    """Return a negative number when `left` comes first, a positive one when `right` does, 0 for the same row."""
    for key, one, other in zip(effective(sort), left.values, right.values, strict=True):
        if one is None or other is None:
            if one is not other:
                return 1 if one is None else -1
            continue
        result = _compare_values(one, other)
        if result:
            return -result if key.descending else result
    return _compare_values(left.type, right.type) or _compare_values(left.id, right.id)


def _compare_values(left: SortValue, right: SortValue) -> int:
    if isinstance(left, str):
        return 1 if not isinstance(right, str) else (left > right) - (left < right)
    return -1 if isinstance(right, str) else (left > right) - (left < right)


def ordered(sort: Sequence[SortKey], rows: Iterable[Row], place: Callable[[Row], Position]) -> list[Row]:
    """Return the rows in the order of `sort`; `place` gives the position of a row."""

    def order(one: Row, other: Row) -> int:
        return compare(sort, place(one), place(other))

    return sorted(rows, key=cmp_to_key(order))
