"""Every answer of the tests' servers is judged (tests/outputs.py); here: that the judge notices what is wrong."""

from __future__ import annotations

import json

import pytest

from fhir_dmp.fhir.xml import to_xml
from fhir_dmp.store.memory import MemoryStore
from tests import samples
from tests.outputs import check
from tests.world import Json, World, make_world

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
BMI = "http://hl7.org/fhir/StructureDefinition/bmi"


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(MemoryStore())


def answered(world: World, resource: Json, kind: str = "json") -> None:
    """Judge a resource as if the server had answered it."""
    body = json.dumps(resource).encode() if kind == "json" else to_xml(resource, world.services.structures)
    check("GET /fhir/x", {"Content-Type": f"application/fhir+{kind}; charset=utf-8"}, body, world.services)


def inside(resource: Json) -> Json:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": resource}]}


OBSERVATION: Json = {"resourceType": "Observation", "code": {"text": "x"}}
WRONG: dict[str, Json] = {
    "base R4": inside(OBSERVATION),
    "a declared profile": inside({**OBSERVATION, "status": "final", "meta": {"profile": [BMI]}}),
    "an empty parameter": {"resourceType": "Parameters", "parameter": [{"name": "return"}]},
    "an empty narrative": {
        "resourceType": "Patient",
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"> </div>'},
    },
}


@pytest.mark.parametrize("rule", WRONG)
@pytest.mark.parametrize("kind", ["json", "xml"])
def test_an_answer_that_breaks_a_rule_is_noticed(world: World, rule: str, kind: str) -> None:
    with pytest.raises(AssertionError):
        answered(world, WRONG[rule], kind)


def test_a_right_answer_passes(world: World) -> None:
    answered(world, samples.patient())
    excerpt = {**OBSERVATION, "meta": {"tag": [SUBSETTED], "profile": [BMI]}}
    answered(world, inside(excerpt))
    with pytest.raises(AssertionError):
        answered(world, inside({**excerpt, "status": "no-such"}))


def test_a_server_that_is_told_to_store_what_is_wrong_is_not_judged() -> None:
    assert make_world(MemoryStore()).judged
    assert not make_world(MemoryStore(), DMP_VALIDATION_MODE="warn").judged
    assert not make_world(MemoryStore(), DMP_VALIDATION_TYPES="Observation=off").judged
