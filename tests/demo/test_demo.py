"""The demonstration record: everything that interfaces promise, seen by those who may see it; loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from fhir_dmp import bootstrap
from fhir_dmp.demo import people
from fhir_dmp.demo.load import lines
from fhir_dmp.demo.papers import papers
from fhir_dmp.identity.caller import Actor, Mode
from fhir_dmp.interactions.write import as_stored
from fhir_dmp.patients.ins import has_valid_key
from fhir_dmp.ports import AuditQuery, HistoryQuery
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.terminology import national
from fhir_dmp.terminology.sharing import COMPREHENSIVE, SUBMISSION_SET
from fhir_dmp.validation.conformance import judge
from tests.world import Client, FixedClock, World, make_world

Json = dict[str, Any]
SCHEMA = Path(__file__).resolve().parents[2] / "../shared/data/cda-xsd/CDA_extended.xsd"
ANOUK, BASILE, CORENTIN, ANGE, MINOR = (person.ins for person in people.PATIENTS)
INS = national.INS_NIR


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A server with the demonstration, set as `serve --demo` sets it."""
    made = make_world(MemoryStore(), FixedClock(), DMP_ACCESS_REGULATION_CENTRES=people.HOSPITAL)
    bootstrap.load_demo(made.services)
    for person in people.PATIENTS:
        id_ = made.services.patient_id(INS, person.ins)
        assert id_ is not None
        made.patients[person.ins] = id_
    yield made
    made.services.close()


def documents(client: Client, ins: str = ANOUK, query: str = "") -> dict[str, Json]:
    """Return title -> document of what a caller finds in a record."""
    answer = client.get(f"/DocumentReference?patient.identifier={INS}|{ins}&_count=500{query}")
    assert answer.status == 200, answer.body
    return {each["description"]: each for each in answer.entries}


def as_professional(world: World, one: people.Professional, **more: Any) -> Client:
    return world.doctor(one.number, one.structure, one.profession, **more)


def state(world: World) -> tuple[object, ...]:
    """Return every version and the length of the trail."""
    store, versions, before = world.services.store, [], None
    while True:
        page = store.history(HistoryQuery(count=1000, before_seq=before))
        versions += [(str(each.key), each.version) for each in page.versions]
        before = page.next_seq
        if before is None:
            return versions, len(store.audit(AuditQuery(count=100_000)).records)


def test_there_are_five_patients_with_right_keys(world: World) -> None:
    wanted = {"285047511200314", "155067200010159", "168017218137243", "185032A12345601"}
    assert wanted < {person.ins for person in people.PATIENTS}
    assert all(has_valid_key(person.ins) for person in people.PATIENTS)
    assert world.services.store.types()["Patient"] == 5


def test_there_are_professionals_of_every_part_and_two_structures(world: World) -> None:
    parts = {one.part for one in people.PROFESSIONALS}
    assert {"médecin traitant", "authorised nurse", "no authorisation", "blocked by the patient", "regulator"} <= parts
    found = world.admin.get("/Practitioner?_count=100").entries
    assert {each["identifier"][0]["value"] for each in found} == {one.number for one in people.PROFESSIONALS}
    assert {each["name"] for each in world.admin.get("/Organization").entries} == set(people.STRUCTURES.values())


def test_whatever_the_demonstration_holds_is_valid_by_the_profiles_that_it_claims(world: World) -> None:
    claimed: set[str] = set()
    found = [f"/{type_}?_count=500" for type_ in world.services.store.types() if type_ != "Binary"]
    for path in [*found, "/AuditEvent?date=ge2020&_count=500", "/metadata", "/metadata?mode=terminology"]:
        answer = world.admin.get(path)
        assert answer.status == 200, answer.body
        issues = judge(answer.json, world.services.profiles(), (), as_stored)
        assert [each for each in issues if each.severity in ("error", "fatal")] == [], path
        unjudged = [each for each in issues if (each.code, each.severity) == ("not-supported", "warning")]
        assert unjudged == [], path
        claimed |= {url for each in answer.entries for url in each.get("meta", {}).get("profile", ())}
    assert {COMPREHENSIVE, SUBMISSION_SET} <= claimed
    assert any("BasicAudit" in url for url in claimed)


def test_there_is_a_document_of_each_main_class(world: World) -> None:
    found = [*documents(world.admin).values(), *documents(world.admin, ANGE).values()]
    classes = {document["category"][0]["coding"][0]["code"] for document in found}
    assert {"10", "11", "31", "42", "43", "44", "45", "52", "60", "90", "95"} <= classes


def test_there_are_cda_of_both_levels_pdf_and_native_fhir(world: World) -> None:
    kinds = set()
    for document in documents(world.admin).values():
        attachment = document["content"][0]["attachment"]
        path = attachment["url"].removeprefix(world.services.base)
        body = world.admin.get(path).body
        if attachment["contentType"] == "application/xml":
            kinds.add("level 1" if b"nonXMLBody" in body else "level 3")
        elif body.startswith(b"%PDF-1.4"):
            kinds.add("pdf")
        elif b'"type":"document"' in body:
            kinds.add("fhir")
    assert kinds == {"level 1", "level 3", "pdf", "fhir"}


def test_each_reader_sees_what_the_labels_allow(world: World) -> None:
    masked, invisible = "Consultation confidentielle", "Résultat en attente d'annonce"
    patient = documents(world.patient(ANOUK))
    doctor = documents(as_professional(world, people.DOCTOR))
    nurse = documents(as_professional(world, people.NURSE))
    assert (masked in patient, invisible in patient) == (True, False)
    assert (masked in doctor, invisible in doctor) == (True, True)
    assert masked not in nurse
    note = "Note de vaccination"
    assert note not in documents(world.patient(MINOR, Actor.REPRESENTATIVE), MINOR)
    assert note in documents(world.patient(MINOR), MINOR)


@pytest.mark.parametrize(
    ("one", "mode", "reason", "code"),
    [
        (people.PHARMACIST, Mode.NORMAL, None, "non-autorise"),
        (people.BLOCKED, Mode.NORMAL, None, "professionnel-bloque"),
        (people.BLOCKED, Mode.BREAK_GLASS, "coma", "professionnel-bloque"),
    ],
)
def test_those_without_right_are_refused(
    world: World, one: people.Professional, mode: Mode, reason: str | None, code: str
) -> None:
    client = as_professional(world, one, mode=mode, reason=reason)
    answer = client.get(f"/DocumentReference?patient.identifier={INS}|{ANOUK}")
    assert (answer.status, code in answer.codes) == (403, True)


def test_the_regulator_reads_in_an_emergency(world: World) -> None:
    client = as_professional(world, people.REGULATOR, mode=Mode.REGULATION, regulator=True)
    assert len(documents(client)) > 5


def test_documents_were_replaced_and_archived(world: World) -> None:
    found = documents(world.admin)
    assert found["Lettre de liaison (première version)"]["status"] == "superseded"
    assert found["Lettre de liaison"]["relatesTo"][0]["code"] == "replaces"
    assert list(documents(world.admin, query="&isArchived=true")) == ["Ancienne consultation"]


def test_there_are_clinical_data_directives_and_somebody_to_call(world: World) -> None:
    types = world.services.store.types()
    assert {"AllergyIntolerance", "MedicationStatement", "Observation", "Immunization"} <= set(types)
    directives = documents(world.admin)["Directives anticipées"]
    assert directives["type"]["coding"][0]["code"] == "EXPPAT_3"
    (contact,) = world.admin.get(f"/Patient/{world.patients[ANOUK]}").json["contact"]
    assert contact["relationship"][0]["coding"][0]["code"] == "C"
    assert contact["telecom"]


def test_there_is_a_care_history(world: World) -> None:
    (history,) = documents(world.patient(ANGE), ANGE).values()
    assert history["type"]["coding"][0]["code"] == "REMB"
    body = world.patient(ANGE).get(history["content"][0]["attachment"]["url"].removeprefix(world.services.base)).body
    assert b'code="REMB" codeSystem="1.2.250.1.213.1.1.4.12"' in body


def test_one_dossier_is_closed_and_one_person_objects(world: World) -> None:
    closed = world.admin.get(f"/Patient/{world.patients[BASILE]}").json
    assert closed["active"] is False
    answer = as_professional(world, people.DOCTOR).get(f"/DocumentReference?patient.identifier={INS}|{BASILE}")
    assert (answer.status, "dmp-ferme" in answer.codes) == (403, True)
    opening = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "consentement", "valueBoolean": True},
            {"name": "patient", "resource": people.patient(people.CORENTIN)},
        ],
    }
    assert as_professional(world, people.DOCTOR).post("/Patient/$dmp-ouvrir", opening).status == 403


def test_loading_again_changes_nothing_not_even_the_trail(world: World) -> None:
    before = state(world)
    bootstrap.load_demo(world.services)
    assert state(world) == before


def test_what_people_did_to_the_demonstration_stays() -> None:
    with_changes = make_world(MemoryStore(), FixedClock())
    bootstrap.load_demo(with_changes.services)
    admin = with_changes.admin
    assert admin.delete("/AllergyIntolerance/demo-allergy").status == 204
    consent = admin.get("/Consent/demo-block").json
    assert admin.put("/Consent/demo-block", {**consent, "status": "inactive"}, If_Match='W/"1"').status == 200
    (document, *_) = documents(admin).values()
    assert admin.patch(f"/DocumentReference/{document['id']}", [
        {"op": "replace", "path": "/status", "value": "entered-in-error"}]).status == 200  # fmt: skip
    before = state(with_changes)
    bootstrap.load_demo(with_changes.services)
    assert state(with_changes) == before


def test_the_lines_for_a_newcomer_name_everybody() -> None:
    text = "\n".join(lines())
    for person in people.PATIENTS:
        assert f"--as patient:{person.ins}" in text
    for one in people.PROFESSIONALS:
        assert f"--as ps:{one.number[1:]} --structure {one.structure[1:]}" in text


@pytest.mark.skipif(not SCHEMA.is_file(), reason="the shared folder with the CDA schema is absent")
def test_every_cda_is_schema_valid() -> None:
    schema = etree.XMLSchema(etree.parse(str(SCHEMA), etree.XMLParser(no_network=True)))
    found = [paper for paper in papers(lambda _: "DocumentReference/x") if paper.media_type == "application/xml"]
    assert len(found) >= 6
    for paper in found:
        schema.assertValid(etree.fromstring(paper.content))
