"""How a page is cut out of all rows that match, where they fit into memory. Pure; positions are search/order.py's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fhir_dmp.search.order import compare
from fhir_dmp.search.query import Position, Search

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Cut(Generic[Row]):
    """The rows of a page, and what Page says beside its versions."""

    rows: tuple[Row, ...]
    next: Position | None = None
    previous: Position | None = None
    total: int | None = None


def page_of(search: Search, rows: Sequence[Row], place: Callable[[Row], Position]) -> Cut[Row]:
    """Cut the page out of all matching rows, which are in order."""
    total = len(rows) if search.total else None
    rest = [row for row in rows if _within(search, place(row))]
    if search.count <= 0:
        return Cut((), total=total)
    backwards = search.before is not None
    page = rest[-search.count :] if backwards else rest[: search.count]
    more = len(rest) > len(page)
    return Cut(
        tuple(page),
        next=place(page[-1]) if page and (backwards or more) else None,
        previous=place(page[0]) if page and (more if backwards else search.after is not None) else None,
        total=total,
    )


def _within(search: Search, place: Position) -> bool:
    if search.before is not None:
        return compare(search.sort, place, search.before) < 0
    return search.after is None or compare(search.sort, place, search.after) > 0
