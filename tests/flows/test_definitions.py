"""What the server publishes of itself: operations, search parameters and sections, read like any resource."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fhir_dmp.bootstrap import PUBLISHED, publish_definitions
from fhir_dmp.definitions import each_json
from tests.flows.steps import Dossier, next_ins, nothing_stored
from tests.world import World

NAMES = "ouvrir fermer reactiver verifier-acces autoriser revoquer medecin-traitant bloquer debloquer opposition"
OPERATIONS = NAMES.split()
X = "https://dmp-fhir.example/ig"


@pytest.fixture(scope="module")
def published(world: World) -> World:
    """A server that has started."""
    publish_definitions(world.services)
    return world


def test_each_operation_of_the_statement_is_found_by_its_definition(published: World) -> None:
    statement = published.nobody.get("/metadata").json
    (patient,) = [each for each in statement["rest"][0]["resource"] if each["type"] == "Patient"]
    listed = {each["name"]: each["definition"] for each in patient["operation"]}
    for name in OPERATIONS:
        url = listed[f"dmp-{name}"]
        read = published.doctor().get(f"/OperationDefinition/dmp-{name}")
        assert (read.status, read.json["url"], read.json["code"]) == (200, url, f"dmp-{name}")
        (found,) = published.doctor().get(f"/OperationDefinition?url={url}").entries
        assert found == read.json


def test_search_parameters_and_sections_are_published_and_everybody_reads_them(published: World) -> None:
    dossier = Dossier.open(published, next_ins())
    for client in (published.doctor(), dossier.holder, published.admin):
        archived = client.get("/SearchParameter?code=isArchived").entries
        assert [each["id"] for each in archived] == ["PDSm-isArchived"]
        sections = client.get("/CodeSystem/mes-rubrique").json
        assert len(sections["concept"]) == 9


def test_every_published_definition_is_valid_fhir(world: World) -> None:
    for folder in PUBLISHED:
        for name, definition in each_json(folder):
            found = [issue for issue in world.services.validate(definition) if issue.severity == "error"]
            assert found == [], (name, found)


def test_a_second_start_writes_nothing_and_only_the_operator_changes_them(published: World) -> None:
    with nothing_stored(published):
        assert publish_definitions(published.services) == 0
        changed = published.doctor().get("/OperationDefinition/dmp-ouvrir").json | {"status": "retired"}
        assert published.doctor().put("/OperationDefinition/dmp-ouvrir", changed).status == 403


def test_another_namespace_is_written_everywhere(make: Callable[..., World]) -> None:
    world = make(DMP_CANONICAL_BASE="https://dmp.example.org/ig")
    assert publish_definitions(world.services) > 10
    found = world.doctor().get("/OperationDefinition/dmp-ouvrir")
    assert found.json["url"] == "https://dmp.example.org/ig/OperationDefinition/dmp-ouvrir"
    assert X.encode() not in found.body
