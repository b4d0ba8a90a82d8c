"""The rows of the memory store: what one is, whether it matches, and how a page is cut out of those that do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhir_dmp.ports import Page, Version
from fhir_dmp.search.match import matches
from fhir_dmp.search.order import compare
from fhir_dmp.search.query import Node, Position, Search
from fhir_dmp.search.terms import Terms


@dataclass(frozen=True, slots=True)
class Row:
    """A current version, its terms, and what it is indexed by."""

    version: Version
    terms: Terms


def satisfies(row: Row, node: Node) -> bool:
    """Say whether a row matches a condition whose joins are resolved."""
    return matches(node, row.terms, id_=row.version.id, updated_ms=row.version.updated_ms)


def page_of(search: Search, rows: list[Row], place: Callable[[Row], Position], bound: int) -> Page:
    """Cut the page out of all matching rows, which are in order."""
    rest = [row for row in rows if _within(search, place(row))]
    if search.count <= 0:
        return Page((), bound=bound, total=len(rows) if search.total else None)
    backwards = search.before is not None
    page = rest[-search.count :] if backwards else rest[: search.count]
    more = len(rest) > len(page)
    return Page(
        tuple(row.version for row in page),
        next=place(page[-1]) if page and (backwards or more) else None,
        previous=place(page[0]) if page and (more if backwards else search.after is not None) else None,
        bound=bound,
        total=len(rows) if search.total else None,
    )


def _within(search: Search, place: Position) -> bool:
    if search.before is not None:
        return compare(search.sort, place, search.before) < 0
    return search.after is None or compare(search.sort, place, search.after) > 0
