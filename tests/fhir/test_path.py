"""FHIRPath on resources: what each expression finds."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path as File
from typing import Any

import pytest

from fhir_dmp.fhir.path import Location, PathError, Unresolved, compile_path, locate
from fhir_dmp.fhir.resource import Json, Number, parse

SAMPLES = File(__file__).resolve().parents[2] / "../shared/data"
NOW = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)

PATIENT: Json = {
    "resourceType": "Patient",
    "id": "anne",
    "active": True,
    "birthDate": "1974-12-25",
    "_birthDate": {"extension": [{"url": "urn:time", "valueDateTime": "1974-12-25T14:35:45+01:00"}]},
    "multipleBirthInteger": 2,
    "contained": [{"resourceType": "Practitioner", "id": "gp", "name": [{"family": "Medecin"}]}],
    "generalPractitioner": [
        {"reference": "#gp"},
        {"reference": "Organization/clinic"},
        {"reference": "https://example.org/fhir/PractitionerRole/9/_history/2"},
        {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "type": "Practitioner"},
        {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e1"},
    ],
    "name": [
        {
            "use": "official",
            "family": "Exemple",
            "given": ["Anne", None, "Lou"],
            "_given": [None, {"extension": [{"url": "urn:unknown", "valueBoolean": True}]}],
        },
        {"use": "usual", "given": ["Nana"]},
    ],
    "telecom": [{"system": "phone", "value": "0100", "rank": 1}, {"system": "email", "value": "a@b.c", "rank": 2}],
}
OBSERVATION: Json = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "2339-0"}], "text": "Glucose"},
    "valueQuantity": {
        "value": Number("6.30"),
        "unit": "mmol/l",
        "system": "http://unitsofmeasure.org",
        "code": "mmol/L",
    },
    "component": [{"valueString": "clear"}, {"valueCodeableConcept": {"text": "cloudy"}}],
}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("Patient.name.given", ["Anne", "Lou", "Nana"]),
        ("name.given", ["Anne", "Lou", "Nana"]),
        ("Resource.id", ["anne"]),
        ("DomainResource.id", ["anne"]),
        ("Person.name.given", []),
        ("Patient.nothing.at.all", []),
        ("Patient.birthDate.given", []),
        ("Patient.`name`.`family`", ["Exemple"]),
        ("Patient.name.given | Patient.name.family", ["Anne", "Lou", "Nana", "Exemple"]),
        ("Patient.active | Patient.active", [True]),
        ("Person.active | Patient.name.where(false) | Patient.active", [True]),
        ("Patient.name.where(use = 'official').family", ["Exemple"]),
        ("Patient.name.where(use='usual' and family.empty()).given", ["Nana"]),
        ("Patient.name.given[2]", ["Lou"]),
        ("Patient.name[5].given", []),
        ("Patient.name.first().family", ["Exemple"]),
        ("Patient.name.last().use", ["usual"]),
        ("Patient.name.tail().use", ["usual"]),
        ("Patient.name.skip(1).take(1).use", ["usual"]),
        ("Patient.name.exists(use = 'old')", [False]),
        ("Patient.name.all(given.exists())", [True]),
        ("Patient.name.count()", [2]),
        ("Patient.deceased.exists() and Patient.deceased != false", [False]),
        ("Patient.active.not()", [False]),
        ("Patient.birthDate.hasValue()", [True]),
        ("Patient.birthDate.extension('urn:time').value", ["1974-12-25T14:35:45+01:00"]),
        ("Patient.birthDate.extension.where(url='urn:time').value is dateTime", [True]),
        ("Patient.name.given.extension('urn:unknown').value", [True]),
        ("Patient.name.given.where(extension.exists()).hasValue()", [False]),
        ("Patient.multipleBirth", [2]),
        ("Patient.multipleBirthInteger is integer", [True]),
        ("Patient.multipleBirth.ofType(boolean)", []),
        ("Patient.telecom.where(rank > 1).value", ["a@b.c"]),
        ("Patient.telecom.where(rank >= 1 and rank < 2).value", ["0100"]),
        ("Patient.telecom.select(system & ':' & value)", ["phone:0100", "email:a@b.c"]),
        ("iif(Patient.active, 'yes', 'no')", ["yes"]),
        ("'email' in Patient.telecom.system", [True]),
        ("Patient.telecom.system contains 'fax'", [False]),
        ("Patient.name.family.startsWith('Ex')", [True]),
        ("Patient.name.family.contains('emp')", [True]),
        ("Patient.name.family.matches('^E.*e$')", [True]),
        ("Patient.name.family.length()", [7]),
        ("Patient.name.family.substring(2, 3)", ["emp"]),
        ("Patient.name.family.lower() + Patient.name.family.upper()", ["exempleEXEMPLE"]),
        ("Patient.name.given.distinct().count()", [4]),
        ("Patient.children().where($this is integer)", [2]),
        ("Patient.descendants().where($this = 'Lou').count()", [1]),
        ("Patient.repeat(name | given).count()", [6]),
        ("%resource.id = %context.id", [True]),
        ("Patient.birthDate < today()", [True]),
        ("Patient.birthDate = @1974-12-25", [True]),
        ("Patient.birthDate > @1974", []),
        ("now() > @2025-03-01T13:29:00+01:00", [True]),
        ("today()", ["2025-03-01"]),
        ("1 + 2 * 3 - 4 / 2", [5]),
        ("7 div 2 & '!'", []),
        ("5 / 0", []),
        ("'a' & {} & 'b'", ["ab"]),
        ("1 = 1.00", [True]),
        ("true and {}", []),
        ("false and {}", [False]),
        ("{} or true", [True]),
        ("true xor true", [False]),
        ("{} implies true", [True]),
        ("(1 | 2) = (2 | 1)", [False]),
        ("(1 | 2) ~ (2 | 1)", [True]),
        ("'Anne' !~ 'ANNE '", [False]),
        ("4 'mg' > 3 'mg'", [True]),
        ("4 'mg' > 3 'g'", []),
        ("-(3) + 1", [-2]),
        ("Patient.name.given.where($index = 1).exists()", [True]),
        ("(1 | 2 | 3).aggregate($this + $total, 0)", [6]),
        ("'é\\'\\u0041\\n'.toChars().count()", [4]),
        ("Patient // a remark\n .id /* and another */", ["anne"]),
    ],
)
def test_an_expression_finds(expression: str, found: list[Any]) -> None:
    assert compile_path(expression).values(PATIENT, NOW) == found


def test_a_choice_element_is_found_without_its_type_and_tells_it() -> None:
    quantity = OBSERVATION["valueQuantity"]
    assert compile_path("Observation.value").typed(OBSERVATION) == [("Quantity", quantity)]
    assert compile_path("(Observation.value as Quantity)").typed(OBSERVATION) == [("Quantity", quantity)]
    assert compile_path("Observation.value.ofType(Quantity).value").values(OBSERVATION) == [Number("6.30")]
    assert compile_path("Observation.value.as(string)").typed(OBSERVATION) == []
    assert compile_path("Observation.component.value").typed(OBSERVATION) == [
        ("string", "clear"),
        ("CodeableConcept", {"text": "cloudy"}),
    ]
    assert compile_path("(Observation.component.value as CodeableConcept).text").values(OBSERVATION) == ["cloudy"]


def test_an_untyped_element_is_of_the_types_that_its_shape_allows() -> None:
    assert compile_path("Observation.code is CodeableConcept").values(OBSERVATION) == [True]
    assert compile_path("Observation.code is Quantity").values(OBSERVATION) == [False]
    assert compile_path("Observation.status is System.String").values(OBSERVATION) == [True]
    assert compile_path("Observation.status is dateTime").values(OBSERVATION) == [False]
    assert compile_path("Observation.value is FHIR.Quantity").values(OBSERVATION) == [True]


def test_an_element_that_repeats_is_no_choice() -> None:
    odd: Json = {"resourceType": "X", "valueCode": ["a"], "reasonCode": [{}], "dateTime": "2020"}
    assert compile_path("X.value").values(odd) == []
    assert compile_path("X.reason").values(odd) == []


def test_resolve_enters_contained_resources_and_knows_the_types_of_others() -> None:
    assert compile_path("Patient.generalPractitioner.resolve().name.family").values(PATIENT) == ["Medecin"]
    assert compile_path("Patient.generalPractitioner.resolve()").values(PATIENT)[1:] == [
        Unresolved("Organization", "Organization/clinic"),
        Unresolved("PractitionerRole", "https://example.org/fhir/PractitionerRole/9/_history/2"),
        Unresolved("Practitioner", "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"),
        Unresolved(None, "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e1"),
    ]
    practitioners = compile_path("Patient.generalPractitioner.where(resolve() is Practitioner).reference")
    assert practitioners.values(PATIENT) == ["#gp", "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"]


def test_the_time_must_be_given_when_it_is_asked_for() -> None:
    with pytest.raises(PathError, match="needs the time"):
        compile_path("Patient.birthDate < today()").values(PATIENT)


def test_holds_is_open_for_an_empty_collection() -> None:
    assert compile_path("Patient.active").holds(PATIENT) is True
    assert compile_path("Patient.name.exists(use = 'old')").holds(PATIENT) is False
    assert compile_path("Patient.deceased = true").holds(PATIENT) is None


def test_locate_names_the_place_of_each_match() -> None:
    official = PATIENT["name"][0]
    assert locate("Patient.name.given", PATIENT) == [
        Location("Anne", official, "given", 0, None),
        Location(None, official, "given", 1, None),
        Location("Lou", official, "given", 2, None),
        Location("Nana", PATIENT["name"][1], "given", 0, None),
    ]
    assert locate("Patient.multipleBirth", PATIENT) == [Location(2, PATIENT, "multipleBirthInteger", None, "integer")]
    assert locate("Patient", PATIENT) == [Location(PATIENT, None, "", None, "Patient")]
    with pytest.raises(PathError, match="computes a value"):
        locate("Patient.birthDate.lower()", PATIENT)


def test_located_holders_are_the_objects_of_the_resource_itself() -> None:
    (place,) = locate("Patient.birthDate.extension.where(url='urn:time').value", PATIENT)
    assert place.holder is PATIENT["_birthDate"]["extension"][0]
    assert place.key == "valueDateTime"


@pytest.mark.parametrize(
    "resource",
    [
        {},
        {"resourceType": 3},
        {"resourceType": "Patient", "name": "text"},
        {"resourceType": "Patient", "name": [[{"given": ["x"]}], None, 4, {"given": {"a": 1}}]},
        {"resourceType": "Patient", "name": None, "_name": [None, {"id": "x"}], "contained": "no"},
        {"resourceType": "Patient", "generalPractitioner": [{"reference": 3}, {"type": 4}, {"reference": "#x"}, "y"]},
    ],
)
def test_odd_data_never_breaks_an_evaluation(resource: Json) -> None:
    for expression in (
        "Patient.name.given",
        "Patient.name.where(use = 'official').given.first().length()",
        "Patient.generalPractitioner.where(resolve() is Practitioner).resolve().name",
        "Patient.descendants().where($this is Quantity or $this < 3 or $this.extension('x').exists())",
        "Patient.name.given.toInteger() + 1 > today()",
        "Patient.name = Patient.generalPractitioner",
    ):
        compile_path(expression).values(resource, NOW)


def test_an_expression_that_would_run_away_is_stopped() -> None:
    bundle: Json = {"resourceType": "Bundle", "entry": [{"resource": PATIENT} for _ in range(50)]}
    runaway = "descendants().where(%resource.descendants().where(%resource.descendants().count() > 0).exists())"
    started = time.process_time()
    with pytest.raises(PathError, match="too many nodes"):
        compile_path(runaway).values(bundle)
    assert time.process_time() - started < 20
    with pytest.raises(PathError, match="too many nodes"):
        compile_path("'a'.repeat($this & 'b')").values(bundle)
    with pytest.raises(PathError, match="too long"):
        compile_path("'aaaaaaaaaa'" + ".replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaa')" * 8).values(bundle)


def test_numbers_of_any_size_are_compared_but_not_written_out() -> None:
    huge = parse(b'{"resourceType":"Observation","valueDecimal":1e999999,"valueInteger":2}')
    assert compile_path("Observation.valueDecimal > 3").values(huge) == [True]
    assert compile_path("Observation.valueDecimal.truncate()").values(huge) == []
    assert compile_path("Observation.valueDecimal * Observation.valueDecimal").values(huge) == []
    assert compile_path("(1 | 2)[Observation.valueDecimal]").values(huge) == []


def test_the_parameters_of_the_shared_document_examples_find_what_a_reader_sees() -> None:
    file = SAMPLES / "r4-examples/documentreference-example.json"
    if not file.is_file():
        pytest.skip("shared/data/r4-examples is absent")
    document = json.loads(file.read_bytes())
    assert compile_path("DocumentReference.content.attachment.creation").values(document) == [
        "2005-12-24T09:35:00+11:00"
    ]
    assert compile_path("DocumentReference.subject.where(resolve() is Patient).reference").values(document) == [
        "Patient/xcda"
    ]
    assert compile_path("DocumentReference.context.encounter.where(resolve() is Encounter)").values(document) == [
        {"reference": "Encounter/xcda"}
    ]
