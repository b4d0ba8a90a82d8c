"""TD1.3: contact data of a Patient. [dmp-fhir 3.8]"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.identity.caller import Actor, Mode
from tests import samples
from tests.flows.acts import call, done, extension, motive, patient, stranger
from tests.flows.steps import Dossier, assert_refused, next_ins, nothing_stored
from tests.world import World

PHONE = [{"system": "phone", "value": "0102030405"}]


def test_the_patient_updates_and_patches_contact_data(world: World, dossier: Dossier) -> None:
    read = dossier.holder.get(f"/Patient/{dossier.id}").json
    answer = dossier.holder.put(f"/Patient/{dossier.id}", {**read, "telecom": PHONE, "address": [{"city": "Tours"}]})
    assert (answer.status, answer.json["telecom"], answer.json["address"]) == (200, PHONE, [{"city": "Tours"}])
    patch = [{"op": "remove", "path": "/address"}]
    answer = dossier.holder.patch(f"/Patient/{dossier.id}", patch)
    assert (answer.status, "address" in answer.json, answer.json["telecom"]) == (200, False, PHONE)
    assert patient(dossier)["name"] == read["name"]


def test_what_the_search_shows_the_patient_can_be_sent_back(world: World, dossier: Dossier) -> None:
    (shown,) = dossier.holder.get("/Patient").entries
    assert extension(shown, "dmp-rattachement-mes") is not None
    answer = dossier.holder.put(f"/Patient/{dossier.id}", {**shown, "telecom": PHONE})
    assert answer.status == 200, answer.body
    assert extension(patient(dossier), "dmp-rattachement-mes") is None


def test_an_authorised_professional_and_a_representative_update_contact_data(world: World) -> None:
    minor = Dossier.open(world, next_ins(), birthDate="2009-05-04")
    patch = [{"op": "add", "path": "/telecom", "value": PHONE}]
    with nothing_stored(world):
        assert_refused(stranger(world).patch(f"/Patient/{minor.id}", patch), 403, "non-autorise")
    done(call(stranger(world), minor, "dmp-autoriser"))
    assert stranger(world).patch(f"/Patient/{minor.id}", patch).json["telecom"] == PHONE
    more = [{"op": "add", "path": "/telecom/-", "value": {"system": "email", "value": "x@example.org"}}]
    answer = world.patient(minor.ins, Actor.REPRESENTATIVE).patch(f"/Patient/{minor.id}", more)
    assert (answer.status, len(answer.json["telecom"])) == (200, 2)


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"birthDate": "1985-04-18"}, "Patient.birthDate"),
        ({"gender": "unknown"}, "Patient.gender"),
        ({"active": False}, "Patient.active"),
        ({"name": [{"use": "official", "family": "AUTRE", "given": ["Anouk"]}]}, "Patient.name"),
        ({"identifier": [{"system": samples.INS, "value": samples.BASILE}]}, "Patient.identifier"),
        ({"generalPractitioner": [{"display": "moi"}]}, "Patient.generalPractitioner"),
        ({"extension": []}, "Patient.extension"),
        ({"deceasedBoolean": True}, "Patient.deceasedBoolean"),
        ({"meta": {"profile": ["http://other.example/profile"]}}, "Patient.meta"),
    ],
)
def test_identity_and_state_do_not_change(world: World, dossier: Dossier, changed: dict[str, Any], place: str) -> None:
    done(call(stranger(world), dossier, "dmp-autoriser"))
    for client in (dossier.holder, stranger(world)):
        sent = {**client.get(f"/Patient/{dossier.id}").json, "telecom": PHONE, **changed}
        sent = {name: part for name, part in sent.items() if part != []}
        with nothing_stored(world):
            answer = client.put(f"/Patient/{dossier.id}", sent)
        assert_refused(answer, 422, "business-rule", at=place)
    patch = [{"op": "replace", "path": "/birthDate", "value": "1985-04-18"}]
    assert_refused(dossier.holder.patch(f"/Patient/{dossier.id}", patch), 422, "business-rule", at="Patient.birthDate")


def test_who_else_may_not_change_contact_data(world: World, dossier: Dossier) -> None:
    patch = [{"op": "add", "path": "/telecom", "value": PHONE}]
    urgent = world.doctor(mode=Mode.BREAK_GLASS, reason="Inconscient")
    with nothing_stored(world):
        for client in (urgent, world.structure(), world.patient(dossier.ins, Actor.DELEGATE)):
            assert client.patch(f"/Patient/{dossier.id}", patch).status == 403
        other = Dossier(world, dossier.ins, dossier.id)
        assert other.world.nobody.patch(f"/Patient/{dossier.id}", patch).status == 401
    foreign = Dossier.open(world, next_ins())
    assert foreign.holder.patch(f"/Patient/{dossier.id}", patch).status == 404
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive()))
    assert dossier.holder.patch(f"/Patient/{dossier.id}", patch).status in (403, 422)


def test_nobody_but_the_operator_makes_a_patient_directly(world: World) -> None:
    made = samples.patient(next_ins())
    for client in (world.doctor(), world.structure()):
        assert_refused(client.post("/Patient", made), 403)
    id_ = "0191a1b2-0000-7000-8000-00000000beef"
    assert world.doctor().put(f"/Patient/{id_}", {**made, "id": id_}).status == 403
