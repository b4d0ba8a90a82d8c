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

_element = st.sampled_from(
    ["status", "id", "code", "coding", "text", "component", "value", "performer", "display", "unit"]
)
_literal = st.sampled_from(["3", "'a'", "'x'", "{}", "1.5", "''"])
_suffix = st.sampled_from([
    ".first()", ".last()", ".tail()", ".skip(1)", ".take(1)", "[0]", "[1]", ".distinct()", ".exists()", ".empty()",
    ".count()", ".where($this = 'a')", ".where(code.exists())", ".where(value > 1)", ".select(code)",
    ".children().count()",
    ".isDistinct()", ".not()", ".where($index = 1)", ".repeat(code).count()",
])  # fmt: skip
_operator = st.sampled_from(["=", "!=", "and", "or", "xor", "implies", "|", "in", "contains"])


@st.composite
def _paths(draw: st.DrawFn) -> str:
    names = draw(st.lists(_element, min_size=1, max_size=4))
    return ".".join(names) + "".join(draw(st.lists(_suffix, max_size=3)))


_expressions = st.recursive(
    st.one_of(_paths(), _paths(), _literal),
    lambda inner: st.builds("({} {} {})".format, inner, _operator, inner),
    max_leaves=4,
)


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
    """Return the expressions of all search parameters, from the project's own table or a published bundle."""
    for name in ("profiles/r4/search-parameters.json", "../shared/data/r4-definitions/search-parameters.json"):
        if (ROOT / name).is_file():
            content = json.loads((ROOT / name).read_bytes())
            entries = content["entry"] if isinstance(content, dict) else content
            return sorted({e.get("resource", e).get("expression") or "id" for e in entries})
    pytest.skip("no table of the R4 search parameters is at hand")
