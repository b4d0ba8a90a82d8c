"""An encrypted store: whoever holds its files reads no INS, no name and no document, and everything still answers.

docs/adr/0070, docs/adr/0071
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from fhir_dmp.audit.signing import CheckpointKeys, new_key
from fhir_dmp.identity.accounts import AccountClass
from fhir_dmp.interactions.sealing import Sealer
from fhir_dmp.interactions.verifying import verify_trail
from fhir_dmp.ports import AuditQuery, Commit, Notice, ResourceStore, StateRecord
from fhir_dmp.search.joins import JOIN_CAP
from fhir_dmp.signin.enrolling import Enrolment, enrol
from fhir_dmp.signin.visits import Visit
from fhir_dmp.store.mongo.store import MongoStore
from fhir_dmp.store.sealed import Masters, SealedStore, seal
from fhir_dmp.store.sqlite import open_sqlite
from tests import samples
from tests.flows import dumps
from tests.flows.acts import call, done, motive
from tests.flows.steps import Dossier
from tests.flows.test_retention import purge, years_later
from tests.store.mongo import servers
from tests.world import World, make_world

INS = samples.BASILE
MASTERS = Masters((("test", bytes(range(1, 33))),))
TEXT = "Le patient présente une ostéodystrophie. Les filigranes sont visibles."
BIG = b"Volume trop grand pour la memoire, avec filigranes.\n" * 90_000
MAIL = "theodule.quenouille@exemple.fr"
#: What nobody may read in the files: who it is, where to reach them, words of a title, of contents and of a notice.
WHO = (INS, "QUENOUILLE", "Théodule", "Chantepie", "0699887766", MAIL)
WHAT = ("clandestine", "ostéodystrophie", "filigranes", "Zurbaran")
SECRETS = WHO + WHAT


@dataclass
class Place:
    """A store below, and all that it keeps."""

    store: ResourceStore
    dump: Callable[[], Iterator[tuple[str, bytes]]]


def place(kind: str, folder: Path) -> Place:
    """Open a new store of a kind."""
    if kind == "sqlite":
        return Place(open_sqlite(folder / "dmp.sqlite3"), lambda: dumps.of_folder(folder))
    store = servers.open_ferretdb(JOIN_CAP)
    assert isinstance(store, MongoStore)
    database = store._database.raw
    return Place(store, lambda: dumps.of_mongo(database))


@pytest.fixture(params=["mongo-wire", "sqlite"])
def below(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A new store that will be encrypted."""
    found = place(request.param, tmp_path)
    with closing(found.store):
        yield found


def encrypted(inner: ResourceStore, elsewhere: ResourceStore | None = None) -> SealedStore:
    """Return the store behind its seal."""
    return seal(inner, lambda: MASTERS, elsewhere)


@dataclass
class Life:
    """A record in which every kind of thing happened."""

    world: World
    dossier: Dossier
    document: str
    big: str


def lived(world: World) -> Life:
    """Open a dossier, publish, replace, search, read, sign up, and leave a notice and a state that say too much."""
    address = [{"use": "home", "line": ["3 rue de Chantepie"], "city": "Rennes"}]
    telecom = [{"system": "phone", "value": "0699887766"}]
    dossier = Dossier.open(world, INS, family="QUENOUILLE", given="Théodule", address=address, telecom=telecom)
    dossier.authorise()
    first = dossier.submit(content=b"Premier jet: filigranes.")
    document = dossier.replace(first)
    dossier.submit(content=TEXT.encode(), description="Synthèse clandestine")
    big = dossier.submit(content=BIG)
    doctor = world.doctor()
    assert dossier.search(doctor).status == 200
    assert doctor.get(f"/Patient?identifier={samples.INS}|{INS}").status == 200
    asked = Enrolment("theodule", "Une phrase assez longue 7", AccountClass.PATIENT, email=MAIL, patient=INS)
    enrol(asked, world.services.desk, Visit("test", "127.0.0.1"))
    patient = f"Patient/{dossier.id}"
    world.services.store.commit(Commit(notices=(Notice("n1", "new-document", patient, 1, (("name", "Zurbaran"),)),)))
    state = world.services.store.state
    state.put(StateRecord("launch", f"handle-{INS}", f'{{"ins":"{INS}"}}', None, (f"ins:{INS}",)), world.clock.now_ms())
    return Life(world, dossier, document, big)


@pytest.mark.statement("security H-29")
def test_a_raw_dump_shows_nobody(below: Place) -> None:
    life = lived(make_world(encrypted(below.store)))
    assert life.dossier.found(life.world.doctor(), "_content=osteodystrophie")
    assert dumps.found(SECRETS, below.dump()) == set()


def test_the_same_dump_of_a_store_in_clear_shows_everything(tmp_path: Path) -> None:
    clear = place("sqlite", tmp_path)
    with closing(clear.store):
        lived(make_world(clear.store))
        assert {text for text, _ in dumps.found(SECRETS, clear.dump())} == set(SECRETS)


def test_an_encrypted_store_answers_like_one_in_clear(below: Place, tmp_path: Path) -> None:
    (tmp_path / "clear").mkdir()
    clear = place("sqlite", tmp_path / "clear")
    with closing(clear.store):
        answers = [_answers(lived(make_world(store))) for store in (encrypted(below.store), clear.store)]
    assert answers[0] == answers[1]
    counted = answers[0]["counted"]
    assert counted["Patient?family=quen"] == counted["Patient?name:contains=nouil"] == (1, 1)
    assert counted["DocumentReference?_content=osteodystrophie"] == (1, 1)
    assert counted["DocumentReference?_content=inconnu"] == counted["Patient?family=nobody"] == (0, 0)


def _answers(life: Life) -> dict[str, Any]:
    """Return what can be compared of every kind of question, and check what must hold in any store."""
    world, dossier = life.world, life.dossier
    doctor, admin = world.doctor(), world.admin
    counted = {}
    for type_, queries in {
        "DocumentReference": (
            *("_content=osteodystrophie", "_content=OSTÉODYS filigranes", "_content=inconnu", "_content=osteo,jet"),
            *("description=synthese", "description:contains=desti", "description:exact=Synthèse clandestine"),
            *("status=superseded", "date=ge2020", "date=lt2020", "_sort=description", "_sort=-date", "type=11488-4"),
            "patient.family=quen",
        ),
        "Patient": (
            *("family=quen", "family=Q", "family=QUENOUILLE", "name:contains=nouil", "given=theo", "family=nobody"),
            *("address-city=renn", "phone=0699887766", f"identifier={INS}", f"identifier={samples.INS}|{INS}"),
            *("birthdate=1985-04-17", "birthdate=lt1985", "_sort=family", "family:missing=true", "gender=male"),
            "_has:DocumentReference:patient:description=syn",
        ),
    }.items():
        for query in queries:
            mine = f"{dossier.criterion}&" if type_ == "DocumentReference" else ""
            answer = admin.get(f"/{type_}?{mine}{quote(query, safe='=&,:|')}&_total=accurate")
            assert answer.status == 200, (query, answer.body)
            counted[f"{type_}?{query}"] = (answer.json["total"], len(answer.entries))
    read = doctor.get(f"/DocumentReference/{life.document}")
    assert read.status == 200
    history = admin.get(f"/DocumentReference/{life.document}/_history").json
    assert history["total"] == 1
    ranged = doctor.get(dossier.path(life.big), Range="bytes=300000-300099")
    assert (ranged.status, ranged.body) == (206, BIG[300_000:300_100])
    assert doctor.get(dossier.path(life.big)).body == BIG
    again = admin.call("POST", "/Patient", samples.patient(INS), {"If-None-Exist": f"identifier={samples.INS}|{INS}"})
    assert again.status == 200, again.body
    twice = world.doctor().post("", samples.submission("1.2.250.1.999.7.77", ins=INS))
    assert twice.status == 200
    refused = world.doctor().post("", samples.submission("1.2.250.1.999.7.77", ins=INS, content=b"Autre contenu."))
    searches = [
        r for _, r in world.services.store.audit(AuditQuery(count=500, keep=lambda r: r.query is not None)).records
    ]
    assert any(INS in (record.query or "") for record in searches)
    return {"counted": counted, "duplicate": (refused.status, refused.codes), "uses": len(searches)}


def test_an_id_made_of_the_ins_is_refused(tmp_path: Path) -> None:
    with closing(open_sqlite(tmp_path / "dmp.sqlite3")) as below:
        admin = make_world(encrypted(below)).admin
        answer = admin.put(f"/Patient/p-{INS}", {**samples.patient(INS), "id": f"p-{INS}"})
        assert (answer.status, answer.expressions) == (422, ["Patient.id"])
        assert admin.put("/Patient/p-1", {**samples.patient(INS), "id": "p-1"}).status == 201
        assert dumps.found((INS,), dumps.of_folder(tmp_path)) == set()


def test_the_trail_of_an_encrypted_store_is_proven(below: Place) -> None:
    world = make_world(encrypted(below.store))
    lived(world)
    keys = CheckpointKeys((new_key(),))
    ledger = world.services.store.ledger
    Sealer(ledger, keys, world.clock, 0, lambda seal: None).run(everything=True)
    verdict = verify_trail(ledger, keys.verifiers())
    assert verdict.whole
    assert verdict.checked >= 9


def test_the_purge_of_a_dossier_kills_its_copies(tmp_path: Path) -> None:
    """A copy of the store from before the purge, opened with the data keys of today, shows nothing of the dossier."""
    (tmp_path / "record").mkdir()
    with closing(open_sqlite(tmp_path / "keys.sqlite3")) as keys:
        below = open_sqlite(tmp_path / "record" / "dmp.sqlite3")
        world = make_world(encrypted(below, keys))
        life = lived(world)
        other = Dossier.open(world, samples.ANOUK)
        kept = other.submit()
        done(call(life.dossier.holder, life.dossier, "dmp-fermer", motif=motive()))
        copy = tmp_path / "copy.sqlite3"
        source, target = sqlite3.connect(tmp_path / "record" / "dmp.sqlite3"), sqlite3.connect(copy)
        source.backup(target)
        source.close()
        target.close()
        with years_later(world, 10.1):
            assert purge(world) == [f"Patient/{life.dossier.id}"]
        below.close()
        with closing(open_sqlite(copy)) as before:
            restored = make_world(encrypted(before, keys))
            assert restored.admin.get(f"/Patient/{life.dossier.id}").status == 404
            assert restored.admin.get(f"/DocumentReference/{life.document}").status == 404
            assert restored.admin.get(f"/Patient?identifier={INS}").entries == []
            assert restored.admin.get(f"/DocumentReference?patient=Patient/{other.id}").entries[0]["id"] == kept
