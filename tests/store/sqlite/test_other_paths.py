"""The ways of running a search that only many resources would take, taken with few, and compared with the reference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.ports import HistoryQuery, ResourceStore
from fhir_dmp.search.query import And, AnyTerm, Node, Not, Or, Search, SortKey, Term
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.store.sqlite import Limits, open_sqlite
from fhir_dmp.store.sqlite.drivers import Tuning
from tests.store.reference import Stored, Updates, examples, some_terms, some_updates
from tests.store.samples import T0, doc, gone, ids, put
from tests.store.strategies import nodes, sorts

#: Nothing is selective: every search walks an ordered index; with no patience it is always given up.
TUNINGS = {
    "walks": Tuning(few=1, many=1),
    "gives-up": Tuning(few=1, many=1, patience=1),
    "looks-twice": Tuning(few=2, many=4),
}


@pytest.fixture(params=sorted(TUNINGS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResourceStore]:
    opened = open_sqlite(tmp_path / "dmp.sqlite3", Limits(tuning=TUNINGS[request.param]))
    yield opened
    opened.close()


@examples(60)
@given(some_terms, some_updates, st.lists(nodes, min_size=1, max_size=12))
def test_every_way_finds_what_match_finds(
    store: ResourceStore, given_terms: list[Terms], updates: Updates, asked: list[Node]
) -> None:
    Stored(store, given_terms, updates).check_finds(asked)


@examples(60)
@given(some_terms, some_updates, nodes, sorts, st.integers(1, 4))
def test_every_way_pages_in_the_same_order(
    store: ResourceStore,
    given_terms: list[Terms],
    updates: Updates,
    node: Node,
    sort: tuple[SortKey, ...],
    size: int,
) -> None:
    Stored(store, given_terms, updates).check_pages(node, sort, size)


def test_history_with_a_node_that_is_not_selective(store: ResourceStore) -> None:
    reference = MemoryStore()
    for each in (store, reference):
        put(each, *(doc(f"a{n}", at=T0 + n, tokens=[f"s=c:{n % 2}", "all=c:1"]) for n in range(12)))
        put(each, gone("a4", 2, terms=doc("x", tokens=["s=c:1"]).terms), doc("a5", 2, tokens=["s=c:0"]))
    for node in (Term("s=c:1"), Not(Term("s=c:1")), AnyTerm(("s=c:0", "s=c:7")), Or((Term("s=c:1"), Term("all=c:1")))):
        query = HistoryQuery(node=node, count=100)
        assert ids(store.history(query).versions) == ids(reference.history(query).versions)


def test_long_lists_of_values_are_one_parameter(store: ResourceStore) -> None:
    put(store, *(doc(f"a{n}", tokens=[f"type=c:{n}", "s=c:x"]) for n in range(20)))
    many = AnyTerm(tuple(f"type=c:{n}" for n in range(5, 9_000)))
    assert store.count(("DocumentReference",), And((Term("s=c:x"), many))) == 15
    assert store.count(("DocumentReference",), Not(many)) == 5
    assert store.count(("DocumentReference",), Or(tuple(Not(Term(f"type=c:{n}")) for n in range(2_000)))) == 20
    page = store.search(Search(("DocumentReference",), And((Term("s=c:x"), many)), count=4, total=True))
    assert (len(page.versions), page.total) == (4, 15)
