"""Block W: deposits, replacement, labels, deletion, archive. Each row at least once, by its id."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Op, Rules
from fhir_dmp.access.document import document_facts
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.writing import Change, may_record_audit, may_write
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Caller
from tests.access.people import (
    ADMIN,
    AUDITOR,
    BASE,
    CLINIC,
    DOCTOR,
    FEEDER,
    NURSE,
    RULES,
    STRANGER,
    authorised,
    consent,
    delegate,
    docref,
    doctor_of_record,
    facts,
    holder,
    institution,
    person,
    professional_ref,
    ps,
    representative,
    structure_ref,
)

ADULT = facts(authorised(NURSE), patient=doctor_of_record())
MINOR = facts(authorised(NURSE), patient={**doctor_of_record(), "birthDate": "2009-05-05"})
MINE = [professional_ref(STRANGER)]


def write(
    caller: Caller,
    op: Op,
    before: Json | None = None,
    after: Json | None = None,
    known: PatientFacts = ADULT,
    rules: Rules = RULES,
    **history: Any,
) -> tuple[str, str, int, str | None]:
    change = Change(
        op,
        document_facts(before) if before is not None else None,
        document_facts(after) if after is not None else None,
        **history,
    )
    decision = may_write(caller, enter(caller, op, known, rules, documents=True), change, known, rules)
    return decision.effect.value, decision.row, decision.status, decision.reason


def deposit(caller: Caller, *labels: str, known: PatientFacts = ADULT, rules: Rules = RULES, **of: Any) -> Any:
    return write(caller, Op.CREATE, after=docref(*labels, **of), known=known, rules=rules)


YES = ("permit", "W1", 200, None)
FORGED = ("deny", "W1", 403, "author-forged")
CONFLICT = ("deny", "W1", 422, "label-conflict")


@pytest.mark.statement("security P-1 W1", "security P-47")
def test_w1_a_professional_deposits_as_author_or_for_the_authoring_structure() -> None:
    assert deposit(ps(STRANGER), authors=MINE) == YES
    assert deposit(ps(STRANGER)) == FORGED
    role = {"resourceType": "PractitionerRole", "id": "r", "organization": structure_ref(CLINIC)}
    inside = ps(STRANGER, structure=CLINIC)
    assert deposit(inside, authors=[{"reference": "#r"}], contained=[role]) == YES
    assert deposit(inside, authors=[structure_ref(CLINIC)]) == YES
    assert deposit(ps(STRANGER), authors=[structure_ref(CLINIC)]) == FORGED
    assert deposit(ps(STRANGER), authenticator=professional_ref(STRANGER)) == FORGED
    assert deposit(ps(STRANGER, fhir_user="Practitioner/x"), authors=[{"reference": "Practitioner/x"}]) == YES


@pytest.mark.statement("security P-1 W1", "security P-47")
def test_w1_an_institution_must_be_the_authoring_structure() -> None:
    assert deposit(institution(), authors=[structure_ref(CLINIC)]) == YES
    assert deposit(institution(), authors=[professional_ref("3750100125/1453")]) == YES
    assert deposit(institution(), authors=[structure_ref("1990000002")]) == FORGED
    assert deposit(institution(), authors=MINE) == FORGED


@pytest.mark.statement("security P-1 W1")
@pytest.mark.parametrize("producer", ["ALIM_AM", "AUTOMATE"])
def test_w1_automatic_producers_belong_to_the_registered_feeder(producer: str) -> None:
    coding = {"system": "urn:oid:1.2.250.1.213.1.1.4.6", "code": producer}
    role = {"resourceType": "PractitionerRole", "id": "r", "specialty": [{"coding": [coding]}]}
    people = [{"reference": "#r"}, structure_ref(CLINIC)]
    assert deposit(FEEDER, authors=people, contained=[role]) == YES
    assert deposit(institution(), authors=people, contained=[role]) == FORGED
    warn = replace(RULES, author_check="warn")
    assert deposit(institution(), authors=people, contained=[role], rules=warn) == FORGED


def test_a_foreign_author_is_only_a_warning_when_the_setting_says_so() -> None:
    warn = replace(RULES, author_check="warn")
    decision = enter(ps(STRANGER), Op.CREATE, ADULT, warn)
    change = Change(Op.CREATE, after=document_facts(docref()))
    assert "warn:author-forged" in may_write(ps(STRANGER), decision, change, ADULT, warn).obligations


@pytest.mark.statement("security P-14", "dmp-fhir 9.9/162")
def test_f6_mask_and_invisible_together_follow_the_setting() -> None:
    both = ("MASQUE_PS", "INVISIBLE_PATIENT")
    assert deposit(ps(STRANGER), *both, authors=MINE) == YES
    refused = replace(RULES, mask_plus_invisible=False)
    assert deposit(ps(STRANGER), *both, authors=MINE, rules=refused) == CONFLICT
    before, after = docref("MASQUE_PS", authors=MINE), docref(*both, authors=MINE)
    outcome = write(ps(STRANGER), Op.UPDATE_LABEL, before, after, rules=refused)
    assert outcome == ("deny", "W6", 422, "label-conflict")


@pytest.mark.statement("security P-15", "dmp-fhir 9.9/163")
def test_f7_the_representatives_label_is_for_minors_and_needed_in_a_secret_connection() -> None:
    hidden = "INVISIBLE_REPRESENTANTS_LEGAUX"
    assert deposit(ps(STRANGER), hidden, authors=MINE) == CONFLICT
    assert deposit(ps(STRANGER), hidden, authors=MINE, known=MINOR) == YES
    assert deposit(ps(STRANGER), hidden, authors=MINE, known=MINOR, rules=replace(RULES, minors=False)) == CONFLICT
    secret = ps(STRANGER, secret=True)
    assert deposit(secret, authors=MINE, known=MINOR) == CONFLICT
    assert deposit(secret, hidden, authors=MINE, known=MINOR) == YES


@pytest.mark.statement("dmp-fhir 9.9/164")
def test_a_visibility_code_that_does_not_exist_is_refused() -> None:
    assert deposit(ps(STRANGER), "MASQUE_TOUT", authors=MINE) == CONFLICT


def test_a_deposit_into_another_record_is_refused() -> None:
    assert deposit(ps(STRANGER), authors=MINE, patient="p2") == ("deny", "W1", 403, "default-deny")


OWN: list[Json] = [{"reference": "Patient/p1"}]


@pytest.mark.statement("security P-1 W2", "security P-46")
def test_w2_a_patient_deposits_own_documents_and_may_only_mask_them() -> None:
    refused = ("deny", "W2", 403, "patient-deposit")
    assert deposit(holder(), "MASQUE_PS", authors=OWN, type_="DOCPAT02", class_="90") == ("permit", "W2", 200, None)
    assert deposit(holder(), authors=OWN, type_="EXPPAT_1", category=[]) == ("permit", "W2", 200, None)
    assert deposit(holder(), authors=OWN) == refused
    assert deposit(holder(), authors=OWN, type_="11502-2", category=[]) == refused
    assert deposit(holder(), authors=MINE, class_="90") == refused
    assert deposit(representative(), authors=OWN, class_="90", known=MINOR) == ("permit", "W2", 200, None)
    for code in ("INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"):
        assert deposit(holder(), code, authors=OWN, class_="90") == ("deny", "W2", 403, "label-forbidden")


@pytest.mark.statement("security P-1 W3", "dmp-fhir 9.6/99")
def test_w3_only_author_structure_or_patient_for_own_documents_replace() -> None:
    role = {"resourceType": "PractitionerRole", "id": "r", "organization": structure_ref(CLINIC)}
    of_clinic = docref(authors=[{"reference": "#r"}], contained=[role])
    colleague = ps(NURSE, structure=CLINIC)
    next_one = docref(authors=[professional_ref(NURSE)])
    assert write(colleague, Op.REPLACE, of_clinic, next_one) == ("permit", "W3", 200, None)
    assert write(ps(STRANGER), Op.REPLACE, docref(authors=MINE), docref(authors=MINE))[:2] == ("permit", "W3")
    assert write(ps(NURSE), Op.REPLACE, docref(), next_one) == ("deny", "W3", 403, "author-only")
    assert write(ps(DOCTOR), Op.REPLACE, docref(), next_one) == ("deny", "W3", 403, "author-only")
    assert write(ps(STRANGER), Op.REPLACE, docref(authors=MINE), docref()) == FORGED
    assert write(ps(STRANGER), Op.REPLACE, docref(authors=MINE), None) == ("permit", "W3", 200, None)
    mine = docref(authors=OWN, class_="90")
    assert write(holder(), Op.REPLACE, mine, mine)[:2] == ("permit", "W3")
    assert write(holder(), Op.REPLACE, docref(), mine) == ("deny", "W3", 403, "author-only")


@pytest.mark.statement("security P-1 W5", "security P-17", "dmp-fhir 9.9/168", "dmp-fhir 9.9/169")
def test_w5_only_the_author_or_the_structure_deletes_and_the_patient_own_deposits() -> None:
    no = ("deny", "W5", 403, "author-only")
    yes = ("permit", "W5", 200, None)
    assert write(ps(STRANGER), Op.DELETE, docref(authors=MINE)) == yes
    assert write(institution(), Op.DELETE, docref(authors=[structure_ref(CLINIC)])) == yes
    assert write(institution(), Op.DELETE, docref()) == no
    for caller in (ps(NURSE), ps(DOCTOR), holder()):
        assert write(caller, Op.DELETE, docref()) == no
    assert write(holder(), Op.DELETE, docref(authors=OWN, class_="90")) == yes
    assert write(ADMIN, Op.DELETE, docref())[0] == "permit"


MASK = "MASQUE_PS"
HIDE = "INVISIBLE_PATIENT"
VEIL = "INVISIBLE_REPRESENTANTS_LEGAUX"
AUTHOR = ps(STRANGER)


def relabel(
    caller: Caller, before: tuple[str, ...], after: tuple[str, ...], known: PatientFacts, **history: Any
) -> Any:
    left, right = docref(*before, authors=MINE), docref(*after, authors=MINE)
    return write(caller, Op.UPDATE_LABEL, left, right, known, **history)[1:]


@pytest.mark.statement("security P-1 W6")
@pytest.mark.parametrize(("before", "after"), [((), (MASK,)), ((MASK,), ())])
def test_w6_author_mt_and_patient_mask_and_other_professionals_do_not(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    for caller in (AUTHOR, ps(DOCTOR), holder()):
        assert relabel(caller, before, after, ADULT) == ("W6", 200, None)
    assert relabel(ps(NURSE), before, after, ADULT) == ("W6", 403, "label-forbidden")
    assert relabel(representative(), before, after, MINOR) == ("W6", 200, None)


def test_a_representative_of_a_protected_adult_and_a_delegate_do_not_mask() -> None:
    link = {"resourceType": "RelatedPerson", "id": "r", "patient": {"reference": "Patient/p1"}}
    guardian = facts(directory=[{**link, "relationship": [{"coding": [{"code": "TUTEUR"}]}]}])
    caller = representative(fhir_user="RelatedPerson/r")
    assert relabel(caller, (), (MASK,), guardian) == ("W6", 403, "label-forbidden")
    assert relabel(delegate("c-x"), (), (MASK,), ADULT) == ("C5", 403, "delegation")


@pytest.mark.statement("security P-1 W7", "security P-46")
def test_w7_hiding_from_the_patient_is_for_author_and_mt_and_showing_for_authorised_professionals_too() -> None:
    for caller in (AUTHOR, ps(DOCTOR)):
        assert relabel(caller, (), (HIDE,), ADULT) == ("W7", 200, None)
        assert relabel(caller, (HIDE,), (), ADULT) == ("W7", 200, None)
    assert relabel(ps(NURSE), (), (HIDE,), ADULT) == ("W7", 403, "label-forbidden")
    assert relabel(ps(NURSE), (HIDE,), (), ADULT) == ("W7", 200, None)
    assert relabel(holder(), (), (HIDE,), ADULT) == ("W7", 403, "label-forbidden")
    assert relabel(holder(), (HIDE,), (), ADULT) == ("W7", 403, "label-forbidden")
    assert relabel(AUTHOR, (), (HIDE,), ADULT, read_by_patient=True) == ("W7", 422, "irreversible")


@pytest.mark.statement("security P-1 W8", "security P-16")
def test_w8_what_representatives_were_shown_is_never_hidden_again() -> None:
    for caller in (AUTHOR, ps(DOCTOR), ps(NURSE)):
        assert relabel(caller, (VEIL,), (), MINOR) == ("W8", 200, None)
    assert relabel(AUTHOR, (), (VEIL,), MINOR) == ("W8", 200, None)
    assert relabel(AUTHOR, (), (VEIL,), MINOR, shown_before=True) == ("W8", 422, "irreversible")
    assert relabel(ps(NURSE), (), (VEIL,), MINOR) == ("W8", 403, "label-forbidden")
    assert relabel(holder(), (VEIL,), (), MINOR) == ("W8", 403, "label-forbidden")
    assert relabel(AUTHOR, (), (VEIL,), ADULT) == ("W6", 422, "label-conflict")
    assert relabel(AUTHOR, (VEIL,), (VEIL, MASK), ADULT) == ("W6", 200, None)


@pytest.mark.statement("security P-1 W9")
def test_w9_whoever_is_in_the_record_archives_and_a_stranger_only_own_documents() -> None:
    for caller in (ps(NURSE), ps(DOCTOR), holder()):
        assert write(caller, Op.ARCHIVE, docref()) == ("permit", "W9", 200, None)
    assert write(AUTHOR, Op.ARCHIVE, docref(authors=MINE)) == ("permit", "W9", 200, None)
    assert write(AUTHOR, Op.ARCHIVE, docref()) == ("deny", "W9", 403, "author-only")


@pytest.mark.statement("security P-1 W12")
def test_w12_only_trusted_feeders_post_audit_events() -> None:
    assert may_record_audit(FEEDER)
    assert may_record_audit(ADMIN)
    for caller in (ps(), holder(), institution(), AUDITOR):
        assert not may_record_audit(caller)


def delegation(*rights: str, classes: tuple[str, ...] = ()) -> PatientFacts:
    parts: list[Json] = [{"url": "right", "valueCode": right} for right in rights]
    parts += [{"url": "class", "valueCoding": {"code": code}} for code in classes]
    said = consent("delegation", "permit", {"reference": "RelatedPerson/r"}, id_="c-del", period={"end": "2026-12-31"})
    return facts({**said, "extension": [{"url": f"{BASE}/StructureDefinition/dmp-delegation", "extension": parts}]})


def test_a_delegate_deposits_within_the_delegated_classes_and_changes_no_label() -> None:
    known = delegation("deposit", "settings", classes=("10",))
    assert deposit(delegate("c-del"), authors=OWN, class_="90", known=known) == ("deny", "W2", 403, "delegation")
    wide = delegation("deposit", "settings")
    assert deposit(delegate("c-del"), authors=OWN, class_="90", known=wide) == ("permit", "W2", 200, None)
    assert relabel(delegate("c-del"), (), (MASK,), wide) == ("W6", 403, "label-forbidden")
    assert relabel(delegate("c-del"), (MASK,), (MASK,), wide) == ("W6", 403, "label-forbidden")


def test_a_change_of_labels_without_effect_is_permitted_and_a_change_to_nothing_is_not() -> None:
    assert relabel(ps(NURSE), (), (), ADULT) == ("W6", 200, None)
    assert write(ps(NURSE), Op.UPDATE_LABEL, docref()) == ("deny", "W1", 403, "default-deny")


def test_a_refused_entry_stays_refused_and_an_operation_that_is_no_change_is_denied() -> None:
    known = facts(patient=person())
    assert write(ps(STRANGER), Op.SEARCH, docref(), known=known)[:2] == ("deny", "C19")
    assert write(ps(NURSE), Op.READ, docref()) == ("deny", "W1", 403, "default-deny")
    assert write(ps(NURSE), Op.DELETE) == ("deny", "W1", 403, "default-deny")
