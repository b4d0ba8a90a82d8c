"""An activated habilitation matrix decides in every worker from the next request on. [security 4.6]"""

from __future__ import annotations

import pytest

from fhir_dmp.definitions import read
from fhir_dmp.interactions import habilitation
from fhir_dmp.ports import AuditQuery
from tests import samples
from tests.flows.steps import Dossier, assert_refused
from tests.world import World, make_world

PACKAGED = "mappings/habilitation-matrix.csv"
HEADER = "row_kind,profession_system,profession_code,class_code,type_code,read\n"
DOCTORS = HEADER + "class,urn:oid:1.2.250.1.71.1.2.7,10,10,,Y\n"
NURSES = DOCTORS + "class,urn:oid:1.2.250.1.71.1.2.7,60,10,,Y\n"


@pytest.fixture
def own(make: object) -> World:
    """A server of its own, for the matrix is everybody's."""
    assert callable(make)
    world: World = make()
    return world


@pytest.mark.statement("security P-20", "security P-21", "security P-26")
def test_an_activated_matrix_holds_at_once_in_every_worker(own: World) -> None:
    dossier = Dossier.open(own, samples.ANOUK)
    id_ = dossier.submit()
    dossier.authorise(samples.NURSE)
    other = make_world(own.services.store, own.clock)  # another worker over the same store
    other.patients = own.patients
    nurses = [each.doctor(samples.NURSE, samples.CLINIC, "60") for each in (own, other)]
    elsewhere = Dossier(other, dossier.ins, dossier.id)
    for text, found in ((DOCTORS, []), (NURSES, [id_]), (DOCTORS, [])):
        activated = habilitation.activate(text.encode(), own.services)
        for where, nurse in zip((dossier, elsewhere), nurses, strict=True):
            assert where.found(nurse) == found
            assert nurse.get(f"/DocumentReference/{id_}").status == (200 if found else 404)
            assert nurse.get(f"/DocumentReference?{dossier.criterion}&_summary=count").json["total"] == len(found)
        entry = own.services.store.audit(AuditQuery(patient=f"Patient/{dossier.id}", count=1)).records[0][1]
        assert dict(entry.details)["matrix"] == activated.matrix.version[:16]
    assert activated.number == 3


def test_an_activation_is_recorded_and_its_versions_are_kept(own: World) -> None:
    before = own.services.matrix.version
    first = habilitation.activate(NURSES.encode(), own.services)
    assert habilitation.activate(NURSES.encode(), own.services) == first  # what is in force changes nothing
    entry = own.services.store.audit(AuditQuery(count=1)).records[0][1]
    assert (entry.kind, dict(entry.details)["matrix-before"]) == ("matrix", before)
    assert dict(entry.details)["matrix-after"] == first.matrix.version
    habilitation.activate(read(PACKAGED), own.services)
    library = own.doctor().get("/Library/habilitation-matrix").json
    assert library["version"] == "2"
    history = own.admin.get("/Library/habilitation-matrix/_history").json
    assert [each["resource"]["version"] for each in history["entry"]] == ["2", "1"]


def test_the_activated_matrix_is_changed_by_its_own_door_only(own: World) -> None:
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/library-type", "code": "asset-collection"}]}
    library = {"resourceType": "Library", "id": "habilitation-matrix", "status": "active", "type": kind}
    assert_refused(own.admin.put("/Library/habilitation-matrix", library), 403)
    habilitation.activate(NURSES.encode(), own.services)
    stored = own.admin.get("/Library/habilitation-matrix").json
    assert_refused(own.admin.put("/Library/habilitation-matrix", {**stored, "version": "9"}), 403)
    patch = [{"op": "replace", "path": "/version", "value": "9"}]
    assert_refused(own.admin.patch("/Library/habilitation-matrix", patch), 403)
    assert_refused(own.admin.delete("/Library/habilitation-matrix"), 403)
    assert own.admin.get("/Library/habilitation-matrix").json == stored
