"""Number and quantity search: precision, prefixes, units, comparators. fhir-rest 6.5, 6.10"""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import Number
from fhir_dmp.search.numbers import around, canonical_unit
from tests.search.shelf import Json, Shelf, asked

UCUM = "http://unitsofmeasure.org"


def risk(id_: str, probability: str) -> Json:
    return {"resourceType": "RiskAssessment", "id": id_, "prediction": [{"probabilityDecimal": Number(probability)}]}


@pytest.mark.statement("fhir-rest D109")
@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("100", 99.5, 100.5),
        ("100.00", 99.995, 100.005),
        ("1e2", 95, 105),
        ("-100", -100.5, -99.5),
        ("0", -0.5, 0.5),
        ("-0.5", -0.55, -0.45),
        ("1.5e3", 1450, 1550),
        ("+7", 6.5, 7.5),
    ],
)
def test_a_number_means_an_interval_of_its_written_digits(text: str, low: float, high: float) -> None:
    assert around(text) == (low, high)


@pytest.mark.statement("fhir-rest D109")
@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("0.5", ["half", "nearly"]),
        ("0.50", ["half"]),
        ("ne0.50", ["nearly", "less", "more"]),
        ("gt0.5", ["nearly", "more"]),
        ("ge0.5", ["half", "nearly", "more"]),
        ("lt0.5", ["less"]),
        ("le0.5", ["half", "less"]),
        ("sa0.5", ["nearly", "more"]),
        ("eb0.5", ["less"]),
        ("ap0.5", ["half", "nearly"]),
    ],
)
def test_prefixes_compare_with_the_exact_number(value: str, found: list[str]) -> None:
    shelf = Shelf(risk("half", "0.5"), risk("nearly", "0.52"), risk("less", "0.44"), risk("more", "0.9"))
    assert shelf.find("RiskAssessment", f"probability={value}") == found


def test_the_lower_bound_belongs_to_the_interval_and_the_upper_does_not() -> None:
    shelf = Shelf(risk("low", "99.5"), risk("high", "100.5"))
    assert shelf.find("RiskAssessment", "probability=100") == ["low"]


@pytest.mark.statement("fhir-rest D77")
@pytest.mark.parametrize("value", ["ten", "1.", ".5", "1,5x", "0x10", "NaN", "1e9999", "gt", "--1", "٣"])
def test_what_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(BadRequest) as refused:
        asked("RiskAssessment", f"probability={value}")
    assert refused.value.issues[0].code == "value"


def observation(id_: str, value: str, unit: str = "mg", **more: str) -> Json:
    quantity = {"value": Number(value), "unit": unit, "system": UCUM, "code": unit, **more}
    return {"resourceType": "Observation", "id": id_, "valueQuantity": quantity}


DOSES = Shelf(
    observation("mg", "500"),
    observation("g", "0.5", "g"),
    observation("kg", "2", "kg"),
    observation("less", "500", comparator="<"),
    observation("more", "500", comparator=">="),
    {"resourceType": "Observation", "id": "words", "valueQuantity": {"value": 500, "unit": "tablets"}},
    {"resourceType": "Observation", "id": "text", "valueString": "500 mg"},
)


@pytest.mark.statement("fhir-rest D110")
@pytest.mark.parametrize(
    ("value", "found"),
    [
        (f"500|{UCUM}|mg", ["mg", "g"]),
        (f"0.5|{UCUM}|g", ["mg", "g"]),
        (f"0.500|{UCUM}|g", ["mg", "g"]),
        (f"2000|{UCUM}|g", ["kg"]),
        ("500||mg", ["mg"]),
        ("500||tablets", ["words"]),
        ("500", ["mg", "words"]),
        (f"500|{UCUM}|mL", []),
        ("500|http://x.example|mg", []),
    ],
)
def test_a_quantity_is_found_in_every_unit_of_its_dimension(value: str, found: list[str]) -> None:
    assert DOSES.find("Observation", f"value-quantity={value}") == found


@pytest.mark.statement("fhir-rest D111")
@pytest.mark.parametrize(
    ("value", "found"),
    [
        (f"gt1|{UCUM}|g", ["kg", "more"]),
        (f"lt400|{UCUM}|mg", ["less"]),
        (f"ge500|{UCUM}|mg", ["mg", "g", "kg", "more"]),
        (f"le500|{UCUM}|mg", ["mg", "g", "less"]),
        (f"sa499|{UCUM}|mg", ["mg", "g", "kg", "more"]),
        (f"eb500|{UCUM}|mg", ["less"]),
        (f"ap450|{UCUM}|mg", ["less"]),
        (f"ap460|{UCUM}|mg", ["mg", "g", "less", "more"]),
        (f"ne500|{UCUM}|mg", ["kg", "less", "more"]),
    ],
)
def test_prefixes_and_stored_comparators_compare_whole_intervals(value: str, found: list[str]) -> None:
    assert DOSES.find("Observation", f"value-quantity={value}") == found


@pytest.mark.statement("fhir-rest D83")
def test_a_missing_quantity_or_number_is_found() -> None:
    assert DOSES.find("Observation", "value-quantity:missing=true") == ["text"]
    assert Shelf(risk("r", "1")).find("RiskAssessment", "probability:missing=false") == ["r"]


@pytest.mark.parametrize("value", ["5|mg", f"5|{UCUM}|", "5|a|b|c", "mg", f"x5|{UCUM}|mg"])
def test_a_quantity_of_another_shape_is_refused(value: str) -> None:
    with pytest.raises(BadRequest) as refused:
        asked("Observation", f"value-quantity={value}")
    assert refused.value.issues[0].code == "value"


@pytest.mark.parametrize(
    ("unit", "canonical"),
    [
        ("mmol/L", ("mol/L", "0.001")),
        ("ug/dL", ("g/L", "0.00001")),
        ("kg/m2", ("g/m2", "1000")),
        ("cm", ("m", "0.01")),
        ("min", ("s", "60")),
        ("/min", ("1/s", None)),
        ("mm[Hg]", ("Pa", "133.322")),
        ("10*9/L", ("1/L", "1000000000")),
        ("{beats}/min", ("1/s", None)),
        ("[IU]/mL", ("[IU]/L", "1000")),
    ],
)
def test_medical_units_have_a_canonical_unit(unit: str, canonical: tuple[str, str | None]) -> None:
    found = canonical_unit(unit)
    assert found is not None
    assert found[0] == canonical[0]
    if canonical[1] is not None:
        assert found[1] == Decimal(canonical[1])


def test_temperatures_are_converted_with_their_offset() -> None:
    shelf = Shelf(observation("c", "37.0", "Cel"), observation("f", "98.6", "[degF]"))
    assert shelf.find("Observation", f"value-quantity=37.0|{UCUM}|Cel") == ["c", "f"]
    assert shelf.find("Observation", f"value-quantity=gt38|{UCUM}|Cel") == []


DECIMALS = st.decimals(min_value=-10_000, max_value=10_000, places=3)
OPS = st.sampled_from(["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])


@given(stored=DECIMALS, search=st.decimals(min_value=-10_000, max_value=10_000, places=2), op=OPS)
def test_search_agrees_with_exact_arithmetic(stored: Decimal, search: Decimal, op: str) -> None:
    half = Decimal("0.005")
    inside = search - half <= stored < search + half
    expected = {
        "eq": inside,
        "ne": not inside,
        "gt": stored > search,
        "sa": stored > search,
        "lt": stored < search,
        "eb": stored < search,
        "ge": stored >= search,
        "le": stored <= search,
        "ap": abs(stored - search) <= abs(search) / 10,
    }[op]
    found = Shelf(risk("r", str(stored))).find("RiskAssessment", f"probability={op}{search}")
    assert found == (["r"] if expected else [])


@given(value=st.decimals(min_value=0, max_value=1000, places=2))
def test_a_quantity_is_found_by_itself_in_another_unit(value: Decimal) -> None:
    shelf = Shelf(observation("o", str(value), "mg"))
    assert shelf.find("Observation", f"value-quantity={value / 1000}|{UCUM}|g") == ["o"]
    assert shelf.find("Observation", f"value-quantity=gt{value / 1000}|{UCUM}|g") == []
