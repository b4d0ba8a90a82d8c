"""Searches of the audit trail: what the store seeks, and what is kept of it."""

from __future__ import annotations

import pytest

from fhir_dmp.audit.event import Site
from fhir_dmp.audit.kinds import event_kinds
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.audit.search import AuditSlice, audit_slice
from fhir_dmp.definitions import read
from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import Json
from fhir_dmp.search.query import And, AnyTerm, Ids, LastUpdated, Node, Not, Op, Or, Span, Term
from fhir_dmp.search.terms import Terms

KINDS = event_kinds(read("audit/events.toml"), "https://dmp-fhir.example/ig")
SITE = Site("dmp.example")
PATIENT = Term("patient=r:Patient/p1")


def terms(event: Json) -> Terms:
    """Enough of the index of an AuditEvent for these tests."""
    people = [part["what"]["reference"] for part in event.get("entity", []) if "reference" in part.get("what", {})]
    tokens = [f"patient=r:{place}" for place in people if place.startswith("Patient/")]
    tokens += [f"action=c:{event['action'].lower()}", f"outcome=c:{event['outcome']}"]
    tokens += [f"subtype=c:{coding['code'].lower()}" for coding in event["subtype"]]
    return Terms(tokens=tuple(tokens), spans=(("date", 1000.0, 1001.0),))


def sliced(node: Node, unbounded: bool = False) -> AuditSlice:
    return audit_slice(node, KINDS, SITE, terms, unbounded=unbounded)


def day(op: Op) -> Span:
    return Span("date", op, 0, 86_400_000)


@pytest.mark.parametrize(
    ("op", "bounds"),
    [
        (Op.EQ, (0, 86_400_000)),
        (Op.GE, (0, None)),
        (Op.GT, (86_400_000, None)),
        (Op.SA, (86_400_000, None)),
        (Op.LE, (None, 86_400_000)),
        (Op.LT, (None, 0)),
        (Op.EB, (None, 0)),
        (Op.AP, (0, 86_400_000)),
    ],
)
def test_a_date_becomes_the_interval_that_the_store_seeks(op: Op, bounds: tuple[int | None, int | None]) -> None:
    found = sliced(day(op))
    assert (found.low_ms, found.high_ms) == bounds


def test_bounds_narrow_each_other_and_the_patient_is_found_among_them() -> None:
    node = And((PATIENT, day(Op.GE), LastUpdated(Op.LT, 5000, 5001), And((Span("date", Op.GE, 7, 8),))))
    found = sliced(node)
    assert (found.patient, found.low_ms, found.high_ms) == ("Patient/p1", 7, 5000)


def test_alternatives_and_negations_bound_nothing() -> None:
    several = And((AnyTerm(("patient=r:Patient/p1", "patient=r:Patient/p2")), day(Op.EQ)))
    assert sliced(several).patient is None
    either = And((PATIENT, Or((day(Op.GE), day(Op.LT))), Not(day(Op.EQ)), Span("period", Op.EQ, 1, 2)))
    assert (sliced(either).low_ms, sliced(either).high_ms) == (None, None)


@pytest.mark.statement("security L-16")
def test_a_search_without_date_or_patient_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        sliced(Term("action=c:r"))
    assert caught.value.issues[0].code == "required"
    assert sliced(Ids(("e1",)), unbounded=True).patient is None


@pytest.mark.statement("dmp-fhir 9.11/204")
def test_what_the_store_returns_is_judged_like_any_other_search() -> None:
    keep = sliced(And((PATIENT, Term("subtype=c:iti-67"), Not(Term("outcome=c:0"))))).keep
    refused = AuditRecord(id="e1", kind="iti-67", recorded_ms=1000, outcome="8", patient="Patient/p1")
    assert keep(refused)
    assert not keep(AuditRecord(id="e2", kind="iti-67", recorded_ms=1000, patient="Patient/p1"))
    assert not keep(AuditRecord(id="e3", kind="iti-66", recorded_ms=1000, outcome="8", patient="Patient/p1"))
    assert not keep(AuditRecord(id="e4", kind="iti-67", recorded_ms=1000, outcome="8", patient="Patient/p2"))
    assert sliced(Ids(("e1",)), unbounded=True).keep(refused)
