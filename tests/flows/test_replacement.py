"""TD2.1: a document is replaced by its next version. [dmp-fhir 9.6]"""

from __future__ import annotations

from typing import Any

import pytest

from tests import samples
from tests.flows.steps import Dossier, assert_refused, next_content, next_ins, next_oid, nothing_stored, publication
from tests.flows.submissions import content_of, ids, submission
from tests.samples import Json
from tests.world import Response, World

URI = "urn:ietf:rfc:3986"
DOCUMENT = 1


def to(target: Json, code: str = "replaces") -> list[Json]:
    """Return a relation."""
    return [{"code": code, "target": target}]


def at(id_: str) -> Json:
    """Return a literal reference to a document."""
    return {"reference": f"DocumentReference/{id_}"}


def supersede(url: str, order: tuple[str, ...] = ("type", "path", "value")) -> Json:
    """Return the entry that supersedes a document."""
    parts = {
        "type": {"name": "type", "valueCode": "replace"},
        "path": {"name": "path", "valueString": "DocumentReference.status"},
        "value": {"name": "value", "valueCode": "superseded"},
    }
    operation = {"name": "operation", "part": [parts[name] for name in order]}
    body = {"resourceType": "Parameters", "parameter": [operation]}
    full = "urn:uuid:6f1f1a3c-3b0a-4b52-9a51-a36d1a1f3c55"
    return {"fullUrl": full, "resource": body, "request": {"method": "PATCH", "url": url}}


def replacement(dossier: Dossier, target: Json, patch: Json | None = None, **more: Any) -> Json:
    """Return a submission that replaces a document."""
    body = submission(dossier, relatesTo=to(target), **more)
    if patch is not None:
        body["entry"].append(patch)
    return body


def post(dossier: Dossier, body: Json) -> Response:
    """Submit as the author."""
    return dossier.world.doctor().post("", body)


@pytest.mark.statement("dmp-fhir 9.6/87", "dmp-fhir 9.6/88", "dmp-fhir 9.6/101")
def test_a_replacement_supersedes_x_and_keeps_it_readable(world: World, dossier: Dossier) -> None:
    content = next_content()
    old = dossier.submit(content=content)
    path = dossier.path(old)
    answer = post(dossier, replacement(dossier, at(old), supersede(f"DocumentReference/{old}")))
    assert answer.status == 200, answer.body
    statuses = [entry["response"]["status"][:3] for entry in answer.json["entry"]]
    assert statuses == ["201", "201", "201", "200"]
    assert answer.json["entry"][3]["response"]["location"] == f"DocumentReference/{old}/_history/2"
    new = dossier.read(ids(answer)[DOCUMENT].split("/")[1])
    assert (new["status"], new["relatesTo"]) == ("current", to(at(old)))
    was = dossier.read(old)
    assert (was["status"], was["meta"]["versionId"]) == ("superseded", "2")
    assert world.doctor().get(path).body == content


@pytest.mark.statement("dmp-fhir 9.6/89")
@pytest.mark.parametrize("order", [("path", "type", "value"), ("value", "path", "type"), ("type", "value", "path")])
def test_the_parts_of_the_patch_come_in_any_order(dossier: Dossier, order: tuple[str, ...]) -> None:
    old = dossier.submit()
    answer = post(dossier, replacement(dossier, at(old), supersede(f"DocumentReference/{old}", order)))
    assert answer.status == 200, answer.body
    assert dossier.read(old)["status"] == "superseded"


@pytest.mark.statement("dmp-fhir 9.6/90")
@pytest.mark.parametrize("form", ["literal", "absolute", "conditional", "identifier", "entryUUID"])
def test_every_form_of_the_target_is_resolved(world: World, dossier: Dossier, form: str) -> None:
    unique = next_oid()
    old = dossier.submit(unique)
    target = {
        "literal": at(old),
        "absolute": {"reference": f"{world.services.base}/DocumentReference/{old}"},
        "conditional": {"reference": f"DocumentReference?identifier={URI}|urn:oid:{unique}"},
        "identifier": {"identifier": {"system": URI, "value": f"urn:oid:{unique}"}},
        "entryUUID": {"identifier": {"system": URI, "value": f"urn:uuid:{old}"}},
    }[form]
    conditional = f"DocumentReference?identifier={URI}|urn:oid:{unique}"
    answer = post(dossier, replacement(dossier, target, supersede(conditional)))
    assert answer.status == 200, answer.body
    new = dossier.read(ids(answer)[DOCUMENT].split("/")[1])
    assert new["relatesTo"][0]["target"]["reference"] == f"DocumentReference/{old}"
    assert dossier.read(old)["status"] == "superseded"


def refused(dossier: Dossier, body: Json, status: int, *codes: str) -> None:
    """Submit as the author, and check that it is refused whole."""
    with nothing_stored(dossier.world, content_of(body)):
        answer = post(dossier, body)
    assert_refused(answer, status, *codes, at="Bundle.entry")


@pytest.mark.statement("dmp-fhir 9.6/91")
def test_an_unknown_target_is_422(dossier: Dossier) -> None:
    absent = at("0191a1b2-0000-7000-8000-00000000abcd")
    refused(dossier, replacement(dossier, absent), 422, "cible-inconnue", "XDSUnreferencedObjectException")


@pytest.mark.statement("dmp-fhir 9.6/92")
def test_a_target_of_another_patient_is_422(world: World, dossier: Dossier) -> None:
    foreign = Dossier.open(world, next_ins()).submit()
    refused(dossier, replacement(dossier, at(foreign)), 422)


@pytest.mark.statement("dmp-fhir 9.6/93")
def test_a_superseded_target_is_409_and_its_successor_named(dossier: Dossier) -> None:
    old = dossier.submit()
    new = dossier.replace(old)
    body = replacement(dossier, at(old))
    with nothing_stored(dossier.world, content_of(body)):
        answer = post(dossier, body)
    assert_refused(answer, 409, "cible-deja-remplacee")
    assert new.encode() in answer.body


@pytest.mark.statement("dmp-fhir 9.6/94")
def test_a_deleted_target_is_422(dossier: Dossier) -> None:
    old = dossier.submit()
    dossier.delete(old)
    refused(dossier, replacement(dossier, at(old)), 422, "transition-interdite")


@pytest.mark.statement("dmp-fhir 9.6/95")
def test_the_unique_id_of_x_cannot_be_used_again(dossier: Dossier) -> None:
    unique = next_oid()
    old = dossier.submit(unique)
    body = replacement(dossier, at(old))
    body["entry"][DOCUMENT]["resource"]["masterIdentifier"]["value"] = f"urn:oid:{unique}"
    refused(dossier, body, 409, "hash-different")


@pytest.mark.statement("dmp-fhir 9.6/96")
def test_without_patch_entry_the_server_supersedes_x_and_says_so(dossier: Dossier) -> None:
    old = dossier.submit()
    answer = post(dossier, replacement(dossier, at(old)))
    assert answer.status == 200, answer.body
    assert dossier.read(old)["status"] == "superseded"
    issues = [i for e in answer.json["entry"] for i in e["response"].get("outcome", {}).get("issue", [])]
    assert "information" in {issue["severity"] for issue in issues}


@pytest.mark.statement("dmp-fhir 9.6/97")
def test_a_patch_entry_without_relation_is_422(dossier: Dossier) -> None:
    old = dossier.submit()
    body = submission(dossier)
    body["entry"].append(supersede(f"DocumentReference/{old}"))
    refused(dossier, body, 422)


@pytest.mark.statement("dmp-fhir 9.6/97")
@pytest.mark.parametrize(
    "part",
    [
        {"name": "path", "valueString": "DocumentReference.securityLabel"},
        {"name": "value", "valueCode": "entered-in-error"},
        {"name": "type", "valueCode": "delete"},
    ],
)
def test_a_patch_entry_supersedes_and_nothing_else(dossier: Dossier, part: Json) -> None:
    old = dossier.submit()
    patch = supersede(f"DocumentReference/{old}")
    parts = patch["resource"]["parameter"][0]["part"]
    parts[:] = [part if each["name"] == part["name"] else each for each in parts]
    refused(dossier, replacement(dossier, at(old), patch), 422)


@pytest.mark.statement("dmp-fhir 9.6/98")
def test_a_simplified_publication_replaces_too(world: World, dossier: Dossier) -> None:
    old = dossier.submit()
    body = publication(next_oid(), ins=dossier.ins, content=next_content(), relatesTo=to(at(old)))
    answer = world.doctor().post("/DocumentReference", body)
    assert answer.status == 201, answer.body
    assert answer.json["relatesTo"] == to(at(old))
    assert dossier.read(old)["status"] == "superseded"


@pytest.mark.statement("dmp-fhir 9.6/99")
def test_only_the_author_and_the_structure_replace(world: World, dossier: Dossier) -> None:
    old = dossier.submit()
    dossier.authorise(samples.OTHER_DOCTOR)
    foreign = submission(dossier, relatesTo=to(at(old)), professional=samples.OTHER_DOCTOR, structure=samples.CLINIC)
    with nothing_stored(world, content_of(foreign)):
        answer = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC).post("", foreign)
    assert_refused(answer, 403, "pas-auteur")
    colleague = submission(dossier, relatesTo=to(at(old)), professional=samples.OTHER_DOCTOR)
    assert world.doctor(samples.OTHER_DOCTOR, samples.HOSPITAL).post("", colleague).status == 200


@pytest.mark.statement("dmp-fhir 9.6/100")
def test_visibility_labels_are_inherited_with_a_warning(dossier: Dossier) -> None:
    old = dossier.submit(labels=((samples.VISIBILITY, "MASQUE_PS"), (samples.CONFIDENTIALITY, "N")))
    answer = post(dossier, replacement(dossier, at(old)))
    assert answer.status == 200, answer.body
    new = dossier.read(ids(answer)[DOCUMENT].split("/")[1])
    assert [coding["code"] for label in new["securityLabel"] for coding in label["coding"]] == ["MASQUE_PS", "N"]
    issues = [i for e in answer.json["entry"] for i in e["response"].get("outcome", {}).get("issue", [])]
    assert any("securityLabel" in place for i in issues if i["severity"] == "warning" for place in i["expression"])


@pytest.mark.statement("dmp-fhir 9.6/102")
@pytest.mark.parametrize("code", ["transforms", "appends", "signs"])
def test_other_relations_leave_the_target_alone(dossier: Dossier, code: str) -> None:
    old = dossier.submit()
    new = dossier.submit(relatesTo=to(at(old), code), content=next_content())
    assert dossier.read(new)["relatesTo"] == to(at(old), code)
    assert (dossier.read(old)["status"], dossier.read(old)["meta"]["versionId"]) == ("current", "1")


@pytest.mark.statement("dmp-fhir 9.6/96")
def test_an_archived_document_is_replaced_by_one_that_is_not(dossier: Dossier) -> None:
    old = dossier.submit()
    dossier.archive(old)
    assert "extension" not in dossier.read(dossier.replace(old))
