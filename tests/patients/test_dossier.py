"""The state of a dossier, and its opening."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.access.facts import patient_facts
from fhir_dmp.errors import BadRequest, Conflict, DmpError, Forbidden, Unprocessable
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients import consents
from fhir_dmp.patients.dossier import Opener, Opening, Status, plan_opening, read_opening
from fhir_dmp.patients.identity import IdentityRules
from fhir_dmp.patients.ins import InsRules
from tests.patients.test_identity import patient

X = "https://dmp-fhir.example/ig"
CLOSING = "https://interop.esante.gouv.fr/ig/fhir/dmp/StructureDefinition/dmp-fermeture"
DOCTOR = {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "899700218896"}}
ACT = consents.Act(X, "Patient/p", ("urn:oid:1.2.250.1.213.1.4.8", "285047511200314"), 0, "Opérateur", "2.25.1")


def parameters(person: Any = None, consent: Any = True, **others: Any) -> Json:
    listed: list[Json] = [{"name": "patient", "resource": person or patient()}]
    if consent is not None:
        listed.append({"name": "consentement", "valueBoolean": consent})
    for name, value in others.items():
        key = "valueBoolean" if isinstance(value, bool) else "valueIdentifier"
        listed.append({"name": name, key: value})
    return {"resourceType": "Parameters", "parameter": listed}


def decide(
    sent: Json, held: Held | None = None, acts: list[Json] | None = None, performer: Json | None = None, **rules: Any
) -> Opening:
    ins = InsRules(X, rules.get("key_check", "strict"), rules.get("test_allowed", False))
    numbers = iter(range(1, 9))
    opener = Opener(
        IdentityRules(ins, rules.get("status_required", "QUAL")),
        "Opérateur du DMP",
        "2.25.1",
        performer,
        0,
        lambda of: f"{of}-{next(numbers)}",
    )
    return plan_opening(read_opening(sent), held, acts or [], state(held, acts or []), opener)


def state(held: Held | None, acts: list[Json]) -> Status:
    """The state of the dossier as access decides on it."""
    return patient_facts({**held.resource, "id": held.id} if held else None, acts, {}, 0, X).dossier


def stored(opening: Opening) -> tuple[Held, list[Json]]:
    person = Held("Patient", opening.patient_id, 1, opening.patient)
    return person, [draft.resource for draft in opening.drafts if draft.type == "Consent"]


def refused(*arguments: Any, **settings: Any) -> DmpError:
    with pytest.raises(DmpError) as caught:
        decide(*arguments, **settings)
    return caught.value


@pytest.mark.statement("dmp-fhir 9.10/181")
def test_an_opening_stores_an_active_patient_and_the_consent() -> None:
    opening = decide(parameters(), performer=DOCTOR)
    person, consent = opening.drafts
    assert (person.type, person.id, person.method, person.current) == ("Patient", "None-1", "POST", 0)
    assert person.resource == patient(active=True)
    assert consent.id == "Patient/None-1-2"
    assert consent.resource == {
        "resourceType": "Consent",
        "meta": {"profile": ["https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentBasic"]},
        "status": "active",
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [
            {"coding": [{"system": "http://loinc.org", "code": "59284-0"}]},
            {
                "coding": [
                    {"system": f"{X}/CodeSystem/dmp-consent-kind", "code": "dmp-opening"},
                    {"system": f"{X}/CodeSystem/dmp-consent-categorie", "code": "consentement-ouverture"},
                    {"system": "urn:oid:1.2.250.1.213.4.1.2.3", "code": "CONSENTEMENT_OUVERTURE_DMP"},
                ]
            },
        ],
        "patient": {
            "reference": "Patient/None-1",
            "identifier": {"system": "urn:oid:1.2.250.1.213.1.4.8", "value": "285047511200314"},
        },
        "dateTime": "1970-01-01T00:00:00.000Z",
        "performer": [DOCTOR],
        "organization": [
            {
                "type": "Organization",
                "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:2.25.1"},
                "display": "Opérateur du DMP",
            }
        ],
        "sourceAttachment": {"title": "Consent to the opening of the record"},
        "policy": [{"uri": f"{X}/policies/dmp-default-2025"}],
        "provision": {
            "type": "permit",
            "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}],
        },
    }


def test_the_opened_dossier_is_active() -> None:
    person, acts = stored(decide(parameters()))
    assert state(person, acts) is Status.ACTIVE


@pytest.mark.parametrize(
    ("asked", "refused_modes"),
    [
        ({"oppositionBrisDeGlace": True}, {"BTG"}),
        ({"oppositionCentreRegulation": True, "oppositionBrisDeGlace": False}, {"ETREAT"}),
        ({"oppositionCentreRegulation": True, "oppositionBrisDeGlace": True}, {"BTG", "ETREAT"}),
    ],
)
def test_emergency_oppositions_are_one_consent(asked: dict[str, bool], refused_modes: set[str]) -> None:
    _, acts = stored(decide(parameters(**asked)))
    (settings,) = consents.in_force(acts, "emergency", X)
    assert settings["provision"]["type"] == "permit"
    assert consents.refused_modes(settings) == refused_modes


def test_the_author_of_the_consent_may_be_named() -> None:
    identifier = {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810000000004"}
    _, (consent,) = stored(decide(parameters(auteur=identifier), performer=DOCTOR))
    assert consent["performer"] == [{"identifier": identifier}]


@pytest.mark.statement("dmp-fhir 9.10/182")
@pytest.mark.parametrize("consent", [None, False])
def test_no_dossier_opens_without_consent(consent: bool | None) -> None:
    error = refused(parameters(consent=consent))
    assert (error.status, error.issues[0].code) == (422, "business-rule")


@pytest.mark.statement("dmp-fhir 9.2/18", "dmp-fhir 9.2/19")
def test_a_wrong_key_refuses_the_opening_or_warns() -> None:
    person = patient()
    person["identifier"][0]["value"] = "123456789012345"
    error = refused(parameters(person))
    assert (error.status, error.issues[0].details[0].code) == (422, "ins-cle-invalide")
    warned = decide(parameters(person), key_check="warn")
    assert [(issue.severity, issue.details[0].code) for issue in warned.issues] == [("warning", "ins-cle-invalide")]
    assert len(warned.drafts) == 2


@pytest.mark.statement("dmp-fhir 9.2/20", "dmp-fhir 9.2/23")
@pytest.mark.parametrize(("system", "value"), [("8", "18503201234560"), ("10", "285047511200314")])
def test_a_malformed_or_test_ins_is_refused(system: str, value: str) -> None:
    person = patient(identifier=[{"system": f"urn:oid:1.2.250.1.213.1.4.{system}", "value": value}])
    assert isinstance(refused(parameters(person)), Unprocessable)


@pytest.mark.statement("dmp-fhir 9.10/183")
def test_repeating_an_opening_changes_nothing() -> None:
    person, acts = stored(decide(parameters(oppositionBrisDeGlace=True)))
    grown = Held("Patient", person.id, 3, {**person.resource, "telecom": [{"value": "0102030405"}]})
    again = decide(parameters(oppositionBrisDeGlace=True), grown, acts)
    assert (again.drafts, again.unchanged, again.patient_id) == ((), True, person.id)
    assert again.patient is grown.resource


@pytest.mark.statement("dmp-fhir 9.10/183")
def test_repeating_with_other_traits_is_refused() -> None:
    person, acts = stored(decide(parameters()))
    error = refused(parameters(patient(birthDate="1985-04-18")), person, acts)
    assert (error.status, error.issues[0].details[0].code) == (422, "traits-discordants")
    error = refused(parameters(patient(telecom=[{"value": "0102030405"}])), person, acts)
    assert (type(error), error.issues[0].details[0].code) == (Conflict, "dmp-ouvert")
    assert isinstance(refused(parameters(oppositionBrisDeGlace=True), person, acts), Conflict)


@pytest.mark.statement("dmp-fhir 9.10/184")
def test_a_closed_dossier_is_reopened_not_opened() -> None:
    person, acts = stored(decide(parameters()))
    closed = Held("Patient", person.id, 2, {**person.resource, "active": False, "extension": [{"url": CLOSING}]})
    assert state(closed, acts) is Status.CLOSED
    error = refused(parameters(), closed, acts)
    assert (error.status, error.issues[0].details[0].code) == (409, "dmp-ferme")
    assert f"Patient/{person.id}/$dmp-reactiver" in error.issues[0].diagnostics


def test_an_opposed_person_gets_no_dossier() -> None:
    opposition = {**consents.opening(ACT), "provision": {"type": "deny"}}
    person = Held("Patient", "p", 1, patient(active=False))
    assert state(person, [opposition]) is Status.OPPOSED
    error = refused(parameters(), person, [opposition])
    assert (type(error), error.issues[0].details[0].code) == (Forbidden, "no-dmp")
    lifted = {**opposition, "status": "inactive"}
    assert state(person, [lifted]) is Status.NONE


def test_a_patient_without_consent_to_opening_is_no_dossier_and_becomes_one() -> None:
    plain = Held("Patient", "p", 4, patient())
    assert state(plain, []) is Status.NONE
    opening = decide(parameters(), plain)
    assert (opening.drafts[0].id, opening.drafts[0].method, opening.drafts[0].current) == ("p", "PUT", 4)


@pytest.mark.parametrize(
    "sent",
    [
        {"resourceType": "Patient"},
        {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": [{"name": "patient", "resource": {"resourceType": "Person"}}]},
        parameters() | {"parameter": [*parameters()["parameter"], {"name": "consentement", "valueBoolean": True}]},
        {"resourceType": "Parameters", "parameter": [*parameters(consent=None)["parameter"], {"name": "consentement"}]},
        {
            "resourceType": "Parameters",
            "parameter": [*parameters()["parameter"], {"name": "auteur", "valueString": ""}],
        },
    ],
)
def test_wrong_parameters_are_a_bad_request(sent: Json) -> None:
    with pytest.raises(BadRequest):
        read_opening(sent)
