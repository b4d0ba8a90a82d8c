"""The contract of a store, last part: whatever is stored and asked, a store answers what `match` answers."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_dmp.ports import ResourceStore, Write
from fhir_dmp.search.match import matches
from fhir_dmp.search.order import compare, ordered, position_of
from fhir_dmp.search.query import Node, Position, Search, SortKey
from fhir_dmp.search.terms import Terms
from tests.store.samples import body_of, gone, put
from tests.store.strategies import IDS, nodes, sorts, terms

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


some_terms = st.lists(terms, min_size=1, max_size=len(IDS))
some_updates = st.lists(st.tuples(st.integers(0, len(IDS) - 1), st.one_of(st.none(), terms)), max_size=4)
fixture_is_shared = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=150
)


@fixture_is_shared
@given(some_terms, some_updates, st.lists(nodes, min_size=1, max_size=12))
def test_a_store_finds_what_match_finds(
    store: ResourceStore, given_terms: list[Terms], updates: list[tuple[int, Terms | None]], asked: list[Node]
) -> None:
    stored = Stored(store, given_terms, updates)
    for node in asked:
        for type_ in stored.types:
            expected = sorted(id_ for _, id_ in stored.matching(node, (type_,)))
            assert sorted(store.find(type_, node, 100)) == expected
        assert store.count(stored.types, node) == len(stored.matching(node, stored.types))


@fixture_is_shared
@given(some_terms, some_updates, st.lists(nodes, min_size=1, max_size=4), sorts, st.integers(1, 4))
def test_a_store_pages_in_the_order_of_the_reference(
    store: ResourceStore,
    given_terms: list[Terms],
    updates: list[tuple[int, Terms | None]],
    asked: list[Node],
    sort: tuple[SortKey, ...],
    size: int,
) -> None:
    stored = Stored(store, given_terms, updates)
    for node in asked:
        expected = ordered(sort, stored.matching(node, stored.types), lambda row: stored.place(sort, row))
        search = Search(stored.types, node, sort, count=size, total=True)
        page = store.search(search)
        seen = [(v.type, v.id) for v in page.versions]
        while page.next is not None:
            last = (page.versions[-1].type, page.versions[-1].id)
            assert compare(sort, page.next, stored.place(sort, last)) == 0
            page = store.search(replace(search, after=page.next, bound=page.bound))
            seen += [(v.type, v.id) for v in page.versions]
        assert seen == expected
        assert page.total == len(expected)
        if expected:
            last_place = stored.place(sort, expected[-1])
            back = store.search(replace(search, before=last_place))
            assert [(v.type, v.id) for v in back.versions] == expected[:-1][-size:]
