"""TD3.2: the content of a document (ITI-68). [dmp-fhir 9.8]"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests import samples
from tests.flows.steps import Dossier, assert_refused, next_content, next_ins, next_oid, publication
from tests.flows.submissions import fhir_submission
from tests.samples import Json
from tests.world import Client, Response, World

CDA = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<ClinicalDocument xmlns="urn:hl7-org:v3"><!-- x --></ClinicalDocument>\n'
)
HIDDEN = ((samples.VISIBILITY, "MASQUE_PS"), (samples.CONFIDENTIALITY, "N"))


@pytest.fixture
def doctor(world: World, dossier: Dossier) -> Client:
    """The authorised author."""
    dossier.authorise()
    return world.doctor()


def stranger(world: World, dossier: Dossier) -> Client:
    """An authorised doctor who wrote nothing here."""
    dossier.authorise(samples.OTHER_DOCTOR)
    return world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)


@pytest.mark.statement("dmp-fhir 9.8/139")
@pytest.mark.parametrize(
    "media_type", ["application/pdf", "text/plain", "image/jpeg", "application/dicom", "text/plain;charset=iso-8859-1"]
)
def test_the_media_type_of_the_document_gives_its_bytes(dossier: Dossier, doctor: Client, media_type: str) -> None:
    content = next_content() + bytes(range(256))
    path = dossier.path(dossier.submit(content=content, content_type=media_type))
    answer = doctor.get(path, Accept=media_type)
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["Content-Length"] == str(len(content))
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in answer.headers["Cache-Control"]
    assert "filename=" in answer.headers["Content-Disposition"]


@pytest.mark.statement("dmp-fhir 9.8/140")
def test_the_fhir_form_holds_the_same_content_in_base64(dossier: Dossier, doctor: Client) -> None:
    content = next_content()
    id_ = dossier.submit(content=content)
    path = dossier.path(id_)
    as_json = doctor.get(path, Accept="application/fhir+json")
    assert as_json.headers["Content-Type"].startswith("application/fhir+json")
    assert (as_json.json["resourceType"], as_json.json["contentType"]) == ("Binary", "text/plain")
    assert base64.b64decode(as_json.json["data"]) == content
    assert as_json.json["securityContext"] == {"reference": f"DocumentReference/{id_}"}
    as_xml = doctor.get(path, Accept="application/fhir+xml")
    assert as_xml.headers["Content-Type"].startswith("application/fhir+xml")
    assert base64.b64encode(content) in as_xml.body


@pytest.mark.statement("dmp-fhir 9.8/141")
@pytest.mark.parametrize(
    "accept", [None, "*/*", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"]
)
def test_without_a_choice_the_bytes_come(dossier: Dossier, doctor: Client, accept: str | None) -> None:
    content = next_content()
    path = dossier.path(dossier.submit(content=content, content_type="application/pdf"))
    answer = doctor.get(path, **({"Accept": accept} if accept else {}))
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["Content-Type"] == "application/pdf"


@pytest.mark.statement("dmp-fhir 9.8/139")
def test_ranges_and_conditions(dossier: Dossier, doctor: Client) -> None:
    path = dossier.path(dossier.submit(content=b"0123456789"))
    part = doctor.get(path, Range="bytes=2-4")
    assert (part.status, part.body) == (206, b"234")
    assert part.headers["Content-Range"] == "bytes 2-4/10"
    # [dmp-fhir 3.6] If-Unmodified-Since is ignored.
    assert doctor.get(path, If_Unmodified_Since="Thu, 01 Jan 1970 00:00:00 GMT").status == 200


@pytest.mark.statement("dmp-fhir 9.8/142")
@pytest.mark.parametrize("type_", ["Binary", "Bundle", "DocumentReference"])
def test_an_unknown_id_is_404(doctor: Client, type_: str) -> None:
    assert_refused(doctor.get(f"/{type_}/0191a1b2-0000-7000-8000-00000000abcd"), 404, "not-found")


def same_refusal(first: Response, second: Response) -> bool:
    """Say whether two refusals cannot be told apart."""
    varying = ("X-Request-Id", "Date")
    headers = [{name: value for name, value in each.headers.items() if name not in varying} for each in (first, second)]
    return (first.status, first.body, headers[0]) == (second.status, second.body, headers[1])


@pytest.mark.statement("dmp-fhir 9.8/143")
@pytest.mark.parametrize("type_", ["Binary", "DocumentReference"])
def test_a_hidden_document_is_404_like_an_unknown_one(world: World, dossier: Dossier, type_: str) -> None:
    id_ = dossier.submit(labels=HIDDEN)
    client = stranger(world, dossier)
    path = dossier.path(id_) if type_ == "Binary" else f"/DocumentReference/{id_}"
    unknown = client.get(f"/{type_}/0191a1b2-0000-7000-8000-00000000abcd")
    for accept in ("*/*", "application/fhir+json"):
        assert_refused(client.get(path, Accept=accept), 404)
    assert same_refusal(client.get(path), unknown)
    assert_refused(client.get(f"{path}/_history/1"), 404)


@pytest.mark.statement("dmp-fhir 9.8/144")
def test_the_content_of_a_deleted_document_is_410_to_those_who_could_see_it(world: World, dossier: Dossier) -> None:
    gone, hidden = dossier.submit(), dossier.submit(labels=HIDDEN)
    path, secret = dossier.path(gone), dossier.path(hidden)
    for id_ in (gone, hidden):
        dossier.delete(id_)
    other = stranger(world, dossier)
    for client in (world.doctor(), other, dossier.holder):
        assert_refused(client.get(path), 410, "deleted")
    assert_refused(world.doctor().get(secret), 410)
    assert_refused(other.get(secret), 404)
    assert world.admin.get(path).body == samples.TEXT


@pytest.mark.statement("dmp-fhir 9.8/144")
def test_a_deleted_document_is_read_by_its_author_and_the_patient_only(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    dossier.delete(id_)
    for client in (world.doctor(), dossier.holder, world.admin):
        answer = client.get(f"/DocumentReference/{id_}")
        assert (answer.status, answer.json["status"]) == (200, "entered-in-error")
    assert_refused(stranger(world, dossier).get(f"/DocumentReference/{id_}"), 410, "deleted")


@pytest.mark.statement("dmp-fhir 9.8/145")
def test_the_content_of_a_superseded_document_is_still_there(world: World, dossier: Dossier, doctor: Client) -> None:
    content = next_content()
    old = dossier.submit(content=content)
    path = dossier.path(old)
    dossier.replace(old)
    for client in (doctor, stranger(world, dossier), dossier.holder):
        assert client.get(f"/DocumentReference/{old}").json["status"] == "superseded"
        answer = client.get(path)
        assert (answer.status, answer.body) == (200, content)


@pytest.mark.statement("dmp-fhir 9.8/146")
@pytest.mark.parametrize("accept", ["image/png", "application/pdf", "application/xml", "video/*", "nonsense"])
def test_an_impossible_accept_is_406(dossier: Dossier, doctor: Client, accept: str) -> None:
    answer = doctor.get(dossier.path(dossier.submit()), Accept=accept)
    assert answer.status == 406
    assert b"OperationOutcome" in answer.body


@pytest.mark.statement("dmp-fhir 9.8/147")
def test_reading_without_authorisation_is_403(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    path = dossier.path(id_)
    nurse = world.doctor(samples.NURSE, samples.CLINIC, "60")
    for place in (path, f"/DocumentReference/{id_}"):
        assert_refused(nurse.get(place), 403, "non-autorise", "authorisation-missing")
    # An author keeps reading what he wrote (C17).
    assert world.doctor().get(path).status == 200


@pytest.mark.statement("dmp-fhir 9.8/147")
def test_a_patient_never_reads_another_record(world: World, dossier: Dossier) -> None:
    other = Dossier.open(world, next_ins())
    id_ = dossier.submit()
    for place in (dossier.path(id_), f"/DocumentReference/{id_}", f"/Patient/{dossier.id}"):
        assert_refused(other.holder.get(place), 404)
    assert_refused(dossier.search(other.holder), 403)


@pytest.mark.statement("dmp-fhir 9.8/147")
def test_a_content_without_document_is_its_creators(world: World, dossier: Dossier) -> None:
    made = world.doctor().call("POST", "/Binary", b"brouillon", {"content-type": "text/plain"})
    assert made.status == 201, made.body
    path = made.headers["Location"].split("/fhir")[1].split("/_history")[0]
    assert world.doctor().get(path).body == b"brouillon"
    assert_refused(stranger(world, dossier).get(path), 404)


@pytest.mark.statement("dmp-fhir 9.8/147")
def test_a_content_that_a_document_holds_cannot_be_changed(world: World, dossier: Dossier, doctor: Client) -> None:
    path = dossier.path(dossier.submit())
    assert_refused(doctor.call("PUT", path, b"autre", {"content-type": "text/plain"}), 403, "scope")
    answer = world.admin.call("PUT", path, b"autre", {"content-type": "text/plain"})
    assert_refused(answer, 405)
    assert "PUT" not in answer.headers["Allow"]
    assert doctor.get(path).body == samples.TEXT


@pytest.mark.statement("dmp-fhir 9.8/149")
@pytest.mark.parametrize("accept", ["*/*", "application/fhir+json"])
def test_each_retrieval_is_audited_with_document_and_patient(
    world: World, dossier: Dossier, doctor: Client, accept: str
) -> None:
    id_ = dossier.submit()
    path = dossier.path(id_)
    assert doctor.get(path, Accept=accept).status == 200
    event = events(dossier)[0]
    assert subtypes(event) == {"read", "urn:ihe:event-type-code#ITI-68"}
    assert (event["action"], event["outcome"]) == ("R", "0")
    places = {entity["what"].get("reference", "").split("/_history")[0] for entity in event["entity"]}
    assert {f"DocumentReference/{id_}", f"Patient/{dossier.id}", path[1:]} <= places
    (user,) = [agent for agent in event["agent"] if agent["requestor"]]
    assert user["altId"] == samples.DOCTOR


def fhir_document(dossier: Dossier, **more: Any) -> tuple[str, str]:
    """Submit a native FHIR document and return the ids of the DocumentReference and of the Bundle."""
    body = fhir_submission(dossier)
    body["entry"][1]["resource"].update(more)
    answer = dossier.world.doctor().post("", body)
    assert answer.status == 200, answer.body
    places = [entry["response"]["location"].split("/")[1] for entry in answer.json["entry"]]
    return places[1], places[2]


@pytest.mark.statement("dmp-fhir 9.8/148", "dmp-fhir 9.8/149")
def test_a_native_fhir_document_is_read_and_audited_like_any_content(
    world: World, dossier: Dossier, doctor: Client
) -> None:
    id_, bundle = fhir_document(dossier)
    for accept in ("*/*", "application/fhir+json"):
        answer = doctor.get(f"/Bundle/{bundle}", Accept=accept)
        assert (answer.status, answer.json["type"]) == (200, "document")
        event = events(dossier)[0]
        assert subtypes(event) == {"read", "urn:ihe:event-type-code#ITI-68"}
        places = {entity["what"].get("reference", "").split("/_history")[0] for entity in event["entity"]}
        assert {f"DocumentReference/{id_}", f"Bundle/{bundle}", f"Patient/{dossier.id}"} <= places
    assert b"<Bundle" in doctor.get(f"/Bundle/{bundle}", Accept="application/fhir+xml").body


@pytest.mark.statement("dmp-fhir 9.8/143", "dmp-fhir 9.8/144", "dmp-fhir 9.8/148")
def test_a_native_fhir_document_is_hidden_and_deleted_like_any_content(world: World, dossier: Dossier) -> None:
    labels = [{"coding": [{"system": system, "code": code}]} for system, code in HIDDEN]
    _, masked = fhir_document(dossier, securityLabel=labels)
    id_, gone = fhir_document(dossier)
    other = stranger(world, dossier)
    assert other.get(f"/Bundle/{gone}").status == 200
    dossier.delete(id_)
    unknown = other.get("/Bundle/0191a1b2-0000-7000-8000-00000000abcd")
    assert same_refusal(other.get(f"/Bundle/{masked}"), unknown)
    assert_refused(other.get(f"/Bundle/{gone}"), 410, "deleted")
    nurse = world.doctor(samples.NURSE, samples.CLINIC, "60")
    assert_refused(nurse.get(f"/Bundle/{gone}"), 403, "non-autorise")


def events(dossier: Dossier) -> list[Json]:
    """Return the trail of the dossier, newest first, as the patient reads it."""
    answer = dossier.holder.get(f"/AuditEvent?patient=Patient/{dossier.id}&_count=50")
    assert answer.status == 200, answer.body
    return answer.entries


def subtypes(event: Json) -> set[str]:
    """Return the subtypes: plain codes of restful-interaction, `system#code` of the others."""
    return {
        each["code"] if "restful" in each["system"] else f"{each['system']}#{each['code']}" for each in event["subtype"]
    }


@pytest.mark.statement("dmp-fhir 9.8/149")
def test_a_refused_retrieval_is_audited_too(world: World, dossier: Dossier) -> None:
    path = dossier.path(dossier.submit())
    nurse = world.doctor(samples.NURSE, samples.CLINIC, "60")
    assert nurse.get(path).status == 403
    found = [event for event in events(dossier) if event["outcome"] == "8"]
    assert len(found) == 1
    assert "ITI-68" in str(found[0]["subtype"])
    assert "non-autorise" in found[0]["outcomeDesc"] or "authorisation-missing" in found[0]["outcomeDesc"]


@pytest.mark.statement("dmp-fhir 9.8/149")
def test_each_transaction_has_its_subtype(world: World, dossier: Dossier, doctor: Client) -> None:
    id_ = dossier.submit()
    made = doctor.post("/DocumentReference", publication(next_oid(), ins=dossier.ins)).json["id"]
    dossier.found(doctor)
    dossier.found(doctor, type_="List")
    dossier.archive(id_)
    dossier.label(id_, "MASQUE_PS")
    dossier.delete(made)
    told = [(subtypes(event), event["action"]) for event in reversed(events(dossier))]
    ihe, x = "urn:ihe:event-type-code", world.services.canonical
    for expected in (
        ({f"{ihe}#ITI-65"}, "C"),
        ({"create", f"{ihe}#ITI-105"}, "C"),
        ({"search-type", f"{ihe}#ITI-67"}, "E"),
        ({"search-type", f"{ihe}#ITI-66"}, "E"),
        ({"patch", f"{x}#TD3.3d"}, "U"),
        ({"patch", f"{x}#TD3.3a"}, "U"),
        ({"patch", f"{x}#TD3.3c"}, "U"),
    ):
        assert expected in told, (expected, told)


@pytest.mark.statement("dmp-fhir 9.8/150")
@pytest.mark.parametrize("stored", ["application/xml", "text/xml"])
@pytest.mark.parametrize("accept", ["application/xml", "text/xml", "text/xml, application/xml;q=0.5"])
def test_both_xml_types_give_the_cda(dossier: Dossier, doctor: Client, stored: str, accept: str) -> None:
    content = CDA + next_content()
    path = dossier.path(dossier.submit(content=content, content_type=stored))
    answer = doctor.get(path, Accept=accept)
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["Content-Type"] == stored


@pytest.mark.statement("dmp-fhir 9.8/139")
def test_a_large_content_comes_back_byte_for_byte(dossier: Dossier, doctor: Client) -> None:
    content = bytes(range(256)) * 4 * 1024 * 6 + next_content()
    path = dossier.path(dossier.submit(content=content, content_type="application/pdf"))
    assert doctor.get(path).body == content
    as_fhir = doctor.get(path, Accept="application/fhir+json")
    assert base64.b64decode(as_fhir.json["data"]) == content
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": path[1:]}}]}
    (entry,) = doctor.post("", batch).json["entry"]
    assert base64.b64decode(entry["resource"]["data"]) == content
