"""Who may call the operations on a dossier: the table, without a server."""

from __future__ import annotations

import pytest

from fhir_dmp.access.decision import Rules
from fhir_dmp.access.operations import GATES, may_designate, may_lift, may_operate
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.patients.parameters import Who
from fhir_dmp.terminology.aliases import PROFESSIONAL, STRUCTURE
from tests.access.people import (
    BASE,
    DOCTOR,
    NURSE,
    OPENING,
    authorised,
    closed_person,
    consent,
    facts,
    holder,
    professional_ref,
    ps,
)

RULES = Rules(canonical_base=BASE)
ME: Who = (PROFESSIONAL, DOCTOR)
PATIENT = holder()


@pytest.mark.parametrize("operation", sorted(GATES))
@pytest.mark.parametrize("actor", [Actor.STRUCTURE, Actor.FEEDER, Actor.AUDITOR, Actor.DELEGATE])
def test_institutions_auditors_and_delegates_call_none(operation: str, actor: Actor) -> None:
    caller = Caller(actor, "x", structure="1750100125", patient="p1")
    decision = may_operate(caller, operation, facts(OPENING), RULES, ME)
    assert (decision.permitted, decision.status, decision.reason) == (False, 403, "default-deny")


@pytest.mark.parametrize("operation", sorted(GATES))
def test_the_holder_and_the_administrator_call_all_in_any_state(operation: str) -> None:
    for known in (facts(OPENING), facts(patient=closed_person())):
        name = Caller(Actor.PATIENT, "holder", patient=known.patient)
        assert may_operate(name, operation, known, RULES, ME).permitted
        assert may_operate(Caller(Actor.ADMIN, "op"), operation, known, RULES, ME).permitted


@pytest.mark.parametrize("operation", sorted(GATES))
def test_another_patients_dossier_looks_unknown(operation: str) -> None:
    decision = may_operate(Caller(Actor.PATIENT, "x", patient="other"), operation, facts(OPENING), RULES, ME)
    assert (decision.permitted, decision.status) == (False, 404)


@pytest.mark.parametrize("operation", sorted(GATES))
@pytest.mark.parametrize("mode", [Mode.BREAK_GLASS, Mode.REGULATION])
def test_emergency_modes_call_none(operation: str, mode: Mode) -> None:
    assert not may_operate(ps(mode=mode, reason="x"), operation, facts(OPENING), RULES, ME).permitted


@pytest.mark.parametrize("operation", sorted(GATES))
def test_a_blocked_professional_calls_none(operation: str) -> None:
    block = consent("block", "deny", professional_ref(DOCTOR), id_="c-block")
    decision = may_operate(ps(), operation, facts(OPENING, block), RULES, ME)
    assert (decision.permitted, decision.reason) == (False, "blocked")


@pytest.mark.parametrize(
    ("operation", "who", "reason"),
    [
        ("dmp-fermer", None, None),
        ("dmp-reactiver", None, None),
        ("dmp-opposition", None, None),
        ("dmp-autoriser", ME, None),
        ("dmp-autoriser", (STRUCTURE, "1750100125"), None),
        ("dmp-autoriser", (PROFESSIONAL, NURSE), "consent-writer"),
        ("dmp-autoriser", (STRUCTURE, "1690000151"), "consent-writer"),
        ("dmp-revoquer", ME, None),
        ("dmp-revoquer", (PROFESSIONAL, NURSE), "consent-writer"),
        ("dmp-bloquer", (PROFESSIONAL, NURSE), "consent-writer"),
        ("dmp-debloquer", (PROFESSIONAL, NURSE), "consent-writer"),
    ],
)
def test_a_professional_speaks_for_himself_and_his_structure(
    operation: str, who: Who | None, reason: str | None
) -> None:
    assert may_operate(ps(structure="1750100125"), operation, facts(OPENING), RULES, who).reason == reason


def test_a_medecin_traitant_blocks_at_the_patients_request() -> None:
    known = facts(OPENING, consent("mt", "permit", professional_ref(DOCTOR), id_="c-mt"))
    assert may_operate(ps(), "dmp-bloquer", known, RULES, (PROFESSIONAL, NURSE)).permitted


def test_a_colleague_is_designated_by_an_authorised_doctor_and_dismissed_by_the_patient() -> None:
    other: Who = (PROFESSIONAL, NURSE)
    stranger, known = facts(OPENING), facts(OPENING, authorised(DOCTOR))
    assert may_designate(ps(), known, other, add=True) is None
    for caller, record, add, reason in (
        (ps(), stranger, True, "authorisation-missing"),
        (ps(roles=()), known, True, "consent-writer"),
        (ps(), known, False, "consent-writer"),
    ):
        refused = may_designate(caller, record, other, add=add)
        assert refused is not None
        assert refused.reason == reason
    for caller in (PATIENT, ps()):
        assert may_designate(caller, stranger, ME, add=False) is None


def test_an_opposition_is_lifted_by_the_patient_or_before_any_opening() -> None:
    assert may_lift(PATIENT, before_opening=False) is None
    assert may_lift(ps(), before_opening=True) is None
    assert may_lift(ps(), before_opening=False) is not None
