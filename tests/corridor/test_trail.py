"""The trail: every refusal with its reason and its patient, events that come late, and nothing of what is hidden."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.identity.scopes import parse
from tests import samples
from tests.corridor.stage import CLINIC, MASKED, NOT_PARENTS, NOT_PATIENT, STRANGER, Stage, refused
from tests.corridor.test_rows_record import UNKNOWN, minor
from tests.corridor.test_rows_writes import EVENT, submission
from tests.samples import Json
from tests.world import Client, Response

INS_CRITERION = f"patient.identifier={samples.INS}|{samples.ANOUK}"


def patch(stage: Stage, client: Client) -> Response:
    return stage.status(client, stage.submit(), "superseded")


#: What a professional without any right sends, and what the trail must keep of it beside the patient.
REFUSALS: dict[str, tuple[Callable[[Stage, Client], Response], str, str, str]] = {
    "read of a patient": (lambda s, c: c.get(f"/Patient/{s.id}"), "read", "8", "authorisation-missing"),
    "search by id": (lambda s, c: s.search(c), "iti-67", "8", "authorisation-missing"),
    "search by INS": (lambda s, c: c.get(f"/List?{INS_CRITERION}"), "iti-66", "8", "authorisation-missing"),
    "search by form": (
        lambda s, c: c.call(
            "POST",
            "/Observation/_search",
            f"patient=Patient/{s.id}".encode(),
            {"content-type": "application/x-www-form-urlencoded"},
        ),
        "search-type",
        "8",
        "authorisation-missing",
    ),
    "compartment": (lambda s, c: c.get(f"/Patient/{s.id}/*"), "search-system", "8", "authorisation-missing"),
    "read of a document": (
        lambda s, c: c.get(f"/DocumentReference/{s.submit()}"),
        "read",
        "8",
        "authorisation-missing",
    ),
    "read of a hidden document": (
        lambda s, c: c.get(f"/DocumentReference/{s.submit(MASKED)}"),
        "read",
        "8",
        "not-found",
    ),
    "content": (lambda s, c: c.get(s.content(s.submit())), "iti-68", "8", "authorisation-missing"),
    "history": (lambda s, c: c.get(f"/Patient/{s.id}/_history"), "history", "8", "authorisation-missing"),
    "patch": (patch, "patch", "8", "authorisation-missing"),
    "create": (lambda s, c: s.observe(c), "create", "8", "scope"),
    "submission of another": (lambda s, c: c.post("", submission()), "iti-65", "8", "author-forged"),
    "submission with faults": (
        lambda s, c: c.post("", submission(date="hier", professional=STRANGER, structure=CLINIC)),
        "iti-65",
        "4",
        "",
    ),
    "a consent for another": (
        lambda s, c: c.post(
            "/Consent", samples.consent(s.id, "ps-authorisation", actor=[samples.consent_actor("899700000000")])
        ),
        "create",
        "8",
        "consent-writer",
    ),
    "a body that is no JSON": (lambda s, c: c.post(f"/Observation?patient=Patient/{s.id}", b"{"), "create", "4", ""),
    "the meta operation": (lambda s, c: c.get(f"/Patient/{s.id}/$meta"), "operation", "8", "authorisation-missing"),
}


@pytest.mark.statement("security L-5", "dmp-fhir 9.11/201")
@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_every_refused_call_is_recorded_once_with_reason_and_patient(stage: Stage, name: str) -> None:
    ask, kind, outcome, reason = REFUSALS[name]
    client = stage.ps(STRANGER, CLINIC)
    answer = ask(stage, client)
    assert answer.status >= 400
    mine = [each for each in stage.trail if each.professional == STRANGER]
    assert len(mine) == 1
    kept = mine[0]
    assert (kept.kind, kept.outcome, kept.patient) == (kind, outcome, f"Patient/{stage.id}")
    assert kept.reason
    assert kept.reason == reason or not reason
    (event,) = stage.search(stage.auditor, "AuditEvent", f"&_count=1&agent:identifier=|ps-{STRANGER}").entries or [{}]
    if event:
        assert event["outcome"] == outcome


@pytest.mark.statement("security L-22")
def test_each_entry_of_a_batch_is_recorded_also_when_it_is_refused(stage: Stage) -> None:
    id_ = stage.submit()
    urls = [f"Patient/{stage.id}", f"DocumentReference/{id_}", f"DocumentReference?patient=Patient/{stage.id}"]
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    answer = stage.ps().post("", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert [entry["response"]["status"][:3] for entry in answer.json["entry"]] == ["403", "403", "403"]
    kept = [each for each in stage.trail if each.professional == STRANGER]
    assert [each.kind for each in reversed(kept)] == ["read", "read", "iti-67"]
    assert {each.patient for each in kept} == {f"Patient/{stage.id}"}


@pytest.mark.statement("security L-4")
def test_a_search_of_several_records_is_recorded_in_each(stage: Stage) -> None:
    stage.world.open(samples.BASILE)
    other = Stage(stage.world, samples.BASILE)
    stage.authorise()
    other.authorise()
    assert stage.ps().get(f"/DocumentReference?patient=Patient/{stage.id},Patient/{other.id}").status == 200
    kept = [each for each in stage.trail if each.professional == STRANGER]
    assert sorted(each.patient or "" for each in kept) == sorted([f"Patient/{stage.id}", f"Patient/{other.id}"])
    stage.ps().get(f"/Consent?actor.identifier=urn:oid:1.2.250.1.71.4.2.1|{STRANGER}")
    kept = [each for each in stage.trail if each.professional == STRANGER and each.kind == "search-type"]
    assert sorted(each.patient or "" for each in kept) == sorted([f"Patient/{stage.id}", f"Patient/{other.id}"])


def test_a_refusal_of_somebody_unknown_tells_no_patient(stage: Stage) -> None:
    refused(stage.world.nobody.get(f"/Patient/{stage.id}"), 401)
    assert stage.last.patient is None
    refused(stage.ps().get(f"/Observation/{UNKNOWN}"), 404)
    assert (stage.last.patient, stage.last.outcome) == (None, "4")


# --- events that feeders report --------------------------------------------------------------------------------------


def feeder(stage: Stage) -> Client:
    return stage.world.as_(Caller(Actor.FEEDER, "feeder", structure="1999999999", scopes=parse("system/AuditEvent.c")))


def about(stage: Stage, recorded: str) -> Json:
    return {**EVENT, "recorded": recorded, "entity": [{"what": {"reference": f"Patient/{stage.id}"}}]}


def test_a_late_event_is_found_by_its_own_date_and_by_its_reception(stage: Stage) -> None:
    made = feeder(stage).post("/AuditEvent", about(stage, "2026-05-20T08:00:00+02:00"))
    assert made.status == 201, made.body
    id_ = made.json["id"]
    assert made.json["recorded"] == "2026-05-20T08:00:00+02:00"
    assert made.json["meta"]["lastUpdated"].startswith("2026-06-12")

    def found(query: str, client: Client | None = None) -> bool:
        answer = stage.search(client or stage.holder(), "AuditEvent", query)
        assert answer.status == 200, answer.body
        return id_ in {each["id"] for each in answer.entries}

    assert found("&date=2026-05-20")
    assert found("&date=ge2026-05-19&date=lt2026-05-21")
    assert not found("&date=ge2026-06-01")
    assert not found("&date=2026-06-12")
    assert found("&_lastUpdated=ge2026-06-12")
    assert not found("&_lastUpdated=lt2026-06-12")
    by_date = stage.auditor.get("/AuditEvent?date=2026-05-20").entries
    assert [each["id"] for each in by_date] == [id_]
    assert stage.auditor.get(f"/AuditEvent/{id_}").headers["Last-Modified"].startswith("Fri, 12 Jun 2026")


def test_an_event_cannot_be_dated_into_the_future(stage: Stage) -> None:
    made = feeder(stage).post("/AuditEvent", about(stage, "2031-01-01T08:00:00Z"))
    assert made.status == 201
    assert stage.last.recorded_ms <= stage.world.clock.time_ms


# --- what the holder reads -------------------------------------------------------------------------------------------


def told(stage: Stage, client: Client) -> list[Json]:
    answer = stage.search(client, "AuditEvent", "&_count=200")
    assert answer.status == 200, answer.body
    return answer.entries


def marks(stage: Stage, id_: str) -> list[str]:
    document = stage.admin.get(f"/DocumentReference/{id_}").json
    return [id_, stage.content(id_).split("/")[2], document["masterIdentifier"]["value"]]


@pytest.mark.statement("security L-19")
@pytest.mark.parametrize("actor", [Actor.PATIENT, Actor.REPRESENTATIVE])
def test_the_trail_tells_its_holder_nothing_of_hidden_documents(stage: Stage, actor: Actor) -> None:
    child = minor(stage)
    label = NOT_PATIENT if actor is Actor.PATIENT else NOT_PARENTS
    id_ = child.submit(label)
    child.authorise()
    secret = marks(child, id_)
    doctor = child.ps()
    doctor.get(f"/DocumentReference/{id_}")
    doctor.get(child.content(id_))
    child.search(doctor, query=f"&identifier=urn:ietf:rfc:3986|{secret[2]}")
    child.relabel(child.author, id_, label[1], "MASQUE_PS")
    events = told(child, child.holder(actor))
    text = json.dumps(events) + "".join(
        base64.b64decode(entity["query"]).decode() for each in events for entity in each["entity"] if "query" in entity
    )
    for mark in (*secret, "labels-", label[1]):
        assert mark not in text, mark
    doctors = [each for each in events if STRANGER in json.dumps(each["agent"])]
    assert len(doctors) >= 3  # that somebody read is told, what is not
    assert all("masked" in json.dumps(each["entity"]) for each in doctors[-2:])
    everything = json.dumps(told(child, child.auditor))
    assert all(mark in everything for mark in secret[:2])
    one = child.holder(actor).get(f"/AuditEvent/{doctors[-1]['id']}")
    assert one.status == 200
    assert not any(mark in one.body.decode() for mark in secret)


def test_the_trail_tells_its_holder_everything_about_visible_documents(stage: Stage) -> None:
    id_ = stage.submit(MASKED)
    stage.doctor()
    stage.ps().get(f"/DocumentReference/{id_}")
    (event,) = [each for each in told(stage, stage.holder()) if STRANGER in json.dumps(each["agent"])]
    details = {part["type"]: part["valueString"] for entity in event["entity"] for part in entity.get("detail", [])}
    assert event["entity"][0]["what"]["reference"] == f"DocumentReference/{id_}/_history/1"
    assert details["decision"] == "C14 D7"


def test_a_chain_into_the_trail_leads_to_visible_documents_only(stage: Stage) -> None:
    id_ = stage.submit(NOT_PATIENT)
    oid = stage.admin.get(f"/DocumentReference/{id_}").json["masterIdentifier"]["value"]
    query = f"&entity:DocumentReference.identifier=urn:ietf:rfc:3986|{oid}"
    assert stage.search(stage.holder(), "AuditEvent", query).entries == []
    assert stage.search(stage.admin, "AuditEvent", query).entries


def test_one_event_of_a_foreign_trail_looks_unknown(stage: Stage) -> None:
    stage.world.open(samples.BASILE)
    foreign = told(stage, stage.auditor)[0]["id"]
    client: Any = stage.world.patient(samples.BASILE)
    hidden = client.get(f"/AuditEvent/{foreign}", X_Request_Id="same")
    unknown = client.get(f"/AuditEvent/{UNKNOWN}", X_Request_Id="same")
    assert (hidden.status, hidden.body, hidden.headers) == (404, unknown.body, unknown.headers)
