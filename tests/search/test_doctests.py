"""The examples in the docstrings of the search room and of dates are part of the specification."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ["fhir.dates", "fhir.fold", "patients.retention", "terminology.aliases"] + [
    f"search.{name}" for name in ("grammar", "keys", "lower_references", "numbers", "parameters", "reading", "values")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"fhir_dmp.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
