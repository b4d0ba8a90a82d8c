"""Narrowing by the sets of tokens that timelines name: what is found, what is not read, what older files hold."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from fhir_dmp.ports import Version, Write
from fhir_dmp.search.query import And, AnyTerm, Node, Not, Or, Search, SortKey, Term, both
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.sqlite import SqliteStore, open_sqlite
from tests.store.samples import DOC, T0, doc, gone, put
from tests.store.sqlite.test_plans import statements

PATIENT = Term("patient=r:Patient/p1")
SHOWN = And(
    (
        Or((And((Not(Term("security-label=c:masque_ps")), AnyTerm(("type=c:1", "type=c:2")))), Term("author=r:P/1"))),
        Not(Term("status=c:entered-in-error")),
    )
)
NEWEST = (SortKey("date", True),)


def terms_of(number: int, *tokens: str) -> Terms:
    named = ("patient=r:Patient/p1", "subject=r:Patient/p1", f"identifier=c:{number}")
    return Terms(tokens=(*named, *tokens), sort={"date": (number, number + 1)})


def document(number: int, *tokens: str, version: int = 1) -> Write:
    return replace(doc(f"a{number:02}", version, at=T0 + number), terms=terms_of(number, *tokens))


@pytest.fixture
def filled(sqlite: SqliteStore) -> SqliteStore:
    put(
        sqlite,
        document(0, "type=c:1", "status=c:current"),
        document(1, "type=c:1", "status=c:current", "security-label=c:masque_ps"),
        document(2, "type=c:3", "status=c:current"),
        document(3, "type=c:3", "status=c:current", "author=r:P/1"),
        document(4, "type=c:2", "status=c:entered-in-error"),
        document(5, "type=c:1", "status=c:current"),
    )
    return sqlite


def found(store: SqliteStore, *nodes: Node) -> tuple[list[str], int | None]:
    page = store.search(Search(types=(DOC,), node=both(PATIENT, *nodes), sort=NEWEST, count=20, total=True))
    return [version.id for version in page.versions], page.total


def test_a_filter_of_types_labels_and_authors_is_judged_without_probing_an_index(filled: SqliteStore) -> None:
    with statements(filled) as seen:
        assert found(filled, SHOWN) == (["a05", "a03", "a00"], 3)
    assert not any(" tok " in statement for statement in seen)
    assert sum("FROM facet" in statement or "JOIN facet" in statement for statement in seen) == 1


def test_sets_that_were_asked_for_lately_are_not_read_again(filled: SqliteStore) -> None:
    found(filled, SHOWN)
    with statements(filled) as seen:
        assert found(filled, Term("type=c:1")) == (["a05", "a01", "a00"], 3)
    assert not any("facet" in statement for statement in seen)


def test_what_the_sets_do_not_tell_is_probed_beside_them(filled: SqliteStore) -> None:
    asked = AnyTerm(("identifier=c:0", "identifier=c:1", "identifier=c:3"))
    assert found(filled, SHOWN, asked) == (["a03", "a00"], 2)
    assert found(filled, Or((Term("type=c:2"), Term("identifier=c:3")))) == (["a04", "a03"], 2)


def test_a_document_that_changes_its_label_is_found_by_the_new_one_at_once(filled: SqliteStore) -> None:
    put(filled, document(0, "type=c:1", "status=c:current", "security-label=c:masque_ps", version=2))
    assert found(filled, SHOWN) == (["a05", "a03"], 2)
    put(filled, gone("a05", 2))
    assert found(filled, SHOWN) == (["a03"], 1)
    assert filled.verify() == []


def terms(version: Version) -> Terms:
    number = int(version.id[1:])
    return terms_of(number, f"type=c:{1 if number == 7 else number % 3}", "status=c:current")


def test_an_older_file_gives_the_same_answers_and_reindexing_completes_it(path: Path) -> None:
    store = open_sqlite(path)
    put(store, *(document(n, f"type=c:{n % 3}", "status=c:current") for n in range(6)))
    store.close()
    _as_layout_3(path)
    store = open_sqlite(path)
    try:
        put(store, document(7, "type=c:1", "status=c:current"))
        expected = ["a07", "a05", "a04", "a02", "a01"]
        assert found(store, SHOWN) == (expected, 5)
        assert store.verify() == []
        with statements(store) as seen:
            found(store, SHOWN)
        assert any(" tok " in statement for statement in seen), "rows without a set are looked up in the indexes"
        assert store.reindex(DOC, terms, None, 100) is None
        with statements(store) as seen:
            assert found(store, SHOWN) == (expected, 5)
        assert not any(" tok " in statement for statement in seen)
        assert store.verify() == []
    finally:
        store.close()


def _as_layout_3(path: Path) -> None:
    """Take away what later layouts added."""
    con = sqlite3.connect(path)
    con.execute("ALTER TABLE tl DROP COLUMN a")
    con.execute("DROP TABLE facet")
    con.execute("ALTER TABLE trm DROP COLUMN sealed")
    con.execute("PRAGMA user_version = 3")
    con.commit()
    con.close()


@pytest.mark.parametrize("statement", ["DELETE FROM facet", "UPDATE facet SET keys = x'00'"])
def test_the_self_check_tells_that_a_set_is_damaged(filled: SqliteStore, statement: str) -> None:
    filled._writer._con.execute(statement)
    assert any("set of tokens" in line for line in filled.verify())


def test_a_set_that_is_missing_hides_nothing_and_shows_nothing_more(filled: SqliteStore) -> None:
    filled._writer._con.execute("DELETE FROM facet")
    assert found(filled, SHOWN) == (["a05", "a03", "a00"], 3)
