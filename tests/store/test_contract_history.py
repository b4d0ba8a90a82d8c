"""The contract of a store, third part: history."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_dmp.ports import Commit, HistoryPage, HistoryQuery, ResourceStore, Version
from fhir_dmp.search.query import Chain, Not, Term
from fhir_dmp.search.terms import Terms
from tests.store.samples import DOC, T0, doc, gone, put


def made(store: ResourceStore) -> list[Version]:
    """Store three documents and a list in seven versions, and return these in commit order."""
    return put(
        store,
        doc("a", at=T0, tokens=["s=c:x"]),
        doc("b", at=T0 + 10, tokens=["s=c:y"]),
        doc("l", type_="List", at=T0 + 20, tokens=["s=c:x"]),
        doc("a", 2, at=T0 + 30, tokens=["s=c:x", "t=c:1"]),
        gone("b", 2, at=T0 + 40),
        doc("a", 3, at=T0 + 50, tokens=["s=c:z"]),
        doc("c", at=T0 + 45, tokens=["s=c:x"]),
    )


def picked(versions: list[Version], *numbers: int) -> tuple[Version, ...]:
    return tuple(versions[number] for number in numbers)


@pytest.mark.statement("fhir-rest G175")
def test_the_history_of_a_resource_is_newest_first(store: ResourceStore) -> None:
    versions = made(store)
    page = store.history(HistoryQuery(type=DOC, id="a"))
    assert page.versions == picked(versions, 5, 3, 0)
    assert page.next_seq is None
    assert page.total == 3
    assert store.history(HistoryQuery(type=DOC, id="a", count=1, before_seq=page.versions[0].seq)).total == 3
    assert store.history(HistoryQuery(type=DOC, id="a", since_ms=T0 + 30)).total == 2


@pytest.mark.statement("fhir-rest G181")
def test_deletions_are_part_of_history_and_unknown_ids_have_none(store: ResourceStore) -> None:
    versions = made(store)
    assert store.history(HistoryQuery(type=DOC, id="b")).versions == picked(versions, 4, 1)
    assert store.history(HistoryQuery(type=DOC, id="zz")).versions == ()
    assert store.history(HistoryQuery(type="List", id="a")).versions == ()


@pytest.mark.statement("fhir-rest G177")
def test_types_and_everything_merge_in_commit_order(store: ResourceStore) -> None:
    versions = made(store)
    assert store.history(HistoryQuery(type=DOC)).versions == picked(versions, 6, 5, 4, 3, 1, 0)
    assert store.history(HistoryQuery()).versions == tuple(reversed(versions))
    assert store.history(HistoryQuery(types=("List", "Patient"))).versions == picked(versions, 2)
    assert store.history(HistoryQuery(types=(DOC, "List"))).versions == tuple(reversed(versions))
    assert store.history(HistoryQuery(types=())).versions == ()


@pytest.mark.statement("fhir-rest G178")
def test_since_includes_its_millisecond(store: ResourceStore) -> None:
    versions = made(store)
    assert store.history(HistoryQuery(since_ms=T0 + 45)).versions == picked(versions, 6, 5)
    assert store.history(HistoryQuery(since_ms=T0 + 46)).versions == picked(versions, 5)
    assert store.history(HistoryQuery(since_ms=T0 + 1000)) == HistoryPage((), None, store_total(store))
    assert store.history(HistoryQuery(type=DOC, id="a", since_ms=T0 + 30)).versions == picked(versions, 5, 3)


def store_total(store: ResourceStore) -> int | None:
    """Return what a store says of the total of nothing: 0 when it counts, None when it does not."""
    return store.history(HistoryQuery(since_ms=T0 + 1000)).total


@pytest.mark.statement("fhir-rest G179")
def test_at_gives_the_versions_in_force_in_an_interval(store: ResourceStore) -> None:
    versions = made(store)
    at = [
        (T0 - 10, T0, ()),
        (T0, T0 + 1, (0,)),
        (T0 + 29, T0 + 30, (2, 1, 0)),
        (T0 + 30, T0 + 31, (3, 2, 1)),
        (T0 + 29, T0 + 31, (3, 2, 1, 0)),
        (T0 + 60, T0 + 61, (6, 5, 4, 2)),
    ]
    for low, high, numbers in at:
        page = store.history(HistoryQuery(at=(low, high)))
        assert page.versions == picked(versions, *numbers)
    assert store.history(HistoryQuery(type=DOC, id="a", at=(T0 + 35, T0 + 36))).versions == picked(versions, 3)


@pytest.mark.statement("fhir-rest G180")
@pytest.mark.parametrize("query", [HistoryQuery(), HistoryQuery(type=DOC), HistoryQuery(type=DOC, id="a")])
def test_history_is_paged_by_sequence_and_stable_under_writes(store: ResourceStore, query: HistoryQuery) -> None:
    made(store)
    everything = store.history(replace(query, count=100)).versions
    seen: list[Version] = []
    page = store.history(replace(query, count=2))
    seen += page.versions
    number = 3
    while page.next_seq is not None:
        assert page.next_seq == page.versions[-1].seq
        number += 1
        put(store, doc("a", number, at=T0 + 100))
        page = store.history(replace(query, count=2, before_seq=page.next_seq))
        seen += page.versions
    assert tuple(seen) == everything


def test_each_write_of_one_commit_can_be_paged_to(atomic: ResourceStore) -> None:
    atomic.commit(Commit(writes=tuple(doc(f"a{n}") for n in range(5))))
    first = atomic.history(HistoryQuery(count=3))
    rest = atomic.history(HistoryQuery(count=3, before_seq=first.next_seq))
    assert [v.id for v in first.versions + rest.versions] == ["a4", "a3", "a2", "a1", "a0"]
    assert rest.next_seq is None


@pytest.mark.statement("fhir-rest G182")
def test_a_version_is_in_history_as_soon_as_it_is_written(store: ResourceStore) -> None:
    for number in range(1, 6):
        (version,) = put(store, doc("a", number))
        assert store.history(HistoryQuery(count=1)).versions == (version,)


def test_a_node_judges_the_current_version_only(store: ResourceStore) -> None:
    versions = made(store)
    assert store.history(HistoryQuery(node=Term("s=c:x"))).versions == picked(versions, 6, 2)
    assert store.history(HistoryQuery(type=DOC, node=Term("s=c:z"))).versions == picked(versions, 5, 3, 0)
    assert store.history(HistoryQuery(node=Not(Term("s=c:x")))).versions == picked(versions, 5, 4, 3, 1, 0)
    assert store.history(HistoryQuery(type=DOC, id="a", node=Term("s=c:x"))).versions == ()
    first = store.history(HistoryQuery(type=DOC, node=Term("s=c:z"), count=2))
    assert (first.versions, first.next_seq) == (picked(versions, 5, 3), versions[3].seq)


def test_a_tombstone_is_judged_by_the_terms_it_carries(store: ResourceStore) -> None:
    kept = Terms(tokens=("patient=r:Patient/p1",), patient="Patient/p1")
    first, second = put(store, doc("a", tokens=kept.tokens, patient="Patient/p1"), gone("a", 2, terms=kept))
    put(store, doc("b", tokens=["patient=r:Patient/p2"]))
    assert store.history(HistoryQuery(node=Term("patient=r:Patient/p1"))).versions == (second, first)
    assert second.patient == "Patient/p1"


def test_a_joined_node_is_resolved_for_history_too(store: ResourceStore) -> None:
    put(store, doc("p1", type_="Patient", tokens=["n=c:a"]), doc("a", tokens=["subject=r:Patient/p1"]), doc("b"))
    node = Chain("subject", (("Patient", Term("n=c:a")),))
    assert [v.id for v in store.history(HistoryQuery(type=DOC, node=node)).versions] == ["a"]
