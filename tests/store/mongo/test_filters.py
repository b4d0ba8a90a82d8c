"""Queries as filters: values never become operators, ranges mean what prefixes mean."""

from __future__ import annotations

from typing import Any

import mongomock
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.search.query import AnyTerm, Chain, Contains, Everything, Ids, Node, Op, Prefix, Span, Term, Words
from fhir_dmp.store.mongo.filters import Dialect, _after, compiled
from tests.store.strategies import nodes

PLACE = Dialect("_id")
HOSTILE = ("$where", "$gt", '{"$ne": null}', "a.b", "$", "x\0y", "^.*$", "[", "\\", "a|b")
OPERATORS = {"$eq", "$in", "$gte", "$gt", "$lt", "$lte", "$and", "$or", "$nor", "$elemMatch", "$regex"}
OURS = OPERATORS | {"_id", "pat", "t", "r", "x", "q", "k", "lo", "hi", "u"}


def keys(value: Any) -> set[str]:
    """Return every key of a filter, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*(keys(part) for part in value.values()))
    return set().union(*(keys(part) for part in value)) if isinstance(value, list) else set()


@given(nodes, st.booleans())
def test_a_filter_has_no_key_but_ours(node: Node, elem_match: bool) -> None:
    assert keys(compiled(node, Dialect("_id", elem_match))) <= OURS


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("elem_match", [True, False])
def test_hostile_text_is_only_text(text: str, elem_match: bool) -> None:
    rows: Any = mongomock.MongoClient()["x"]["y"]
    rows.insert_one({"_id": text, "t": [f"p=c:{text}"], "r": [], "x": [f"n|{text}tail", f"w#{text}"]})
    rows.insert_one({"_id": "other", "t": ["p=c:other"], "r": [], "x": ["n|other", "w#other"]})
    for node in (
        Term(f"p=c:{text}"),
        AnyTerm((f"p=c:{text}", "p=c:none")),
        Ids((text,)),
        Prefix("n", text),
        Contains("n", f"{text}tai"),
        Words("w", (text,)),
    ):
        found = [row["_id"] for row in rows.find(compiled(node, Dialect("_id", elem_match)))]
        assert found == [text]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"])))
def test_the_range_of_a_prefix_holds_exactly_what_starts_with_it(prefix: str, other: str) -> None:
    start = "p|" + prefix
    assert start <= start + other < _after(start)
    assert (start <= "p|" + other < _after(start)) is ("p|" + other).startswith(start)
    assert _after(start).encode() > (start + other).encode()


def test_a_patient_leads_the_index_and_the_reference_judges() -> None:
    assert compiled(Term("patient=r:Patient/1"), PLACE) == {
        "pat": {"$in": ["Patient/1", "*"]},
        "r": {"$eq": "patient=r:Patient/1"},
    }
    assert compiled(AnyTerm(("subject=r:Patient/1", "patient=r:Patient/1")), PLACE) == {
        "pat": {"$in": ["Patient/1", "*"]},
        "r": {"$in": ["subject=r:Patient/1", "patient=r:Patient/1"]},
    }
    assert compiled(Term("author=r:Patient/1"), PLACE) == {"r": {"$eq": "author=r:Patient/1"}}
    assert compiled(Term("subject=r:Group/1"), PLACE) == {"r": {"$eq": "subject=r:Group/1"}}


def test_the_bounds_of_one_span_are_judged_together() -> None:
    assert compiled(Span("date", Op.EQ, 1, 2), PLACE) == {
        "q": {"$elemMatch": {"k": {"$eq": "date"}, "lo": {"$gte": 1}, "hi": {"$lte": 2}}}
    }


def test_joins_must_have_been_resolved() -> None:
    with pytest.raises(TypeError):
        compiled(Chain("subject", (("Patient", Everything()),)), PLACE)


def test_a_cluster_is_told_the_bucket_of_the_patient() -> None:
    patient = "01890a5d-ac96-7b3f-8cce-1f1c2d3e4f50"
    assert compiled(Term(f"patient=r:Patient/{patient}"), Dialect("_id", sharded=True)) == {
        "pb": {"$in": [-1, 0xB3F]},
        "pat": {"$in": [f"Patient/{patient}", "*"]},
        "r": {"$eq": f"patient=r:Patient/{patient}"},
    }
