"""Blocks A to C of the decision table: each row at least once, by its id."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_dmp.access.decide import enter, gate
from fhir_dmp.access.decision import CHANGES, READS, Decision, Effect, Op, Relation
from fhir_dmp.access.facts import PatientFacts, patient_facts
from fhir_dmp.access.relation import AuthorisationStatus, authorisation_status
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Caller, Scope
from tests.access.people import (
    ADMIN,
    AUDITOR,
    BASE,
    CLINIC,
    DOCTOR,
    FEEDER,
    NOW,
    NURSE,
    RULES,
    STRANGER,
    authorised,
    blocked,
    breaking_glass,
    closed_person,
    consent,
    delegate,
    doctor_of_record,
    facts,
    holder,
    institution,
    person,
    professional_ref,
    ps,
    purpose,
    regulator,
    representative,
    structure_ref,
)

UNKNOWN = patient_facts(None, [], {}, NOW, BASE)
MINOR = person(birthDate="2012-05-05")


def outcome(decision: Decision) -> tuple[str, str, int, str | None]:
    return decision.effect.value, decision.row, decision.status, decision.reason


def ask(caller: Caller, op: Op, known: PatientFacts) -> tuple[str, str, int, str | None]:
    return outcome(enter(caller, op, known, RULES))


PERMIT = "permit"
DENY = "deny"
FILTER = "filter"

# --- block A


def scoped(*scopes: Scope, **changes: str) -> Caller:
    return ps(scopes=scopes, **changes)


DOCUMENTS = Scope("user", "DocumentReference", frozenset("rs"))


@pytest.mark.statement("security P-1 A2")
def test_a2_a_scope_that_lacks_a_letter_or_the_type_is_refused() -> None:
    caller = scoped(DOCUMENTS)
    assert gate(caller, "rs", "DocumentReference", RULES) is None
    assert outcome(gate(caller, "u", "DocumentReference", RULES) or ALLOWED) == (DENY, "A2", 403, "scope")
    assert outcome(gate(caller, "r", "Patient", RULES) or ALLOWED) == (DENY, "A2", 403, "scope")


ALLOWED = Decision(Effect.PERMIT, "", Op.READ)


@pytest.mark.statement("security P-1 A3")
@pytest.mark.parametrize("sector", ["SA13", "SA66", "SA23"])
def test_a3_occupational_medicine_and_insurers_are_excluded(sector: str) -> None:
    decision = gate(scoped(DOCUMENTS, sector=sector), "r", "DocumentReference", RULES)
    assert outcome(decision or ALLOWED) == (DENY, "A3", 403, "actor-excluded")


@pytest.mark.statement("security P-1 A3")
def test_a3_a_doctor_of_occupational_medicine_is_excluded_in_any_structure() -> None:
    caller = replace(scoped(DOCUMENTS), roles=(*ps().roles, ("urn:oid:1.2.250.1.71.4.2.5", "SM25")))
    assert outcome(gate(caller, "r", "DocumentReference", RULES) or ALLOWED)[3] == "actor-excluded"


def test_the_operator_passes_unless_the_token_lists_scopes_that_lack_the_type() -> None:
    assert gate(ADMIN, "cruds", "Patient", RULES) is None
    assert gate(replace(ADMIN, scopes=(DOCUMENTS,)), "r", "DocumentReference", RULES) is None
    assert gate(replace(ADMIN, scopes=(DOCUMENTS,)), "d", "DocumentReference", RULES) is not None
    assert gate(replace(ADMIN, anonymous=True, scopes=(DOCUMENTS,)), "d", "DocumentReference", RULES) is None


# --- block B


@pytest.mark.statement("security P-1 B1")
def test_b1_asking_whether_an_unknown_patient_has_a_record_is_answered() -> None:
    assert ask(ps(), Op.EXIST, UNKNOWN) == (PERMIT, "B1", 200, None)
    assert ask(ps(), Op.EXIST, facts(opened=False)) == (PERMIT, "B1", 200, None)


@pytest.mark.statement("security P-1 B2", "dmp-fhir 9.3/31")
def test_b2_anything_else_about_an_unknown_patient_behaves_as_absent() -> None:
    assert ask(ps(), Op.READ, UNKNOWN) == (FILTER, "B2", 404, "not-found")
    assert ask(ps(), Op.SEARCH, facts(opened=False)) == (FILTER, "B2", 404, "not-found")


@pytest.mark.statement("security P-1 B3", "dmp-fhir 9.4/52")
def test_b3_a_deposit_without_record_is_refused() -> None:
    opposed = facts(consent("dmp-opening", "deny"), opened=False)
    assert ask(ps(), Op.CREATE, facts(opened=False)) == (DENY, "B3", 422, "no-dmp")
    assert ask(ps(), Op.CREATE, opposed) == (DENY, "B3", 403, "no-dmp")
    assert ask(ps(), Op.SEARCH, opposed) == (DENY, "B3", 403, "no-dmp")
    assert ask(holder(), Op.CONSENT_WRITE, opposed) == (PERMIT, "C1", 200, None)


CLOSED = facts(authorised(NURSE), patient=closed_person())


@pytest.mark.statement("security P-1 B4", "security P-34")
def test_b4_existence_and_closing_of_a_closed_record_are_told() -> None:
    assert ask(ps(), Op.EXIST, CLOSED) == (PERMIT, "B4", 200, None)


@pytest.mark.statement("security P-1 B5")
def test_b5_the_patient_may_ask_to_reopen_and_read_the_history_of_a_closed_record() -> None:
    assert ask(holder(), Op.REOPEN, CLOSED) == (PERMIT, "B5", 200, None)
    assert ask(holder(), Op.HISTORY, CLOSED) == (PERMIT, "B5", 200, None)
    minor = facts(patient={**closed_person(), "birthDate": "2012-05-05"})
    assert ask(representative(), Op.REOPEN, minor) == (PERMIT, "B5", 200, None)
    assert ask(representative(), Op.REOPEN, CLOSED) == (FILTER, "C3", 404, "not-found")
    assert ask(ps(), Op.REOPEN, CLOSED) == (PERMIT, "B5", 200, None)
    assert ask(ps(), Op.REOPEN, facts(blocked(DOCTOR), patient=closed_person()))[3] == "blocked"


@pytest.mark.statement("security P-1 B6")
def test_b6_the_auditor_reads_the_trail_of_a_closed_record() -> None:
    assert ask(AUDITOR, Op.HISTORY, CLOSED) == (PERMIT, "B6", 200, None)


@pytest.mark.statement("security P-1 B7", "dmp-fhir 9.7/107", "dmp-fhir 9.4/53", "dmp-fhir 9.9/178")
@pytest.mark.parametrize("op", [Op.READ, Op.SEARCH, Op.RETRIEVE, Op.FIND_OWN])
def test_b7_reads_of_a_closed_record_are_403_and_writes_422(op: Op) -> None:
    for caller in (ps(NURSE), holder(), institution(), breaking_glass()):
        assert ask(caller, op, CLOSED) == (DENY, "B7", 403, "dmp-closed")
    for write in (Op.CREATE, Op.REPLACE, Op.UPDATE_LABEL, Op.DELETE, Op.ARCHIVE, Op.CONSENT_WRITE):
        assert ask(ps(NURSE), write, CLOSED) == (DENY, "B7", 422, "dmp-closed")


# --- block C


@pytest.mark.statement("security P-1 C1")
def test_c1_the_patient_enters_the_own_record_and_no_other() -> None:
    assert ask(holder(), Op.READ, facts()) == (PERMIT, "C1", 200, None)
    assert ask(holder("p2"), Op.READ, facts()) == (FILTER, "B2", 404, "not-found")
    assert ask(holder("p2"), Op.SEARCH, facts()) == (DENY, "C21", 403, "default-deny")
    assert ask(holder("p2"), Op.SEARCH, UNKNOWN) == (FILTER, "B2", 404, "not-found")


@pytest.mark.statement("security P-1 C2")
def test_c2_a_representative_enters_the_record_of_a_minor_or_of_a_protected_adult() -> None:
    link = {"resourceType": "RelatedPerson", "id": "r1", "patient": {"reference": "Patient/p1"}}
    guardian = {**link, "relationship": [{"coding": [{"code": "TUTEUR"}]}]}
    parent = representative(fhir_user="RelatedPerson/r1")
    assert ask(parent, Op.READ, facts(patient=MINOR, directory=[link])) == (PERMIT, "C2", 200, None)
    assert ask(representative(), Op.READ, facts(patient=MINOR)) == (PERMIT, "C2", 200, None)
    assert ask(parent, Op.READ, facts(directory=[guardian])) == (PERMIT, "C2", 200, None)


@pytest.mark.statement("security P-1 C3")
def test_c3_a_link_that_has_ended_or_a_patient_of_age_hides_the_record() -> None:
    link = {"resourceType": "RelatedPerson", "id": "r1", "patient": {"reference": "Patient/p1"}, "active": False}
    parent = representative(fhir_user="RelatedPerson/r1")
    assert ask(parent, Op.READ, facts(patient=MINOR, directory=[link])) == (FILTER, "C3", 404, "not-found")
    assert ask(parent, Op.READ, facts(patient=MINOR)) == (FILTER, "C3", 404, "not-found")
    assert ask(representative(), Op.READ, facts()) == (FILTER, "C3", 404, "not-found")
    assert ask(representative(), Op.EXIST, facts()) == (FILTER, "C3", 404, "not-found")


@pytest.mark.statement("security P-38")
def test_a_representative_loses_access_on_the_eighteenth_birthday() -> None:
    eve, day = person(birthDate="2008-03-02"), person(birthDate="2008-03-01")
    assert ask(representative(), Op.READ, facts(patient=eve)) == (PERMIT, "C2", 200, None)
    assert ask(representative(), Op.READ, facts(patient=day)) == (FILTER, "C3", 404, "not-found")


def delegation(*rights: str, classes: tuple[str, ...] = (), end: str = "2026-12-31") -> Json:
    parts: list[Json] = [{"url": "right", "valueCode": right} for right in rights]
    parts += [{"url": "class", "valueCoding": {"code": code}} for code in classes]
    said = consent(
        "delegation",
        "permit",
        {"reference": "RelatedPerson/r2"},
        id_="c-del",
        period={"start": "2026-01-01", "end": end},
    )
    return {**said, "extension": [{"url": f"{BASE}/StructureDefinition/dmp-delegation", "extension": parts}]}


@pytest.mark.statement("security P-1 C4", "security P-39")
def test_c4_a_delegation_in_force_covers_its_rights_and_classes() -> None:
    known = facts(delegation("read", classes=("10",)))
    decision = enter(delegate("c-del"), Op.READ, known, RULES)
    assert outcome(decision) == (PERMIT, "C4", 200, None)
    assert decision.classes == frozenset({"10"})
    assert decision.consent_ids == ("Consent/c-del",)
    by_person = delegate(fhir_user="RelatedPerson/r2")
    assert ask(by_person, Op.SEARCH, known) == (PERMIT, "C4", 200, None)


@pytest.mark.statement("security P-1 C5")
def test_c5_no_delegation_an_ended_one_or_another_right_is_refused() -> None:
    known = facts(delegation("read"))
    refused = (DENY, "C5", 403, "delegation")
    assert ask(delegate("c-del"), Op.CREATE, known) == refused
    assert ask(delegate("c-del"), Op.UPDATE_LABEL, known) == refused
    assert ask(delegate("c-del"), Op.HISTORY, known) == refused
    assert ask(delegate("c-other"), Op.READ, known) == refused
    assert ask(delegate(), Op.READ, known) == refused
    assert ask(delegate("c-del"), Op.READ, facts(delegation("read", end="2026-02-01"))) == refused


@pytest.mark.statement("security P-1 C6", "security P-2", "dmp-fhir 9.7/106", "dmp-fhir 9.10/192")
@pytest.mark.parametrize("caller", [ps(NURSE), breaking_glass(NURSE), regulator(NURSE)])
def test_c6_a_blocked_professional_is_refused_in_every_mode(caller: Caller) -> None:
    known = facts(authorised(NURSE), blocked(NURSE))
    for op in (Op.READ, Op.SEARCH, Op.CREATE, Op.DELETE, Op.CONSENT_WRITE):
        assert ask(caller, op, known) == (DENY, "C6", 403, "blocked")
    decision = enter(caller, Op.READ, known, RULES, documents=True)
    assert outcome(decision) == (DENY, "C6", 403, "blocked")
    assert decision.consent_ids == (f"Consent/c-block-{NURSE}",)


@pytest.mark.statement("security P-1 C6")
def test_c6_a_block_on_the_structure_stops_its_professionals_and_its_feeding_but_not_the_mt() -> None:
    said = consent("block", "deny", structure_ref(CLINIC))
    known = facts(authorised(NURSE), said, patient=doctor_of_record())
    assert ask(ps(NURSE, structure=CLINIC), Op.READ, known) == (DENY, "C6", 403, "blocked")
    assert ask(institution(), Op.CREATE, known) == (DENY, "C6", 403, "blocked")
    assert ask(ps(NURSE), Op.READ, known) == (PERMIT, "C15", 200, None)
    assert ask(ps(DOCTOR, structure=CLINIC), Op.READ, known) == (PERMIT, "C14", 200, None)
    in_person = facts(blocked(DOCTOR), patient=doctor_of_record())
    assert ask(ps(DOCTOR), Op.READ, in_person) == (DENY, "C6", 403, "blocked")
    everybody = facts(authorised(NURSE), consent("block", "deny"))
    assert ask(ps(NURSE), Op.READ, everybody) == (DENY, "C6", 403, "blocked")


@pytest.mark.statement("dmp-fhir 9.3/38")
def test_a_blocked_professional_learns_only_that_the_record_exists() -> None:
    decision = enter(ps(NURSE), Op.EXIST, facts(blocked(NURSE)), RULES)
    assert (decision.effect, decision.reason) == (Effect.PERMIT, "blocked")
    assert decision.obligations == ("audit", "reduce:identity")


NO_REGULATION = consent("emergency", "deny", purpose=purpose("ETREAT"), id_="c-15")
NO_BREAK_GLASS = consent("emergency", "deny", purpose=purpose("BTG"), id_="c-btg")


@pytest.mark.statement("security P-1 C7", "security P-5", "security P-7", "dmp-fhir 9.10/195")
def test_c7_the_regulation_mode_needs_an_accredited_regulator_and_no_opposition() -> None:
    assert ask(regulator(), Op.READ, facts(NO_REGULATION)) == (DENY, "C7", 403, "emergency-refused")
    assert ask(breaking_glass(), Op.READ, facts(NO_REGULATION)) == (PERMIT, "C11", 200, None)
    assert ask(regulator(regulator=False), Op.READ, facts()) == (DENY, "C7", 403, "not-regulator")
    assert ask(regulator(structure=CLINIC), Op.READ, facts()) == (DENY, "C7", 403, "not-regulator")


@pytest.mark.statement("security P-1 C8", "security P-6", "dmp-fhir 9.10/196")
def test_c8_a_regulator_reads_without_authorisation_and_the_patient_is_told() -> None:
    decision = enter(regulator(), Op.SEARCH, facts(), RULES)
    assert outcome(decision) == (PERMIT, "C8", 200, None)
    assert decision.relation is Relation.EMERGENCY
    assert decision.obligations == ("audit", "notify:N2", "flag:centre15")


@pytest.mark.statement("security P-1 C9", "security P-4", "dmp-fhir 9.10/194")
def test_c9_the_patient_may_oppose_break_glass() -> None:
    assert ask(breaking_glass(), Op.READ, facts(NO_BREAK_GLASS)) == (DENY, "C9", 403, "emergency-refused")
    assert ask(regulator(), Op.READ, facts(NO_BREAK_GLASS)) == (PERMIT, "C8", 200, None)


@pytest.mark.statement("security P-1 C10", "dmp-fhir 9.10/193")
@pytest.mark.parametrize(
    "caller",
    [
        breaking_glass(reason=None),
        breaking_glass(reason="  "),
        breaking_glass(profession="95"),
        breaking_glass(roles=()),
        breaking_glass(roles=(("urn:oid:1.2.250.1.213.1.6.1.4", "50"),)),
    ],
)
def test_c10_break_glass_needs_a_reason_and_an_admitted_profession(caller: Caller) -> None:
    assert ask(caller, Op.READ, facts()) == (DENY, "C10", 403, "btg-not-allowed")


@pytest.mark.statement("security P-1 C11", "dmp-fhir 9.10/193")
def test_c11_break_glass_reads_with_its_obligations() -> None:
    decision = enter(breaking_glass(), Op.READ, facts(), RULES)
    assert outcome(decision) == (PERMIT, "C11", 200, None)
    assert decision.obligations == ("audit", "notify:N1", "flag:btg", "limit:600s")
    in_training = breaking_glass(roles=(("urn:oid:1.2.250.1.71.1.2.8", "10"),))
    assert ask(in_training, Op.READ, facts()) == (PERMIT, "C11", 200, None)


@pytest.mark.statement("security P-1 C12", "security P-32", "dmp-fhir 9.4/55")
@pytest.mark.parametrize("caller", [ps(STRANGER), institution(), FEEDER])
def test_c12_feeding_an_open_record_needs_no_authorisation(caller: Caller) -> None:
    assert ask(caller, Op.CREATE, facts()) == (PERMIT, "C12", 200, None)


@pytest.mark.statement("security P-1 C12", "security P-37", "dmp-fhir 9.4/54")
def test_c12_an_opposition_to_feeding_refuses_all_or_those_it_names() -> None:
    everybody = facts(consent("feeding-opposition", "deny"))
    clinic = facts(consent("feeding-opposition", "deny", structure_ref(CLINIC)))
    refused = (DENY, "C12", 403, "feeding-opposition")
    assert ask(ps(STRANGER), Op.CREATE, everybody) == refused
    assert ask(FEEDER, Op.CREATE, everybody) == refused
    assert ask(ps(STRANGER), Op.REPLACE, everybody) == refused
    assert ask(institution(), Op.CREATE, clinic) == refused
    assert ask(ps(STRANGER, structure=CLINIC), Op.CREATE, clinic) == refused
    assert ask(ps(STRANGER), Op.CREATE, clinic) == (PERMIT, "C12", 200, None)


@pytest.mark.statement("security P-1 C13", "security P-31", "security P-33")
@pytest.mark.parametrize("caller", [institution(), FEEDER])
def test_c13_an_institution_feeds_and_never_reads(caller: Caller) -> None:
    known = facts(consent("ps-authorisation", "permit", structure_ref(CLINIC)))
    for op in (Op.READ, Op.SEARCH, Op.RETRIEVE, Op.HISTORY, Op.CONSENT_WRITE):
        assert ask(caller, op, known) == (DENY, "C13", 403, "feed-only")


@pytest.mark.statement("security P-1 W4", "dmp-fhir 9.7/135")
def test_w4_an_institution_finds_own_deposits_as_metadata() -> None:
    decision = enter(institution(), Op.FIND_OWN, facts(), RULES)
    assert outcome(decision)[:2] == (PERMIT, "W4")
    assert decision.own_only
    assert decision.metadata_only


@pytest.mark.statement("security P-1 C14")
def test_c14_the_medecin_traitant_enters() -> None:
    decision = enter(ps(DOCTOR), Op.READ, facts(patient=doctor_of_record()), RULES)
    assert outcome(decision) == (PERMIT, "C14", 200, None)
    assert decision.relation is Relation.DOCTOR


@pytest.mark.statement("security P-1 C15", "dmp-fhir 9.10/188")
def test_c15_an_authorisation_of_the_person_or_of_the_structure_opens_the_record() -> None:
    decision = enter(ps(NURSE, "60"), Op.SEARCH, facts(authorised(NURSE)), RULES)
    assert outcome(decision) == (PERMIT, "C15", 200, None)
    assert decision.consent_ids == (f"Consent/c-auth-{NURSE}",)
    clinic = facts(consent("ps-authorisation", "permit", structure_ref(CLINIC)))
    assert ask(ps(STRANGER, structure=CLINIC), Op.READ, clinic) == (PERMIT, "C15", 200, None)
    assert ask(ps(STRANGER), Op.READ, clinic)[3] == "authorisation-missing"


@pytest.mark.statement("security P-1 C15")
def test_c15_an_authorisation_for_another_purpose_or_limited_data_opens_nothing() -> None:
    emergency = facts(authorised(NURSE, purpose=purpose("BTG")))
    limited = facts(authorised(NURSE, securityLabel=[{"code": "R"}]))
    for known in (emergency, limited):
        assert ask(ps(NURSE), Op.READ, known) == (DENY, "C19", 403, "authorisation-missing")


TEAM = {
    "resourceType": "CareTeam",
    "id": "t1",
    "status": "active",
    "subject": {"reference": "Patient/p1"},
    "participant": [{"member": professional_ref(NURSE), "period": {"start": "2025-01-01"}}],
}


@pytest.mark.statement("security P-1 C16", "security P-29", "security P-30")
def test_c16_a_care_team_enters_after_the_patient_agreed_once_and_did_not_oppose() -> None:
    team = {"reference": "CareTeam/t1"}
    agreed = consent("team-authorisation", "permit", team, id_="c-team")
    informed = consent("info-team", "permit", team, id_="c-info")
    opposed = consent("team-authorisation", "deny", team, id_="c-no")
    missing = (DENY, "C19", 403, "authorisation-missing")
    assert ask(ps(NURSE), Op.READ, facts(directory=[TEAM])) == missing
    decision = enter(ps(NURSE), Op.READ, facts(agreed, directory=[TEAM]), RULES)
    assert outcome(decision) == (PERMIT, "C16", 200, None)
    assert decision.consent_ids == ("Consent/c-team",)
    assert ask(ps(NURSE), Op.READ, facts(informed, directory=[TEAM])) == (PERMIT, "C16", 200, None)
    assert ask(ps(NURSE), Op.READ, facts(agreed, opposed, directory=[TEAM])) == missing
    assert ask(ps(STRANGER), Op.READ, facts(agreed, directory=[TEAM])) == missing
    presumed = replace(RULES, care_team_initial_consent_required=False)
    assert enter(ps(NURSE), Op.READ, facts(directory=[TEAM]), presumed).row == "C16"
    assert enter(ps(NURSE), Op.READ, facts(opposed, directory=[TEAM]), presumed).row == "C19"


@pytest.mark.statement("security P-1 C16")
def test_c16_a_member_who_left_or_a_team_that_ended_enters_no_more() -> None:
    agreed = consent("team-authorisation", "permit", {"reference": "CareTeam/t1"})
    left = {**TEAM, "participant": [{"member": professional_ref(NURSE), "period": {"end": "2026-02-01"}}]}
    for team in (left, {**TEAM, "status": "inactive"}, {**TEAM, "period": {"end": "2025"}}):
        assert ask(ps(NURSE), Op.READ, facts(agreed, directory=[team]))[3] == "authorisation-missing"


@pytest.mark.statement("security P-1 C17")
@pytest.mark.parametrize("op", sorted((READS | CHANGES) - {Op.SEARCH}))
def test_c17_an_author_without_authorisation_goes_on_to_own_documents_only(op: Op) -> None:
    decision = enter(ps(STRANGER), op, facts(), RULES, documents=True)
    assert (decision.effect, decision.row, decision.own_only) == (Effect.PERMIT, "C17", True)
    assert decision.reason == "authorisation-missing"
    assert not decision.whole_record
    assert ask(ps(STRANGER), op, facts()) == (DENY, "C19", 403, "authorisation-missing")


@pytest.mark.statement("security P-1 C18", "security P-27", "dmp-fhir 9.7/105")
def test_c18_an_expired_authorisation_is_told_from_none() -> None:
    expired = facts(authorised(NURSE, period={"start": "2025-01-01", "end": "2026-02-28"}))
    assert ask(ps(NURSE), Op.SEARCH, expired) == (DENY, "C18", 403, "authorisation-expired")
    last_day = facts(authorised(NURSE, period={"start": "2025-01-01", "end": "2026-03-01"}))
    assert ask(ps(NURSE), Op.SEARCH, last_day) == (PERMIT, "C15", 200, None)


@pytest.mark.statement("security P-1 C19", "security P-28", "dmp-fhir 9.7/104", "dmp-fhir 9.8/147")
def test_c19_without_authorisation_a_search_is_403_and_no_empty_bundle() -> None:
    refused = (DENY, "C19", 403, "authorisation-missing")
    assert ask(ps(STRANGER), Op.SEARCH, facts(authorised(NURSE))) == refused
    assert outcome(enter(ps(STRANGER), Op.SEARCH, facts(), RULES, documents=True)) == refused
    not_yet = facts(authorised(NURSE, period={"start": "2026-03-02"}))
    assert ask(ps(NURSE), Op.SEARCH, not_yet) == refused
    revoked = facts(authorised(NURSE, status="inactive"))
    assert ask(ps(NURSE), Op.SEARCH, revoked) == refused


@pytest.mark.statement("security P-1 C20", "security P-48")
def test_c20_the_auditor_reads_the_audit_trail_and_nothing_else() -> None:
    assert ask(AUDITOR, Op.HISTORY, facts()) == (PERMIT, "C20", 200, None)
    for op in set(Op) - {Op.HISTORY}:
        assert ask(AUDITOR, op, facts()) == (DENY, "C21", 403, "default-deny")


@pytest.mark.statement("security P-1 C21")
def test_c21_what_no_row_allows_is_denied() -> None:
    known = facts(authorised(NURSE))
    assert ask(ps(NURSE), Op.HISTORY, known) == (DENY, "C21", 403, "default-deny")
    assert ask(ps(NURSE), Op.REOPEN, known) == (DENY, "C21", 403, "default-deny")


def test_an_actor_of_no_known_kind_is_denied() -> None:
    stranger = replace(ps(NURSE), actor="OTHER")  # type: ignore[arg-type]  # a kind that a later release may add
    assert ask(stranger, Op.READ, facts(authorised(NURSE))) == (DENY, "C21", 403, "default-deny")
    assert ask(stranger, Op.CREATE, facts()) == (DENY, "C21", 403, "default-deny")


@pytest.mark.statement("security P-1 W11", "security P-8")
@pytest.mark.parametrize("caller", [breaking_glass(DOCTOR), regulator(DOCTOR)])
def test_w11_emergency_modes_are_read_only_even_for_the_mt(caller: Caller) -> None:
    known = facts(patient=doctor_of_record())
    for op in (Op.CREATE, Op.REPLACE, Op.UPDATE_LABEL, Op.DELETE, Op.ARCHIVE, Op.CONSENT_WRITE):
        assert ask(caller, op, known) == (DENY, "W11", 403, "read-only-mode")


@pytest.mark.statement("security P-1 D15", "security P-40")
def test_d15_an_application_needs_the_running_agreement_of_the_holder() -> None:
    app = holder(app="app-7", client="client-7")
    granted = consent("app-grant", "permit", {"reference": "Device/app-7"}, id_="c-app")
    assert ask(app, Op.READ, facts()) == (DENY, "D15", 403, "app-not-granted")
    assert enter(app, Op.READ, facts(granted), RULES).consent_ids == ("Consent/c-app",)
    ended = consent("app-grant", "permit", {"reference": "Device/app-7"}, period={"end": "2026-01-01"})
    assert ask(app, Op.READ, facts(ended)) == (DENY, "D15", 403, "app-not-granted")


@pytest.mark.statement("security P-49")
def test_a_link_between_patients_gives_no_access() -> None:
    linked = person("p2", link=[{"other": {"reference": "Patient/p1"}, "type": "seealso"}])
    known = facts(patient=linked)
    assert ask(holder("p1"), Op.READ, known) == (FILTER, "B2", 404, "not-found")


def test_a_professional_bound_to_a_launch_context_stays_in_it() -> None:
    bound = ps(NURSE, patient="p2", scopes=(Scope("patient", "*", frozenset("rs")),))
    assert ask(bound, Op.READ, facts(authorised(NURSE))) == (FILTER, "B2", 404, "not-found")
    free = replace(bound, scopes=(Scope("user", "*", frozenset("rs")),))
    assert ask(free, Op.READ, facts(authorised(NURSE))) == (PERMIT, "C15", 200, None)


def test_the_operator_enters_every_record_in_any_state() -> None:
    for known in (UNKNOWN, CLOSED, facts()):
        for op in Op:
            assert ask(ADMIN, op, known) == (PERMIT, "ADMIN", 200, None)


@pytest.mark.statement("dmp-fhir 9.3/37", "dmp-fhir 9.10/197")
def test_the_authorisation_status_agrees_with_the_decision() -> None:
    def status(*said: Json, caller: Caller | None = None) -> AuthorisationStatus:
        return authorisation_status(caller or ps(NURSE), facts(*said), RULES)

    assert status() is AuthorisationStatus.NONE
    assert status(authorised(NURSE)) is AuthorisationStatus.VALID
    assert status(authorised(NURSE, period={"end": "2026"})) is AuthorisationStatus.VALID
    assert status(authorised(NURSE, period={"end": "2025"})) is AuthorisationStatus.EXPIRED
    assert status(authorised(NURSE), blocked(NURSE)) is AuthorisationStatus.BLOCKED
    denied = consent("ps-authorisation", "deny", professional_ref(NURSE), id_="c-no")
    assert status(authorised(NURSE, period={"end": "2025"}), denied) is AuthorisationStatus.NONE
    team = facts(consent("team-authorisation", "permit", {"reference": "CareTeam/t1"}), directory=[TEAM])
    assert authorisation_status(ps(NURSE), team, RULES) is AuthorisationStatus.VALID
    doctor = facts(patient=doctor_of_record())
    assert authorisation_status(ps(DOCTOR), doctor, RULES) is AuthorisationStatus.VALID
