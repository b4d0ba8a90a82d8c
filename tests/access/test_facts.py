"""Facts of a record: its state, médecins traitants, time."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from fhir_dmp.access.facts import patient_facts
from fhir_dmp.access.parties import parties
from fhir_dmp.fhir.ages import next_midnight
from fhir_dmp.fhir.dates import interval
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.dossier import Status
from tests.access.people import (
    BASE,
    DOCTOR,
    NOW,
    NURSE,
    OPENING,
    authorised,
    closed_person,
    consent,
    doctor_of_record,
    facts,
    person,
    professional_ref,
    structure_ref,
)

ENDED = {**OPENING, "status": "inactive"}
DENIED = consent("dmp-opening", "deny", id_="c-denied")


@pytest.mark.parametrize(
    ("patient", "consents", "state"),
    [
        (None, [], Status.NONE),
        (person(), [], Status.NONE),
        (person(), [OPENING], Status.ACTIVE),
        (closed_person(), [ENDED, DENIED], Status.CLOSED),
        (closed_person(), [], Status.CLOSED),
        (person(active=False), [OPENING], Status.CLOSED),
        (person(active=False), [ENDED], Status.CLOSED),
        (person(active=False), [], Status.NONE),
        (person(active=False), [DENIED], Status.OPPOSED),
        (person(), [OPENING, DENIED], Status.CLOSED),
        ({**closed_person(), "active": True}, [OPENING], Status.ACTIVE),
        (person(), [{**OPENING, "status": "entered-in-error"}], Status.NONE),
        (person(), [{**OPENING, "patient": {"reference": "Patient/p2"}}], Status.NONE),
    ],
)
def test_the_state_of_a_record_follows_its_opening_and_closing(
    patient: Json | None, consents: list[Json], state: Status
) -> None:
    assert patient_facts(patient, consents, {}, NOW, BASE).dossier is state


def test_facts_without_any_consent_hold_until_midnight() -> None:
    paris = ZoneInfo("Europe/Paris")
    found = patient_facts(person(), [], {}, NOW, BASE, paris)
    assert found.until_ms == next_midnight(NOW, paris)


def test_a_medecin_traitant_comes_from_the_patient_or_a_consent_and_goes_with_the_consent() -> None:
    said = consent("mt", "permit", professional_ref(DOCTOR))
    assert facts(patient=doctor_of_record()).doctors == {DOCTOR}
    assert facts(said).doctors == {DOCTOR}
    assert facts({**said, "status": "inactive"}, patient=doctor_of_record()).doctors == frozenset()
    ended = consent("mt", "permit", professional_ref(DOCTOR), period={"end": "2026-01-01"})
    assert facts(ended, patient=doctor_of_record()).doctors == frozenset()
    assert facts(ended, said, patient=doctor_of_record()).doctors == {DOCTOR}


@pytest.mark.statement("dmp-fhir 9.10/191")
def test_several_medecins_traitants_coexist_and_are_resolved_through_the_directory() -> None:
    practitioner = {
        "resourceType": "Practitioner",
        "id": "x",
        "identifier": [{"system": "https://rpps.esante.gouv.fr", "value": NURSE[1:]}],
    }
    role = {"resourceType": "PractitionerRole", "id": "y", "practitioner": {"reference": "Practitioner/x"}}
    patient = person(generalPractitioner=[professional_ref(DOCTOR), {"reference": "PractitionerRole/y"}])
    assert facts(patient=patient, directory=[practitioner, role]).doctors == {DOCTOR, NURSE}


def test_expired_authorisations_are_kept_and_future_ones_are_not() -> None:
    known = facts(
        authorised("899700000011", period={"end": "2025"}), authorised("899700000012", period={"start": "2027"})
    )
    assert [said.consent for said in known.authorisations] == ["Consent/c-auth-899700000011"]


def test_a_secret_connection_is_not_an_opposition_to_the_team() -> None:
    assert facts(consent("info-team", "deny", {"reference": "RelatedPerson/r"})).secret
    assert facts(consent("info-team", "deny")).secret
    assert not facts(consent("info-team", "deny", {"reference": "CareTeam/t"})).secret


def test_plain_dates_are_read_in_the_zone_of_the_server() -> None:
    paris = ZoneInfo("Europe/Paris")
    said = [OPENING, authorised(NURSE, period={"end": "2026-02-28"})]
    midnight = interval("2026-02-28T23:30:00Z", UTC)
    early = patient_facts(person(), said, {}, midnight[0], BASE, UTC)
    late = patient_facts(person(), said, {}, midnight[0], BASE, paris)
    assert early.authorisations[0].holds_at(midnight[0])
    assert not late.authorisations[0].holds_at(midnight[0])


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("x", [("unknown", "")]),
        ({"display": "?"}, [("unknown", "")]),
        ({"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": 8}}, [("unknown", "")]),
        ({"identifier": {"system": "urn:oid:9.9", "value": "x"}}, [("unknown", "")]),
        ({"reference": "Practitioner/unknown"}, [("unknown", "Practitioner/unknown")]),
        ({"type": "CareTeam", "identifier": {"system": "s", "value": "t"}}, [("team", "s|t")]),
        ({"reference": "RelatedPerson/r"}, [("relative", "RelatedPerson/r"), ("relative", "urn:x|7")]),
        ({"reference": "PractitionerRole/y"}, [("professional", NURSE)]),
        ({"reference": "PractitionerRole/z"}, [("professional", DOCTOR)]),
    ],
)
def test_a_reference_names_its_parties(reference: object, expected: list[tuple[str, str]]) -> None:
    directory: dict[str, Json] = {
        "RelatedPerson/r": {"resourceType": "RelatedPerson", "identifier": [{"system": "urn:x", "value": "7"}]},
        "PractitionerRole/y": {
            "resourceType": "PractitionerRole",
            "identifier": [structure_ref("1750100125")["identifier"], professional_ref(NURSE)["identifier"]],
            "organization": structure_ref("1750100125"),
        },
        "PractitionerRole/z": {"resourceType": "PractitionerRole", "practitioner": professional_ref(DOCTOR)},
    }
    found = [(party.kind.value, party.value) for party in parties(reference, {}, directory)]
    assert found == expected


@pytest.mark.parametrize(
    ("birth", "age"), [("2008-03-01", 18), ("2008-03-02", 17), ("2008-02", 18), ("2008", 17), ("x", None), (None, None)]
)
def test_age_counts_full_years_and_a_partial_birth_date_from_its_last_day(birth: str | None, age: int | None) -> None:
    assert facts(patient=person(birthDate=birth)).age() == age
