"""Search parameters through HTTP, on every store: what each form finds among a few resources. Checklist D."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.rest.conftest import EVERYWHERE, opened
from tests.rest.shapes import LOINC, SYSTEM
from tests.world import Client, Json, World

UCUM = "http://unitsofmeasure.org"
TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"


def _patient(id_: str, **more: Any) -> Json:
    return {"resourceType": "Patient", "id": id_, **more}


def _measure(id_: str, code: str, **more: Any) -> Json:
    coding = {"system": LOINC, "code": code, "display": "Pression artérielle"}
    return {"resourceType": "Observation", "id": id_, "status": "final", "code": {"coding": [coding]}, **more}


def _quantity(value: float, unit: str = "g", **more: Any) -> Json:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit, **more}


def _risk(id_: str, probability: float) -> Json:
    prediction = [{"probabilityDecimal": probability}]
    subject = {"reference": "Patient/jean"}
    return {
        "resourceType": "RiskAssessment",
        "id": id_,
        "status": "final",
        "subject": subject,
        "prediction": prediction,
    }


def _set(id_: str, url: str, version: str | None = None) -> Json:
    made: Json = {"resourceType": "ValueSet", "id": id_, "status": "active", "url": url}
    return {**made, "version": version} if version else made


def _component(code: str, value: float) -> Json:
    return {"code": {"coding": [{"system": LOINC, "code": code}]}, "valueQuantity": _quantity(value, "mm[Hg]")}


RESOURCES: list[Json] = [
    {"resourceType": "Organization", "id": "group", "name": "Groupe Œuvre"},
    {"resourceType": "Organization", "id": "site", "name": "Clinique", "partOf": {"reference": "Organization/group"}},
    _patient(
        "jean",
        meta={
            "tag": [{"system": SYSTEM, "code": "red"}],
            "security": [{"system": SYSTEM, "code": "high"}],
            "profile": ["https://example.org/StructureDefinition/p|1.0"],
            "source": "https://example.org/lab#1",
        },
        name=[{"family": "D'Angelo", "given": ["Jean-Pierre"]}],
        gender="male",
        active=True,
        birthDate="1990-05-01",
        address=[{"line": ["12 rue des Lilas"], "city": "Saint-Étienne", "postalCode": "42000"}],
        telecom=[{"system": "phone", "value": "+33 6.12.34"}, {"system": "email", "value": "jean@example.org"}],
        identifier=[
            {"system": SYSTEM, "value": "Ab,1|$"},
            {"type": {"coding": [{"system": TYPE, "code": "MR"}]}, "system": SYSTEM, "value": "77"},
        ],
        managingOrganization={"reference": "Organization/site"},
    ),
    _patient("elodie", name=[{"family": "Élodie", "given": ["Marie Anne"]}], gender="female", birthDate="1990"),
    _patient("nobody", identifier=[{"value": "ab,1|$"}]),
    _measure(
        "year", "1", effectiveDateTime="2025", subject={"reference": "Patient/jean"}, valueQuantity=_quantity(1500)
    ),
    _measure("month", "2", effectiveDateTime="2025-03", valueQuantity=_quantity(1.5, "kg")),
    _measure("day", "2", effectiveDateTime="2025-03-30", valueQuantity=_quantity(2, comparator=">=")),
    _measure("second", "3", effectiveDateTime="2025-03-30T01:30:00Z", subject={"reference": "Patient/elodie"}),
    _measure("open", "3", effectivePeriod={"start": "2025-06-01"}),
    _measure("past", "3", effectivePeriod={"end": "2025-01-31"}),
    _measure("pair", "85354-9", component=[_component("8480-6", 120), _component("8462-4", 80)]),
    _risk("r100", 100),
    _risk("r997", 99.7),
    _risk("r94", 94),
    _set("plain", "https://example.org/vs"),
    _set("below", "https://example.org/vs/a/b", "2"),
    _set("beside", "https://example.org/vset"),
]


@pytest.fixture(scope="module", params=EVERYWHERE)
def shelf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One server with the resources."""
    for world in opened(request.param, Path(tmp_path_factory.mktemp("table"))):
        for resource in RESOURCES:
            answer = world.admin.put(f"/{resource['resourceType']}/{resource['id']}", resource)
            assert answer.status == 201, answer.body
        yield world


def _ids(client: Client, query: str) -> set[str]:
    answer = client.get("/" + quote(query, safe="/?&=:|,$\\%"), Prefer="handling=strict")
    assert answer.status == 200, answer.body
    return {each["id"] for each in answer.entries}


DATED = {"year", "month", "day", "second", "open", "past"}
TABLE: list[tuple[str, str, str]] = [
    ("D71", "Patient?gender=male,female&birthdate=1990", "jean elodie"),
    ("D71", "Patient?gender=male&gender=female", ""),
    ("D72", f"Patient?identifier={SYSTEM}|Ab\\,1\\|\\$", "jean"),
    ("D80", "Patient?_id=jean,absent,elodie", "jean elodie"),
    ("D81", "Patient?_lastUpdated=gt2000", "jean elodie nobody"),
    ("D81", "Patient?_lastUpdated=lt2000", ""),
    ("D82", f"Patient?_tag={SYSTEM}|red", "jean"),
    ("D82", "Patient?_security=high", "jean"),
    ("D82", "Patient?_profile=https://example.org/StructureDefinition/p", "jean"),
    ("D82", "Patient?_source=https://example.org/lab%231", "jean"),
    ("D83", "Patient?gender:missing=true", "nobody"),
    ("D83", "Patient?name:missing=false", "jean elodie"),
    ("D83", "Patient?birthdate:missing=true", "nobody"),
    ("D83", "Patient?organization:missing=false", "jean"),
    ("D83", "Observation?value-quantity:missing=false", "year month day"),
    ("D83", "RiskAssessment?probability:missing=true", ""),
    ("D83", "ValueSet?url:missing=true", ""),
    ("D84", "Patient?family=ELODIE", "elodie"),
    ("D84", "Patient?family=élo", "elodie"),
    ("D85", "Patient?given=jean pierre", "jean"),
    ("D85", "Patient?family=d angelo", "jean"),
    ("D85", "Organization?name=groupe oeuvre", "group"),
    ("D86", "Patient?given=anne", "elodie"),
    ("D86", "Patient?given=nne", ""),
    ("D87", "Patient?family:exact=Élodie", "elodie"),
    ("D87", "Patient?family:exact=Elodie", ""),
    ("D88", "Patient?family:contains=ngel", "jean"),
    ("D89", "Patient?address-city=etienne", "jean"),
    ("D89", "Patient?address=lilas", "jean"),
    ("D89", "Patient?address-postalcode=42", "jean"),
    ("D90", "Observation?code=2", "month day"),
    ("D90", f"Observation?code={LOINC}|2", "month day"),
    ("D90", "Observation?code=|2", ""),
    ("D90", f"Patient?identifier={SYSTEM}|", "jean"),
    ("D90", "Patient?identifier=|ab\\,1\\|\\$", "nobody"),
    ("D91", "Patient?gender:not=male", "elodie nobody"),
    ("D92", "Patient?gender:not=male,female", "nobody"),
    ("D93", "Observation?code:text=arter&date:missing=true", "pair"),
    ("D96", f"Patient?identifier:of-type={TYPE}|MR|77", "jean"),
    ("D97", "Patient?active=true", "jean"),
    ("D97", "Patient?gender=http://hl7.org/fhir/administrative-gender|female", "elodie"),
    ("D98", "Patient?identifier=ab\\,1\\|\\$", "nobody"),
    ("D98", "Observation?code=85354-9", "pair"),
    ("D99", "Patient?phone=%2B3361234", "jean"),
    ("D99", "Patient?email=jean@example.org", "jean"),
    ("D99", "Patient?phone=jean@example.org", ""),
    ("D100", "Observation?subject=jean", "year"),
    ("D100", "Observation?subject=Patient/jean", "year"),
    ("D100", "Observation?subject=http://127.0.0.1:8000/fhir/Patient/jean", "year"),
    ("D100", "Observation?subject:Patient=jean", "year"),
    ("D104", "Patient?_profile=https://example.org/StructureDefinition/p|1.0", "jean"),
    ("D104", "Patient?_profile=https://example.org/StructureDefinition/p|2.0", ""),
    ("D105", "Observation?date=2025", "year month day second"),
    ("D105", "Observation?date=2025-03", "month day second"),
    ("D105", "Observation?date=2025-03-30", "day second"),
    ("D105", "Observation?date=ne2025-03", "year open past"),
    ("D105", "Observation?date=gt2025-03-30", "year month open"),
    ("D105", "Observation?date=lt2025-03-30", "year month past"),
    ("D105", "Observation?date=ge2025-03-30", "year month day second open"),
    ("D105", "Observation?date=le2025-03-30", "year month day second past"),
    ("D105", "Observation?date=sa2025-03", "open"),
    ("D105", "Observation?date=eb2025-03", "past"),
    ("D106", "Observation?date=2025-03-30T03:30", "second"),  # Paris jumped from 2 to 3 that night
    ("D107", "Observation?date=2025-03-30T01:30Z", "second"),
    ("D107", "Observation?date=2025-03-30T03:30%2B02:00", "second"),
    ("D108", "Observation?date=ap2025-03-20&code=3", "second"),
    ("D108", "Observation?date=2025-03-20&code=3", ""),
    ("D109", "RiskAssessment?probability=100", "r100 r997"),
    ("D109", "RiskAssessment?probability=100.00", "r100"),
    ("D109", "RiskAssessment?probability=1e2", "r100 r997"),
    ("D109", "RiskAssessment?probability=gt99.7", "r100"),
    ("D110", f"Observation?value-quantity=1.5|{UCUM}|kg", "year month"),
    ("D110", f"Observation?value-quantity=1500000|{UCUM}|mg", "year month"),
    ("D110", "Observation?value-quantity=1.5||kg", "month"),
    ("D110", "Observation?value-quantity=1.5", "month"),
    ("D111", f"Observation?value-quantity=gt1600|{UCUM}|g", "day"),
    ("D112", "ValueSet?url=https://example.org/vs", "plain"),
    ("D112", "ValueSet?url:below=https://example.org/vs", "plain below"),
    ("D112", "ValueSet?url:above=https://example.org/vs/a/b/c", "plain below"),
    ("D113", f"Observation?component-code-value-quantity={LOINC}|8480-6$gt110", "pair"),
    ("D113", f"Observation?component-code-value-quantity={LOINC}|8462-4$gt110", ""),
    ("D114", "Observation?subject:Patient.family=angelo", "year"),
    ("D114", "Observation?patient.family=d angelo", "year"),
    ("D114", "Observation?patient.family:exact=Élodie", "second"),
    ("D115", "Observation?patient.organization.name=clinique", "year"),
    ("D115", "Observation?patient.organization.partof.name=groupe", "year"),
    ("D116", "Observation?patient.gender=male&patient.birthdate=1990", "year"),
    ("D119", "Patient?_has:Observation:patient:code=1", "jean"),
    ("D119", "Patient?_has:Observation:patient:code=1,3", "jean elodie"),
    ("D119", "Organization?_has:Patient:organization:_has:Observation:patient:code=1", "site"),
    ("D125", "Patient?_id=" + ",".join(f"x{number}" for number in range(199)) + ",jean", "jean"),
]


@pytest.mark.statement(
    "fhir-rest D71",
    "fhir-rest D72",
    "fhir-rest D80",
    "fhir-rest D81",
    "fhir-rest D82",
    "fhir-rest D83",
    "fhir-rest D84",
    "fhir-rest D85",
    "fhir-rest D86",
    "fhir-rest D87",
    "fhir-rest D88",
    "fhir-rest D89",
    "fhir-rest D90",
    "fhir-rest D91",
    "fhir-rest D92",
    "fhir-rest D93",
    "fhir-rest D96",
    "fhir-rest D97",
    "fhir-rest D98",
    "fhir-rest D99",
    "fhir-rest D100",
    "fhir-rest D104",
    "fhir-rest D105",
    "fhir-rest D106",
    "fhir-rest D107",
    "fhir-rest D108",
    "fhir-rest D109",
    "fhir-rest D110",
    "fhir-rest D111",
    "fhir-rest D112",
    "fhir-rest D113",
    "fhir-rest D114",
    "fhir-rest D115",
    "fhir-rest D116",
    "fhir-rest D119",
    "fhir-rest D125",
)
@pytest.mark.parametrize(
    ("query", "found"),
    [pytest.param(query, found, id=f"{statement}-{query[:50]}") for statement, query, found in TABLE],
)
def test_a_search_finds(shelf: World, query: str, found: str) -> None:
    assert _ids(shelf.admin, query) == set(found.split())


@pytest.mark.statement("fhir-rest D73", "fhir-rest D75")
@pytest.mark.parametrize("query", ["Patient?Gender=male", "Patient?frob=1", "Patient?organization.frob=1"])
def test_what_is_no_parameter_is_400_under_strict_handling(shelf: World, query: str) -> None:
    assert shelf.admin.get(f"/{query}", Prefer="handling=strict").status == 400


@pytest.mark.statement("fhir-rest D88", "fhir-rest D115", "fhir-rest D117")
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("Patient?family:contains=ng", 400),
        ("Observation?subject.organization.partof.partof.name=x", 422),
        ("Observation?subject:Practitioner.birthdate=1990", 400),
        ("Observation?patient.frob=1", 400),
        ("Observation?code.name=1", 400),
    ],
)
def test_what_cannot_be_asked_is_refused(shelf: World, query: str, status: int) -> None:
    assert shelf.admin.get(f"/{query}", Prefer="handling=strict").status == status


@pytest.mark.statement("fhir-rest D124")
def test_an_empty_value_is_ignored_with_a_warning(shelf: World) -> None:
    answer = shelf.admin.get("/Patient?gender=&family=elodie")
    assert [each["id"] for each in answer.entries] == ["elodie"]
    assert b"gender" in answer.body
