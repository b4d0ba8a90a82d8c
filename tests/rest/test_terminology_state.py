"""Whose definitions count, from when on, and what hostile ones cost. [fhir-rest D94, J209]"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fhir_dmp import packages
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.terminology.aliases import nos
from tests.rest.conftest import opened
from tests.rest.test_terminology import LEAFY, TREES, codes, filtered, get, leafy, parameters, trees, values, whole
from tests.samples import Json
from tests.world import Client, World, make_world

CLASSES, CLASS_SET = nos("TRE_A03-ClasseDocument"), nos("JDV_J06-XdsClassCode-CISIS")


def basic(client: Client, system: str, code: str) -> str:
    """Store a resource with a code and return its id."""
    answer = client.post("/Basic", {"resourceType": "Basic", "code": {"coding": [{"system": system, "code": code}]}})
    assert answer.status == 201, answer.body
    id_: str = answer.json["id"]
    return id_


def found(client: Client, **query: str) -> set[str]:
    """Return the codes of the resources that a search finds; `__` in a name stands for `:`."""
    asked = {name.replace("__", ":").replace("not_in", "not-in"): value for name, value in query.items()}
    answer = get(client, "Basic", **asked)
    assert answer.status == 200, answer.body
    return {each["code"]["coding"][0]["code"] for each in answer.entries}


@pytest.mark.statement("fhir-rest D94")
def test_a_search_takes_the_codes_of_a_value_set_as_it_is_now(wide: World) -> None:
    admin = wide.admin
    for code in ("oak", "holm", "pine"):
        basic(admin, TREES, code)
    for code in ("10", "99"):
        basic(admin, CLASSES, code)
    assert found(admin, code__in=CLASS_SET) == {"10", "99"}
    assert get(admin, "Basic", **{"code:in": LEAFY}).status in (404, 422)
    made = [
        admin.post("/CodeSystem", trees()),
        admin.post("/ValueSet", leafy(include=[filtered("concept", "is-a", "oak")])),
    ]
    assert [each.status for each in made] == [201, 201]
    id_ = made[1].json["id"]
    assert found(admin, code__in=LEAFY) == found(admin, code__in=f"ValueSet/{id_}") == {"oak", "holm"}
    assert found(admin, code__not_in=LEAFY) == {"pine", "10", "99"}
    assert found(admin, code__below=f"{TREES}|oak") == {"oak", "holm"}
    assert found(admin, code__above=f"{TREES}|holm") == {"oak", "holm"}
    # Another worker of the same store sees each change with its next request.
    other = make_world(wide.services.store, wide.clock, DMP_STORE_ALLOW_STANDALONE="true").admin
    assert found(other, code__in=LEAFY) == {"oak", "holm"}
    changed = {**leafy(include=[whole(concept=[{"code": "pine"}])]), "id": id_}
    assert admin.put(f"/ValueSet/{id_}", changed).status == 200
    assert found(other, code__in=LEAFY) == found(admin, code__in=LEAFY) == {"pine"}
    assert codes(get(other, "ValueSet/$expand", url=LEAFY)) == ["pine"]
    flat = {**trees(), "id": made[0].json["id"], "concept": [{"code": "oak"}, {"code": "holm"}]}
    assert admin.put(f"/CodeSystem/{flat['id']}", flat).status == 200
    assert found(other, code__below=f"{TREES}|oak") == {"oak"}
    assert admin.delete(f"/ValueSet/{id_}").status in (200, 204)
    assert get(other, "Basic", **{"code:in": LEAFY}).status in (404, 422)


def test_a_translation_follows_the_map_as_it_is_now_on_every_worker(world: World) -> None:
    def mapped(code: str) -> Json:
        element = {"code": "oak", "target": [{"code": code, "equivalence": "equal"}]}
        group = {"source": TREES, "target": f"{TREES}-2", "element": [element]}
        return {"resourceType": "ConceptMap", "url": f"{TREES}/map", "status": "active", "group": [group], "id": "map"}

    other = make_world(world.services.store, world.clock).admin
    for code in ("a", "b"):
        assert world.admin.put("/ConceptMap/map", mapped(code)).status in (200, 201)
        told = get(other, "ConceptMap/$translate", url=f"{TREES}/map", system=TREES, code="oak").json["parameter"]
        (concept,) = [part for part in told[1]["part"] if part["name"] == "concept"]
        assert concept["valueCoding"]["code"] == code


def test_an_added_package_counts_in_operations_and_searches(tmp_path: Path) -> None:
    source, folder = tmp_path / "trees.tgz", tmp_path / "added"
    held = [{**trees(), "id": "trees"}, {**leafy(include=[whole()]), "id": "leafy"}]
    with source.open("wb") as file:
        packages.write_package(file, {"name": "trees", "version": "1"}, held)
    packages.keep(packages.read_package(source), folder)
    admin = make_world(MemoryStore(), DMP_VALIDATION_PACKAGES=str(folder)).admin
    basic(admin, TREES, "oak")
    assert found(admin, code__in=LEAFY) == found(admin, code__below=f"{TREES}|tree") == {"oak"}
    assert len(codes(get(admin, "ValueSet/$expand", url=LEAFY))) == 6
    assert values(get(admin, "CodeSystem/$lookup", system=TREES, code="pine"))["display"] == "Pine"


# --- what hostile definitions cost -----------------------------------------------------------------------------------

LAYERS = 40


def ladder() -> Json:
    """Return a code system in layers of three; each code stands below all three of the layer above: 3^40 ways."""
    concepts = []
    for layer in range(LAYERS):
        above = [{"code": "parent", "valueCode": f"{layer - 1}-{at}"} for at in range(3)] if layer else []
        concepts += [
            {"code": f"{layer}-{at}", "property": above} if above else {"code": f"{layer}-{at}"} for at in range(3)
        ]
    return {**trees(), "url": f"{TREES}-ladder", "concept": concepts}


def doubling() -> list[Json]:
    """Return value sets each of which includes the next one twice, and excludes it once from another: 2^18 ways."""
    made = [{**leafy(include=[whole()]), "url": f"{LEAFY}-18"}]
    for number in range(18):
        twice = [{"valueSet": [f"{LEAFY}-{number + 1}"]}] * 2
        made.append({**leafy(include=twice), "url": f"{LEAFY}-{number}"})
    return made


def circle() -> list[Json]:
    """Return three value sets that include each other."""
    return [
        {
            **leafy(include=[{"valueSet": [f"{LEAFY}-c{(at + 1) % 3}"]}, whole(concept=[{"code": "oak"}])]),
            "url": f"{LEAFY}-c{at}",
        }
        for at in range(3)
    ]


@pytest.fixture(scope="module")
def hostile() -> Iterator[World]:
    for world in opened("memory"):
        for each in (trees(), ladder(), *doubling(), *circle()):
            assert world.admin.post(f"/{each['resourceType']}", each).status == 201
        yield world


def swift(ask: Callable[[], object]) -> None:
    """Ask, and fail when it took long in processor time."""
    started = time.process_time()
    ask()
    assert time.process_time() - started < 2


def test_a_hierarchy_with_more_ways_than_anybody_can_walk_is_walked_once(hostile: World) -> None:
    client, system = hostile.doctor(), f"{TREES}-ladder"

    def ask() -> None:
        told = get(client, "CodeSystem/$subsumes", system=system, codeA="0-0", codeB=f"{LAYERS - 1}-2")
        assert values(told)["outcome"] == "subsumes"
        for op, count in (
            ("is-a", 3 * LAYERS - 2),
            ("generalizes", 1),
            ("is-not-a", 2),
            ("descendent-of", 3 * LAYERS - 3),
        ):
            part = {"system": system, "filter": [{"property": "concept", "op": op, "value": "0-0"}]}
            answer = client.post("/ValueSet/$expand", parameters(valueSet=leafy(include=[part])))
            assert len(codes(answer)) == count, op

    swift(ask)


def test_imports_of_imports_are_read_once_each(hostile: World) -> None:
    client, url = hostile.doctor(), f"{LEAFY}-0"

    def ask() -> None:
        assert len(codes(get(client, "ValueSet/$expand", url=url))) == 6
        assert codes(get(client, "ValueSet/$expand", url=url, filter="oak")) == ["oak", "holm"]
        for code, valid in (("oak", True), ("fern", False)):
            assert values(get(client, "ValueSet/$validate-code", url=url, system=TREES, code=code))["result"] is valid
            assert values(get(client, "ValueSet/$validate-code", url=url, code=code))["result"] is valid

    swift(ask)


def test_value_sets_in_a_circle_are_told_as_such_and_still_judge_what_they_list(hostile: World) -> None:
    client, url = hostile.doctor(), f"{LEAFY}-c0"
    for more in ({}, {"filter": "oak"}):
        answer = get(client, "ValueSet/$expand", url=url, **more)
        assert (answer.status, answer.codes) == (422, {"not-supported"})
        assert "includes itself" in answer.json["issue"][0]["diagnostics"]
    assert values(get(client, "ValueSet/$validate-code", url=url, system=TREES, code="oak"))["result"] is True
    assert values(get(client, "ValueSet/$validate-code", url=url, system=TREES, code="elm"))["result"] is False


def test_a_very_large_value_set_that_is_sent_along_is_answered_or_refused_in_words(hostile: World) -> None:
    listed = [{"code": f"c{number:06}", "display": f"Concept {number}"} for number in range(30_000)]
    sent = parameters(valueSet=leafy(include=[whole(concept=listed)]))
    client = hostile.doctor()
    whole_answer = client.post("/ValueSet/$expand", sent)
    assert (whole_answer.status, whole_answer.codes) == (422, {"too-costly"})
    sent["parameter"].append({"name": "filter", "valueString": "concept 29999"})
    assert codes(client.post("/ValueSet/$expand", sent)) == ["c029999"]


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*$", "(?:a?){400}a{400}", "[", "a{1001}"])
def test_a_pattern_cannot_make_anybody_wait(hostile: World, pattern: str) -> None:
    long = {**trees(), "url": f"{TREES}-long", "concept": [{"code": "x", "display": "a" * 50_000}]}
    client = hostile.admin
    assert client.put("/CodeSystem/long", {**long, "id": "long"}).status in (200, 201)
    part = {"system": long["url"], "filter": [{"property": "display", "op": "regex", "value": pattern}]}

    def ask() -> None:
        answer = client.post("/ValueSet/$expand", parameters(valueSet=leafy(include=[part])))
        assert answer.status in (200, 422), answer.body

    swift(ask)
