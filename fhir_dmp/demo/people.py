"""The people and structures of the demonstration. Nobody here exists; all identifiers are well formed."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import NOS, PROFESSION, PROFESSIONAL, STRUCTURE
from fhir_dmp.terminology.national import (
    BIRTH_LIST_GIVEN,
    FR_CORE,
    IDENTIFIER_TYPES,
    IDENTITY_RELIABILITY,
    IDENTITY_STATUS,
    INS_NIR,
)


@dataclass(frozen=True, slots=True)
class Person:
    """A patient. commune: INSEE code and name of the birthplace. part: what the record shows in the demo."""

    ins: str
    family: str
    given: str
    gender: str
    born: str
    commune: tuple[str, str]
    part: str


ANOUK = Person("285047511200314", "BELLANGER", "Anouk", "female", "1985-04-17", ("75112", "Paris 12e"), "a full record")
BASILE = Person("155067200010159", "QUEMENER", "Basile", "male", "1955-06-02", ("72000", "Sarthe"), "a closed dossier")
CORENTIN = Person(
    "168017218137243", "VASSELIN", "Corentin", "male", "1968-01-21", ("72181", "Le Mans"), "objects to any dossier"
)
ANGE = Person("185032A12345601", "LUCCIARDI", "Ange", "male", "1985-03-09", ("2A123", "Figari"), "a care history")
MINOR = Person("210037511204542", "BELLANGER", "Lise", "female", "2010-03-11", ("75112", "Paris 12e"), "a minor")
PATIENTS = (ANOUK, BASILE, CORENTIN, ANGE, MINOR)


@dataclass(frozen=True, slots=True)
class Professional:
    """A professional: PSIdNat, name, TRE_G15 profession, structure (StructIdNat), and the part played in the demo."""

    id: str
    number: str
    family: str
    given: str
    profession: str
    structure: str
    part: str


PRACTICE = "1750999013"
HOSPITAL = "1750999021"
STRUCTURES = {PRACTICE: "Cabinet médical du Canal", HOSPITAL: "Hôpital des Tilleuls"}

DOCTOR = Professional("demo-doctor", "810100000016", "CARLIER", "Hippolyte", "10", PRACTICE, "médecin traitant")
NURSE = Professional("demo-nurse", "810100000024", "OUDART", "Maïwenn", "60", PRACTICE, "authorised nurse")
PHARMACIST = Professional("demo-pharmacist", "810100000032", "LESTIENNE", "Prosper", "21", PRACTICE, "no authorisation")
BLOCKED = Professional("demo-blocked", "810100000040", "MAILLARD", "Edwige", "10", HOSPITAL, "blocked by the patient")
REGULATOR = Professional("demo-regulator", "810100000057", "FOUQUET", "Aurélien", "10", HOSPITAL, "regulator")
RADIOLOGIST = Professional("demo-radiologist", "810100000065", "TREMBLAY", "Sidonie", "10", HOSPITAL, "author")
PROFESSIONALS = (DOCTOR, NURSE, PHARMACIST, BLOCKED, REGULATOR, RADIOLOGIST)


def patient(person: Person) -> Json:
    """Return the Patient (FR Core Patient INS) with a qualified identity."""
    code, city = person.commune
    birth_place = {
        "city": city,
        "extension": [
            {
                "url": f"{FR_CORE}/StructureDefinition/fr-core-address-insee-code",
                "valueCoding": {"system": f"{NOS}/TRE_R13-CommuneOM/FHIR/TRE-R13-CommuneOM", "code": code},
            }
        ],
    }
    status = {"system": IDENTITY_STATUS, "code": "QUAL"}
    return {
        "resourceType": "Patient",
        "meta": {"profile": [f"{FR_CORE}/StructureDefinition/fr-core-patient-ins"]},
        "extension": [
            {
                "url": IDENTITY_RELIABILITY,
                "extension": [{"url": "identityStatus", "valueCoding": status}],
            },
            {"url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace", "valueAddress": birth_place},
        ],
        "identifier": [
            {
                "use": "official",
                "type": {"coding": [{"system": IDENTIFIER_TYPES, "code": "INS-NIR"}]},
                "system": INS_NIR,
                "value": person.ins,
            }
        ],
        "active": True,
        "name": [
            {
                "use": "official",
                "family": person.family,
                "given": [person.given],
                "extension": [
                    {
                        "url": BIRTH_LIST_GIVEN,
                        "valueString": person.given,
                    }
                ],
            }
        ],
        "gender": person.gender,
        "birthDate": person.born,
    }


def practitioner(professional: Professional) -> Json:
    """Return the Practitioner of a professional."""
    return {
        "resourceType": "Practitioner",
        "id": professional.id,
        "identifier": [{"system": PROFESSIONAL, "value": professional.number}],
        "active": True,
        "name": [{"family": professional.family, "given": [professional.given]}],
        "qualification": [{"code": {"coding": [{"system": PROFESSION, "code": professional.profession}]}}],
    }


def organization(number: str) -> Json:
    """Return the Organization of a structure (StructIdNat)."""
    return {
        "resourceType": "Organization",
        "id": f"demo-structure-{number}",
        "identifier": [{"system": STRUCTURE, "value": number}],
        "active": True,
        "name": STRUCTURES[number],
    }
