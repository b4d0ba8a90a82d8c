"""TD3.3: status, labels and archive flag of a document change, and nothing else. [dmp-fhir 9.9]"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fhir_dmp.fhir.xml import to_xml
from tests import samples
from tests.flows.steps import ARCHIVED, Dossier, assert_refused, next_ins, next_oid, nothing_stored
from tests.samples import Json
from tests.world import Client, Response, World

URI = "urn:ietf:rfc:3986"
N = (samples.CONFIDENTIALITY, "N")


def label(code: str) -> Json:
    """Return a visibility label, or the base label N."""
    system = samples.CONFIDENTIALITY if code == "N" else samples.VISIBILITY
    return {"coding": [{"system": system, "code": code}]}


def replace(index: int, code: str) -> list[Json]:
    """Return the request of the guide: replace the label at an index."""
    return [{"op": "replace", "path": f"/securityLabel/{index}", "value": label(code)}]


def status(code: str) -> list[Json]:
    """Return the request of the guide for a status."""
    return [{"op": "replace", "path": "/status", "value": code}]


def archive(value: object) -> list[Json]:
    """Return the request of the guide for the archive flag; its path is no JSON Pointer."""
    return [{"op": "replace", "path": f"/extension[url:'{ARCHIVED}']/valueBoolean", "value": value}]


def fhirpath(type_: str, path: str, **value: Any) -> Json:
    """Return a FHIRPath Patch of one operation."""
    part = [{"name": "type", "valueCode": type_}, {"name": "path", "valueString": path}]
    part += [{"name": "value", **value}] if value else []
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}


def codes(document: Json) -> list[str]:
    """Return the codes of the labels in their order."""
    return [coding["code"] for concept in document["securityLabel"] for coding in concept["coding"]]


def patched(dossier: Dossier, id_: str, body: object, client: Client | None = None, **headers: str) -> Response:
    """Patch a document, as its author."""
    return (client or dossier.world.doctor()).patch(f"/DocumentReference/{id_}", body, **headers)


@pytest.mark.statement("dmp-fhir 9.9/151")
@pytest.mark.parametrize("form", ["uniqueId", "entryUUID"])
def test_a_patch_by_business_identifier_changes_the_one_document(dossier: Dossier, form: str) -> None:
    unique = next_oid()
    id_, other = dossier.submit(unique), dossier.submit()
    value = f"urn:oid:{unique}" if form == "uniqueId" else f"urn:uuid:{id_}"
    answer = dossier.world.doctor().patch(f"/DocumentReference?identifier={URI}|{value}", replace(0, "MASQUE_PS"))
    assert (answer.status, answer.json["id"]) == (200, id_), answer.body
    assert codes(answer.json) == ["MASQUE_PS", "N"]
    assert answer.headers["ETag"] == 'W/"2"'
    assert "Last-Modified" in answer.headers
    assert codes(dossier.read(other)) == ["N"]


@pytest.mark.statement("dmp-fhir 9.9/152", "dmp-fhir 9.9/157", "dmp-fhir 9.9/158")
def test_a_patch_by_id_masks_and_keeps_the_base_code(dossier: Dossier) -> None:
    id_ = dossier.submit()
    answer = patched(dossier, id_, replace(0, "MASQUE_PS"))
    assert answer.status == 200, answer.body
    assert codes(answer.json) == ["MASQUE_PS", "N"]
    assert answer.json == dossier.read(id_)


@pytest.mark.statement("dmp-fhir 9.9/153")
def test_no_match_is_404_and_several_are_412(world: World, dossier: Dossier) -> None:
    for _ in range(2):
        dossier.submit()
    with nothing_stored(world):
        absent = f"/DocumentReference?identifier={URI}|urn:oid:{next_oid()}"
        assert_refused(world.doctor().patch(absent, status("superseded")), 404)
        several = f"/DocumentReference?patient=Patient/{dossier.id}"
        assert_refused(world.admin.patch(several, status("superseded")), 412, "multiple-matches")


@pytest.mark.statement("dmp-fhir 9.9/154")
@pytest.mark.parametrize("form", ["json", "fhirpath", "xml"])
def test_every_form_of_patch_is_accepted(world: World, dossier: Dossier, form: str) -> None:
    id_ = dossier.submit()
    parameters = fhirpath("replace", "DocumentReference.status", valueCode="superseded")
    doctor, place = world.doctor(), f"/DocumentReference/{id_}"
    if form == "json":
        answer = doctor.patch(place, status("superseded"))
    elif form == "fhirpath":
        answer = doctor.patch(place, parameters)
    else:
        body = to_xml(parameters, world.services.structures)
        answer = doctor.call("PATCH", place, body, {"content-type": "application/fhir+xml"})
    assert (answer.status, answer.json["status"]) == (200, "superseded"), answer.body


@pytest.mark.statement("dmp-fhir 9.9/155")
@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/type/coding/0/code", "value": "34112-3"},
        {"op": "replace", "path": "/subject", "value": {"reference": "Patient/x"}},
        {"op": "replace", "path": "/content/0/attachment/title", "value": "Autre"},
        {"op": "remove", "path": "/author/0"},
        {"op": "add", "path": "/description", "value": "x"},
        {"op": "replace", "path": "/masterIdentifier/value", "value": "urn:oid:1.2.3"},
        {"op": "add", "path": "/extension/-", "value": {"url": "https://example.org/x", "valueCode": "x"}},
        {"op": "replace", "path": "/contained/0/id", "value": "other"},
    ],
    ids=lambda operation: operation["path"],
)
def test_a_patch_of_anything_else_is_422_and_changes_nothing(world: World, dossier: Dossier, operation: Json) -> None:
    id_ = dossier.submit()
    for client in (world.doctor(), world.admin):
        with nothing_stored(world):
            answer = patched(dossier, id_, [*status("superseded"), operation], client)
        assert_refused(answer, 422)
    assert "metadonnee-non-modifiable" in answer.codes


@pytest.mark.statement("dmp-fhir 9.9/156")
def test_a_failed_test_is_422_and_changes_nothing(dossier: Dossier) -> None:
    id_ = dossier.submit()
    with nothing_stored(dossier.world):
        test = {"op": "test", "path": "/status", "value": "superseded"}
        assert_refused(patched(dossier, id_, [test, *status("entered-in-error")]), 422)


@pytest.mark.statement("dmp-fhir 9.9/155")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([{"op": "replace", "path": "/securityLabel/7", "value": label("N")}], 422),
        ([{"op": "replace", "path": "/securityLabel/0", "value": "N"}], 422),
        ([{"op": "explode", "path": "/status"}], 422),
        ([{"path": "/status"}], 422),
        ({"resourceType": "Patient"}, 422),
        (fhirpath("replace", "DocumentReference.status.where(", valueCode="x"), 422),
    ],
)
def test_what_is_no_applicable_patch_is_refused(dossier: Dossier, body: object, expected: int) -> None:
    id_ = dossier.submit()
    with nothing_stored(dossier.world):
        assert_refused(patched(dossier, id_, body), expected)


@pytest.mark.statement("dmp-fhir 9.9/159")
def test_normal_removes_the_only_visibility_label(dossier: Dossier) -> None:
    id_ = dossier.submit()
    patched(dossier, id_, replace(0, "MASQUE_PS"))
    answer = patched(dossier, id_, replace(0, "N"))
    assert (answer.status, codes(answer.json)) == (200, ["N"]), answer.body


@pytest.mark.statement("dmp-fhir 9.9/160", "dmp-fhir 9.9/162")
def test_normal_is_ambiguous_with_two_visibility_labels_unless_precise(dossier: Dossier) -> None:
    id_ = dossier.submit()
    patched(dossier, id_, replace(0, "INVISIBLE_PATIENT"))
    both = patched(dossier, id_, replace(0, "MASQUE_PS"))
    assert codes(both.json) == ["MASQUE_PS", "INVISIBLE_PATIENT", "N"]
    with nothing_stored(dossier.world):
        assert_refused(patched(dossier, id_, replace(0, "N")), 422, "label-ambigu")
    test = {"op": "test", "path": "/securityLabel/0", "value": both.json["securityLabel"][0]}
    precise = patched(dossier, id_, [test, *replace(0, "N")])
    assert (precise.status, codes(precise.json)) == (200, ["INVISIBLE_PATIENT", "N"]), precise.body


@pytest.mark.statement("dmp-fhir 9.9/160")
def test_if_match_makes_the_request_precise(dossier: Dossier) -> None:
    id_ = dossier.submit()
    patched(dossier, id_, replace(0, "INVISIBLE_PATIENT"))
    patched(dossier, id_, replace(0, "MASQUE_PS"))
    answer = patched(dossier, id_, replace(1, "N"), If_Match='W/"3"')
    assert (answer.status, codes(answer.json)) == (200, ["MASQUE_PS", "N"]), answer.body


@pytest.mark.statement("dmp-fhir 9.9/161")
def test_fhirpath_deletes_one_label_only(dossier: Dossier) -> None:
    id_ = dossier.submit()
    patched(dossier, id_, replace(0, "INVISIBLE_PATIENT"))
    patched(dossier, id_, replace(0, "MASQUE_PS"))
    body = fhirpath("delete", "DocumentReference.securityLabel.where(coding.code='MASQUE_PS')")
    answer = patched(dossier, id_, body)
    assert (answer.status, codes(answer.json)) == (200, ["INVISIBLE_PATIENT", "N"]), answer.body


@pytest.mark.statement("dmp-fhir 9.9/162")
def test_masked_and_invisible_are_refused_together_where_the_setting_says_so(make: Callable[..., World]) -> None:
    server = make(DMP_DOCUMENTS_MASK_PLUS_INVISIBLE="false")
    dossier = Dossier.open(server, next_ins())
    id_ = dossier.submit()
    assert patched(dossier, id_, replace(0, "MASQUE_PS")).status == 200
    with nothing_stored(server):
        assert_refused(patched(dossier, id_, replace(0, "INVISIBLE_PATIENT")), 422)


@pytest.mark.statement("dmp-fhir 9.9/163")
def test_the_representatives_label_is_for_minors(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    with nothing_stored(world):
        assert_refused(patched(dossier, id_, replace(0, "INVISIBLE_REPRESENTANTS_LEGAUX")), 422)
    minor = Dossier.open(world, next_ins(), birthDate="2009-02-03")
    answer = patched(minor, minor.submit(), replace(0, "INVISIBLE_REPRESENTANTS_LEGAUX"))
    assert (answer.status, codes(answer.json)) == (200, ["INVISIBLE_REPRESENTANTS_LEGAUX", "N"]), answer.body


@pytest.mark.statement("dmp-fhir 9.9/164")
def test_an_unknown_visibility_code_is_422(dossier: Dossier) -> None:
    id_ = dossier.submit()
    with nothing_stored(dossier.world):
        assert_refused(patched(dossier, id_, replace(0, "MASQUE_TOUT")), 422)


@pytest.mark.statement("dmp-fhir 9.9/165")
@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "remove", "path": "/securityLabel"}],
        [{"op": "remove", "path": "/securityLabel/0"}],
        [{"op": "replace", "path": "/securityLabel", "value": [label("MASQUE_PS")]}],
        [{"op": "replace", "path": "/securityLabel", "value": []}],
    ],
    ids=["remove all", "remove the base", "only a mask", "empty"],
)
def test_labels_never_become_empty(dossier: Dossier, operations: list[Json]) -> None:
    id_ = dossier.submit()
    answer = patched(dossier, id_, operations)
    assert answer.status in (200, 422), answer.body
    assert codes(dossier.read(id_))[-1] == "N"


@pytest.mark.statement("dmp-fhir 9.9/166")
def test_a_mask_hides_search_document_and_content_at_once(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    path = dossier.path(id_)
    dossier.authorise(samples.OTHER_DOCTOR)
    other = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    assert (dossier.found(other), other.get(path).status) == ([id_], 200)
    assert patched(dossier, id_, replace(0, "MASQUE_PS"), dossier.holder).status == 200
    assert dossier.found(other) == []
    for place in (path, f"/DocumentReference/{id_}"):
        assert_refused(other.get(place), 404)


@pytest.mark.statement("dmp-fhir 9.9/167")
def test_restored_visibility_shows_the_document_to_the_patient_at_once(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit(labels=((samples.VISIBILITY, "INVISIBLE_PATIENT"), N))
    assert dossier.found(dossier.holder) == []
    dossier.authorise(samples.OTHER_DOCTOR)
    announcing = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    answer = patched(dossier, id_, replace(0, "N"), announcing)
    assert (answer.status, codes(answer.json)) == (200, ["N"]), answer.body
    assert dossier.found(dossier.holder) == [id_]


@pytest.mark.statement("dmp-fhir 9.9/167")
def test_what_the_patient_has_read_is_not_hidden_any_more(dossier: Dossier) -> None:
    id_ = dossier.submit()
    assert dossier.holder.get(dossier.path(id_)).status == 200
    with nothing_stored(dossier.world):
        answer = patched(dossier, id_, replace(0, "INVISIBLE_PATIENT"))
    assert_refused(answer, 422, "transition-interdite")


@pytest.mark.statement("dmp-fhir 9.9/168", "dmp-fhir 9.9/180")
def test_the_author_deletes_and_the_document_is_hidden_and_claims_no_profile(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    answer = patched(dossier, id_, status("entered-in-error"))
    assert (answer.status, answer.json["status"]) == (200, "entered-in-error"), answer.body
    assert answer.json["meta"].get("profile", []) == []
    dossier.authorise()
    assert dossier.found(world.doctor()) == []
    with nothing_stored(world):
        again = patched(dossier, id_, status("entered-in-error"))
    assert (again.status, again.json["meta"]["versionId"]) == (200, "2")


@pytest.mark.statement("dmp-fhir 9.9/169")
def test_somebody_elses_deletion_is_403_pas_auteur(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    dossier.authorise(samples.OTHER_DOCTOR)
    other = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    with nothing_stored(world):
        for client in (other, dossier.holder):
            assert_refused(patched(dossier, id_, status("entered-in-error"), client), 403, "pas-auteur")


@pytest.mark.statement("dmp-fhir 9.9/170")
@pytest.mark.parametrize("target", ["current", "superseded"])
def test_a_deletion_is_final(dossier: Dossier, target: str) -> None:
    id_ = dossier.submit()
    dossier.delete(id_)
    with nothing_stored(dossier.world):
        assert_refused(patched(dossier, id_, status(target)), 422, "transition-interdite")


@pytest.mark.statement("dmp-fhir 9.9/171")
def test_a_withdrawn_document_comes_back_unless_another_one_replaces_it(dossier: Dossier) -> None:
    withdrawn, replaced = dossier.submit(), dossier.submit()
    assert patched(dossier, withdrawn, status("superseded")).status == 200
    back = patched(dossier, withdrawn, status("current"))
    assert (back.status, back.json["status"]) == (200, "current"), back.body
    dossier.replace(replaced)
    with nothing_stored(dossier.world):
        assert_refused(patched(dossier, replaced, status("current")), 409)


@pytest.mark.statement("dmp-fhir 9.9/172", "dmp-fhir 9.9/173", "dmp-fhir 9.9/174")
@pytest.mark.parametrize("value", [True, "true"])
def test_the_archive_path_of_the_guide_is_accepted(dossier: Dossier, value: object) -> None:
    id_ = dossier.submit()
    answer = patched(dossier, id_, archive(value))
    assert answer.status == 200, answer.body
    assert answer.json["extension"] == [{"url": ARCHIVED, "valueBoolean": True}]
    assert answer.headers["Warning"] == '299 - "non standard JSON Pointer accepted"'
    back = patched(dossier, id_, archive(False if value is True else "false"))
    assert (back.status, back.json["extension"]) == (200, [{"url": ARCHIVED, "valueBoolean": False}]), back.body


@pytest.mark.statement("dmp-fhir 9.9/172")
def test_the_search_parameters_url_is_taken_for_the_extensions(dossier: Dossier) -> None:
    id_ = dossier.submit()
    url = f"{samples.PDSM.rsplit('/', 1)[0]}/SearchParameter/PDSm-isArchived"
    path = f"/extension[url:\u201c{url}\u201d]/valueBoolean"
    answer = patched(dossier, id_, [{"op": "add", "path": path, "value": "true"}])
    assert answer.status == 200, answer.body
    assert answer.json["extension"] == [{"url": ARCHIVED, "valueBoolean": True}]


@pytest.mark.statement("dmp-fhir 9.9/175")
@pytest.mark.parametrize("state", ["superseded", "entered-in-error"])
def test_only_a_current_document_is_archived(dossier: Dossier, state: str) -> None:
    id_ = dossier.submit()
    assert patched(dossier, id_, status(state)).status == 200
    with nothing_stored(dossier.world):
        assert_refused(patched(dossier, id_, archive(True)), 422)


@pytest.mark.statement("dmp-fhir 9.9/176", "dmp-fhir 9.9/177", "dmp-fhir 9.9/179")
def test_each_effective_patch_is_a_version_and_identifiers_never_change(dossier: Dossier) -> None:
    id_ = dossier.submit()
    first = dossier.read(id_)
    seen = [first]
    for body in (replace(0, "MASQUE_PS"), replace(0, "MASQUE_PS"), archive(True), archive(True), replace(0, "N")):
        answer = patched(dossier, id_, body)
        assert answer.status == 200, answer.body
        changed = seen[-1]["meta"]["versionId"] != answer.json["meta"]["versionId"]
        assert changed == (seen[-1]["meta"]["lastUpdated"] < answer.json["meta"]["lastUpdated"])
        if changed:
            seen.append(answer.json)
    assert [each["meta"]["versionId"] for each in seen] == ["1", "2", "3", "4"]
    for name in ("id", "masterIdentifier", "identifier", "subject", "content"):
        assert len({json.dumps(each[name]) for each in seen}) == 1
    history = dossier.world.doctor().get(f"/DocumentReference/{id_}/_history").json
    assert history["total"] == 4
    assert [entry["resource"] for entry in history["entry"]] == seen[::-1]


@pytest.mark.statement("dmp-fhir 9.9/178")
@pytest.mark.parametrize("body", [replace(0, "MASQUE_PS"), status("entered-in-error"), archive(True)])
def test_nothing_changes_in_a_closed_dossier(dossier: Dossier, body: list[Json]) -> None:
    id_ = dossier.submit()
    dossier.close()
    with nothing_stored(dossier.world):
        for client in (dossier.world.doctor(), dossier.holder):
            assert_refused(patched(dossier, id_, body, client), 422, "dmp-ferme")


@pytest.mark.statement("dmp-fhir 9.11/205")
def test_audit_events_cannot_be_changed_or_removed(world: World, dossier: Dossier) -> None:
    dossier.submit()
    event = dossier.holder.get(f"/AuditEvent?patient=Patient/{dossier.id}").entries[0]
    place = f"/AuditEvent/{event['id']}"
    for client in (world.admin, dossier.holder):
        assert client.put(place, {**event, "outcome": "0"}).status == 405
        assert client.patch(place, [{"op": "replace", "path": "/outcome", "value": "0"}]).status == 405
        assert client.delete(place).status == 405
    assert dossier.holder.get(place).json == event
