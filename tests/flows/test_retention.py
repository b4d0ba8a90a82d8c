"""Ten years after closing the content is destroyed, and nothing else. [dmp-fhir 3.8.2]"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fhir_dmp.interactions import retention
from fhir_dmp.ports import AuditQuery, HistoryQuery, Key
from tests import samples
from tests.flows.acts import call, done, identifier, motive
from tests.flows.steps import Dossier, assert_refused, next_content, next_ins
from tests.samples import Json
from tests.world import World

YEAR_MS = 365 * 24 * 3_600_000
REPORT = {"status": "final", "code": {"text": "Poids"}, "valueQuantity": {"value": 71, "unit": "kg"}}


@contextmanager
def years_later(world: World, years: float) -> Iterator[None]:
    """Move the clock on for a while."""
    before = world.clock.time_ms
    world.clock.time_ms += int(years * YEAR_MS)
    try:
        yield
    finally:
        world.clock.time_ms = before


def weight(dossier: Dossier, **more: object) -> Json:
    return {"resourceType": "Observation", "subject": {"reference": f"Patient/{dossier.id}"}, **REPORT, **more}


def lived(world: World) -> tuple[Dossier, list[str], bytes]:
    """Return a closed dossier that had a life: documents replaced, masked and deleted, consents, measures, a deletion.

    With it what it is made of, as `Type/id`, and one of its contents.
    """
    dossier = Dossier.open(world, next_ins())
    content = next_content()
    first = dossier.submit(content=content)
    second = dossier.replace(first)
    third = dossier.submit(content=next_content())
    dossier.label(third, "MASQUE_PS")
    dossier.delete(dossier.submit(content=next_content()))
    done(call(world.doctor(), dossier, "dmp-autoriser"))
    done(call(dossier.holder, dossier, "dmp-bloquer", professionnel=identifier(samples.OTHER_DOCTOR)))
    kept = world.admin.post("/Observation", weight(dossier)).json["id"]
    gone = world.admin.post("/Observation", weight(dossier)).json["id"]
    assert world.admin.delete(f"/Observation/{gone}").status in (200, 204)
    paths = [dossier.path(each)[1:] for each in (first, second, third)]
    names = [f"DocumentReference/{each}" for each in (first, second, third)]
    names += [f"Observation/{kept}", f"Observation/{gone}", f"Patient/{dossier.id}", *paths]
    names += [f"Consent/{each['id']}" for each in world.admin.get(f"/Consent?patient=Patient/{dossier.id}").entries]
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive()))
    return dossier, names, content


def purge(world: World) -> list[str]:
    """Run the purge; return the dossiers that it destroyed."""
    destroyed = []
    for found in retention.due(world.services):
        retention.destroy(found, world.services)
        destroyed.append(found.reference)
    return destroyed


def remains(world: World, names: list[str]) -> list[str]:
    """Return what of these is still stored, in whatever version."""
    store = world.services.store
    keys = [Key(*name.split("/")) for name in names]
    return [str(key) for key in keys if store.read(key) or store.history(HistoryQuery(key.type, key.id)).versions]


@pytest.mark.statement("security P-36")
def test_everything_of_a_dossier_closed_ten_years_ago_is_destroyed(make: Callable[..., World]) -> None:
    world = make()
    dossier, names, _ = lived(world)
    other = Dossier.open(world, next_ins())
    document = other.submit()
    with years_later(world, 9.9):
        assert purge(world) == []
        assert remains(world, names) == names
    with years_later(world, 10.1):
        assert purge(world) == [f"Patient/{dossier.id}"]
        assert remains(world, names) == []
        assert world.services.store.types()["DocumentReference"] == 1
        assert other.found(other.holder) == [document]
        assert other.world.doctor().get(other.path(document)).status == 200
        assert world.admin.get(f"/Patient?identifier={samples.INS}|{dossier.ins}").entries == []
        assert world.admin.get(f"/DocumentReference?patient=Patient/{dossier.id}").json["total"] == 0
        assert purge(world) == []


def test_a_destroyed_content_is_not_left_behind(make: Callable[..., World], store_kind: str) -> None:
    if store_kind != "sqlite":
        pytest.skip("MongoDB keeps what was staged within the hour for its sweep; tests/store/test_contract_erase.py")
    world = make()
    _, _, content = lived(world)
    import hashlib

    sha256 = hashlib.sha256(content).hexdigest()
    assert world.services.store.blobs.size(sha256) is not None
    with years_later(world, 10.1):
        purge(world)
    assert world.services.store.blobs.size(sha256) is None


def test_the_destruction_is_in_the_trail_which_stays(make: Callable[..., World]) -> None:
    world = make()
    dossier, _, _ = lived(world)
    patient = f"Patient/{dossier.id}"
    before = len(world.services.store.audit(AuditQuery(patient=patient, count=500)).records)
    with years_later(world, 10.1):
        purge(world)
        found = [record for _, record in world.services.store.audit(AuditQuery(patient=patient, count=500)).records]
        assert len(found) == before + 2
        assert [dict(record.details)["state"] for record in found[:2]] == ["done", "begun"]
        assert int(dict(found[0].details)["resources"]) >= 10
        event = world.admin.get(f"/AuditEvent?patient={patient}&action=D").entries[0]
        assert (event["subtype"][0]["code"], event["outcome"]) == ("destroy", "0")


def test_what_another_record_shares_is_kept(make: Callable[..., World]) -> None:
    world = make()
    parent, child = (Dossier.open(world, next_ins()) for _ in range(2))
    measured = weight(child, performer=[{"reference": f"Patient/{parent.id}"}])
    shared = world.admin.post("/Observation", measured).json["id"]
    done(call(parent.holder, parent, "dmp-fermer", motif=motive()))
    with years_later(world, 10.1):
        assert purge(world) == [f"Patient/{parent.id}"]
        assert world.admin.get(f"/Observation/{shared}").status == 200


def test_what_is_about_the_patient_outside_the_compartment_goes_too(make: Callable[..., World]) -> None:
    world = make()
    dossier, other = (Dossier.open(world, next_ins()) for _ in range(2))
    tasks = []
    for each in (dossier, other):
        task = {"resourceType": "Task", "status": "requested", "intent": "order"}
        made = world.admin.post("/Task", task | {"for": {"reference": f"Patient/{each.id}"}})
        assert made.status == 201, made.body
        tasks.append(made.json["id"])
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive()))
    with years_later(world, 10.1):
        purge(world)
        assert [world.admin.get(f"/Task/{id_}").status for id_ in tasks] == [404, 200]


def test_an_interrupted_destruction_is_finished_by_the_next_run(make: Callable[..., World]) -> None:
    world = make()
    dossier, names, _ = lived(world)
    with years_later(world, 10.1):
        (found,) = list(retention.due(world.services))
        for keys in list(retention._batches(found.reference, world.services))[:2]:
            world.services.store.erase(keys)
        assert 0 < len(remains(world, names)) < len(names)
        assert purge(world) == [f"Patient/{dossier.id}"]
        assert remains(world, names) == []


def test_a_dossier_that_is_due_is_not_reopened_and_a_new_one_opens_when_it_is_gone(make: Callable[..., World]) -> None:
    world = make()
    dossier, _, _ = lived(world)
    with years_later(world, 10.1):
        answer = call(world.doctor(), dossier, "dmp-reactiver", consentement=True)
        assert_refused(answer, 422, "dmp-ferme", "business-rule")
        purge(world)
        again = Dossier.open(world, dossier.ins)
        assert again.id != dossier.id
        assert again.found(again.holder) == []


def test_a_closing_dated_long_ago_counts_from_the_day_it_was_recorded(make: Callable[..., World]) -> None:
    world = make()
    dossier = Dossier.open(world, next_ins())
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive(), date="2010-01-01"))
    assert purge(world) == []
    done(call(dossier.holder, dossier, "dmp-reactiver", consentement=True))


@pytest.mark.parametrize("years", [1, 20])
def test_the_years_are_a_setting(make: Callable[..., World], years: int) -> None:
    world = make(DMP_DOCUMENTS_RETENTION_YEARS=str(years))
    dossier, _, _ = lived(world)
    with years_later(world, years - 0.1):
        assert purge(world) == []
    with years_later(world, years + 0.1):
        assert purge(world) == [f"Patient/{dossier.id}"]
