"""A store and what `match` and the order of rows say about the same content, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from fhir_dmp.ports import ResourceStore, Write
from fhir_dmp.search.match import matches
from fhir_dmp.search.order import compare, ordered, position_of
from fhir_dmp.search.query import Node, Position, Search, SortKey
from fhir_dmp.search.terms import Terms
from tests.store.samples import body_of, gone, put
from tests.store.strategies import IDS, terms

some_terms = st.lists(terms, min_size=1, max_size=len(IDS))
some_updates = st.lists(st.tuples(st.integers(0, len(IDS) - 1), st.one_of(st.none(), terms)), max_size=4)

Updates = list[tuple[int, Terms | None]]


def examples(most: int) -> settings:
    """Return settings for properties whose examples share one store, each with resource types of its own."""
    shared = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(suppress_health_check=shared, deadline=None, max_examples=most)


UPDATED = (0, 1, 2, 1_700_000_000_000)

#: Each example has resource types of its own, so that one store serves them all.
_number = count()


class Stored:
    """What an example stored: terms and time of each living resource of its two types."""

    def __init__(self, store: ResourceStore, given_terms: list[Terms], updates: list[tuple[int, Terms | None]]) -> None:
        number = next(_number)
        self.types = (f"Thing{number}", f"Other{number}")
        self.store = store
        self.rows: dict[tuple[str, str], tuple[Terms, int]] = {}
        self.versions: dict[tuple[str, str], int] = {}
        for place, one in enumerate(given_terms):
            self.write(self.types[place % 2], IDS[place], one, UPDATED[place % 4])
        for place, changed in updates:
            if place < len(given_terms):
                self.write(self.types[place % 2], IDS[place], changed, UPDATED[(place + 1) % 4])

    def write(self, type_: str, id_: str, new: Terms | None, at: int) -> None:
        version = self.versions[type_, id_] = self.versions.get((type_, id_), 0) + 1
        if new is None:
            put(self.store, gone(id_, version, at=at, type_=type_))
            self.rows.pop((type_, id_), None)
        else:
            put(self.store, Write(type_, id_, version, at, body_of(type_, id_, version), new))
            self.rows[type_, id_] = (new, at)

    def matching(self, node: Node, types: tuple[str, ...]) -> list[tuple[str, str]]:
        return [
            (type_, id_)
            for (type_, id_), (one, at) in self.rows.items()
            if type_ in types and matches(node, one, id_=id_, updated_ms=at)
        ]

    def place(self, sort: tuple[SortKey, ...], row: tuple[str, str]) -> Position:
        one, at = self.rows[row]
        return position_of(sort, one, *row, at)

    def check_finds(self, asked: Sequence[Node]) -> None:
        """Assert that the store finds and counts what `match` says."""
        for node in asked:
            for type_ in self.types:
                expected = sorted(id_ for _, id_ in self.matching(node, (type_,)))
                assert sorted(self.store.find(type_, node, 100)) == expected
            assert self.store.count(self.types, node) == len(self.matching(node, self.types))

    def check_pages(self, node: Node, sort: tuple[SortKey, ...], size: int) -> None:
        """Assert that the pages of the store, walked to the end and one step back, are those of the reference."""
        expected = ordered(sort, self.matching(node, self.types), lambda row: self.place(sort, row))
        search = Search(self.types, node, sort, count=size, total=True)
        page = self.store.search(search)
        seen = [(v.type, v.id) for v in page.versions]
        while page.next is not None:
            last = (page.versions[-1].type, page.versions[-1].id)
            assert compare(sort, page.next, self.place(sort, last)) == 0
            page = self.store.search(replace(search, after=page.next, bound=page.bound))
            seen += [(v.type, v.id) for v in page.versions]
        assert seen == expected
        assert page.total == len(expected)
        if expected:
            back = self.store.search(replace(search, before=self.place(sort, expected[-1])))
            assert [(v.type, v.id) for v in back.versions] == expected[:-1][-size:]
