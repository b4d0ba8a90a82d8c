"""The automatic feeds of the health insurance fund: a campaign, repeated, and the next month. [docs/feeder.md]"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.feeding import batches, campaign, care, deposit, feeder, monthly, unique
from tests.flows.acts import call, done, identifier, motive
from tests.flows.steps import Dossier, assert_refused, next_content, next_ins, nothing_stored
from tests.flows.wire import listening, send
from tests.samples import Json
from tests.world import World

STRUCTURE = "urn:oid:1.2.250.1.71.4.2.2"


@pytest.fixture(scope="module")
def people(world: World, store_kind: str) -> list[str]:
    """The INS of people with open dossiers: many, fewer where each commit costs a round trip."""
    everybody = [next_ins() for _ in range(150 if store_kind == "sqlite" else 4)]
    for ins in everybody:
        world.open(ins)
    return everybody


def held(world: World, ins: str, kind: str = "REMB", status: str = "current") -> list[Json]:
    """Return the documents of a kind in somebody's dossier."""
    query = f"patient=Patient/{world.patients[ins]}&type={kind}&status={status}"
    answer = world.admin.get(f"/DocumentReference?{query}")
    assert answer.status == 200, answer.body
    return answer.entries


def test_a_campaign_is_repeated_and_followed_by_the_next_month(world: World, people: list[str]) -> None:
    client = feeder(world)
    half = people[: len(people) // 2]
    assert set(campaign(client, monthly(half, 23))) == {"201"}  # as far as an interrupted run came
    again = campaign(client, monthly(people, 23))
    assert again == ["200"] * len(half) + ["201"] * (len(people) - len(half))
    assert set(campaign(client, monthly(people, 24, after=23))) == {"201"}
    with nothing_stored(world):
        assert set(campaign(client, monthly(people, 24, after=23))) == {"200"}
        assert set(campaign(client, monthly(people, 23))) == {"200"}  # a late repetition of the month before
    for ins in people[::40]:
        (current,) = held(world, ins)
        assert current["masterIdentifier"]["value"] == f"urn:oid:{unique('care', ins, 24)}"
        assert [tag["code"] for tag in current["meta"]["tag"]] == ["pieces-administratives"]
        (old,) = held(world, ins, status="superseded")
        assert current["relatesTo"][0]["target"]["reference"] == f"DocumentReference/{old['id']}"
        path = current["content"][0]["attachment"]["url"].removeprefix(world.services.base)
        got = world.patient(ins).get(path)
        assert (got.status, got.body) == (200, care(ins, 24))
        assert len(got.body.splitlines()) == 24


def test_vaccination_certificates_add_up_and_are_not_replaced(world: World, people: list[str]) -> None:
    client = feeder(world)
    for month in (3, 9):
        assert set(campaign(client, (deposit("vaccination", ins, month) for ins in people[:3]))) == {"201"}
    with nothing_stored(world):
        assert set(campaign(client, (deposit("vaccination", ins, 9) for ins in people[:3]))) == {"200"}
    found = held(world, people[0], "87273-9")
    assert len(found) == 2
    assert [tag["code"] for tag in found[0]["meta"]["tag"]] == ["prevention-depistage"]


def test_campaigns_at_once_on_several_connections_deposit_everything_once(world: World, people: list[str]) -> None:
    client = feeder(world)
    everybody = people[:20]
    bodies = list(batches((deposit("care", ins, 40) for ins in everybody), size=2)) * 2
    with listening(world) as port, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda body: send(port, client, "POST", "", body), bodies))
    assert {answer.status for answer in answers} == {200}
    statuses = [entry["response"]["status"][:3] for answer in answers for entry in answer.json["entry"]]
    assert statuses.count("201") == len(everybody)
    assert set(statuses) <= {"200", "201", "409"}
    for ins in everybody:
        numbers = [each["masterIdentifier"]["value"] for each in held(world, ins)]
        assert numbers.count(f"urn:oid:{unique('care', ins, 40)}") == 1


def test_one_refusal_leaves_the_others_alone_and_says_why(world: World) -> None:
    opposed, closed, fine = (Dossier.open(world, next_ins()) for _ in range(3))
    done(call(opposed.holder, opposed, "dmp-opposition", nature="alimentation", valeur=True))
    done(call(closed.holder, closed, "dmp-fermer", motif=motive()))
    unknown = next_ins()
    people = [opposed.ins, closed.ins, unknown, fine.ins]
    (batch,) = batches(deposit("care", ins, 30) for ins in people)
    answer = feeder(world).post("", batch)
    responses = [entry["response"] for entry in answer.json["entry"]]
    assert [each["status"][:3] for each in responses] == ["403", "422", "422", "201"]
    codes = [{coding["code"] for coding in each["outcome"]["issue"][0]["details"]["coding"]} for each in responses[:3]]
    assert "opposition-alimentation" in codes[0]
    assert "dmp-ferme" in codes[1]
    assert "dmp-inexistant" in codes[2]


def test_a_month_whose_predecessor_is_missing_is_refused_and_deposited_without_it(world: World) -> None:
    dossier = Dossier.open(world, next_ins())
    client = feeder(world)
    with nothing_stored(world):
        answer = client.post("/DocumentReference", deposit("care", dossier.ins, 30, after=29))
    assert_refused(answer, 422, "cible-inconnue")
    assert client.post("/DocumentReference", deposit("care", dossier.ins, 30)).status == 201


def test_a_month_that_was_corrected_has_a_number_of_its_own(world: World) -> None:
    dossier = Dossier.open(world, next_ins())
    client = feeder(world)
    assert campaign(client, [deposit("care", dossier.ins, 30)]) == ["201"]
    with nothing_stored(world):
        other = deposit("care", dossier.ins, 30, content=next_content())
        assert_refused(client.post("/DocumentReference", other), 409, "hash-different")
    corrected = deposit("care", dossier.ins, 31, after=30, content=next_content())
    assert campaign(client, [corrected]) == ["201"]
    assert len(held(world, dossier.ins)) == 1


def test_the_feeder_reads_nothing_and_replaces_nobody_elses(world: World) -> None:
    dossier = Dossier.open(world, next_ins())
    client = feeder(world)
    foreign = dossier.submit(content=next_content())
    deposited = client.post("/DocumentReference", deposit("care", dossier.ins, 30)).json["id"]
    for path in (f"/DocumentReference/{deposited}", f"/DocumentReference?{dossier.criterion}", dossier.path(foreign)):
        assert client.get(path).status == 403, path
    body = deposit("care", dossier.ins, 31)
    body["relatesTo"] = [{"code": "replaces", "target": {"reference": f"DocumentReference/{foreign}"}}]
    with nothing_stored(world):
        assert_refused(client.post("/DocumentReference", body), 403, "pas-auteur")


def test_nobody_else_deposits_as_the_fund(world: World) -> None:
    dossier = Dossier.open(world, next_ins())
    body = deposit("care", dossier.ins, 30)
    with nothing_stored(world):
        for client in (world.doctor(), world.structure()):
            assert_refused(client.post("/DocumentReference", body), 403, "author-forged")


def test_the_patient_sees_the_fund_in_the_trail(world: World) -> None:
    dossier = Dossier.open(world, next_ins())
    campaign(feeder(world), [deposit("care", dossier.ins, 30)])
    (event,) = dossier.holder.get(f"/AuditEvent?patient=Patient/{dossier.id}&subtype=ITI-105").entries
    (user,) = [agent for agent in event["agent"] if agent["requestor"]]
    assert user["altId"] == "1750000001"
    assert identifier("1750000001", STRUCTURE)["value"] in str(user["extension"])
    assert "HPAYMT" in str(user.get("purposeOfUse"))
