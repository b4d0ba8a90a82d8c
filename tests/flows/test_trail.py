"""What the trail keeps of each transaction of a record, and who reads it. [dmp-fhir 3.0, 9.11]"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests import samples
from tests.flows.acts import call, consents, done, identifier, motive, stranger, trail
from tests.flows.steps import ARCHIVED, Dossier, assert_refused, next_content, next_ins, next_oid, publication
from tests.flows.submissions import submission
from tests.samples import Json
from tests.world import Client, Response, World

RPPS = "urn:oid:1.2.250.1.71.4.2.1"


def events(dossier: Dossier) -> list[Json]:
    """Return the events of a record, newest first, as the operator sees them."""
    answer = dossier.world.admin.get(f"/AuditEvent?patient=Patient/{dossier.id}&_count=200")
    assert answer.status == 200, answer.body
    return answer.entries


def codes(event: Json) -> list[str]:
    """Return the codes of the subtypes."""
    return [coding["code"] for coding in event["subtype"]]


def national(agent: Json) -> str:
    """Return the national identifier of who asked."""
    (value,) = [part["valueIdentifier"]["value"] for part in agent["extension"] if "valueIdentifier" in part]
    assert agent["altId"] == value
    assert isinstance(value, str)
    return value


def label(code: str) -> Json:
    return {"coding": [{"system": samples.VISIBILITY, "code": code}]}


def mask(dossier: Dossier, client: Client) -> Response:
    patch = [{"op": "add", "path": "/securityLabel/-", "value": label("MASQUE_PS")}]
    return client.patch(f"/DocumentReference/{dossier.submit()}", patch)


def archive(dossier: Dossier, client: Client) -> Response:
    patch = [{"op": "add", "path": "/extension/-", "value": {"url": ARCHIVED, "valueBoolean": True}}]
    return client.patch(f"/DocumentReference/{dossier.submit()}", patch)


def publish(dossier: Dossier, client: Client) -> Response:
    return client.post("/DocumentReference", publication(next_oid(), ins=dossier.ins, content=next_content()))


#: Transaction -> the call, and the subtypes and the action that tell it.
CALLS: dict[str, tuple[Callable[[Dossier, Client], Response], list[str], str]] = {
    "TD0.2": (lambda d, c: c.get(f"/Patient?identifier={samples.INS}|{d.ins}"), ["search-type", "TD0.2"], "E"),
    "ITI-65": (lambda d, c: c.post("", submission(d)), ["ITI-65"], "C"),
    "ITI-105": (publish, ["create", "ITI-105"], "C"),
    "ITI-66": (lambda d, c: d.search(c, "code=submissionset", "List"), ["search-type", "ITI-66"], "E"),
    "ITI-67": (lambda d, c: d.search(c), ["search-type", "ITI-67"], "E"),
    "ITI-68": (lambda d, c: c.get(d.path(d.submit())), ["read", "ITI-68"], "R"),
    "TD3.3a": (mask, ["patch", "TD3.3a"], "U"),
    "TD3.3d": (archive, ["patch", "TD3.3d"], "U"),
    "TD1.4": (lambda d, c: call(c, d, "dmp-fermer", motif=motive()), ["operation", "TD1.4"], "U"),
}


def assert_whole(event: Json, dossier: Dossier, professional: str, outcome: str) -> None:
    """Check what every event says: when, with which outcome, which client, server and user, and whose record."""
    assert event["recorded"]
    assert event["outcome"] == outcome
    agents = {coding["code"]: agent for agent in event["agent"] for coding in agent.get("type", {}).get("coding", [])}
    assert {"110152", "110153"} <= set(agents)
    (user,) = [agent for agent in event["agent"] if agent["requestor"]]
    assert national(user) == professional
    assert event["source"]["observer"]
    (patient,) = [
        entity for entity in event["entity"] if entity.get("role", {}).get("code") == "1" and "what" in entity
    ]
    assert patient["what"]["reference"].startswith(f"Patient/{dossier.id}")


@pytest.mark.statement("dmp-fhir 9.11/201", "dmp-fhir 9.11/202")
@pytest.mark.parametrize("name", sorted(CALLS))
def test_each_transaction_is_one_event_with_its_codes_and_everybody_concerned(
    world: World, dossier: Dossier, name: str
) -> None:
    ask, subtypes, action = CALLS[name]
    dossier.authorise()
    answer = ask(dossier, world.doctor())
    assert answer.status < 300, answer.body
    event, *others = [each for each in events(dossier) if codes(each) == subtypes]
    assert others == [] or name == "ITI-65"
    assert event["action"] == action
    assert_whole(event, dossier, samples.DOCTOR, "0")


#: What somebody without any right asks for -> the subtypes, the outcome and the reason that stay.
REFUSED: dict[str, tuple[Callable[[Dossier, Client], Response], list[str], str, str]] = {
    "search": (lambda d, c: d.search(c), ["search-type", "ITI-67"], "8", "authorisation-missing"),
    "lists": (lambda d, c: d.search(c, type_="List"), ["search-type", "ITI-66"], "8", "authorisation-missing"),
    "content": (lambda d, c: c.get(d.path(d.submit())), ["read", "ITI-68"], "8", "authorisation-missing"),
    "submission": (lambda d, c: c.post("", submission(d)), ["ITI-65"], "8", "author-forged"),
    "closing": (lambda d, c: call(c, d, "dmp-fermer"), ["operation", "TD1.4"], "4", "required"),
}


@pytest.mark.statement("dmp-fhir 9.11/201")
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_transaction_is_one_event_with_its_reason(world: World, dossier: Dossier, name: str) -> None:
    ask, subtypes, outcome, reason = REFUSED[name]
    answer = ask(dossier, stranger(world))
    assert answer.status >= 400
    (event,) = [each for each in events(dossier) if each["outcome"] != "0"]
    assert (codes(event), event["outcomeDesc"]) == (subtypes, reason)
    assert_whole(event, dossier, samples.OTHER_DOCTOR, outcome)


@pytest.mark.statement("dmp-fhir 9.11/203")
@pytest.mark.parametrize("type_", ["DocumentReference", "List"])
def test_a_query_is_kept_as_it_was_sent(world: World, dossier: Dossier, type_: str) -> None:
    dossier.authorise()
    criterion = f"patient.identifier={quote(samples.INS)}%7C{dossier.ins}&status=current"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert world.doctor().get(f"/{type_}?{criterion}").status == 200
    assert world.doctor().call("POST", f"/{type_}/_search", criterion.encode(), form).status == 200
    found = [each for each in events(dossier) if codes(each)[-1] in ("ITI-66", "ITI-67")]
    kept = [
        base64.b64decode(entity["query"]).decode() for each in found for entity in each["entity"] if "query" in entity
    ]
    assert len(kept) == 2
    assert all(criterion in text for text in kept)
    assert any(text.startswith("GET ") for text in kept)


@pytest.mark.statement("dmp-fhir 9.11/204")
def test_the_patient_lists_the_accesses_to_the_own_dossier_and_to_no_other(world: World, dossier: Dossier) -> None:
    other = Dossier.open(world, next_ins())
    dossier.authorise()
    assert dossier.search(world.doctor()).status == 200
    assert_refused(dossier.search(stranger(world)), 403)
    answer = dossier.holder.get(f"/AuditEvent?patient=Patient/{dossier.id}&subtype=ITI-67")
    assert answer.status == 200, answer.body
    readers = [national(agent) for event in answer.entries for agent in event["agent"] if agent["requestor"]]
    assert readers == [samples.OTHER_DOCTOR, samples.DOCTOR]
    assert [event["outcome"] for event in answer.entries] == ["8", "0"]
    foreign = dossier.holder.get(f"/AuditEvent?patient=Patient/{other.id}")
    assert foreign.status in (403, 404) or foreign.entries == []


@pytest.mark.statement("dmp-fhir 9.11/202")
def test_a_change_of_label_keeps_the_labels_before_and_after(world: World, dossier: Dossier) -> None:
    assert mask(dossier, world.doctor()).status == 200
    (event,) = trail(dossier, "TD3.3a")
    details: dict[str, Any] = {
        part["type"]: part["valueString"] for entity in event["entity"] for part in entity.get("detail", [])
    }
    assert "MASQUE_PS" not in details["labels-before"]
    assert "MASQUE_PS" in details["labels-after"]


@pytest.mark.statement("dmp-fhir 9.11/201")
def test_each_operation_names_the_consent_that_it_made(world: World, dossier: Dossier) -> None:
    done(call(dossier.holder, dossier, "dmp-autoriser", professionnel=identifier(samples.OTHER_DOCTOR, RPPS)))
    (consent,) = consents(dossier, "ps-authorisation")
    (event,) = trail(dossier, "TD0.3")
    named = [entity["what"]["reference"] for entity in event["entity"] if "reference" in entity.get("what", {})]
    assert f"Consent/{consent['id']}/_history/1" in named


@pytest.mark.statement("security L-2", "security L-3", "security L-9", "security H-32")
def test_a_read_and_a_query_are_told_with_their_sides_time_request_and_id(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    path = f"/DocumentReference?patient=Patient/{dossier.id}&date=ge2020"
    assert dossier.holder.get(f"/DocumentReference/{id_}", X_Request_Id="lecture-1234").status == 200
    assert dossier.holder.get(path, X_Request_Id="recherche-1234").status == 200
    told = {event["subtype"][0]["code"]: event for event in events(dossier)[:2]}
    for event, client, request in (
        (told["read"], "110152", "lecture-1234"),
        (told["search-type"], "110153", "recherche-1234"),
    ):
        sides = {agent["type"]["coding"][0]["code"] for agent in event["agent"] if "network" in agent}
        assert sides == {client}
        assert event["period"]["start"]
        assert request in [entity.get("what", {}).get("identifier", {}).get("value") for entity in event["entity"]]
    (query,) = [
        base64.b64decode(entity["query"]).decode() for entity in told["search-type"]["entity"] if "query" in entity
    ]
    assert path in query


@pytest.mark.statement("security L-17")
def test_the_national_trace_model_is_a_projection_of_the_trail_on_every_page(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    dossier.holder.get(f"/DocumentReference/{id_}")
    national = "https://interop.esante.gouv.fr/ig/fhir/tde/StructureDefinition/tde-auditevent"
    page = world.admin.get(f"/AuditEvent?patient=Patient/{dossier.id}&_count=1&_profile={national}")
    seen = []
    for _ in range(2):
        (event,) = page.entries
        assert (event["meta"]["profile"], len(event["agent"]) <= 2, len(event["subtype"])) == ([national], True, 1)
        assert event["period"]["start"]
        seen.append(event["id"])
        links = {link["relation"]: link["url"] for link in page.json["link"]}
        page = world.admin.get(links["next"].split("/fhir", 1)[1])
    assert len(set(seen)) == 2
    plain = world.admin.get(f"/AuditEvent?patient=Patient/{dossier.id}&_count=1").entries
    assert plain[0]["meta"].get("profile") != [national]
