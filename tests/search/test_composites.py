"""Composite search: all parts on the same element. fhir-rest 6.12"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.errors import BadRequest
from tests.search.shelf import Shelf, asked

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
REPLACES = "http://hl7.org/fhir/document-relationship-type|replaces"


def relates(id_: str, *pairs: tuple[str, str]) -> dict[str, Any]:
    relations = [{"code": code, "target": {"reference": f"DocumentReference/{target}"}} for code, target in pairs]
    return {"resourceType": "DocumentReference", "id": id_, "relatesTo": relations}


RELATED = Shelf(
    relates("both", ("replaces", "a"), ("appends", "b")),
    relates("other", ("appends", "a"), ("replaces", "b")),
    relates("none"),
)


@pytest.mark.statement("fhir-rest D113")
@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("DocumentReference/a$replaces", ["both"]),
        ("DocumentReference/b$replaces", ["other"]),
        ("a$appends", ["other"]),
        (f"DocumentReference/a${REPLACES}", ["both"]),
        ("DocumentReference/a$http://x.example|replaces", []),
        ("DocumentReference/a$replaces,DocumentReference/a$appends", ["both", "other"]),
    ],
)
def test_both_parts_must_hold_on_one_relation(value: str, found: list[str]) -> None:
    assert RELATED.find("DocumentReference", f"relationship={value}") == found


def test_the_plain_parameters_do_not_tie_the_parts_together() -> None:
    assert RELATED.find("DocumentReference", "relatesTo=a&relation=replaces") == ["both", "other"]


def pressure(id_: str, systolic: int, diastolic: int) -> dict[str, Any]:
    def part(code: str, value: int) -> dict[str, Any]:
        quantity = {"value": value, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"}
        return {"code": {"coding": [{"system": LOINC, "code": code}]}, "valueQuantity": quantity}

    return {
        "resourceType": "Observation",
        "id": id_,
        "code": {"coding": [{"system": LOINC, "code": "85354-9"}]},
        "component": [part("8480-6", systolic), part("8462-4", diastolic)],
    }


@pytest.mark.statement("fhir-rest D113")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"component-code-value-quantity={LOINC}|8480-6$gt140", ["high"]),
        (f"component-code-value-quantity={LOINC}|8462-4$gt140", []),
        (f"component-code-value-quantity=8480-6$120|{UCUM}|mm[Hg]", ["normal"]),
        (f"component-code-value-quantity=8480-6$lt130|{UCUM}|mm[Hg],8462-4$ge100", ["normal", "high"]),
        (f"combo-code-value-quantity={LOINC}|8462-4$80", ["normal"]),
        ("component-code-value-quantity=8480-6$120||mmHg", ["normal"]),
    ],
)
def test_a_measure_is_found_by_the_code_and_value_of_one_component(query: str, found: list[str]) -> None:
    shelf = Shelf(pressure("normal", 120, 80), pressure("high", 160, 100))
    assert shelf.find("Observation", query) == found


def test_dates_and_strings_may_be_parts() -> None:
    shelf = Shelf(
        {
            "resourceType": "Observation",
            "id": "date",
            "code": {"coding": [{"code": "due"}]},
            "valueDateTime": "2024-05-10",
        },
        {
            "resourceType": "Observation",
            "id": "text",
            "code": {"coding": [{"code": "note"}]},
            "valueString": "Très bon",
        },
    )
    assert shelf.find("Observation", "code-value-date=due$lt2025") == ["date"]
    assert shelf.find("Observation", "code-value-date=note$lt2025") == []
    assert shelf.find("Observation", "code-value-string=note$tres") == ["text"]


@pytest.mark.parametrize(
    "value", ["a", "a$b$c", "DocumentReference/a$", "$replaces", f"a${REPLACES.partition('|')[0]}|"]
)
def test_a_composite_with_other_parts_is_refused(value: str) -> None:
    with pytest.raises(BadRequest) as refused:
        asked("DocumentReference", f"relationship={value}")
    assert refused.value.issues[0].code == "value"


def test_a_composite_takes_no_modifier() -> None:
    for modifier in ("missing", "not", "exact"):
        with pytest.raises(BadRequest):
            asked("DocumentReference", f"relationship:{modifier}=true")


def test_a_refusal_inside_a_composite_does_not_repeat_its_values() -> None:
    with pytest.raises(BadRequest) as refused:
        asked("Observation", "code-value-quantity=1234-5$secret")
    assert "1234-5" not in refused.value.issues[0].diagnostics
    assert "secret" not in refused.value.issues[0].diagnostics
