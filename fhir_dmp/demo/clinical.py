"""Clinical resources beside the documents: allergies, treatments, measurements, vaccinations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fhir_dmp.demo.people import ANOUK, Person
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import LOINC, UCUM

_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def clinical_resources(reference: Callable[[Person], str]) -> Iterator[Json]:
    """Yield resources under fixed ids; `reference` tells `Patient/id` of a person."""
    who = {"reference": reference(ANOUK)}
    clinical = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
    yield {
        "resourceType": "AllergyIntolerance",
        "id": "demo-allergy",
        "clinicalStatus": {"coding": [{"system": clinical, "code": "active"}]},
        "type": "allergy",
        "category": ["medication"],
        "criticality": "high",
        "code": {"text": "Pénicilline"},
        "patient": who,
        "recordedDate": "2011-06-14",
    }
    yield {
        "resourceType": "MedicationStatement",
        "id": "demo-treatment",
        "status": "active",
        "medicationCodeableConcept": {"text": "Salbutamol 100 microgrammes par bouffée"},
        "subject": who,
        "effectivePeriod": {"start": "2026-01-12"},
        "dosage": [{"text": "Une à deux bouffées à la demande"}],
    }
    for id_, code, label, value, unit in (
        ("demo-weight", "29463-7", "Poids", 61.5, "kg"),
        ("demo-height", "8302-2", "Taille", 168, "cm"),
        ("demo-heart-rate", "8867-4", "Fréquence cardiaque", 66, "/min"),
    ):
        yield {
            "resourceType": "Observation",
            "id": id_,
            "status": "final",
            "category": [{"coding": [{"system": _CATEGORY, "code": "vital-signs"}]}],
            "code": {"coding": [{"system": LOINC, "code": code, "display": label}]},
            "subject": who,
            "effectiveDateTime": "2026-01-12T09:10:00+01:00",
            "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit},
        }
    for id_, text, day in (
        ("demo-vaccine-dtp", "Diphtérie, tétanos, poliomyélite", "2019-05-20"),
        ("demo-vaccine-flu", "Grippe saisonnière", "2025-11-04"),
    ):
        yield {
            "resourceType": "Immunization",
            "id": id_,
            "status": "completed",
            "vaccineCode": {"text": text},
            "patient": who,
            "occurrenceDateTime": day,
        }
