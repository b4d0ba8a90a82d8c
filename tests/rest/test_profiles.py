"""Profiles through HTTP: $validate, writes, minimum profiles, added packages, and what the server itself sends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fhir_dmp import packages
from fhir_dmp.bootstrap import LiveProfiles, build
from fhir_dmp.errors import BadRequest, ConfigurationError
from fhir_dmp.settings import Settings, Validation
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.validation.policy import Policy
from tests import samples
from tests.world import FixedClock, Json, World

WEIGHT = "http://hl7.org/fhir/StructureDefinition/bodyweight"
MINE = "https://example.org/StructureDefinition/mine"


@pytest.fixture
def plain() -> World:
    return world()


def world(**validation: object) -> World:
    settings = replace(Settings(), validation=replace(Validation(), **validation))  # type: ignore[arg-type]
    clock = FixedClock()
    return World(build(settings, store=MemoryStore(), clock=clock), clock)


def weight(code: str = "kg", **more: Json) -> Json:
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}
                ]
            }
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": {"display": "Personne fictive"},
        "effectiveDateTime": "2026-03-01",
        "valueQuantity": {"value": 71, "unit": "kg", "system": "http://unitsofmeasure.org", "code": code},
        **more,
    }


@pytest.mark.statement("fhir-rest J204")
def test_validate_explains_what_breaks_the_profile_that_is_asked_for(plain: World) -> None:
    parameters = [{"name": "resource", "resource": weight("st")}, {"name": "profile", "valueUri": WEIGHT}]
    for mode in ("profile", "create"):
        body = {"resourceType": "Parameters", "parameter": [*parameters, {"name": "mode", "valueCode": mode}]}
        answer = plain.admin.post("/Observation/$validate", body)
        assert answer.status == 200
        (error,) = [each for each in answer.json["issue"] if each["severity"] == "error"]
        assert error["expression"] == ["Observation.value.code"]
        assert error["details"]["coding"] == [
            {"system": WEIGHT, "code": "Observation.value[x]:valueQuantity.code#binding"}
        ]
    assert plain.admin.get("/Observation").entries == []


@pytest.mark.statement("fhir-rest J204")
def test_validate_judges_what_is_stored(plain: World) -> None:
    id_ = plain.admin.post("/Observation", weight("st")).json["id"]
    answer = plain.admin.get(f"/Observation/{id_}/$validate?profile={WEIGHT}")
    assert [each["severity"] for each in answer.json["issue"]] == ["error"]


def test_a_write_obeys_the_profiles_that_it_declares(plain: World) -> None:
    meta: Json = {"profile": [WEIGHT]}
    refused = plain.admin.post("/Observation", weight("st", meta=meta))
    assert (refused.status, refused.expressions) == (422, ["Observation.value.code"])
    assert plain.admin.get("/Observation").entries == []
    assert plain.admin.post("/Observation", weight(meta=meta)).status == 201


@pytest.mark.parametrize(("mode", "status"), [("warn", 201), ("off", 201), ("enforce", 422)])
def test_the_mode_may_differ_by_type(mode: str, status: int) -> None:
    there = world(types=(f"Observation={mode}",))
    assert there.admin.post("/Observation", weight("st", meta={"profile": [WEIGHT]})).status == status
    assert there.admin.post("/Patient", {"resourceType": "Patient", "gender": "autre"}).status == 422


def test_the_minimum_profile_of_a_type_counts_without_being_declared() -> None:
    there = world(minimum=(f"Observation={WEIGHT}",))
    assert there.admin.post("/Observation", weight("st")).status == 422
    assert there.admin.post("/Observation", weight()).status == 201


@pytest.mark.parametrize("setting", [("Observation",), ("Observation=maybe",), ("=warn",)])
def test_a_setting_that_is_no_pair_stops_the_start(setting: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError):
        Policy.read("enforce", setting, ())


def test_an_old_fault_does_not_block_another_change() -> None:
    there = world(types=("Observation=warn",))
    id_ = there.admin.post("/Observation", weight("st", meta={"profile": [WEIGHT]})).json["id"]
    strict = World(replace(there.services, judging=Policy.read("enforce", (), ())), there.clock)
    amended = strict.admin.patch(f"/Observation/{id_}", [{"op": "replace", "path": "/status", "value": "amended"}])
    assert amended.status == 200
    worse = strict.admin.patch(f"/Observation/{id_}", [{"op": "remove", "path": "/effectiveDateTime"}])
    assert (worse.status, "Observation.effective" in worse.expressions) == (422, True)


def mine(**element: object) -> Json:
    return {
        "resourceType": "StructureDefinition",
        "id": "mine",
        "url": MINE,
        "name": "Mine",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {
            "element": [{"id": "Patient", "path": "Patient"}, {"id": "Patient.name", "path": "Patient.name", **element}]
        },
    }


def test_an_added_package_counts_at_once_and_a_removed_one_no_more(tmp_path: Path) -> None:
    there = world()
    profiles = LiveProfiles(there.services.canonical, tmp_path / "added", every_s=0)
    there = World(replace(there.services, profiles=profiles), there.clock)
    body = {"resourceType": "Patient", "meta": {"profile": [MINE]}}
    assert there.admin.post("/Patient/$validate", body).json["issue"][0]["code"] == "not-supported"
    source = tmp_path / "source.tgz"
    with source.open("wb") as file:
        packages.write_package(file, {"name": "mine", "version": "1"}, [mine(min=1)])
    packages.keep(packages.read_package(source), tmp_path / "added")
    (issue,) = there.admin.post("/Patient/$validate", body).json["issue"]
    assert (issue["severity"], issue["expression"]) == ("error", ["Patient.name"])
    packages.drop("mine", tmp_path / "added")
    assert there.admin.post("/Patient/$validate", body).json["issue"][0]["code"] == "not-supported"


def test_a_search_parameter_of_a_package_is_known_after_a_restart(tmp_path: Path) -> None:
    parameter = {
        "resourceType": "SearchParameter",
        "id": "hair",
        "url": "https://example.org/SearchParameter/hair",
        "code": "hair",
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.extension('https://example.org/hair').value",
    }
    packages.keep(packages.Package("hair", "1", (parameter,)), tmp_path / "packages")
    there = world(packages=str(tmp_path / "packages"))
    extension = [{"url": "https://example.org/hair", "valueString": "brun"}]
    id_ = there.admin.post("/Patient", {"resourceType": "Patient", "extension": extension}).json["id"]
    assert [each["id"] for each in there.admin.get(f"/Patient?_id={id_}&hair=brun").entries] == [id_]
    assert there.admin.get(f"/Patient?_id={id_}&hair=blond").entries == []


@pytest.mark.parametrize(("name", "content"), [("x.tgz", b"no archive"), ("x.json", b"{}")])
def test_what_is_no_package_is_refused_with_a_reason(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadRequest, match="no package"):
        packages.read_package(tmp_path / name)


def test_a_folder_without_conformance_resources_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "patient.json").write_text('{"resourceType": "Patient"}')
    with pytest.raises(BadRequest, match="no conformance resource"):
        packages.read_package(tmp_path)


def test_what_the_server_sends_is_right_by_its_profiles(plain: World) -> None:
    admin = plain.admin
    assert admin.post("/Patient/$dmp-ouvrir", samples.opening()).status in (200, 201)
    id_ = plain.services.patient_id(None, samples.ANOUK)
    assert id_ is not None
    assert admin.post("", samples.submission("1.2.250.1.999.4001")).status == 200
    bodies = [admin.get("/metadata").json]
    for path in (
        f"/DocumentReference?patient={id_}",
        f"/List?patient={id_}",
        f"/Consent?patient={id_}",
        f"/Patient?_id={id_}",
        f"/AuditEvent?patient={id_}&date=ge2020",
    ):
        answer = admin.get(path)
        assert answer.status == 200, answer.body
        assert answer.json["total"] > 0 if "total" in answer.json else answer.json["entry"]
        bodies.append(answer.json)
    profiles = {url for body in bodies for entry in body.get("entry", ()) for url in _claims(entry["resource"])}
    assert len(profiles) >= 5
    for body in bodies:
        found = [each for each in plain.services.validate(body) if each.severity == "error"]
        assert found == [], json.dumps([str(each) for each in found])[:2000]


def _claims(resource: Json) -> list[str]:
    listed: list[str] = resource.get("meta", {}).get("profile", [])
    return listed
