"""Every constraint of R4 and of the packaged profiles, evaluated by another implementation of FHIRPath: same verdicts.

The other one has no `resolve()` nor `htmlChecks()`, and stops where several items stand for one: it is not asked then.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from fhir_dmp.fhir.path import compile_path
from fhir_dmp.fhir.path_values import Environment, Item
from fhir_dmp.fhir.resource import Json
from tests.validation.test_mutants import BREAKS, RESOURCES
from tests.validation.test_mutants_http import OF_RESOURCES
from tests.validation.test_r4_rules import INHERITED, R4, sound

UCUM = "http://unitsofmeasure.org"
_UNKNOWN_THERE = ("resolve()", "htmlChecks", "conformsTo", "memberOf", "hasValue", ".trace(")


@cache
def _theirs() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import fhirpathpy
        from fhirpathpy.models import models
    return fhirpathpy.evaluate, models["r4"]


def stated() -> dict[str, set[tuple[str, str]]]:
    """Return type -> (path below it, expression) of every constraint of the packaged snapshots."""
    found: dict[str, set[tuple[str, str]]] = {}
    for each in RESOURCES:
        if each.get("url") in OF_RESOURCES:
            for element in each["snapshot"]["element"]:
                below = element["path"].partition(".")[2].replace("[x]", "")
                for rule in element.get("constraint", ()):
                    if not any(part in rule["expression"] for part in _UNKNOWN_THERE):
                        found.setdefault(each["type"], set()).add((below, rule["expression"]))
    return found


STATED = stated()


def instances(type_: str) -> Iterator[Json]:
    """Yield resources of a type that keep and that break its constraints."""
    for each in RESOURCES:
        if each.get("url") in OF_RESOURCES and each["type"] == type_:
            yield sound(each["url"])
            for key in sorted(INHERITED):
                if each["url"] in INHERITED[key] and key in R4.keys() | BREAKS.keys():
                    value = sound(each["url"])
                    (R4.get(key) or BREAKS[key])(value)
                    yield value
            return


@pytest.mark.parametrize("type_", sorted(STATED))
def test_another_implementation_gives_the_same_verdict_on_each_constraint(type_: str) -> None:
    evaluate, model = _theirs()
    compared, asked = set(), set()
    for resource in instances(type_):
        for below, rule in sorted(STATED[type_]):
            expression = f"{type_}.{below}.select({rule})" if below else rule
            asked.add(expression)
            variables = {"resource": resource, "rootResource": resource, "context": resource, "ucum": UCUM}
            try:
                expected = evaluate(resource, expression, variables, model)
            except Exception:  # where it refuses, we answer leniently
                continue
            compared.add(expression)
            environment = Environment(Item(resource), None)
            found = [item.value for item in compile_path(expression).on(Item(resource), environment)]
            assert found == expected, expression
    assert len(compared) >= 0.9 * len(asked), asked - compared
