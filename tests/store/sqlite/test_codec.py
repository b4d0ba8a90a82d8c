"""Columns, keys, ranges and choices, each by itself."""

from __future__ import annotations

import doctest
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.search.match import span_holds
from fhir_dmp.search.query import And, Node, Op, Term
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.sqlite import SqliteStore, codec, conditions
from fhir_dmp.store.sqlite.codec import Codec, index_word, pack, pack_terms, unpack, unpack_terms, width_class
from fhir_dmp.store.sqlite.conditions import Scope
from fhir_dmp.store.sqlite.drivers import Chooser, Tuning
from fhir_dmp.store.sqlite.spans import condition, ranges
from tests.store.samples import DOC, doc, put
from tests.store.strategies import BOUNDS, terms

intervals = st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(-1e13, 1e13)), min_size=2, max_size=2).map(sorted)


@pytest.mark.parametrize("module", [codec, conditions])
def test_the_examples_of_the_grammars_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@given(st.one_of(st.binary(max_size=50), st.binary(max_size=20).map(lambda tail: b"\x28\xb5\x2f\xfd" + tail)))
def test_whatever_is_packed_is_unpacked(data: bytes) -> None:
    assert unpack(pack(data)) == data
    assert unpack(pack(data * 100)) == data * 100


@given(terms)
def test_packed_terms_come_back(one: Terms) -> None:
    assert unpack_terms(pack_terms(one)) == one


def test_keys_depend_on_type_and_secret_and_forms_of_one_value_are_neighbours() -> None:
    one, other = Codec(b"a" * 16), Codec(b"b" * 16)
    forms = [f"identifier={form}" for form in ("s:urn:x|1", "c:1")]
    keys = [one.token(type_, form)[0] for type_ in (DOC, "List", "-List") for form in forms]
    assert len(set(keys)) == 6
    assert len({key >> 39 for key in keys}) == 1
    assert one.token(DOC, "identifier=c:2")[0] >> 39 != keys[0] >> 39
    assert other.token(DOC, forms[0])[0] != keys[0]
    assert all(0 <= key < 2**63 for key in keys)


@given(st.text(min_size=1), st.text())
def test_a_prefix_of_a_word_is_a_prefix_in_the_full_text_index(word: str, start: str) -> None:
    assert index_word("c", word).startswith(index_word("c", start)) == word.startswith(start)
    assert index_word("c", word).startswith(index_word("c", word[:1]))


@given(st.sampled_from(Op), intervals, intervals)
def test_a_matching_span_lies_in_the_range_of_its_class(op: Op, asked: list[float], stored: list[float]) -> None:
    low, high = asked
    found = ranges(op, low, high)
    if found is None:
        assert op is Op.NE
    elif span_holds(op, low, high, *stored):
        _, least, most = found[width_class(*stored)]
        assert least <= stored[0] <= most


@given(st.sampled_from(Op), intervals, intervals)
def test_a_relation_means_in_sql_what_match_says(op: Op, asked: list[float], stored: list[float]) -> None:
    low, high = asked
    text, params = condition(op, low, high, "lo", "hi")
    con = sqlite3.connect(":memory:")
    rows = con.execute(f"SELECT {text} FROM (SELECT ? AS lo, ? AS hi)", (*params, *stored))
    assert bool(rows.fetchone()[0]) == span_holds(op, low, high, *stored)
    con.close()


def test_the_rarest_condition_drives_and_the_others_follow_by_rarity(sqlite: SqliteStore) -> None:
    put(
        sqlite,
        *(
            doc(f"a{n:02}", tokens=["all=c:1", f"half=c:{n % 2}", f"one=c:{n}", f"patient=r:Patient/p{n % 4}"])
            for n in range(40)
        ),
    )
    chooser = Chooser(Tuning(few=3, many=30))
    scope = Scope(sqlite._codec, DOC)
    parts: tuple[Node, ...] = (Term("all=c:1"), Term("half=c:1"), Term("one=c:5"))
    with sqlite._readers.borrow() as con:
        chosen = chooser.choose(con, And(parts), scope)
        assert (chosen.driver and chosen.driver.node, *chosen.rest) == (parts[2], parts[1], parts[0])
        chosen = chooser.choose(con, And((*parts[:2], Term("patient=r:Patient/p1"))), scope)
        assert chosen.driver is not None
        assert (chosen.driver.node, chosen.driver.estimate) == (Term("patient=r:Patient/p1"), 10)
        # The long postings were measured, so the shorter of the two is probed first, and neither is counted again.
        assert chosen.rest == (parts[1], parts[0])
        seen: list[str] = []
        con.set_trace_callback(seen.append)
        assert chooser.choose(con, And((*parts[:2], Term("patient=r:Patient/p2"))), scope).rest == (parts[1], parts[0])
        assert not any("FROM tok" in statement for statement in seen)
        con.set_trace_callback(None)
        assert chooser.choose(con, And((*parts, Term("one=c:absent"))), scope).nothing
