"""Consents: what they say, whether they are well formed, who may write and read them."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from fhir_dmp.access.consent import KIND_ALIAS, ConsentKind, Reading, consent_kind, statements
from fhir_dmp.access.consent_rules import check_consent, may_read_consent, may_write_consent
from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Op
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Caller
from tests.access.people import (
    ADMIN,
    BASE,
    CLINIC,
    DOCTOR,
    FEEDER,
    KIND,
    NOW,
    NURSE,
    RULES,
    STRANGER,
    authorised,
    blocked,
    breaking_glass,
    consent,
    delegate,
    doctor_of_record,
    facts,
    holder,
    institution,
    professional_ref,
    ps,
    purpose,
    representative,
    structure_ref,
)

DIRECTORY: dict[str, Json] = {
    "Practitioner/ps-77": {"resourceType": "Practitioner", "identifier": [professional_ref(NURSE)["identifier"]]},
    "Organization/o1": {"resourceType": "Organization", "identifier": [structure_ref(CLINIC)["identifier"]]},
}
READING = Reading(DIRECTORY, UTC, BASE)
CATEGORIE = f"{BASE}/CodeSystem/dmp-consent-categorie"


@pytest.mark.parametrize("system", [KIND, KIND_ALIAS])
@pytest.mark.parametrize("kind", list(ConsentKind))
def test_the_kind_is_read_in_both_spellings_of_its_code_system(kind: ConsentKind, system: str) -> None:
    assert consent_kind(consent(kind, "permit", system=system), BASE) is kind


@pytest.mark.parametrize(
    ("category", "type_", "kind"),
    [
        ("consentement-ouverture", "permit", ConsentKind.OPENING),
        ("autorisation-acces", "permit", ConsentKind.AUTHORISATION),
        ("blocage", "deny", ConsentKind.BLOCK),
        ("opposition-alimentation", "deny", ConsentKind.FEEDING),
        ("opposition-bris-de-glace", "deny", ConsentKind.EMERGENCY),
        ("opposition-centre-regulation", "deny", ConsentKind.EMERGENCY),
        ("opposition-creation", "deny", ConsentKind.OPENING),
        ("connexion-secrete", "deny", ConsentKind.TEAM_INFORMATION),
    ],
)
def test_the_french_categories_map_onto_the_kinds(category: str, type_: str, kind: ConsentKind) -> None:
    assert consent_kind(consent(category, type_, system=CATEGORIE), BASE) is kind


@pytest.mark.statement("security C-7", "dmp-fhir 9.10/194", "dmp-fhir 9.10/195")
def test_each_emergency_mode_is_opposed_by_itself() -> None:
    assert facts().break_glass_refusal is None
    french = facts(consent("opposition-bris-de-glace", "deny", system=CATEGORIE))
    assert (french.break_glass_refusal is not None, french.regulation_refusal is not None) == (True, False)
    nested = consent(
        "emergency",
        "permit",
        purpose=purpose("BTG", "ETREAT"),
        provision=[{"type": "deny", "purpose": purpose("ETREAT")}],
    )
    known = facts(nested)
    assert (known.break_glass_refusal is not None, known.regulation_refusal is not None) == (False, True)
    only_btg = consent("emergency", "deny", provision=[{"type": "permit", "purpose": purpose("BTG")}])
    known = facts(only_btg)
    assert (known.break_glass_refusal is not None, known.regulation_refusal is not None) == (False, True)
    neither = facts(consent("emergency", "deny"))
    assert (neither.break_glass_refusal is not None, neither.regulation_refusal is not None) == (True, True)


def test_an_exception_of_an_authorisation_takes_one_professional_out() -> None:
    exception = {"type": "deny", "actor": consent("x", "deny", professional_ref(NURSE))["provision"]["actor"]}
    known = facts(consent("ps-authorisation", "permit", structure_ref(CLINIC), provision=[exception]))
    inside = {"structure": CLINIC}
    assert enter(ps(STRANGER, **inside), Op.READ, known, RULES).permitted
    assert enter(ps(NURSE, **inside), Op.READ, known, RULES).reason == "authorisation-missing"


@pytest.mark.statement("security C-3")
def test_a_deny_beats_a_permit() -> None:
    denied = consent("ps-authorisation", "deny", professional_ref(NURSE), id_="c-no")
    assert enter(ps(NURSE), Op.READ, facts(authorised(NURSE), denied), RULES).row == "C19"
    everybody = consent("ps-authorisation", "deny", id_="c-all")
    assert enter(ps(NURSE), Op.READ, facts(authorised(NURSE), everybody), RULES).row == "C19"


@pytest.mark.statement("security C-4")
def test_the_most_specific_then_the_latest_consent_decides() -> None:
    structure = consent("ps-authorisation", "permit", structure_ref(CLINIC), id_="c-org", said="2026-02-01")
    person = authorised(NURSE, said="2025-01-01")
    caller = ps(NURSE, structure=CLINIC)
    decision = enter(caller, Op.READ, facts(structure, person), RULES)
    assert decision.consent_ids == (f"Consent/c-auth-{NURSE}",)
    older = {**person, "id": "c-old", "dateTime": "2024"}
    assert enter(caller, Op.READ, facts(older, person), RULES).consent_ids == (f"Consent/c-auth-{NURSE}",)


@pytest.mark.statement("security C-2")
def test_a_consent_counts_only_in_its_period_and_while_active() -> None:
    for change in ({"period": {"start": "2026-04-01"}}, {"status": "rejected"}, {"period": {"start": "??"}}):
        assert not enter(ps(NURSE), Op.READ, facts(authorised(NURSE, **change)), RULES).permitted


def test_a_consent_without_kind_or_provision_says_nothing() -> None:
    assert list(statements(consent("other", "permit"), READING)) == []
    assert list(statements({**consent("block", "deny"), "provision": None}, READING)) == []


def test_only_our_extension_tells_the_rights_of_a_delegation() -> None:
    parts = [{"url": "right", "valueCode": 7}, {"url": "other", "valueCode": "settings"}]
    ours = {"url": f"{BASE}/StructureDefinition/dmp-delegation", "extension": parts}
    foreign = {"url": "https://example.org/x", "extension": [{"url": "right", "valueCode": "settings"}]}
    said = consent("delegation", "permit", {"reference": "RelatedPerson/r"})
    (found,) = statements({**said, "extension": [foreign, ours]}, READING)
    assert (found.rights, found.classes) == (frozenset({"read"}), frozenset())


def test_a_consent_whose_provision_is_no_object_is_only_missing_it() -> None:
    (issue,) = check_consent({**consent("block", "deny"), "provision": None}, READING)
    assert issue.expression == ("Consent.provision",)


def test_actors_are_resolved_through_the_directory() -> None:
    said = list(statements(consent("ps-authorisation", "permit", {"reference": "Practitioner/ps-77"}), READING))
    assert [party.value for party in said[0].parties] == [NURSE]
    assert said[0].holds_at(NOW)


# --- well formed

SOUND = [
    consent("dmp-opening", "permit", purpose=purpose("TREAT")),
    consent("ps-authorisation", "permit", {"reference": "Practitioner/ps-77"}, period={"start": "2025-06-02"}),
    consent("ps-authorisation", "permit", {"reference": "Organization/o1"}),
    consent("team-authorisation", "permit", {"reference": "CareTeam/t1"}),
    consent("block", "deny", professional_ref(STRANGER)),
    consent("mt", "permit", professional_ref(DOCTOR)),
    consent("emergency", "permit", purpose=purpose("BTG"), provision=[{"type": "deny", "purpose": purpose("ETREAT")}]),
    consent("app-grant", "permit", {"reference": "Device/app"}),
    consent(
        "delegation", "permit", {"reference": "RelatedPerson/r"}, period={"start": "2026-01-01", "end": "2026-12-31"}
    ),
    consent("feeding-opposition", "deny"),
    consent("info-team", "permit", {"reference": "CareTeam/t1"}),
    consent("blocage", "deny", professional_ref(STRANGER), system=CATEGORIE),
]


@pytest.mark.statement("security C-1")
@pytest.mark.parametrize("sound", SOUND, ids=lambda part: str(part["category"][1]["coding"][0]["code"]))
def test_a_sound_consent_has_no_issue(sound: Json) -> None:
    assert check_consent(sound, READING) == ()


def broken(**changes: Any) -> Json:
    return {**consent("ps-authorisation", "permit", professional_ref(NURSE)), **changes}


def inside(**changes: Any) -> Json:
    return consent("ps-authorisation", "permit", professional_ref(NURSE), **changes)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (broken(dateTime=None), "Consent.dateTime"),
        (broken(performer=[]), "Consent.performer"),
        (broken(scope={"coding": [{"code": "research"}]}), "Consent.scope"),
        (broken(patient={"display": "?"}), "Consent.patient"),
        (broken(policy=[]), "Consent.policy"),
        (broken(verification=[{"verified": True}]), "Consent.verification"),
        (broken(category=[{"coding": [{"system": KIND, "code": "other"}]}]), "Consent.category"),
        (
            broken(category=[{"coding": [{"system": KIND, "code": "mt"}, {"system": KIND, "code": "block"}]}]),
            "Consent.category",
        ),
        (consent("block", "permit", professional_ref(NURSE)), "Consent.provision.type"),
        (consent("block", "deny"), "Consent.provision.actor"),
        (consent("block", "deny", professional_ref(NURSE), purpose=purpose("TREAT")), "Consent.provision.purpose"),
        (consent("ps-authorisation", "permit", {"reference": "Device/x"}), "Consent.provision.actor[0].reference"),
        (consent("mt", "permit", structure_ref(CLINIC)), "Consent.provision.actor[0].reference"),
        (consent("ps-authorisation", "permit", {"display": "?"}), "Consent.provision.actor[0].reference"),
        (inside(data=[{"meaning": "instance"}]), "Consent.provision.data"),
        (inside(period={"start": "soon"}), "Consent.provision.period.start"),
        (inside(period={"start": "2026-02-01", "end": "2026-01-01"}), "Consent.provision.period"),
        (consent("delegation", "permit", {"reference": "RelatedPerson/r"}), "Consent.provision.period"),
        (
            consent(
                "delegation",
                "permit",
                {"reference": "RelatedPerson/r"},
                period={"start": "2026-01-01", "end": "2027-06-01"},
            ),
            "Consent.provision.period",
        ),
        (inside(provision=[{}]), "Consent.provision.provision[0].type"),
    ],
)
def test_each_fault_is_named_with_its_place(wrong: Json, place: str) -> None:
    assert place in [where for issue in check_consent(wrong, READING) for where in issue.expression]


@pytest.mark.statement("security C-14")
def test_a_third_level_of_provisions_is_refused_and_never_trusted() -> None:
    deep = inside(provision=[{"type": "permit", "provision": [{"type": "deny"}]}])
    issues = check_consent(deep, READING)
    assert [issue.expression for issue in issues] == [("Consent.provision.provision[0].provision",)]
    assert issues[0].code == "not-supported"
    assert not enter(ps(NURSE), Op.READ, facts(deep), RULES).permitted


@pytest.mark.statement("security C-12")
def test_a_consent_that_claims_pcf_brings_its_proof_and_organisation() -> None:
    claimed = broken(meta={"profile": ["https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentBasic"]})
    assert check_consent(claimed, READING) == ()
    bare = {key: part for key, part in claimed.items() if key not in ("sourceAttachment", "organization")}
    places = [issue.expression[0] for issue in check_consent(bare, READING)]
    assert places == ["Consent.source", "Consent.organization"]


def test_an_actor_has_the_role_of_recipient() -> None:
    wrong = inside()
    wrong["provision"]["actor"][0]["role"] = {"coding": [{"code": "CST"}]}
    assert [issue.expression[0] for issue in check_consent(wrong, READING)] == ["Consent.provision.actor[0].role"]


# --- who writes (W10)


def write(caller: Caller, said: Json, before: Json | None = None, known: PatientFacts | None = None) -> Any:
    known = known or facts(authorised(NURSE))
    decision = enter(caller, Op.CONSENT_WRITE, known, RULES)
    decided = may_write_consent(caller, decision, said, before, known, READING)
    return decided.effect.value, decided.row, decided.status, decided.reason


YES = ("permit", "W10", 200, None)
NO = ("deny", "W10", 403, "consent-writer")


@pytest.mark.statement("security P-1 W10")
def test_w10_the_holder_writes_own_consents_and_a_grant_only_through_the_consent_page() -> None:
    for said in (authorised(STRANGER), blocked(STRANGER), consent("emergency", "deny")):
        assert write(holder(), said) == YES
    grant = consent("app-grant", "permit", {"reference": "Device/app"})
    assert write(holder(), grant) == NO
    assert write(holder(), {**grant, "status": "inactive"}, grant) == YES
    assert write(holder(), {**authorised(STRANGER), "patient": {"reference": "Patient/p2"}}) == NO
    minor = facts(patient={**doctor_of_record(), "birthDate": "2012-05-05"})
    assert write(representative(), blocked(STRANGER), known=minor) == YES


@pytest.mark.statement("security P-1 W10", "security C-6")
def test_w10_a_professional_records_an_authorisation_for_self_or_structure_and_never_for_a_third_party() -> None:
    assert write(ps(STRANGER), authorised(STRANGER)) == YES
    assert write(ps(STRANGER), {**authorised(STRANGER), "status": "inactive"}, authorised(STRANGER)) == YES
    clinic = consent("ps-authorisation", "permit", structure_ref(CLINIC))
    assert write(ps(STRANGER, structure=CLINIC), clinic) == YES
    assert write(ps(STRANGER), clinic) == NO
    assert write(ps(STRANGER), authorised(NURSE)) == NO
    assert write(ps(STRANGER), authorised(STRANGER), authorised(NURSE)) == NO
    for said in (blocked(STRANGER), consent("emergency", "deny"), consent("dmp-opening", "permit")):
        assert write(ps(STRANGER), said) == NO
    assert write(institution(), clinic) == ("deny", "C13", 403, "feed-only")
    nameless = ps(STRANGER, structure=CLINIC, professional=None)
    assert write(nameless, clinic) == NO
    assert write(FEEDER, clinic) == ("deny", "C13", 403, "feed-only")


@pytest.mark.statement("dmp-fhir 9.10/191")
def test_w10_only_a_doctor_takes_the_role_of_medecin_traitant() -> None:
    assert write(ps(STRANGER, "10"), consent("mt", "permit", professional_ref(STRANGER))) == YES
    assert write(ps(STRANGER, "60"), consent("mt", "permit", professional_ref(STRANGER))) == NO
    assert write(ps(STRANGER, "10"), consent("mt", "permit", professional_ref(NURSE))) == NO
    clinic = ps(STRANGER, structure=CLINIC)
    assert write(clinic, consent("mt", "permit", structure_ref(CLINIC))) == NO


@pytest.mark.statement("security P-3")
def test_a_block_on_the_current_medecin_traitant_is_a_conflict() -> None:
    known = facts(patient=doctor_of_record())
    expected = ("deny", "W10", 409, "mt-cannot-be-blocked")
    assert write(holder(), blocked(DOCTOR), known=known) == expected
    assert write(ADMIN, blocked(DOCTOR), known=known)[1:] == expected[1:]
    assert write(holder(), blocked(NURSE), known=known) == YES
    assert write(holder(), {**blocked(DOCTOR), "status": "inactive"}, blocked(DOCTOR), known) == YES


def test_nobody_changes_the_kind_or_the_patient_of_a_consent() -> None:
    assert write(holder(), blocked(STRANGER), authorised(STRANGER)) == NO
    moved = {**authorised(STRANGER), "patient": {"reference": "Patient/p2"}}
    assert write(holder(), moved, authorised(STRANGER)) == NO
    assert write(ADMIN, moved, authorised(STRANGER))[0] == "permit"


def test_emergency_modes_and_blocked_professionals_write_no_consent() -> None:
    assert write(breaking_glass(), authorised(STRANGER)) == ("deny", "W11", 403, "read-only-mode")
    assert write(ps(NURSE), authorised(NURSE), known=facts(blocked(NURSE)))[3] == "blocked"


def test_a_delegate_with_settings_writes_but_delegates_no_further() -> None:
    parts = [{"url": "right", "valueCode": right} for right in ("read", "settings")]
    said = consent("delegation", "permit", {"reference": "RelatedPerson/r"}, id_="c-del", period={"end": "2026-12-31"})
    known = facts({**said, "extension": [{"url": f"{BASE}/StructureDefinition/dmp-delegation", "extension": parts}]})
    assert write(delegate("c-del"), authorised(STRANGER), known=known) == YES
    assert write(delegate("c-del"), said, said, known) == NO


@pytest.mark.statement("security C-15")
def test_the_patient_reads_own_consents_and_a_professional_those_naming_him_or_the_structure() -> None:
    clinic = consent("ps-authorisation", "permit", {"reference": "Organization/o1"})
    assert may_read_consent(holder(), authorised(NURSE), READING)
    assert not may_read_consent(holder("p2"), authorised(NURSE), READING)
    assert may_read_consent(ps(NURSE), authorised(NURSE), READING)
    assert may_read_consent(ps(NURSE), blocked(NURSE), READING)
    assert not may_read_consent(ps(STRANGER), authorised(NURSE), READING)
    assert may_read_consent(ps(STRANGER, structure=CLINIC), clinic, READING)
    assert not may_read_consent(FEEDER, clinic, READING)
    assert may_read_consent(ADMIN, clinic, READING)
