"""Scopes gate each interaction inside the query: what a scope does not cover is as if it were not there. [2.11]"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.identity.scopes import parse
from fhir_dmp.store.memory import MemoryStore
from tests import samples
from tests.world import Client, World, make_world

Json = dict[str, Any]
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def observation(patient: str, category: str, **more: Any) -> Json:
    """Return an Observation of a category."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": category}]}],
        "code": {"text": category},
        "subject": {"reference": f"Patient/{patient}"},
        **more,
    }


@pytest.fixture(scope="module")
def world() -> World:
    """A record with two kinds of observations."""
    made = make_world(MemoryStore())
    made.open()
    return made


@pytest.fixture(scope="module")
def ids(world: World) -> dict[str, str]:
    """Ids of one observation of each category."""
    patient = world.patients[samples.ANOUK]
    return {
        category: world.admin.post("/Observation", observation(patient, category)).json["id"]
        for category in ("laboratory", "vital-signs")
    }


def holder(world: World, scope: str) -> Client:
    """Return the holder of the record with these scopes."""
    patient = world.patients[samples.ANOUK]
    return world.as_(Caller(Actor.PATIENT, "sub-a", client="app", patient=patient, scopes=parse(scope)))


def operator(world: World, scope: str) -> Client:
    """Return the operator with these scopes."""
    return world.as_(Caller(Actor.ADMIN, "operator", client="fhir-dmp", scopes=parse(scope)))


LAB = f"patient/Observation.rs?category={CATEGORY}|laboratory"


@pytest.mark.statement("security G-5")
def test_a_constraint_narrows_a_search_and_its_total(world: World, ids: dict[str, str]) -> None:
    patient = world.patients[samples.ANOUK]
    path = f"/Observation?patient={patient}&_total=accurate"
    assert len(holder(world, "patient/Observation.rs").get(path).entries) == 2
    found = holder(world, LAB).get(path)
    assert [each["id"] for each in found.entries] == [ids["laboratory"]]
    assert found.json["total"] == 1
    none = holder(world, LAB).get(path + "&category=vital-signs")
    assert (none.status, none.json["total"], none.entries) == (200, 0, [])
    counted = holder(world, LAB).get(f"/Observation?patient={patient}&_summary=count")
    assert counted.json["total"] == 1
    both = holder(world, f"{LAB} patient/Observation.rs?category=vital-signs").get(path)
    assert both.json["total"] == 2
    form = {"content-type": "application/x-www-form-urlencoded"}
    by_post = holder(world, LAB).call("POST", "/Observation/_search", f"patient={patient}".encode(), form)
    assert len(by_post.entries) == 1


@pytest.mark.statement("security G-6")
def test_what_a_constraint_leaves_out_reads_as_if_it_were_not_there(world: World, ids: dict[str, str]) -> None:
    lab = holder(world, LAB)
    assert lab.get(f"/Observation/{ids['laboratory']}").status == 200
    hidden = lab.get(f"/Observation/{ids['vital-signs']}")
    absent = lab.get("/Observation/never-there")
    assert (hidden.status, hidden.json) == (404, absent.json)
    for path in ("_history", "_history/1"):
        assert lab.get(f"/Observation/{ids['vital-signs']}/{path}").status == 404
        assert lab.get(f"/Observation/{ids['laboratory']}/{path}").status == 200
    meta = lab.get(f"/Observation/{ids['vital-signs']}/$meta")
    assert meta.status == 404


def test_each_version_is_judged_by_its_own_content(world: World, ids: dict[str, str]) -> None:
    patient = world.patients[samples.ANOUK]
    made = world.admin.post("/Observation", observation(patient, "laboratory"))
    id_ = made.json["id"]
    moved = observation(patient, "vital-signs", id=id_)
    world.admin.put(f"/Observation/{id_}", moved)
    world.admin.put(f"/Observation/{id_}", observation(patient, "laboratory", id=id_))
    lab = holder(world, LAB)
    assert lab.get(f"/Observation/{id_}/_history/1").status == 200
    assert lab.get(f"/Observation/{id_}/_history/2").status == 404
    told = [entry["resource"]["meta"]["versionId"] for entry in lab.get(f"/Observation/{id_}/_history").json["entry"]]
    assert told == ["3", "1"]
    world.admin.delete(f"/Observation/{id_}")


@pytest.mark.statement("security G-7", "security G-19")
def test_a_create_outside_the_constraint_is_refused(world: World) -> None:
    patient = world.patients[samples.ANOUK]
    client = holder(world, "patient/Observation.c?category=laboratory")
    assert client.post("/Observation", observation(patient, "laboratory")).status == 201
    refused = client.post("/Observation", observation(patient, "vital-signs"))
    assert (refused.status, refused.codes) == (403, {"forbidden"})
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
    letterless = holder(world, "patient/Observation.rs").post("/Observation", observation(patient, "laboratory"))
    assert letterless.status == 403
    assert 'error="insufficient_scope", scope="' in letterless.headers["WWW-Authenticate"]
    assert letterless.json["issue"][0]["code"] == "forbidden"


@pytest.mark.statement("security G-8")
def test_an_update_moves_nothing_across_the_constraint(world: World, ids: dict[str, str]) -> None:
    patient = world.patients[samples.ANOUK]
    client = operator(world, "system/Observation.cruds?category=laboratory")
    lab, vital = ids["laboratory"], ids["vital-signs"]
    out = client.put(f"/Observation/{lab}", observation(patient, "vital-signs", id=lab))
    into = client.put(f"/Observation/{vital}", observation(patient, "laboratory", id=vital))
    assert (out.status, into.status) == (403, 403)
    patch = [{"op": "replace", "path": "/category/0/coding/0/code", "value": "vital-signs"}]
    assert client.patch(f"/Observation/{lab}", patch).status == 403
    assert client.delete(f"/Observation/{vital}").status == 403
    within = client.put(
        f"/Observation/{lab}", observation(patient, "laboratory", id=lab, issued="2026-06-01T10:00:00Z")
    )
    assert within.status == 200


@pytest.mark.statement("security G-18")
def test_an_update_as_create_needs_u(world: World) -> None:
    patient = world.patients[samples.ANOUK]
    body = observation(patient, "laboratory", id="chosen-1")
    assert operator(world, "system/Observation.c").put("/Observation/chosen-1", body).status == 403
    assert operator(world, "system/Observation.u").put("/Observation/chosen-1", body).status == 201


@pytest.mark.statement("security G-9")
def test_an_include_needs_r_on_its_target(world: World, ids: dict[str, str]) -> None:
    patient = world.patients[samples.ANOUK]
    path = f"/Observation?patient={patient}&_include=Observation:subject"

    def types(scope: str) -> set[str]:
        bundle = holder(world, scope).get(path).json
        return {entry["resource"]["resourceType"] for entry in bundle["entry"]} - {"OperationOutcome"}

    assert types("patient/Observation.rs patient/Patient.r") == {"Observation", "Patient"}
    assert types("patient/Observation.rs patient/Patient.s") == {"Observation"}


@pytest.mark.statement("security G-10")
def test_a_revinclude_needs_s_on_its_source(world: World, ids: dict[str, str]) -> None:
    patient = world.patients[samples.ANOUK]
    path = f"/Patient?_id={patient}&_revinclude=Observation:subject"

    def found(scope: str) -> set[str]:
        bundle = holder(world, scope).get(path).json
        return {entry["resource"].get("id") for entry in bundle["entry"]} & set(ids.values())

    assert found("patient/Patient.rs patient/Observation.rs") == set(ids.values())
    assert found("patient/Patient.rs patient/Observation.r") == set()
    assert found(f"patient/Patient.rs {LAB}") == {ids["laboratory"]}


@pytest.mark.statement("security G-11")
def test_a_chain_needs_s_on_every_type(world: World, ids: dict[str, str]) -> None:
    patient = world.patients[samples.ANOUK]
    path = f"/Observation?patient={patient}&performer:Organization.name=x"
    assert holder(world, "patient/Observation.rs patient/Organization.rs").get(path).status == 200
    refused = holder(world, "patient/Observation.rs patient/Organization.r").get(path)
    assert (refused.status, "Organization.s" in refused.headers["WWW-Authenticate"]) == (403, True)


@pytest.mark.statement("security G-12")
def test_a_reverse_chain_needs_s_and_sees_through_the_constraint(world: World, ids: dict[str, str]) -> None:
    patient = world.patients[samples.ANOUK]
    path = f"/Patient?_id={patient}&_has:Observation:subject:category=vital-signs"
    assert len(holder(world, "patient/Patient.rs patient/Observation.rs").get(path).entries) == 1
    assert holder(world, "patient/Patient.rs patient/Observation.r").get(path).status == 403
    assert holder(world, f"patient/Patient.rs {LAB}").get(path).entries == []


@pytest.mark.statement("security G-13")
def test_a_conditional_create_needs_c_and_s(world: World, ids: dict[str, str]) -> None:
    patient = world.patients[samples.ANOUK]
    body = observation(patient, "laboratory", identifier=[{"system": "urn:oid:1.2.250.1.999.5", "value": "cc-1"}])
    criteria = f"patient=Patient/{patient}&identifier=urn:oid:1.2.250.1.999.5|cc-1"
    assert operator(world, "system/Observation.c").post("/Observation", body, If_None_Exist=criteria).status == 403
    assert operator(world, "system/Observation.s").post("/Observation", body, If_None_Exist=criteria).status == 403
    assert operator(world, "system/Observation.cs").post("/Observation", body, If_None_Exist=criteria).status == 201


def bundle(kind: str, *resources: Json) -> Json:
    """Return a batch or transaction of creates."""
    entries = [{"resource": each, "request": {"method": "POST", "url": each["resourceType"]}} for each in resources]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


@pytest.mark.statement("security G-14")
def test_a_transaction_with_one_forbidden_entry_writes_nothing(world: World) -> None:
    patient = world.patients[samples.ANOUK]
    client = operator(world, "system/Observation.crs?category=laboratory system/Patient.rs")
    before = client.get(f"/Observation?patient={patient}&_summary=count").json["total"]
    sent = bundle("transaction", observation(patient, "laboratory"), observation(patient, "vital-signs"))
    assert client.post("", sent).status == 403
    assert client.get(f"/Observation?patient={patient}&_summary=count").json["total"] == before


@pytest.mark.statement("security G-15")
def test_a_batch_answers_entry_by_entry(world: World) -> None:
    patient = world.patients[samples.ANOUK]
    client = operator(world, "system/Observation.crs?category=laboratory")
    sent = bundle("batch", observation(patient, "laboratory"), observation(patient, "vital-signs"))
    answer = client.post("", sent)
    assert answer.status == 200
    assert [entry["response"]["status"][:3] for entry in answer.json["entry"]] == ["201", "403"]


@pytest.mark.statement("security G-17")
def test_the_history_of_a_type_needs_s(world: World) -> None:
    assert operator(world, "system/Observation.r").get("/Observation/_history").status == 403
    assert operator(world, "system/Observation.s").get("/Observation/_history").status == 200
    assert operator(world, "system/Observation.s?category=laboratory").get("/Observation/_history").status == 403


def test_a_submission_must_lie_within_the_constraint(world: World) -> None:
    def deposit(scope: str, unique: str) -> int:
        structure = Caller(Actor.STRUCTURE, "org", client="sih", structure=samples.HOSPITAL, scopes=parse(scope))
        return world.as_(structure).post("", samples.submission(unique)).status

    lists = "system/List.c system/Binary.c"
    assert deposit(f"system/DocumentReference.c?status=superseded {lists}", "1.2.250.1.999.6.1") == 403
    assert deposit(f"system/DocumentReference.c?status=current {lists}", "1.2.250.1.999.6.2") == 200


def test_a_constraint_that_the_type_does_not_know_covers_nothing(world: World, ids: dict[str, str]) -> None:
    patient = world.patients[samples.ANOUK]
    client = holder(world, "patient/Observation.rs?class=AMB")
    assert client.get(f"/Observation?patient={patient}").entries == []
    assert client.get(f"/Observation/{ids['laboratory']}").status == 404


def test_the_trail_is_not_read_through_a_constraint(world: World) -> None:
    path = "/AuditEvent?date=ge2026-01-01"
    assert world.as_(Caller(Actor.AUDITOR, "a", scopes=parse("user/AuditEvent.rs"))).get(path).status == 200
    assert world.as_(Caller(Actor.AUDITOR, "a", scopes=parse("user/AuditEvent.rs?type=rest"))).get(path).status == 403
