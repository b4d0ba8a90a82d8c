"""The hot searches never scan a table or an index from end to end, and never sort more than they must."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fhir_dmp.ports import AuditQuery, HistoryQuery, Key, ResourceStore
from fhir_dmp.search.query import (
    And,
    AnyTerm,
    Chain,
    Ids,
    LastUpdated,
    Node,
    Not,
    Op,
    Or,
    Prefix,
    Search,
    SortKey,
    Span,
    Term,
    Words,
)
from fhir_dmp.store.sqlite import SqliteStore
from tests.store.samples import DOC, T0, doc, put, record

PATIENT = Term("patient=r:Patient/p1")
NEWEST = (SortKey("date", True),)


@pytest.fixture
def filled(sqlite: SqliteStore) -> SqliteStore:
    put(
        sqlite,
        *(
            doc(
                f"a{n:02}",
                at=T0 + n,
                tokens=[f"patient=r:Patient/p{n % 3}", "status=c:current", f"type=c:{n % 5}", f"identifier=c:{n}"],
                strings=(("title", f"titre {n}"),),
                spans=(("period", T0 + n, T0 + n + 10),),
                words=(("_content", f"mot{n} compte"),),
                sort={"date": (n, n + 1)},
                uniques=[f"u|{n}"],
            )
            for n in range(30)
        ),
    )
    return sqlite


@contextmanager
def statements(store: SqliteStore) -> Iterator[list[str]]:
    """Collect the statements that a reader runs, with their values."""
    seen: list[str] = []
    with store._readers.borrow() as con:
        con.set_trace_callback(seen.append)
    yield seen
    with store._readers.borrow() as con:
        con.set_trace_callback(None)


def plan_of(store: SqliteStore, seen: list[str]) -> list[str]:
    """Return the lines of the plans of the statements."""
    lines: list[str] = []
    with store._readers.borrow() as con:
        for statement in seen:
            if statement.startswith(("SELECT", "WITH")) and "fts_config" not in statement:
                lines += [row[3] for row in con.execute(f"EXPLAIN QUERY PLAN {statement}")]
    return lines


def full_scans(lines: list[str]) -> list[str]:
    """Return the steps that read a stored table or index whole; subqueries and JSON arrays are small."""
    harmless = (
        "SCAN j",
        "SCAN c",
        "SCAN d",
        "SCAN CONSTANT ROW",
        "SCAN json_each",
        "SCAN (",
        "SCAN fts VIRTUAL",
        "SCAN t",
    )
    found = [line for line in lines if line.startswith("SCAN") and not line.startswith(harmless)]
    return [line for line in found if "CONSTANT ROW" not in line and "VIRTUAL TABLE INDEX" not in line]


#: A chain to authors of whom none is there, beside the authors inside the document.
AUTHOR = Or(
    (
        Chain("author", (("Practitioner", Term("identifier=c:absent")), ("Device", Term("identifier=c:absent")))),
        Term("author.identifier=c:absent"),
    )
)
NOWHERE: tuple[Node, ...] = (Term("identifier=c:absent"), AUTHOR, Words("_content", ("absent",)))

HOT: list[tuple[Node, tuple[SortKey, ...]]] = [
    (And((PATIENT, AnyTerm(("type=c:1", "type=c:2")), Term("status=c:current"))), NEWEST),
    (And((PATIENT, Term("status=c:current"), Span("period", Op.GE, T0 - 10, T0))), ()),
    (And((PATIENT, LastUpdated(Op.GT, T0 + 3, T0 + 4))), ()),
    (And((PATIENT, Not(AnyTerm(("security-label=c:masked", "security-label=c:r"))))), NEWEST),
    (And((PATIENT, Words("_content", ("compte",)))), ()),
    (And((PATIENT, Prefix("title", "titre"))), (SortKey("title"),)),
    (Term("identifier=c:7"), ()),
    *((node, sort) for node in NOWHERE for sort in ((), NEWEST)),
    (Ids(("a01", "a02")), ()),
    (Span("period", Op.GE, T0, T0 + 1), ()),
    (Prefix("title", "titre 1"), ()),
    (LastUpdated(Op.GE, T0 + 9, T0 + 10), (SortKey("_lastUpdated"),)),
    (Term("status=c:current"), NEWEST),
    (Term("status=c:current"), ()),
]


@pytest.mark.statement("fhir-rest E130")
@pytest.mark.parametrize(("node", "sort"), HOT)
def test_a_hot_search_reads_no_table_whole(filled: SqliteStore, node: Node, sort: tuple[SortKey, ...]) -> None:
    with statements(filled) as seen:
        page = filled.search(Search((DOC,), node, sort, count=1, total=True))
        filled.search(Search((DOC,), node, sort, count=1, after=page.next, bound=page.bound))
    assert len(seen) > 3
    assert bool(page.versions) == (node not in NOWHERE)
    assert full_scans(plan_of(filled, seen)) == []


def test_a_patients_newest_documents_come_from_the_timeline(filled: SqliteStore) -> None:
    with statements(filled) as seen:
        filled.search(Search((DOC,), And((PATIENT, Term("status=c:current"))), NEWEST))
    lines = plan_of(filled, [statement for statement in seen if "ORDER BY" in statement])
    assert lines[0].startswith("SEARCH d USING PRIMARY KEY (k=?)")
    # Only documents of the same date are put in order, by id.
    assert "USE TEMP B-TREE FOR RIGHT PART OF ORDER BY" in lines
    assert "USE TEMP B-TREE FOR ORDER BY" not in lines


@pytest.mark.parametrize(("sort", "index"), [((), "res_u"), (NEWEST, "res_date"), ((SortKey("_id"),), "res_id")])
def test_a_type_is_walked_in_the_order_of_an_index(filled: SqliteStore, sort: tuple[SortKey, ...], index: str) -> None:
    with statements(filled) as seen:
        filled.search(Search((DOC,), Not(Term("type=c:1")), sort, count=3))
    lines = plan_of(filled, [statement for statement in seen if "ORDER BY" in statement])
    assert f"USING INDEX {index}" in lines[0]
    assert "USE TEMP B-TREE FOR ORDER BY" not in lines


def test_no_total_is_counted_unless_asked(filled: SqliteStore) -> None:
    with statements(filled) as seen:
        filled.search(Search((DOC,), Term("status=c:current"), count=5))
    counts = [statement for statement in seen if "count(*)" in statement]
    assert all("LIMIT" in statement for statement in counts)


def test_reads_use_keys(filled: SqliteStore) -> None:
    with statements(filled) as seen:
        filled.read(Key(DOC, "a01"))
        filled.read_many([Key(DOC, "a01"), Key("List", "x")])
        filled.read_version(Key(DOC, "a01"), 1)
        filled.holder("u|3")
        filled.history(HistoryQuery(type=DOC, id="a01"))
        filled.history(HistoryQuery(type=DOC, before_seq=20))
        filled.history(HistoryQuery(type=DOC, node=PATIENT))
        filled.history(HistoryQuery(since_ms=T0 + 20))
        filled.find(DOC, PATIENT, 10)
        filled.audit_record("r")
        filled.audit(AuditQuery(patient="Patient/p1"))
        filled.audit(AuditQuery(low_ms=T0, high_ms=T0 + 5))
    assert full_scans(plan_of(filled, seen)) == []


def test_the_trail_without_criteria_is_read_from_its_end(filled: SqliteStore) -> None:
    from fhir_dmp.ports import Commit

    filled.commit(Commit(audit=tuple(record(f"r{n}") for n in range(5))))
    with statements(filled) as seen:
        assert [one.id for _, one in filled.audit(AuditQuery(count=2)).records] == ["r4", "r3"]
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan_of(filled, seen)


def test_a_walk_that_takes_too_long_is_given_up(filled: SqliteStore) -> None:
    from fhir_dmp.store.sqlite.select import _GaveUp, _patience

    with filled._readers.borrow() as con:
        endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        with pytest.raises(_GaveUp), _patience(con, 10_000):
            con.execute(endless).fetchone()
        assert con.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError, match="no such table"), _patience(con, 10_000):
            con.execute("SELECT * FROM absent")


def test_the_store_is_one_of_the_port(filled: SqliteStore) -> None:
    store: ResourceStore = filled
    assert store.transactional
