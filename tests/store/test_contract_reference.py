"""The contract of a store, last part: whatever is stored and asked, a store answers what `match` answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.ports import ResourceStore
from fhir_dmp.search.query import Node, SortKey
from fhir_dmp.search.terms import Terms
from tests.store.reference import Stored, Updates, examples, some_terms, some_updates
from tests.store.strategies import nodes, sorts


@examples(50)
@given(some_terms, some_updates, st.lists(nodes, min_size=1, max_size=12))
def test_a_store_finds_what_match_finds(
    store: ResourceStore, given_terms: list[Terms], updates: Updates, asked: list[Node]
) -> None:
    Stored(store, given_terms, updates).check_finds(asked)


@examples(50)
@given(some_terms, some_updates, nodes, sorts, st.integers(1, 4))
def test_a_store_pages_in_the_order_of_the_reference(
    store: ResourceStore,
    given_terms: list[Terms],
    updates: Updates,
    node: Node,
    sort: tuple[SortKey, ...],
    size: int,
) -> None:
    Stored(store, given_terms, updates).check_pages(node, sort, size)
