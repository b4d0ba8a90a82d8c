"""What the OperationDefinitions promise is what the operations read: same names, same types, same levels."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fhir_dmp.bootstrap import build
from fhir_dmp.definitions import each_json
from fhir_dmp.interactions.operations import OPERATIONS
from fhir_dmp.patients.blocks import BLOCK
from fhir_dmp.patients.checking import CHECK
from fhir_dmp.patients.closing import CLOSE, REOPEN
from fhir_dmp.patients.doctors import DESIGNATE
from fhir_dmp.patients.oppositions import OPPOSE
from fhir_dmp.patients.parameters import IDENTIFIER
from fhir_dmp.patients.rights import AUTHORISE, REVOKE
from fhir_dmp.settings import Settings
from fhir_dmp.store.memory import MemoryStore
from tests.world import FixedClock

DEFINITIONS = {content["code"]: content for _, content in each_json("profiles/operation-definitions")}
READ: dict[str, Mapping[str, str]] = {
    "dmp-fermer": CLOSE,
    "dmp-reactiver": REOPEN,
    "dmp-autoriser": AUTHORISE,
    "dmp-revoquer": REVOKE,
    "dmp-medecin-traitant": DESIGNATE,
    "dmp-bloquer": BLOCK,
    "dmp-debloquer": BLOCK,
    "dmp-verifier-acces": CHECK,
    "dmp-opposition": OPPOSE,
}


@pytest.mark.parametrize("name", sorted(READ))
def test_a_definition_lists_exactly_the_parameters_that_are_read(name: str) -> None:
    declared = {p["name"]: p["type"] for p in DEFINITIONS[name]["parameter"] if p["use"] == "in"}
    assert declared == {IDENTIFIER: "Identifier", **READ[name]}


def test_the_definition_of_the_opening_lists_what_is_read() -> None:
    declared = {p["name"]: p["type"] for p in DEFINITIONS["dmp-ouvrir"]["parameter"] if p["use"] == "in"}
    assert declared == {
        "patient": "Patient",
        "consentement": "boolean",
        "oppositionBrisDeGlace": "boolean",
        "oppositionCentreRegulation": "boolean",
        "auteur": "Identifier",
    }


@pytest.mark.parametrize("name", sorted(READ))
def test_a_definition_names_the_levels_and_the_url_of_the_operation(name: str) -> None:
    definition, operation = DEFINITIONS[name], OPERATIONS[name]
    levels = {level for level in ("system", "type", "instance") if definition[level]}
    assert levels == operation.levels
    assert set(definition["resource"]) == operation.types
    assert definition["url"] == operation.canonical("https://dmp-fhir.example/ig")


@pytest.mark.parametrize("name", sorted(READ))
def test_a_definition_is_valid_fhir(name: str) -> None:
    services = build(Settings.load({}), store=MemoryStore(), clock=FixedClock())
    assert [issue for issue in services.validate(DEFINITIONS[name]) if issue.severity == "error"] == []
