"""The contract of a store, second part: searches, order, paging, joins."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from threading import Event, Thread

import pytest

from fhir_dmp.errors import Unprocessable
from fhir_dmp.ports import Page, ResourceStore, Write
from fhir_dmp.search.query import (
    And,
    AnyTerm,
    Chain,
    Contains,
    Everything,
    Has,
    Ids,
    LastUpdated,
    Node,
    Not,
    Nothing,
    Op,
    Or,
    Position,
    Prefix,
    Search,
    SortKey,
    Span,
    Term,
    Words,
)
from tests.store.samples import DOC, T0, doc, gone, ids, put
from tests.store.stores import JOIN_CAP

EVERYTHING = Everything()


def found(store: ResourceStore, node: Node) -> set[str]:
    return set(store.find(DOC, node, 1000))


def walk(store: ResourceStore, search: Search) -> list[str]:
    """Return the ids of all pages, forwards, from the bound of the first."""
    page = store.search(search)
    seen = ids(page.versions)
    while page.next is not None:
        page = store.search(replace(search, after=page.next, bound=page.bound))
        seen += ids(page.versions)
    return seen


def test_each_kind_of_node_finds_what_it_means(store: ResourceStore) -> None:
    put(
        store,
        doc("a", tokens=["s=c:x", "t=c:1"], strings=(("name", "durand"), ("name", "marie anne"))),
        doc("b", tokens=["s=c:y", "t=c:1"], spans=(("date", 10.0, 20.0),), at=T0 + 10),
        doc("c", words=(("_text", "compte rendu d hospitalisation"),), at=T0 + 20),
    )
    assert found(store, Term("s=c:x")) == {"a"}
    assert found(store, AnyTerm(("s=c:x", "s=c:y", "s=c:z"))) == {"a", "b"}
    assert found(store, AnyTerm(())) == set()
    assert found(store, Prefix("name", "mar")) == {"a"}
    assert found(store, Prefix("name", "anne")) == set()
    assert found(store, Contains("name", "uran")) == {"a"}
    assert found(store, Span("date", Op.EQ, 10, 30)) == {"b"}
    assert found(store, Span("date", Op.SA, 10, 30)) == set()
    assert found(store, Words("_text", ("hosp", "compte"))) == {"c"}
    assert found(store, Words("_text", ("compte", "absent"))) == set()
    assert found(store, Words("_content", ("compte",))) == set()
    assert found(store, Ids(("a", "c", "zz"))) == {"a", "c"}
    assert found(store, LastUpdated(Op.GT, T0, T0 + 1)) == {"b", "c"}
    assert found(store, LastUpdated(Op.EQ, T0, T0 + 11)) == {"a", "b"}
    assert found(store, And((Term("t=c:1"), Not(Term("s=c:x"))))) == {"b"}
    assert found(store, Or((Term("s=c:x"), Words("_text", ("rendu",))))) == {"a", "c"}
    assert found(store, Not(Or((Term("s=c:x"), Ids(("b",)))))) == {"c"}
    assert found(store, And(())) == {"a", "b", "c"}
    assert found(store, Or(())) == set()
    assert found(store, Everything()) == {"a", "b", "c"}
    assert found(store, Nothing()) == set()


def test_a_search_answers_whole_versions(store: ResourceStore) -> None:
    (made,) = put(store, doc("a", tokens=["s=c:x"], patient="Patient/p1", text="é" * 3000))
    page = store.search(Search((DOC,), Term("s=c:x")))
    assert page == Page((made,), bound=made.seq)


def test_only_current_terms_of_living_resources_are_found(store: ResourceStore) -> None:
    put(store, doc("a", tokens=["s=c:old"], strings=(("n", "old"),), spans=(("d", 1, 2),), words=(("w", "old"),)))
    put(store, doc("a", 2, tokens=["s=c:new"], strings=(("n", "new"),), spans=(("d", 5, 6),), words=(("w", "new"),)))
    old: list[Node] = [Term("s=c:old"), Prefix("n", "old"), Span("d", Op.EQ, 1, 2), Words("w", ("old",))]
    for node in old:
        assert found(store, node) == set()
    new: list[Node] = [Term("s=c:new"), Prefix("n", "new"), Span("d", Op.EQ, 5, 6), Words("w", ("new",))]
    for node in new:
        assert found(store, node) == {"a"}
    put(store, gone("a", 3))
    for node in [*new, Everything(), Ids(("a",)), Not(Nothing())]:
        assert found(store, node) == set()
    assert store.search(Search((DOC,), EVERYTHING, total=True)) == Page((), bound=store.sequence(), total=0)


def test_a_deleted_resource_is_not_found_by_the_terms_of_its_tombstone(store: ResourceStore) -> None:
    put(store, doc("a", tokens=["s=c:x"]), gone("a", 2, terms=doc("a", tokens=["s=c:x"]).terms))
    assert found(store, Term("s=c:x")) == set()
    assert store.count((DOC,), Term("s=c:x")) == 0


def test_types_do_not_mix(store: ResourceStore) -> None:
    put(store, doc("a", tokens=["s=c:x"]), doc("b", type_="List", tokens=["s=c:x"]))
    assert found(store, Term("s=c:x")) == {"a"}
    assert store.count((DOC, "List"), Term("s=c:x")) == 2
    assert store.count(("Patient",), Term("s=c:x")) == 0


def test_find_stops_at_its_limit(store: ResourceStore) -> None:
    put(store, *(doc(f"a{n}", tokens=["s=c:x"]) for n in range(7)))
    assert len(set(store.find(DOC, Term("s=c:x"), 4))) == 4
    assert len(store.find(DOC, Everything(), 100)) == 7
    assert store.find(DOC, Everything(), 0) == []


def test_without_sort_the_most_recently_updated_come_first(store: ResourceStore) -> None:
    put(store, doc("a", at=T0 + 5), doc("b", at=T0 + 9), doc("c", at=T0 + 9), doc("d", at=T0), doc("d", 2, at=T0 + 20))
    assert ids(store.search(Search((DOC,), EVERYTHING)).versions) == ["d", "b", "c", "a"]
    assert ids(store.search(Search((DOC,), EVERYTHING, (SortKey("_lastUpdated"),))).versions) == ["a", "b", "c", "d"]


SORTED: list[tuple[str, tuple[int | float | str, int | float | str] | None]] = [
    ("a", (3, 7)),
    ("b", (1, 9)),
    ("c", None),
    ("d", (2.5, 2.5)),
    ("e", (1, 5)),
    ("f", None),
]


def with_sort(store: ResourceStore, param: str = "date") -> None:
    put(store, *(doc(id_, sort={} if pair is None else {param: pair}, tokens=["s=c:x"]) for id_, pair in SORTED))


@pytest.mark.statement("fhir-rest E135")
@pytest.mark.parametrize("param", ["date", "period"])
@pytest.mark.parametrize("node", [EVERYTHING, Term("s=c:x")])
def test_rows_without_the_value_come_last_in_both_directions(store: ResourceStore, param: str, node: Node) -> None:
    with_sort(store, param)
    assert walk(store, Search((DOC,), node, (SortKey(param),), count=2)) == ["b", "e", "d", "a", "c", "f"]
    assert walk(store, Search((DOC,), node, (SortKey(param, True),), count=2)) == ["b", "a", "e", "d", "c", "f"]


def test_two_sort_keys_then_type_then_id(store: ResourceStore) -> None:
    put(
        store,
        doc("a", sort={"name": ("b", "b")}),
        doc("b", sort={"name": ("a", "a"), "n": (1, 1)}),
        doc("c", sort={"name": ("a", "a"), "n": (2, 2)}),
        doc("a", type_="List", sort={"name": ("b", "b")}),
        doc("z", type_="Aaa", sort={"name": ("b", "b")}),
        doc("d", sort={"n": (9, 9)}),
    )
    sort = (SortKey("name"), SortKey("n", True))
    versions = store.search(Search((DOC, "List", "Aaa"), EVERYTHING, sort)).versions
    assert [(v.type, v.id) for v in versions] == [
        (DOC, "c"),
        (DOC, "b"),
        ("Aaa", "z"),
        (DOC, "a"),
        ("List", "a"),
        (DOC, "d"),
    ]
    assert ids(store.search(Search((DOC,), EVERYTHING, (SortKey("_id", True),))).versions) == ["d", "c", "b", "a"]


def test_a_position_names_values_type_and_id_of_the_last_row(store: ResourceStore) -> None:
    with_sort(store)
    page = store.search(Search((DOC,), EVERYTHING, (SortKey("date", True), SortKey("_id")), count=3))
    assert page.next == Position((5, "e"), DOC, "e")
    assert page.previous is None
    page = store.search(Search((DOC,), EVERYTHING, count=1))
    assert page.next == Position((T0,), DOC, "a")


@pytest.mark.statement("fhir-rest E132")
@pytest.mark.parametrize(
    "sort",
    [(), (SortKey("date", True),), (SortKey("date"), SortKey("_id", True)), (SortKey("_id"),), (SortKey("n", True),)],
)
def test_the_previous_page_is_the_page_one_came_from(store: ResourceStore, sort: tuple[SortKey, ...]) -> None:
    put(
        store,
        *(doc(f"a{n:02}", at=T0 + n % 3, sort={"date": (n % 4, n % 4)} if n % 5 else {}) for n in range(11)),
        *(doc(f"b{n:02}", type_="List", at=T0 + n % 2, sort={"n": (n, n)}) for n in range(4)),
    )
    search = Search((DOC, "List"), EVERYTHING, sort, count=4)
    pages = [store.search(search)]
    while pages[-1].next is not None:
        pages.append(store.search(replace(search, after=pages[-1].next, bound=pages[0].bound)))
    assert [len(page.versions) for page in pages] == [4, 4, 4, 3]
    assert len({v.key for page in pages for v in page.versions}) == 15
    for earlier, later in pairwise(pages):
        assert later.previous is not None
        back = store.search(replace(search, before=later.previous, bound=pages[0].bound))
        assert back.versions == earlier.versions
        assert back.next == earlier.next
    first = store.search(replace(search, before=pages[1].previous))
    assert first.previous is None


def test_a_page_before_the_first_row_is_empty(store: ResourceStore) -> None:
    put(store, doc("a"), doc("b"))
    page = store.search(Search((DOC,), EVERYTHING, before=Position((T0,), DOC, "a")))
    assert (page.versions, page.next, page.previous) == ((), None, None)


def test_the_bound_hides_what_was_committed_later(store: ResourceStore) -> None:
    put(store, doc("a"), doc("b"))
    bound = store.sequence()
    put(store, doc("c"), doc("b", 2, at=T0 + 9))
    page = store.search(Search((DOC,), EVERYTHING, bound=bound, total=True))
    assert (ids(page.versions), page.bound, page.total) == (["a"], bound, 1)
    assert store.search(Search((DOC,), EVERYTHING)).bound == store.sequence()


@pytest.mark.statement("fhir-rest E131")
@pytest.mark.statement("dmp-fhir 9.7/127")
def test_paging_visits_each_unchanged_row_once_while_others_write(store: ResourceStore) -> None:
    put(store, *(doc(f"k{n:03}", at=T0 + n % 7, tokens=["s=c:x"], sort={"date": (n % 9, n % 9)}) for n in range(60)))
    stop = Event()

    def disturb() -> None:
        number = 0
        while not stop.is_set():
            put(store, doc(f"new{number}", at=T0 + number % 11, tokens=["s=c:x"], sort={"date": (number % 9,) * 2}))
            if number % 3 == 0:
                put(store, gone(f"new{number}", 2))
            number += 1
            stop.wait(0.002)

    thread = Thread(target=disturb)
    thread.start()
    try:
        for sort in ((), (SortKey("date", True),), (SortKey("date"),)):
            seen = walk(store, Search((DOC,), Term("s=c:x"), sort, count=7))
            kept = [id_ for id_ in seen if id_.startswith("k")]
            assert sorted(kept) == [f"k{n:03}" for n in range(60)]
            assert len(seen) == len(set(seen))
    finally:
        stop.set()
        thread.join()


def test_totals_are_counted_only_when_asked(store: ResourceStore) -> None:
    put(store, *(doc(f"a{n}", tokens=["s=c:x"] if n % 2 else []) for n in range(9)))
    assert store.search(Search((DOC,), Term("s=c:x"), count=2)).total is None
    page = store.search(Search((DOC,), Term("s=c:x"), count=2, total=True))
    assert (len(page.versions), page.total) == (2, 4)
    assert store.search(Search((DOC,), Term("s=c:x"), count=2, total=True, after=page.next)).total == 4
    assert store.search(Search((DOC, "List"), EVERYTHING, count=20, total=True)).total == 9
    empty = store.search(Search((DOC,), Term("s=c:x"), count=0, total=True))
    assert (empty.versions, empty.total, empty.next) == ((), 4, None)


def people(store: ResourceStore) -> None:
    put(
        store,
        doc("p1", type_="Patient", tokens=["name=c:a", "general-practitioner=r:Practitioner/g1"]),
        doc("p2", type_="Patient", tokens=["name=c:b", "general-practitioner=r:Practitioner/g2"]),
        doc("p3", type_="Patient", tokens=["name=c:a"]),
        gone("p3", 2, type_="Patient"),
        doc("g1", type_="Practitioner", tokens=["city=c:lyon"]),
        doc("a", tokens=["subject=r:Patient/p1", "status=c:current"]),
        doc("b", tokens=["subject=r:Patient/p2", "status=c:current"]),
        doc("c", tokens=["subject=r:Patient/p3", "status=c:current"]),
        doc("d", tokens=["subject=r:Practitioner/g1", "status=c:superseded"]),
    )


def test_a_chain_follows_references_to_living_resources(store: ResourceStore) -> None:
    people(store)
    assert found(store, Chain("subject", (("Patient", Term("name=c:a")),))) == {"a"}
    both = Chain("subject", (("Patient", Term("name=c:b")), ("Practitioner", Term("city=c:lyon"))))
    assert found(store, both) == {"b", "d"}
    deep = Chain("subject", (("Patient", Chain("general-practitioner", (("Practitioner", Term("city=c:lyon")),))),))
    assert found(store, deep) == {"a"}
    assert found(store, Not(Chain("subject", (("Patient", Term("name=c:a")),)))) == {"b", "c", "d"}
    assert store.count((DOC,), deep) == 1
    assert ids(store.search(Search((DOC,), deep)).versions) == ["a"]


def test_reverse_chaining_finds_what_is_referred_to(store: ResourceStore) -> None:
    people(store)
    current = Has("Patient", DOC, "subject", Term("status=c:current"))
    assert set(store.find("Patient", current, 10)) == {"p1", "p2"}
    assert store.find("Practitioner", Has("Practitioner", DOC, "subject", Term("status=c:superseded")), 10) == ["g1"]
    assert store.find("Patient", Has("Patient", DOC, "subject", Term("status=c:absent")), 10) == []
    nested = Chain("subject", (("Patient", Has("Patient", DOC, "subject", Term("status=c:current"))),))
    assert found(store, nested) == {"a", "b"}


@pytest.mark.parametrize("forwards", [True, False])
def test_a_join_above_the_cap_is_refused_as_too_costly(store: ResourceStore, forwards: bool) -> None:
    def patients(count: int, start: int = 0) -> list[Write]:
        numbers = range(start, start + count)
        return [doc(f"p{n}", type_="Patient", tokens=["name=c:a"]) for n in numbers] + [
            doc(f"d{n}", tokens=[f"subject=r:Patient/p{n}", "s=c:x"]) for n in numbers
        ]

    type_, node = DOC, Chain("subject", (("Patient", Term("name=c:a")),))
    join: Node = node
    if not forwards:
        type_, join = "Patient", Has("Patient", DOC, "subject", Term("s=c:x"))
    put(store, *patients(JOIN_CAP))
    assert len(store.find(type_, join, 1000)) == JOIN_CAP
    put(store, *patients(1, JOIN_CAP))
    for ask in (
        lambda: store.search(Search((type_,), join)).versions,
        lambda: store.find(type_, join, 5),
        lambda: store.count((type_,), join),
    ):
        with pytest.raises(Unprocessable) as caught:
            ask()
        assert caught.value.issues[0].code == "too-costly"


def test_what_is_asked_of_one_type_is_not_asked_of_the_others(store: ResourceStore) -> None:
    put(store, doc("a", tokens=["p=c:1"]), doc("b", tokens=["p=c:2"]), doc("c", tokens=["p=c:2"], type_="Observation"))
    wanted = Search((DOC, "Observation"), Everything(), each=((DOC, Term("p=c:1")),), total=True)
    page = store.search(wanted)
    assert sorted(ids(page.versions)) == ["a", "c"]
    assert page.total == 2
    joined = Chain("s", ((DOC, Term("p=c:1")),))
    put(store, doc("d", tokens=[f"s=r:{DOC}/a"], type_="Observation"))
    assert ids(store.search(replace(wanted, each=((DOC, Nothing()), ("Observation", joined)))).versions) == ["d"]
