"""Fictitious people, their records and documents, for the tests of access."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from functools import cache
from typing import Any

from fhir_dmp.access.decision import Rules
from fhir_dmp.access.facts import PatientFacts, patient_facts
from fhir_dmp.access.matrix import Matrix, parse_matrix
from fhir_dmp.definitions import read
from fhir_dmp.fhir.dates import interval
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.terminology.aliases import (
    PROFESSION,
    TRE_A03_CLASS,
    TRE_A05_TYPE,
    TRE_A07_VISIBILITY,
    TRE_A08_CONFIDENTIALITY,
)
from fhir_dmp.terminology.sharing import IS_ARCHIVED

BASE = "https://dmp-fhir.example/ig"
KIND = f"{BASE}/CodeSystem/dmp-consent-kind"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
PS_SYSTEM = "urn:oid:1.2.250.1.71.4.2.1"
ORG_SYSTEM = "urn:oid:1.2.250.1.71.4.2.2"

NOW = interval("2026-03-01T10:00:00Z", UTC)[0]
RULES = Rules(regulation_centres=frozenset({"1990000001"}))

DOCTOR = "899700000001"
NURSE = "899700000002"
STRANGER = "899700000003"
CLINIC = "1750100125"
SAMU = "1990000001"


@cache
def matrix() -> Matrix:
    """The packaged matrix."""
    return parse_matrix(read("mappings/habilitation-matrix.csv"))


def ps(number: str = DOCTOR, profession: str = "10", **changes: Any) -> Caller:
    """A professional."""
    values: dict[str, Any] = {"roles": ((PROFESSION, profession),), "professional": number, **changes}
    return Caller(Actor.PROFESSIONAL, f"sub-{number}", **values)


def breaking_glass(number: str = STRANGER, **changes: Any) -> Caller:
    """A professional who breaks the glass."""
    return ps(number, **{"mode": Mode.BREAK_GLASS, "reason": "patient inconscient", **changes})


def regulator(number: str = STRANGER, **changes: Any) -> Caller:
    """A regulator of a listed centre."""
    return ps(number, **{"mode": Mode.REGULATION, "regulator": True, "structure": SAMU, **changes})


def holder(patient: str = "p1", **changes: Any) -> Caller:
    """The patient."""
    return Caller(Actor.PATIENT, f"sub-{patient}", patient=patient, **changes)


def representative(patient: str = "p1", **changes: Any) -> Caller:
    """A legal representative."""
    return Caller(Actor.REPRESENTATIVE, "sub-parent", patient=patient, **changes)


def delegate(*consents: str, patient: str = "p1", **changes: Any) -> Caller:
    """A carer with a delegation."""
    return Caller(Actor.DELEGATE, "sub-carer", patient=patient, delegation=consents, **changes)


def institution(structure: str = CLINIC, **changes: Any) -> Caller:
    """A structure without identified human."""
    return Caller(Actor.STRUCTURE, f"client-{structure}", structure=structure, **changes)


FEEDER = Caller(Actor.FEEDER, "client-am", structure="1750000999")
AUDITOR = Caller(Actor.AUDITOR, "sub-auditor")
ADMIN = Caller(Actor.ADMIN, "operator")


def professional_ref(number: str) -> Json:
    """A logical reference to a professional."""
    return {"identifier": {"system": PS_SYSTEM, "value": number}}


def structure_ref(number: str) -> Json:
    """A logical reference to a structure."""
    return {"identifier": {"system": ORG_SYSTEM, "value": number}}


def actor(reference: Json) -> Json:
    """An actor of a provision."""
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
    return {"role": role, "reference": reference}


def purpose(*codes: str) -> list[Json]:
    """Purposes of use."""
    return [{"system": ACT_REASON, "code": code} for code in codes]


def consent(
    kind: str, type_: str, *actors: Json, id_: str = "", patient: str = "p1", system: str = KIND, **provision: Any
) -> Json:
    """A Consent of a kind. Keyword arguments go into the provision; `said` and `status` to the Consent."""
    said, status = provision.pop("said", "2025-06-01T10:00:00+02:00"), provision.pop("status", "active")
    found: Json = {"type": type_, **provision}
    if actors:
        found["actor"] = [actor(reference) for reference in actors]
    return {
        "resourceType": "Consent",
        "id": id_ or f"c-{kind}-{type_}",
        "status": status,
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [
            {"coding": [{"system": "http://loinc.org", "code": "59284-0"}]},
            {"coding": [{"system": system, "code": kind}]},
        ],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": said,
        "performer": [{"reference": f"Patient/{patient}"}],
        "organization": [{"reference": "Organization/dmp-operator"}],
        "sourceAttachment": {"title": "Recueilli en consultation"},
        "policy": [{"uri": "https://dmp.example/policies/dmp-default-2025"}],
        "provision": found,
    }


OPENING = consent("dmp-opening", "permit", id_="c-open")


def person(patient: str = "p1", **changes: Any) -> Json:
    """An adult's Patient resource."""
    return {"resourceType": "Patient", "id": patient, "active": True, "birthDate": "1985-04-01", **changes}


def facts(
    *consents: Json, patient: Json | None = None, directory: Sequence[Json] = (), opened: bool = True, now: int = NOW
) -> PatientFacts:
    """The facts of an adult's open record, with these consents."""
    by_place = {f"{part['resourceType']}/{part['id']}": part for part in directory}
    said = [OPENING, *consents] if opened else list(consents)
    return patient_facts(patient or person(), said, by_place, now, BASE)


def authorised(number: str = NURSE, **provision: Any) -> Json:
    """An authorisation of a professional."""
    return consent("ps-authorisation", "permit", professional_ref(number), id_=f"c-auth-{number}", **provision)


def blocked(number: str) -> Json:
    """A block of a professional."""
    return consent("block", "deny", professional_ref(number), id_=f"c-block-{number}")


def doctor_of_record(number: str = DOCTOR) -> Json:
    """A Patient whose médecin traitant this is."""
    return person(generalPractitioner=[professional_ref(number)])


def closed_person() -> Json:
    """A Patient whose record is closed."""
    closing = "https://interop.esante.gouv.fr/ig/fhir/dmp/StructureDefinition/dmp-fermeture"
    when = [{"url": "dateFermeture", "valueDate": "2026-01-02"}]
    return person(active=False, extension=[{"url": closing, "extension": when}])


def label(code: str, system: str | None = TRE_A07_VISIBILITY) -> Json:
    """A security label."""
    return {"coding": [{"system": system, "code": code} if system else {"code": code}]}


NORMAL = label("N", TRE_A08_CONFIDENTIALITY)


def docref(
    *labels: str,
    authors: Sequence[Json] = (),
    type_: str = "11502-2",
    class_: str = "10",
    archived: bool = False,
    patient: str = "p1",
    **changes: Any,
) -> Json:
    """A DocumentReference: a laboratory report of somebody unless told otherwise."""
    type_system = "http://loinc.org" if type_[:1].isdigit() else TRE_A05_TYPE
    found: Json = {
        "resourceType": "DocumentReference",
        "id": "d1",
        "status": "current",
        "subject": {"reference": f"Patient/{patient}"},
        "type": {"coding": [{"system": type_system, "code": type_}]},
        "category": [{"coding": [{"system": TRE_A03_CLASS, "code": class_}]}],
        "author": list(authors) or [professional_ref("899700009999")],
        "securityLabel": [*(label(code) for code in labels), NORMAL],
    }
    if archived:
        found["extension"] = [{"url": IS_ARCHIVED, "valueBoolean": True}]
    return {**found, **changes}
