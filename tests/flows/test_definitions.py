"""What the server publishes of itself: operations, search parameters and sections, read like any resource."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fhir_dmp.bootstrap import PUBLISHED, publish_definitions
from fhir_dmp.definitions import each_json
from fhir_dmp.terminology.aliases import nos
from fhir_dmp.terminology.listing import members
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


def test_the_national_value_sets_code_systems_and_maps_are_found_by_their_url(published: World) -> None:
    doctor = published.doctor()
    types, professions = nos("JDV_J07-XdsTypeCode-CISIS"), nos("TRE_G15-ProfessionSante")
    for type_, url in (
        ("ValueSet", types),
        ("CodeSystem", professions),
        ("ConceptMap", nos("ASS_X16-CorrespondanceType-Classe-DMP")),
    ):
        (found,) = doctor.get(f"/{type_}?url={url}").entries
        assert doctor.get(f"/{type_}/{found['id']}").json == found
        (short,) = doctor.get(f"/{type_}?url={url}&_summary=true").entries
        assert {"concept", "compose", "group"}.isdisjoint(short)
        assert doctor.get(f"/{type_}?url={url}&version=1999").entries == []
    page = doctor.get("/ValueSet/JDV-J07-XdsTypeCode-CISIS", Accept="text/html")
    assert (page.status, page.headers["Content-Type"].partition(";")[0]) == (200, "text/html")
    assert doctor.get(f"/CodeSystem?url={professions}&code=10").entries[0]["content"] == "complete"


def test_what_is_published_says_of_codes_what_the_tables_say(published: World) -> None:
    doctor, held = published.doctor(), published.services.terminology
    for each in held.national():
        if each["resourceType"] != "ValueSet":
            continue
        expansion = doctor.get(f"/ValueSet/$expand?url={each['url']}").json["expansion"]
        table = held.value_set(each["url"])
        assert table is not None
        told = [(member.system, member.code, member.display) for member in members(table, held)]
        shown = [(one["system"], one["code"], one.get("display", "")) for one in expansion["contains"]]
        assert shown == told, each["url"]


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("JDV_J57-ClassCode-DMP", {"10", "11", "31", "42", "43", "44", "45", "52", "60", "90", "95"}),
        (
            "JDV_J58-ConfidentialityCode-DMP",
            {"N", "R", "V", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX", "MASQUE_PS"},
        ),
    ],
)
def test_the_value_sets_of_the_dmp_are_made_of_the_national_ones(published: World, name: str, codes: set[str]) -> None:
    expansion = published.doctor().get(f"/ValueSet/$expand?url={nos(name)}").json["expansion"]
    assert {each["code"] for each in expansion["contains"]} == codes
