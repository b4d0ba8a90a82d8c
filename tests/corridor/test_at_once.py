"""A change of what decides holds from the next request on, in every process that serves the same store.

Two servers over one database stand for two processes: each has caches of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_dmp.ports import ResourceStore
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.store.mongo.connect import open_mongo
from fhir_dmp.store.mongo.store import MongoStore, Server
from fhir_dmp.store.sqlite import open_sqlite
from tests import samples
from tests.store.mongo import servers
from tests.store.mongo.fakes import FakeClient
from tests.world import Client, World, make_world

Pair = tuple[World, World]
PS = "urn:oid:1.2.250.1.71.4.2.1"


def _sqlite(folder: Path) -> tuple[ResourceStore, ResourceStore]:
    path = folder / "dmp.sqlite3"
    return open_sqlite(path), open_sqlite(path)


def _mongomock(_: Path) -> tuple[ResourceStore, ResourceStore]:
    client = FakeClient()
    database, server = client.database(), Server(transactions=False)
    return MongoStore(client, database, server), MongoStore(client, database, server)


def _mongo_wire(_: Path) -> tuple[ResourceStore, ResourceStore]:
    url = f"{servers.ferretdb_url()}/{servers.new_name()}"
    return open_mongo(url, allow_standalone=True), open_mongo(url, allow_standalone=True)


OPENERS: dict[str, Callable[[Path], tuple[ResourceStore, ResourceStore]]] = {
    "sqlite": _sqlite,
    "mongomock": _mongomock,
    "mongo-wire": _mongo_wire,
}


@pytest.fixture(params=sorted(OPENERS))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Two servers; the dossier of Anouk is open."""
    stores = OPENERS[request.param](tmp_path)
    first, second = (make_world(store, None, DMP_STORE_ALLOW_STANDALONE="true") for store in stores)
    first.open()
    second.patients = first.patients
    yield first, second
    for store in stores:
        store.close()


def reader(world: World) -> Client:
    return world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)


def status(world: World, client: Client | None = None) -> int:
    """Search in one process."""
    asked = client or reader(world)
    return asked.get(f"/DocumentReference?patient=Patient/{world.patients[samples.ANOUK]}").status


def update(world: World, id_: str, **changes: Any) -> None:
    consent = world.admin.get(f"/Consent/{id_}").json
    answer = world.admin.put(f"/Consent/{id_}", {**consent, **changes}, If_Match=f'W/"{consent["meta"]["versionId"]}"')
    assert answer.status == 200, answer.body


@pytest.mark.statement("security C-11", "security P-28", "security P-2")
def test_a_consent_holds_at_once_in_the_other_process(pair: Pair) -> None:
    here, there = pair
    assert (status(here), status(there)) == (403, 403)
    consent = here.authorise(professional=samples.OTHER_DOCTOR)
    assert (status(there), status(here)) == (200, 200)
    update(there, consent, status="inactive")
    assert (status(here), status(there)) == (403, 403)
    update(here, consent, status="active")
    assert (status(there), status(here)) == (200, 200)
    actor = [samples.consent_actor(samples.OTHER_DOCTOR)]
    there.consent(samples.ANOUK, "block", deny=True, actor=actor)
    answer = reader(here).get(f"/DocumentReference?patient=Patient/{here.patients[samples.ANOUK]}")
    assert answer.status == 403
    assert "blocked" in answer.codes


def test_a_change_of_the_directory_holds_at_once_too(pair: Pair) -> None:
    here, there = pair
    person = {"resourceType": "Practitioner", "identifier": [{"system": PS, "value": samples.NURSE}]}
    id_ = here.admin.post("/Practitioner", person).json["id"]
    actor = [{**samples.consent_actor("x"), "reference": {"reference": f"Practitioner/{id_}"}}]
    here.consent(samples.ANOUK, "ps-authorisation", actor=actor)
    assert (status(here), status(there)) == (403, 403)
    named = {**person, "id": id_, "identifier": [{"system": PS, "value": samples.OTHER_DOCTOR}]}
    assert there.admin.put(f"/Practitioner/{id_}", named).status == 200
    assert (status(here), status(there)) == (200, 200)


def test_a_change_of_a_team_holds_at_once_too(pair: Pair) -> None:
    here, there = pair
    patient = here.patients[samples.ANOUK]
    members = [{"member": {"identifier": {"system": PS, "value": samples.OTHER_DOCTOR}}}]
    team = {"resourceType": "CareTeam", "status": "active", "subject": {"reference": f"Patient/{patient}"}}
    id_ = here.admin.post("/CareTeam", team).json["id"]
    actor = [{**samples.consent_actor("x"), "reference": {"reference": f"CareTeam/{id_}"}}]
    here.consent(samples.ANOUK, "team-authorisation", actor=actor)
    assert (status(here), status(there)) == (403, 403)
    assert there.admin.put(f"/CareTeam/{id_}", {**team, "id": id_, "participant": members}).status == 200
    assert (status(here), status(there)) == (200, 200)
    assert here.admin.put(f"/CareTeam/{id_}", {**team, "id": id_, "status": "inactive"}).status == 200
    assert (status(there), status(here)) == (403, 403)


@pytest.mark.statement("security P-34")
def test_closing_holds_at_once_too(pair: Pair) -> None:
    here, there = pair
    here.authorise(professional=samples.OTHER_DOCTOR)
    assert status(there) == 200
    patient = here.admin.get(f"/Patient/{here.patients[samples.ANOUK]}").json
    closing = {
        "url": "https://interop.esante.gouv.fr/ig/fhir/dmp/StructureDefinition/dmp-fermeture",
        "extension": [{"url": "dateFermeture", "valueDate": "2026-06-12"}],
    }
    closed = {**patient, "active": False, "extension": [*patient["extension"], closing]}
    assert here.admin.put(f"/Patient/{patient['id']}", closed).status == 200
    assert (status(there), status(here)) == (403, 403)


@pytest.mark.statement("security P-27")
def test_an_authorisation_ends_on_time_without_any_change() -> None:
    world = make_world(MemoryStore())
    world.open()
    world.authorise(professional=samples.OTHER_DOCTOR, end="2026-06-12T15:00:00Z")
    world.clock.time_ms = 1_781_276_400_000 - 100  # 15:00:00Z, a tenth of a second earlier
    assert status(world) == 200
    world.clock.time_ms = 1_781_276_400_000 + 1000  # the last second belongs to the period
    answer = reader(world).get(f"/DocumentReference?patient=Patient/{world.patients[samples.ANOUK]}")
    assert answer.status == 403
    assert "authorisation-expired" in answer.codes


@pytest.mark.statement("security P-38")
def test_a_representative_loses_access_at_the_midnight_of_the_18th_birthday() -> None:
    world = make_world(MemoryStore())
    world.open(birthDate="2008-06-13")
    parent = world.as_(_parent(world))
    path = f"/DocumentReference?patient=Patient/{world.patients[samples.ANOUK]}"
    midnight = 1_781_301_600_000  # 2026-06-13T00:00 in Paris
    world.clock.time_ms = midnight - 1000
    assert parent.get(path).status == 200
    world.clock.time_ms = midnight
    assert parent.get(path).status == 404


def _parent(world: World) -> Any:
    from fhir_dmp.identity.caller import Actor, Caller

    return Caller(Actor.REPRESENTATIVE, "parent", client="portal", patient=world.patients[samples.ANOUK])


class Counting(MemoryStore):
    """A store that counts how often its marks are read, and what else is."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, ...]] = []

    def stamps(self, keys: Any) -> tuple[int, ...]:
        """Count, and answer."""
        self.asked.append(tuple(keys))
        return super().stamps(keys)


def test_one_request_checks_what_it_knows_once() -> None:
    store = Counting()
    world = make_world(store)
    world.open()
    for number in range(6):
        world.submit(f"1.2.250.1.999.5.{number}")
    world.authorise(professional=samples.OTHER_DOCTOR)
    assert status(world) == 200
    store.asked.clear()
    answer = reader(world).get(
        f"/DocumentReference?patient=Patient/{world.patients[samples.ANOUK]}&_revinclude=List:item"
    )
    assert len(answer.json["entry"]) == 12
    assert [len(keys) for keys in store.asked] == [3]  # one read: the marks of record, directory and matrix
