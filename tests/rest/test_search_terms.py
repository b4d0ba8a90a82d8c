"""Search parameters that need what is stored: value sets, hierarchies, lists, references, chains. fhir-rest 6, D."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rest.shapes import BASE, LOINC, SYSTEM, made, named, observation, organization, patient
from tests.world import Client, Json, World

LOCAL = "https://example.org/codes"
SET = "https://example.org/ValueSet/vitals"


def _codes(client: Client, query: str) -> list[str]:
    answer = client.get(f"/Observation?_sort=code&{query}")
    assert answer.status == 200, answer.body
    return [each["code"]["coding"][0]["code"] for each in answer.entries]


def _observe(client: Client, *codes: str, system: str = LOINC) -> None:
    for code in codes:
        made(client, {**observation(), "code": {"coding": [{"system": system, "code": code}]}})


def _value_set(**parts: Any) -> Json:
    return {"resourceType": "ValueSet", "status": "active", "url": SET, **parts}


@pytest.mark.statement("fhir-rest D94")
@pytest.mark.parametrize(
    "content",
    [
        {"compose": {"include": [{"system": LOINC, "concept": [{"code": "8867-4"}, {"code": "8480-6"}]}]}},
        {
            "expansion": {
                "timestamp": "2026-01-01",
                "contains": [{"system": LOINC, "code": c} for c in ("8867-4", "8480-6")],
            }
        },
        {
            "compose": {
                "include": [{"system": LOINC, "concept": [{"code": c} for c in ("8867-4", "8480-6", "9279-1")]}],
                "exclude": [{"system": LOINC, "concept": [{"code": "9279-1"}]}],
            }
        },
    ],
)
def test_a_stored_value_set_selects_its_codes(wide: World, content: Json) -> None:
    admin = wide.admin
    stored = made(admin, _value_set(**content))
    _observe(admin, "8867-4", "8480-6", "9279-1")
    assert _codes(admin, f"code:in={SET}") == ["8480-6", "8867-4"]
    assert _codes(admin, f"code:in=ValueSet/{stored['id']}") == ["8480-6", "8867-4"]
    assert _codes(admin, f"code:not-in={SET}") == ["9279-1"]


@pytest.mark.statement("fhir-rest D94")
def test_value_sets_that_include_others_and_whole_code_systems(admin: Client) -> None:
    system = {
        "resourceType": "CodeSystem",
        "status": "active",
        "content": "complete",
        "url": LOCAL,
        "concept": [{"code": "a", "concept": [{"code": "b"}]}],
    }
    made(admin, system)
    inner = "https://example.org/ValueSet/inner"
    made(admin, {**_value_set(compose={"include": [{"system": LOCAL}]}), "url": inner, "version": "2"})
    made(admin, _value_set(compose={"include": [{"valueSet": [f"{inner}|2"]}]}))
    _observe(admin, "a", "b", "c", system=LOCAL)
    assert _codes(admin, f"code:in={SET}") == ["a", "b"]


@pytest.mark.statement("fhir-rest D94")
@pytest.mark.parametrize(
    "content",
    [
        {"compose": {"include": [{"system": "https://example.org/elsewhere"}]}},
        {"compose": {"include": [{"system": LOINC, "filter": [{"property": "x", "op": "=", "value": "y"}]}]}},
        {"compose": {"include": [{"valueSet": [SET]}]}},
        {},
    ],
)
def test_a_value_set_that_cannot_be_listed_is_404(admin: Client, content: Json) -> None:
    for name in (SET, "ValueSet/never-was"):
        answer = admin.get(f"/Observation?code:in={name}")
        assert (answer.status, answer.codes) == (404, {"not-found"})
    made(admin, _value_set(**content))
    answer = admin.get(f"/Observation?code:in={SET}")
    assert (answer.status, answer.codes) == (404, {"not-found"})


@pytest.mark.statement("fhir-rest D94")
def test_a_value_set_with_too_many_codes_is_too_costly(admin: Client) -> None:
    concepts = [{"code": f"c{number}"} for number in range(1100)]
    made(admin, _value_set(compose={"include": [{"system": LOCAL, "concept": concepts}]}))
    answer = admin.get(f"/Observation?code:in={SET}")
    assert (answer.status, answer.codes) == (422, {"too-costly"})


@pytest.mark.statement("fhir-rest D95")
def test_a_stored_hierarchy_answers_above_and_below(wide: World) -> None:
    admin = wide.admin
    tree = [{"code": "all", "concept": [{"code": "left", "concept": [{"code": "leaf"}]}, {"code": "right"}]}]
    made(
        admin, {"resourceType": "CodeSystem", "status": "active", "content": "complete", "url": LOCAL, "concept": tree}
    )
    _observe(admin, "all", "left", "leaf", "right", system=LOCAL)
    assert _codes(admin, f"code:below={LOCAL}|left") == ["leaf", "left"]
    assert _codes(admin, f"code:above={LOCAL}|left") == ["all", "left"]
    assert _codes(admin, f"code:below={LOCAL}|all") == ["all", "leaf", "left", "right"]
    answer = admin.get("/Observation?code:below=https://example.org/unknown|x")
    assert answer.status == 400


@pytest.mark.statement("fhir-rest D120")
def test_list_finds_the_members_of_a_list(wide: World) -> None:
    admin = wide.admin
    one, two = made(admin, patient("UN")), made(admin, patient("DEUX"))
    body = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "entry": [{"item": {"reference": named(one)}}],
    }
    listed = made(admin, body)
    assert [named(each) for each in admin.get(f"/Patient?_list={listed['id']}").entries] == [named(one)]
    assert admin.get("/Patient?_list=never-was").entries == []
    assert {named(each) for each in admin.get("/Patient").entries} == {named(one), named(two)}


@pytest.mark.statement("fhir-rest D100", "fhir-rest D101", "fhir-rest D102", "fhir-rest D103")
def test_the_forms_of_a_reference(wide: World) -> None:
    admin = wide.admin
    owner = made(admin, patient("UN"))
    local = made(admin, observation(named(owner)))
    versioned = made(admin, observation(f"{named(owner)}/_history/1"))
    foreign = made(admin, observation("https://elsewhere.example/fhir/Patient/9"))
    logical = made(admin, {**observation(), "subject": {"identifier": {"system": SYSTEM, "value": "A-1"}}})

    def found(query: str) -> set[str]:
        return {each["id"] for each in admin.get(f"/Observation?{query}").entries}

    for query in (f"subject={named(owner)}", f"subject={owner['id']}", f"subject={BASE}/{named(owner)}"):
        assert found(query) == {local["id"], versioned["id"]}, query
    assert found(f"subject:Patient={owner['id']}") == {local["id"], versioned["id"]}
    assert found(f"subject={named(owner)}/_history/1") == {versioned["id"]}
    assert found("subject=https://elsewhere.example/fhir/Patient/9") == {foreign["id"]}
    assert found("subject=9") == set()
    assert found(f"subject:identifier={SYSTEM}|A-1") == {logical["id"]}


@pytest.mark.statement("fhir-rest D114", "fhir-rest D115", "fhir-rest D116", "fhir-rest D117", "fhir-rest D119")
def test_chains_and_has(wide: World) -> None:
    admin = wide.admin
    top = made(admin, organization("Hôpital"))
    unit = made(admin, organization("Service", partOf={"reference": named(top)}))
    owner = made(admin, patient("Malade", managingOrganization={"reference": named(unit)}))
    other = made(admin, patient("Autre"))
    mine, theirs = made(admin, observation(named(owner))), made(admin, observation(named(other), "8480-6"))

    def found(path: str) -> set[str]:
        answer = admin.get(path)
        assert answer.status == 200, answer.body
        return {named(each) for each in answer.entries}

    assert found("/Observation?subject:Patient.family=malade") == {named(mine)}
    assert found("/Observation?patient.family:exact=Autre") == {named(theirs)}
    assert found("/Observation?patient.organization.name=service") == {named(mine)}
    assert found("/Observation?patient.organization.partof.name:contains=pital") == {named(mine)}
    assert found("/Patient?_has:Observation:patient:code=8867-4") == {named(owner)}
    assert found("/Patient?_has:Observation:patient:code=8867-4,8480-6") == {named(owner), named(other)}
    assert found("/Organization?_has:Patient:organization:_has:Observation:patient:code=8867-4") == {named(unit)}
    four = admin.get("/Observation?patient.organization.partof.partof.name=x")
    assert (four.status, four.codes) == (422, {"too-costly"})
    assert admin.get("/Observation?patient.unheard=x").status == 400
