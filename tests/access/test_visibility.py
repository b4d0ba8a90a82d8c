"""Block D: each document, after entry. Each row at least once, by its id."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Effect, Op, Rules, Verdict
from fhir_dmp.access.document import document_facts
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.visibility import visible
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Caller
from tests.access.people import (
    ADMIN,
    AUDITOR,
    BASE,
    CLINIC,
    DOCTOR,
    NURSE,
    RULES,
    STRANGER,
    authorised,
    blocked,
    breaking_glass,
    closed_person,
    consent,
    delegate,
    docref,
    doctor_of_record,
    facts,
    holder,
    institution,
    matrix,
    person,
    professional_ref,
    ps,
    regulator,
    representative,
    structure_ref,
)

OTHER = "899700000777"


def record(*more: Json) -> PatientFacts:
    """A record with a médecin traitant, an authorised doctor and an authorised nurse."""
    return facts(authorised(OTHER), authorised(NURSE), *more, patient=doctor_of_record())


def see(
    caller: Caller,
    document: Json,
    known: PatientFacts | None = None,
    op: Op = Op.READ,
    rules: Rules = RULES,
    **options: Any,
) -> Verdict:
    known = known or record()
    decision = enter(caller, op, known, rules, documents=True)
    return visible(caller, decision, document_facts(document), known, rules, matrix(), **options)


def shown(verdict: Verdict) -> tuple[bool, str, int]:
    return verdict.permitted, verdict.row, verdict.status


MINE = [professional_ref(STRANGER)]
DELETED = docref(status="entered-in-error", authors=MINE)


@pytest.mark.statement("security P-1 D1", "dmp-fhir 9.7/121", "dmp-fhir 9.8/144", "dmp-fhir 9.9/168")
def test_d1_a_deleted_document_is_gone_for_those_who_could_see_it_and_absent_from_searches() -> None:
    assert shown(see(ps(OTHER), DELETED)) == (False, "D1", 410)
    assert shown(see(ps(OTHER), DELETED, op=Op.SEARCH)) == (False, "D1", 404)
    assert shown(see(ps(STRANGER), DELETED)) == (True, "D1", 200)
    assert shown(see(holder(), DELETED)) == (True, "D1", 200)
    assert shown(see(holder(), DELETED, op=Op.SEARCH)) == (False, "D1", 404)
    assert shown(see(holder(), DELETED, op=Op.SEARCH, deleted_asked=True)) == (True, "D1", 200)
    assert shown(see(ps(OTHER), DELETED, op=Op.SEARCH, deleted_asked=True)) == (False, "D1", 404)
    assert see(ADMIN, DELETED).permitted


@pytest.mark.statement("security P-1 D1")
def test_d1_the_content_of_a_deleted_document_is_gone_for_all_and_unknown_to_those_it_was_hidden_from() -> None:
    assert shown(see(ps(STRANGER), DELETED, op=Op.RETRIEVE)) == (False, "D1", 410)
    assert shown(see(holder(), DELETED, op=Op.RETRIEVE)) == (False, "D1", 410)
    masked = docref("MASQUE_PS", status="entered-in-error")
    assert shown(see(ps(OTHER), masked)) == (False, "D8", 404)


@pytest.mark.statement("security P-1 D2", "security P-12", "dmp-fhir 9.7/123")
def test_d2_a_document_invisible_to_the_patient_is_absent_for_the_patient() -> None:
    assert shown(see(holder(), docref("INVISIBLE_PATIENT"))) == (False, "D2", 404)
    verdict = see(ps(OTHER), docref("INVISIBLE_PATIENT"))
    assert shown(verdict) == (True, "D11", 200)
    assert verdict.warnings == ("hidden-from-patient",)


MINOR = person(birthDate="2009-05-05")


@pytest.mark.statement("security P-1 D3", "security P-13", "dmp-fhir 9.7/124")
def test_d3_documents_hidden_from_representatives_are_absent_for_them_and_present_for_the_patient() -> None:
    minor = facts(patient=MINOR)
    hidden = docref("INVISIBLE_REPRESENTANTS_LEGAUX")
    assert shown(see(representative(), hidden, minor)) == (False, "D3", 404)
    assert shown(see(representative(), docref("INVISIBLE_PATIENT"), minor)) == (False, "D3", 404)
    assert shown(see(holder(), hidden, minor)) == (True, "D5", 200)


def delegated(*classes: str) -> Json:
    parts = [{"url": "right", "valueCode": "read"}, *({"url": "class", "valueCoding": {"code": c}} for c in classes)]
    said = consent("delegation", "permit", {"reference": "RelatedPerson/r"}, id_="c-del", period={"end": "2026-12-31"})
    return {**said, "extension": [{"url": f"{BASE}/StructureDefinition/dmp-delegation", "extension": parts}]}


@pytest.mark.statement("security P-1 D4", "security P-39")
def test_d4_a_delegate_sees_the_delegated_classes_only() -> None:
    known = facts(delegated("10"))
    assert shown(see(delegate("c-del"), docref(class_="10"), known)) == (True, "D5", 200)
    assert shown(see(delegate("c-del"), docref(class_="42"), known)) == (False, "D4", 404)
    assert see(delegate("c-del"), docref(class_="42"), facts(delegated())).permitted


@pytest.mark.statement("security P-1 D5", "security P-10")
def test_d5_patient_and_representative_see_the_rest_masked_documents_included() -> None:
    assert shown(see(holder(), docref("MASQUE_PS"))) == (True, "D5", 200)
    assert shown(see(representative(), docref("MASQUE_PS"), facts(patient=MINOR))) == (True, "D5", 200)


@pytest.mark.statement("security P-1 D6", "security P-18", "security P-10")
def test_d6_an_author_keeps_the_own_document_whatever_its_labels_or_the_matrix() -> None:
    document = docref("MASQUE_PS", "INVISIBLE_PATIENT", authors=MINE, type_="ATTEST-RESID", class_="95")
    verdict = see(ps(STRANGER), document)
    assert shown(verdict) == (True, "D6", 200)
    assert verdict.warnings == ("masked", "hidden-from-patient")


@pytest.mark.statement("security P-1 D6")
@pytest.mark.parametrize(
    "author",
    [
        {"identifier": {"system": "https://rpps.esante.gouv.fr", "value": STRANGER[1:]}},
        {"reference": "#a"},
        {"reference": "#role"},
        {"reference": "Practitioner/x1"},
        {"reference": "Practitioner/x1/_history/2"},
    ],
)
def test_d6_authors_are_recognised_however_they_are_referred_to(author: Json) -> None:
    contained = [
        {"resourceType": "Practitioner", "id": "a", "identifier": [professional_ref(STRANGER)["identifier"]]},
        {"resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "#a"}},
    ]
    caller = ps(STRANGER, fhir_user="Practitioner/x1")
    assert shown(see(caller, docref("MASQUE_PS", authors=[author], contained=contained))) == (True, "D6", 200)


@pytest.mark.statement("security P-1 D6")
def test_d6_the_structure_as_author_or_the_signature_count_and_the_structure_of_an_author_does_not() -> None:
    inside = ps(OTHER, structure=CLINIC)
    assert shown(see(inside, docref("MASQUE_PS", authors=[structure_ref(CLINIC)]))) == (True, "D6", 200)
    signed = docref("MASQUE_PS", authenticator=professional_ref(OTHER))
    assert shown(see(inside, signed)) == (True, "D6", 200)
    role = {
        "resourceType": "PractitionerRole",
        "id": "role",
        "practitioner": professional_ref(STRANGER),
        "organization": structure_ref(CLINIC),
    }
    colleague = docref("MASQUE_PS", authors=[{"reference": "#role"}], contained=[role])
    assert shown(see(inside, colleague)) == (False, "D8", 404)


@pytest.mark.statement("security P-1 D7", "security P-10")
def test_d7_the_medecin_traitant_sees_masked_documents_and_is_told() -> None:
    verdict = see(ps(DOCTOR), docref("MASQUE_PS"))
    assert shown(verdict) == (True, "D7", 200)
    assert verdict.warnings == ("masked",)


@pytest.mark.statement("security P-1 D8", "security P-10", "security P-11", "dmp-fhir 9.7/122", "dmp-fhir 9.9/166")
@pytest.mark.parametrize("caller", [ps(OTHER), breaking_glass(), regulator(), breaking_glass(OTHER)])
def test_d8_a_masked_document_is_absent_for_other_professionals_even_in_an_emergency(caller: Caller) -> None:
    for op in (Op.READ, Op.SEARCH, Op.RETRIEVE):
        assert shown(see(caller, docref("MASQUE_PS"), op=op)) == (False, "D8", 404)


def test_masked_documents_open_in_an_emergency_only_when_the_setting_says_so() -> None:
    rules = replace(RULES, mask_visible_in_btg=True)
    assert see(breaking_glass(), docref("MASQUE_PS"), rules=rules).permitted
    assert not see(ps(OTHER), docref("MASQUE_PS"), rules=rules).permitted


@pytest.mark.statement("security P-1 D9", "security P-20", "security P-22", "security P-23", "security P-24")
@pytest.mark.parametrize(
    ("profession", "type_", "class_"),
    [
        ("10", "ATTEST-RESID", "95"),
        ("60", "68599-0", "11"),
        ("60", "83901-9", "10"),
        ("60", "75496-0", "42"),
        ("60", "68817-6", "10"),
        ("60", "89601-9", "52"),
        ("40", "80788-3", "44"),
        ("40", "75496-0", "42"),
        ("40", "83981-1", "11"),
        ("40", "83901-9", "10"),
        ("40", "68599-0", "11"),
    ],
)
def test_d9_a_type_outside_the_habilitation_is_absent(profession: str, type_: str, class_: str) -> None:
    caller = ps(NURSE, profession)
    for op in (Op.READ, Op.SEARCH):
        assert shown(see(caller, docref(type_=type_, class_=class_), op=op)) == (False, "D9", 404)


@pytest.mark.statement("security P-21", "security P-22")
@pytest.mark.parametrize(("profession", "type_", "class_"), [("60", "11502-2", "10"), ("10", "68599-0", "11")])
def test_a_type_inside_the_habilitation_is_visible(profession: str, type_: str, class_: str) -> None:
    assert shown(see(ps(NURSE, profession), docref(type_=type_, class_=class_))) == (True, "D14", 200)


@pytest.mark.statement("security P-1 D10", "security P-25")
def test_d10_a_role_without_row_and_an_unknown_profession_see_nothing() -> None:
    roled = ps(NURSE, roles=(("urn:oid:1.2.250.1.213.1.6.1.140", "41"),))
    assert shown(see(roled, docref())) == (False, "D10", 404)
    for roles in ((), (("urn:oid:1.2.3", "10"),)):
        assert shown(see(ps(NURSE, roles=roles), docref())) == (False, "D9", 404)


@pytest.mark.statement("security P-1 D11", "security P-13")
def test_d11_a_professional_is_warned_of_documents_hidden_from_representatives() -> None:
    verdict = see(ps(OTHER), docref("INVISIBLE_REPRESENTANTS_LEGAUX"))
    assert shown(verdict) == (True, "D11", 200)
    assert verdict.warnings == ("hidden-from-representatives",)


@pytest.mark.statement("security P-1 D12")
def test_d12_a_secret_connection_sees_the_minors_documents_with_the_same_warning() -> None:
    known = facts(authorised(OTHER), patient=MINOR)
    verdict = see(ps(OTHER, secret=True), docref("INVISIBLE_REPRESENTANTS_LEGAUX"), known)
    assert (verdict.row, verdict.warnings) == ("D11", ("hidden-from-representatives",))


@pytest.mark.statement("security P-1 D13", "dmp-fhir 9.7/118")
def test_d13_archived_documents_stay_visible_because_clients_filter_them() -> None:
    for op in (Op.READ, Op.SEARCH):
        assert shown(see(ps(OTHER), docref(archived=True), op=op)) == (True, "D13", 200)


@pytest.mark.statement("security P-1 D14")
def test_d14_an_ordinary_document_is_visible() -> None:
    assert shown(see(ps(OTHER), docref())) == (True, "D14", 200)
    assert shown(see(regulator(), docref())) == (True, "D14", 200)


@pytest.mark.statement("security P-1 D15", "security P-40")
def test_d15_an_application_sees_the_intersection_of_the_users_and_its_own_classes() -> None:
    known = facts(consent("app-grant", "permit", {"reference": "Device/app-7"}))
    app = holder(app="app-7", app_classes=("42",))
    assert shown(see(app, docref(class_="42"), known)) == (True, "D5", 200)
    assert shown(see(app, docref(class_="10"), known)) == (False, "D15", 404)
    assert shown(see(app, docref("INVISIBLE_PATIENT", class_="42"), known)) == (False, "D2", 404)


@pytest.mark.statement("security P-1 C17", "dmp-fhir 9.8/147")
def test_c17_without_authorisation_own_documents_are_read_and_others_refused_with_the_reason() -> None:
    alone = facts()
    assert shown(see(ps(STRANGER), docref("MASQUE_PS", authors=MINE), alone)) == (True, "D6", 200)
    verdict = see(ps(STRANGER), docref(), alone)
    assert (verdict.effect, verdict.status, verdict.reason) == ("deny", 403, "authorisation-missing")
    expired = facts(authorised(STRANGER, period={"end": "2025"}))
    assert see(ps(STRANGER), docref(), expired).reason == "authorisation-expired"
    assert shown(see(ps(STRANGER), docref("MASQUE_PS"), alone)) == (False, "D8", 404)
    assert shown(see(ps(STRANGER), docref(), alone, op=Op.FIND_OWN)) == (False, "C17", 404)


@pytest.mark.statement("security P-19")
def test_the_author_exception_ends_with_a_block_and_with_closing() -> None:
    mine = docref(authors=MINE)
    verdict = see(ps(STRANGER), mine, facts(blocked(STRANGER)))
    assert (verdict.row, verdict.status, verdict.reason) == ("C6", 403, "blocked")
    verdict = see(ps(STRANGER), mine, facts(patient=closed_person()))
    assert (verdict.row, verdict.status, verdict.reason) == ("B7", 403, "dmp-closed")


@pytest.mark.statement("security P-1 W4", "dmp-fhir 9.7/135", "dmp-fhir 9.7/136")
@pytest.mark.parametrize(
    "authors",
    [
        [structure_ref(CLINIC)],
        [{"identifier": {"system": "https://finess.esante.gouv.fr", "value": "750100125"}}],
        [professional_ref("3750100125/1453")],
        [{"reference": "#role"}],
        [{"reference": "#device"}],
    ],
)
def test_w4_an_institution_finds_what_it_or_its_people_and_devices_deposited(authors: list[Json]) -> None:
    contained = [
        {"resourceType": "PractitionerRole", "id": "role", "organization": structure_ref(CLINIC)},
        {"resourceType": "Device", "id": "device", "owner": structure_ref(CLINIC)},
    ]
    document = docref("MASQUE_PS", authors=authors, contained=contained, status="superseded")
    known = facts()
    assert shown(see(institution(), document, known, op=Op.FIND_OWN)) == (True, "W4", 200)
    assert not see(institution("1750100999"), document, known, op=Op.FIND_OWN).permitted
    assert see(institution(), document, known).reason == "feed-only"


@pytest.mark.statement("security P-44")
@pytest.mark.parametrize(
    "label",
    [
        {"system": "urn:oid:1.2.250.1.213.1.1.4.13", "code": "MASQUE_PT"},
        {"code": "SECRET"},
        {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "X"},
    ],
)
def test_a_label_that_is_not_understood_hides_from_all_but_author_and_mt(label: Json) -> None:
    document = docref(authors=MINE, securityLabel=[{"coding": [label]}])
    assert not see(holder(), document).permitted
    assert not see(representative(), document, facts(patient=MINOR)).permitted
    assert shown(see(ps(OTHER), document)) == (False, "D8", 404)
    assert see(ps(STRANGER), document).permitted
    assert see(ps(DOCTOR), document).permitted


@pytest.mark.parametrize(
    "label",
    [
        {"system": "https://mos.esante.gouv.fr/NOS/TRE_A07-StatusVisibiliteDocument/FHIR/x", "code": "N"},
        {"code": "N"},
        {"system": "urn:oid:1.2.250.1.213.1.1.4.13", "code": "N"},
        {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSY"},
    ],
)
def test_base_codes_and_labels_of_other_vocabularies_hide_nothing(label: Json) -> None:
    document = docref(securityLabel=[{"coding": [label]}])
    assert see(holder(), document).permitted
    assert see(ps(OTHER), document).permitted


@pytest.mark.parametrize("system", [None, "https://example.org/labels", "urn:oid:1.2.250.1.213.1.1.4.13"])
def test_a_mask_counts_whatever_system_it_is_written_with(system: str | None) -> None:
    coding = {"code": "masque_ps", **({"system": system} if system else {})}
    assert not see(ps(OTHER), docref(securityLabel=[{"coding": [coding]}])).permitted


def test_a_document_of_another_patient_is_absent() -> None:
    assert shown(see(ps(OTHER), docref(patient="p2"))) == (False, "B2", 404)
    assert shown(see(ps(OTHER), docref(subject={"display": "?"}))) == (False, "B2", 404)


def test_nobody_else_sees_documents() -> None:
    assert not see(AUDITOR, docref()).permitted
    assert see(ADMIN, docref("MASQUE_PS", patient="p2")).permitted


@pytest.mark.parametrize("odd", [{}, {"author": "x", "securityLabel": 3, "type": [], "category": {"coding": "x"}}])
def test_odd_documents_grant_nothing_and_raise_nothing(odd: Json) -> None:
    assert not see(ps(OTHER), odd).permitted


@pytest.mark.statement("security P-10", "security P-41")
@pytest.mark.parametrize("op", [Op.READ, Op.RETRIEVE, Op.UPDATE_LABEL])
def test_a_shut_record_gives_its_reason_but_not_for_what_would_be_hidden_in_it(op: Op) -> None:
    shut = {
        "blocked": facts(blocked(NURSE), patient=doctor_of_record()),
        "dmp-closed": facts(patient=closed_person()),
    }
    for reason, known in shut.items():
        open_to_all, masked = see(ps(NURSE), docref(), known, op), see(ps(NURSE), docref("MASQUE_PS"), known, op)
        assert (open_to_all.effect, open_to_all.reason) == (Effect.DENY, reason)
        assert (masked.effect, masked.status) == (Effect.FILTER, 404)
        refused_by_matrix = see(ps(NURSE, "60"), docref(type_="83901-9"), known, op)
        assert (refused_by_matrix.effect, refused_by_matrix.status) == (Effect.FILTER, 404)
    invisible = see(holder(), docref("INVISIBLE_PATIENT"), shut["dmp-closed"], op)
    assert (invisible.effect, invisible.status) == (Effect.FILTER, 404)
    assert see(institution(), docref("MASQUE_PS"), facts(), Op.READ).reason == "feed-only"
