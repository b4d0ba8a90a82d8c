"""How access to each type is decided, searches without a patient, references to hidden resources, refusals."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Decision, Effect, Op, Rules, Verdict
from fhir_dmp.access.masking import DATA_ABSENT, is_emptied, mask_references, references_to_check
from fhir_dmp.access.refusal import REASONS, absent, refusal
from fhir_dmp.access.types import (
    TYPES,
    Kind,
    gate_search,
    of_record,
    open_to,
    patient_of,
    restrict_consents,
    type_access,
)
from fhir_dmp.errors import BadRequest, Conflict, DmpError, Forbidden, Gone, Hidden, NotFound, Unprocessable
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Caller
from fhir_dmp.search.query import AnyTerm, Everything, Nothing, PatientCriterion, Term
from fhir_dmp.settings import Settings
from tests.access.people import (
    ADMIN,
    AUDITOR,
    BASE,
    CLINIC,
    FEEDER,
    NURSE,
    RULES,
    STRANGER,
    blocked,
    delegate,
    facts,
    holder,
    institution,
    ps,
    representative,
)


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("DocumentReference", Kind.DOCUMENT),
        ("Binary", Kind.DOCUMENT),
        ("Observation", Kind.PATIENT),
        ("Patient", Kind.PATIENT),
        ("Practitioner", Kind.DIRECTORY),
        ("ValueSet", Kind.CONFORMANCE),
        ("Consent", Kind.CONSENT),
        ("AuditEvent", Kind.AUDIT),
        ("Subscription", Kind.ADMIN),
        ("NoSuchType", Kind.ADMIN),
    ],
)
def test_each_type_has_one_way_to_be_decided(type_: str, kind: Kind) -> None:
    assert type_access(type_).kind is kind


def test_directory_and_conformance_are_read_by_all_and_written_by_the_operator() -> None:
    assert open_to(ps(), "Practitioner", write=False) is True
    assert open_to(ps(), "Practitioner", write=True) is False
    assert open_to(ADMIN, "Practitioner", write=True) is True
    assert open_to(ps(), "Subscription", write=False) is False
    assert open_to(ps(), "Observation", write=False) is None


@pytest.mark.parametrize(
    ("resource", "patient"),
    [
        ({"resourceType": "Patient", "id": "p1"}, "Patient/p1"),
        ({"resourceType": "Observation", "subject": {"reference": "Patient/p1/_history/3"}}, "Patient/p1"),
        ({"resourceType": "Coverage", "beneficiary": {"reference": "Patient/p1"}}, "Patient/p1"),
        ({"resourceType": "Appointment", "participant": [{"actor": {"reference": "Patient/p1"}}]}, "Patient/p1"),
        ({"resourceType": "Provenance", "target": [{"reference": "Patient/p1"}]}, "Patient/p1"),
        ({"resourceType": "Group", "member": [{"entity": {"reference": "Patient/p1"}}]}, "Patient/p1"),
        ({"resourceType": "Person", "link": [{"target": {"reference": "Patient/p1"}}]}, "Patient/p1"),
        ({"resourceType": "Observation", "subject": {"reference": "Group/g"}}, None),
        (
            {
                "resourceType": "Appointment",
                "participant": [{"actor": {"reference": "Location/l"}}, {"actor": {"reference": "Patient/p1"}}],
            },
            "Patient/p1",
        ),
        ({"resourceType": "Observation"}, None),
        ({"resourceType": "Patient"}, None),
    ],
)
def test_the_record_of_a_resource_is_read_from_its_subject(resource: Json, patient: str | None) -> None:
    assert patient_of(resource) == patient


def test_a_record_limits_a_search_by_the_parameter_of_the_type() -> None:
    assert of_record("Observation", "Patient/p1") == Term("patient=r:Patient/p1")
    assert of_record("Coverage", "Patient/p1") == Term("beneficiary=r:Patient/p1")
    assert of_record("Patient", "Patient/p1") == Term("_compartment=r:Patient/p1")
    assert of_record("Practitioner", "Patient/p1") == Nothing()
    assert all(row.parameter for name, row in TYPES.items() if row.kind is Kind.PATIENT)


ONE = [PatientCriterion(references=("Patient/p1",))]


def gated(caller: Caller, type_: str, names: str, criteria: Any = ()) -> tuple[int, str | None] | None:
    decision = gate_search(caller, type_, criteria, names.split())
    return None if decision is None else (decision.status, decision.reason)


@pytest.mark.statement("security P-1 A4", "dmp-fhir 9.7/108")
def test_a4_a_search_of_documents_needs_a_patient() -> None:
    assert gated(ps(), "DocumentReference", "status type") == (400, "required")
    assert gated(holder(), "DocumentReference", "status") == (400, "required")
    assert gated(ps(), "DocumentReference", "patient.birthdate status") == (403, "mass-search")
    assert gated(ps(), "DocumentReference", "_has:List:item:patient") == (403, "mass-search")
    assert gated(ps(), "DocumentReference", "patient", ONE) is None
    assert gated(ps(), "DocumentReference", "patient", [PatientCriterion()]) == (403, "mass-search")
    assert gated(ADMIN, "DocumentReference", "status") is None


@pytest.mark.statement("security P-1 A4")
def test_a4_other_types_follow_their_own_kind() -> None:
    assert gated(ps(), "Observation", "code") == (400, "required")
    assert gated(holder(), "Observation", "code") is None
    assert gated(representative(), "Observation", "code") == (400, "required")
    assert gated(ps(), "Practitioner", "name") is None
    assert gated(ps(), "Subscription", "status") == (403, "default-deny")
    assert gated(AUDITOR, "AuditEvent", "date") is None
    assert gated(ps(), "AuditEvent", "date") == (400, "required")
    assert gated(ps(), "Consent", "actor.identifier category") is None
    assert gated(institution(), "Consent", "actor.identifier") == (400, "required")


def test_a_patient_is_searched_by_identifier_or_by_name_and_birth_date() -> None:
    assert gated(ps(), "Patient", "identifier") is None
    assert gated(FEEDER, "Patient", "identifier") is None
    assert gated(ps(), "Patient", "family:exact birthdate") is None
    assert gated(ps(), "Patient", "family given") == (400, "required")
    assert gated(holder(), "Patient", "") is None


@pytest.mark.statement("security C-15")
def test_consents_are_restricted_to_the_own_record_or_to_those_naming_the_caller() -> None:
    assert restrict_consents(ADMIN, None) == Everything()
    assert restrict_consents(holder(), "Patient/p1") == Term("patient=r:Patient/p1")
    assert restrict_consents(holder(), "Patient/p2") == Nothing()
    assert restrict_consents(AUDITOR, "Patient/p1") == Nothing()
    node = restrict_consents(ps(NURSE, structure=CLINIC, fhir_user="Practitioner/x"), None)
    assert isinstance(node, AnyTerm)
    assert f"actor.identifier=s:urn:oid:1.2.250.1.71.4.2.1|{NURSE}" in node.keys
    assert f"actor.identifier=s:urn:oid:1.2.250.1.71.4.2.2|{CLINIC}" in node.keys
    assert "actor=r:Practitioner/x" in node.keys
    assert restrict_consents(institution(), None) == AnyTerm(
        (
            f"actor.identifier=s:urn:oid:1.2.250.1.71.4.2.2|{CLINIC}",
            f"actor=d:urn:oid:1.2.250.1.71.4.2.2|{CLINIC}",
        )
    )
    assert restrict_consents(delegate("c-del"), None) == Nothing()


SET: Json = {
    "resourceType": "List",
    "entry": [
        {"item": {"reference": "DocumentReference/d1", "display": "CR", "identifier": {"value": "1.2.3"}}},
        {"item": {"reference": "DocumentReference/d2/_history/1"}},
    ],
    "subject": {"reference": "Patient/p1"},
}
MASKED = {"extension": [{"url": DATA_ABSENT, "valueCode": "masked"}]}


def test_a_reference_to_a_hidden_document_keeps_nothing_of_it() -> None:
    masked = mask_references(SET, {"DocumentReference/d1"})
    assert masked["entry"] == [{"item": MASKED}, SET["entry"][1]]
    assert masked["subject"] == SET["subject"]
    assert mask_references(SET, {"DocumentReference/d2"})["entry"][1] == {"item": MASKED}
    assert mask_references(SET, {"DocumentReference/d9"}) is SET
    absolute = {"entry": [{"item": {"reference": "https://dmp.example/fhir/DocumentReference/d1"}}]}
    assert mask_references(absolute, {"DocumentReference/d1"}) == {"entry": [{"item": MASKED}]}


def test_an_attached_content_is_masked_like_a_reference_but_for_a_documents_own() -> None:
    attachment = {"contentType": "text/plain", "url": "Binary/b1", "title": "Psychiatrie"}
    report: Json = {"resourceType": "DiagnosticReport", "presentedForm": [attachment]}
    document: Json = {"resourceType": "DocumentReference", "content": [{"attachment": attachment}]}
    assert references_to_check(report) == ("Binary/b1",)
    assert mask_references(report, {"Binary/b1"}) == {**report, "presentedForm": [MASKED]}
    assert references_to_check(document) == ()
    assert references_to_check({**document, "relatesTo": [{"target": {"reference": "Binary/b2"}}]}) == ("Binary/b2",)


def test_the_documents_of_a_list_are_told_for_checking_and_a_list_of_hidden_ones_is_empty() -> None:
    assert references_to_check(SET) == ("DocumentReference/d1", "DocumentReference/d2")
    assert not is_emptied(SET, {"DocumentReference/d1"})
    assert is_emptied(SET, {"DocumentReference/d1", "DocumentReference/d2"})
    assert not is_emptied({"resourceType": "List"}, {"DocumentReference/d1"})


DENIAL, ERREUR = f"{BASE}/CodeSystem/dmp-denial", f"{BASE}/CodeSystem/dmp-erreur"


def told(error: DmpError) -> tuple[type[DmpError], str, list[tuple[str, str]]]:
    issue = error.issues[0]
    return type(error), issue.code, [(coding.system, coding.code) for coding in issue.details]


@pytest.mark.statement("dmp-fhir 9.7/104", "dmp-fhir 9.7/106")
def test_a_refusal_carries_both_codings_and_words_in_both_languages() -> None:
    error = refusal(enter(ps(STRANGER), Op.SEARCH, facts(), RULES), BASE, "List")
    expected = [(DENIAL, "authorisation-missing"), (ERREUR, "non-autorise")]
    assert told(error) == (Forbidden, "forbidden", expected)
    assert error.issues[0].text is not None
    assert "Aucune autorisation" in error.issues[0].text
    assert "No valid authorisation" in error.issues[0].text
    stopped = refusal(enter(ps(NURSE), Op.READ, facts(blocked(NURSE)), RULES), BASE, "List")
    assert told(stopped)[2] == [(DENIAL, "blocked"), (ERREUR, "professionnel-bloque")]


def denied(reason: str, status: int = 403) -> Decision:
    return Decision(Effect.DENY, "x", Op.READ, status, reason)


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (denied("dmp-closed"), (Forbidden, "forbidden", [(DENIAL, "dmp-closed"), (ERREUR, "dmp-ferme")])),
        (denied("dmp-closed", 422), (Unprocessable, "business-rule", [(DENIAL, "dmp-closed"), (ERREUR, "dmp-ferme")])),
        (denied("no-dmp", 422), (Unprocessable, "not-found", [(DENIAL, "no-dmp"), (ERREUR, "dmp-inexistant")])),
        (denied("no-dmp"), (Forbidden, "forbidden", [(DENIAL, "no-dmp"), (ERREUR, "dmp-inexistant")])),
        (denied("author-only"), (Forbidden, "forbidden", [(ERREUR, "pas-auteur"), (DENIAL, "author-only")])),
        (denied("required", 400), (BadRequest, "required", [(DENIAL, "required")])),
        (denied("mt-cannot-be-blocked", 409), (Conflict, "business-rule", [(DENIAL, "mt-cannot-be-blocked")])),
        (
            denied("feeding-opposition"),
            (Forbidden, "forbidden", [(DENIAL, "feeding-opposition"), (ERREUR, "opposition-alimentation")]),
        ),
    ],
)
def test_each_refusal_has_its_status_and_codes(decision: Decision, expected: object) -> None:
    assert told(refusal(decision, BASE, "List")) == expected


@pytest.mark.statement("security P-41")
def test_a_hidden_thing_answers_exactly_like_an_unknown_one() -> None:
    unknown = absent("DocumentReference")
    hidden = refusal(Verdict(Effect.FILTER, "D8", 404, "not-found"), BASE, "DocumentReference")
    foreign = refusal(enter(holder("p2"), Op.READ, facts(), RULES), BASE, "DocumentReference")
    assert unknown.issues[0].diagnostics == "There is no DocumentReference with this id."
    assert not isinstance(unknown, Hidden)
    for error in (hidden, foreign):
        assert isinstance(error, Hidden)
        assert isinstance(error, NotFound)
        assert (error.issues, error.headers) == (unknown.issues, unknown.headers)
    assert isinstance(refusal(Verdict(Effect.FILTER, "D1", 410, "deleted"), BASE, "DocumentReference"), Gone)


@pytest.mark.statement("security G-19")
def test_a_missing_scope_is_told_in_the_header() -> None:
    error = refusal(denied("scope"), BASE, "List")
    assert error.headers == {"WWW-Authenticate": 'Bearer realm="dmp", error="insufficient_scope"'}


def test_every_reason_has_words_in_both_languages() -> None:
    assert all(reason.french and reason.english for reason in REASONS.values())


def test_rules_come_from_the_settings_with_structures_completed() -> None:
    settings = Settings.load({"DMP_ACCESS_REGULATION_CENTRES": "990000001,1990000002"})
    rules = Rules.of(settings, facts().zone)
    assert rules.regulation_centres == {"1990000001", "1990000002"}
    assert rules.btg_professions == {"10", "21", "40", "50", "60", "69"}
    assert rules.canonical_base == settings.canonical_base
