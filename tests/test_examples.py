"""The examples in docstrings are the specification of small grammars: they must hold."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import fhir_dmp

#: Importing them starts something.
_NOT_IMPORTED = {"fhir_dmp.wsgi", "fhir_dmp.cli.__main__"}
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(fhir_dmp.__path__, "fhir_dmp.")
    if module.name not in _NOT_IMPORTED and not module.ispkg
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
