"""FHIRPath against another implementation, and on every search parameter that R4 defines where they are at hand."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path as File
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_dmp.fhir.path import compile_path
from fhir_dmp.fhir.resource import Json

ROOT = File(__file__).resolve().parents[2]

RESOURCE: Json = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "code": {"coding": [{"system": "s", "code": "a", "userSelected": True}, {"system": "s", "code": "b"}], "text": "t"},
    "performer": [{"reference": "Practitioner/1", "display": "One"}, {"display": "Two"}],
    "valueQuantity": {"value": 5, "unit": "mg"},
    "component": [
        {"code": {"text": "x"}, "valueInteger": 1},
        {"code": {"text": "y"}, "valueInteger": 3},
        {"code": {"coding": [{"code": "a"}]}, "valueString": "z"},
    ],
}

_names = ["status", "id", "code", "coding", "text", "component", "value", "performer", "display", "unit"]
_filters = [".first()", ".last()", ".tail()", ".skip(1)", ".take(1)", "[0]", "[1]", ".distinct()", ".repeat(code)"]
_filters += [
    ".where($this = 'a')",
    ".where(code.exists())",
    ".select(code)",
    ".where($index = 1)",
    ".children().coding",
]
_tests = [".exists()", ".empty()", ".isDistinct()", ".count() > 1", ".all(code.exists())", ".exists(text = 'x').not()"]


@st.composite
def _paths(draw: st.DrawFn) -> str:
    names = draw(st.lists(st.sampled_from(_names), min_size=1, max_size=4))
    return ".".join(names) + "".join(draw(st.lists(st.sampled_from(_filters), max_size=3)))


# Booleans and numbers are never compared with each other: for the other implementation, true equals 1.
_unions = st.builds("({} | {})".format, _paths(), st.one_of(_paths(), st.sampled_from(["'a'", "{}", "1.5"])))
_equations = st.builds(
    "({} {} {})".format, _paths(), st.sampled_from(["=", "!="]), st.sampled_from(["'a'", "'x'", "{}"])
)
_conditions = st.one_of(_equations, st.builds("({}{})".format, _paths(), st.sampled_from(_tests)))
_logic = st.builds("({} {} {})".format, _conditions, st.sampled_from(["and", "or", "xor", "implies"]), _conditions)
_expressions = st.one_of(_paths(), _unions, _conditions, _logic, st.builds("component.where({})".format, _logic))


@lru_cache(maxsize=1)
def _oracle() -> Callable[[Json, str], Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import fhirpathpy  # its import warns, which would be an error here
        from fhirpathpy.models import models

    return lambda resource, text: fhirpathpy.evaluate(resource, text, {}, models["r4"])


@settings(max_examples=150, deadline=None)
@given(_expressions)
def test_another_implementation_gives_the_same_answer(expression: str) -> None:
    try:
        expected = _oracle()(RESOURCE, expression)
    except Exception:  # noqa: BLE001, RUF100  # where it refuses (several items, odd types), we answer leniently
        return
    if any(isinstance(value, dict) and "$status" in value for value in expected):
        return
    assert compile_path(expression).values(RESOURCE) == expected


def _official() -> list[str]:
    """Return the expressions of the project's table of R4 search parameters."""
    file = ROOT / "profiles/r4/search-parameters.json"
    if file.is_file():
        return sorted({row["expression"] for row in json.loads(file.read_bytes())["parameters"] if "expression" in row})
    pytest.skip("profiles/r4/search-parameters.json is absent")


def test_every_search_parameter_of_r4_compiles_and_runs() -> None:
    expressions = _official()
    assert len(expressions) > 1000
    for expression in expressions:
        compile_path(expression).typed(RESOURCE)
