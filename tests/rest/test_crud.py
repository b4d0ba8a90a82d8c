"""create, read, vread, update, delete as a client meets them. fhir-rest 3, checklist B."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest

from tests.rest.shapes import BASE, bare, made, named, observation, organization, patient
from tests.samples import CONFIDENTIALITY, NURSE, VISIBILITY
from tests.world import Client, World


@pytest.mark.statement("fhir-rest B29")
def test_a_create_answers_201_with_a_versioned_absolute_location(wide: World) -> None:
    answer = wide.admin.post("/Patient", patient())
    assert answer.status == 201
    id_ = answer.json["id"]
    assert answer.headers["Location"] == f"{BASE}/Patient/{id_}/_history/1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Last-Modified"] == "Fri, 12 Jun 2026 10:26:40 GMT"


@pytest.mark.statement("fhir-rest B30")
def test_a_create_ignores_id_version_and_time_of_the_body(admin: Client) -> None:
    sent = patient(id="mine", meta={"versionId": "7", "lastUpdated": "2001-01-01T00:00:00Z", "source": "urn:x:y"})
    stored = made(admin, sent)
    assert stored["id"] != "mine"
    assert stored["meta"]["versionId"] == "1"
    assert stored["meta"]["lastUpdated"].startswith("2026-06-12T10:26:40.")
    assert stored["meta"]["source"] == "urn:x:y"


def test_criteria_in_the_url_of_a_create_are_refused_before_they_make_a_duplicate(wide: World) -> None:
    answer = wide.admin.post("/Patient?identifier=x", patient())
    assert (answer.status, answer.codes, answer.expressions) == (400, {"not-supported"}, ["http.identifier"])
    assert wide.admin.post("/Patient?_format=json&_pretty=true", patient()).status == 201


@pytest.mark.statement("fhir-rest B31")
def test_a_create_of_another_type_than_the_urls_is_400(admin: Client) -> None:
    answer = admin.post("/Patient", organization())
    assert (answer.status, answer.codes, answer.expressions) == (400, {"invalid"}, ["resourceType"])


@pytest.mark.statement("fhir-rest B32")
@pytest.mark.parametrize("body", [b"{}", b'{"active":true}', b"[]", b'"Patient"', b"1", b"null"])
def test_a_body_that_is_no_resource_is_400(admin: Client, body: bytes) -> None:
    answer = admin.call("POST", "/Patient", body, {"Content-Type": "application/fhir+json"})
    assert answer.status == 400
    assert answer.json["resourceType"] == "OperationOutcome"


@pytest.mark.statement("fhir-rest B33")
def test_a_read_returns_exactly_what_was_created_plus_id_and_meta(wide: World) -> None:
    sent = observation(
        valueQuantity={"value": 1, "unit": "mmol/L"},
        note=[{"text": "œdème — « léger »"}],
        extension=[{"url": "https://example.org/x", "valueBoolean": False}],
    )
    stored = made(wide.admin, sent)
    answer = wide.admin.get(f"/{named(stored)}")
    assert answer.status == 200
    assert bare(answer.json) == sent
    assert list(answer.json)[:3] == ["resourceType", "id", "meta"]
    assert answer.headers["ETag"] == 'W/"1"'
    assert "Last-Modified" in answer.headers
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.statement("fhir-rest B34")
def test_an_unknown_id_is_404_and_a_deleted_one_410_with_its_etag(wide: World) -> None:
    admin = wide.admin
    unknown = admin.get("/Organization/never-was")
    assert (unknown.status, unknown.codes) == (404, {"not-found"})
    stored = made(admin, organization())
    assert admin.delete(f"/{named(stored)}").status == 204
    gone = admin.get(f"/{named(stored)}")
    assert (gone.status, gone.codes, gone.headers["ETag"]) == (410, {"deleted"}, 'W/"2"')


@pytest.mark.statement("fhir-rest B35")
@pytest.mark.parametrize("tags", ['W/"1"', '"1"', 'W/"9", W/"1"', "*"])
def test_a_matching_if_none_match_is_304_without_body(admin: Client, tags: str) -> None:
    path = f"/{named(made(admin, patient()))}"
    answer = admin.get(path, If_None_Match=tags)
    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", 'W/"1"')
    assert admin.get(path, If_None_Match='W/"2"').status == 200


@pytest.mark.statement("fhir-rest B36")
def test_if_none_match_wins_over_if_modified_since(admin: Client) -> None:
    path = f"/{named(made(admin, patient()))}"
    seen = admin.get(path).headers["Last-Modified"]
    assert admin.get(path, If_None_Match='W/"9"', If_Modified_Since=seen).status == 200
    old = "Thu, 01 Jan 1970 00:00:00 GMT"
    assert admin.get(path, If_None_Match='W/"1"', If_Modified_Since=old).status == 304


@pytest.mark.statement("fhir-rest B37")
def test_if_modified_since_of_the_same_second_is_304_and_of_the_second_before_200(admin: Client) -> None:
    path = f"/{named(made(admin, patient()))}"
    assert admin.get(path, If_Modified_Since="Fri, 12 Jun 2026 10:26:40 GMT").status == 304
    assert admin.get(path, If_Modified_Since="Fri, 12 Jun 2026 10:26:39 GMT").status == 200


@pytest.mark.statement("fhir-rest B38")
def test_each_version_is_read_with_its_own_content_and_etag(wide: World) -> None:
    admin = wide.admin
    stored = made(admin, patient("UN"))
    path = f"/{named(stored)}"
    admin.put(path, {**patient("DEUX"), "id": stored["id"]})
    for version, family in (("1", "UN"), ("2", "DEUX")):
        answer = admin.get(f"{path}/_history/{version}")
        assert answer.json["name"][0]["family"] == family
        assert answer.json["meta"]["versionId"] == version
        assert answer.headers["ETag"] == f'W/"{version}"'


@pytest.mark.statement("fhir-rest B39")
def test_an_unknown_version_is_404_and_the_deletion_410(wide: World) -> None:
    admin = wide.admin
    path = f"/{named(made(admin, organization()))}"
    for version in ("2", "0", "x", "99999999999", "-1"):
        answer = admin.get(f"{path}/_history/{version}")
        assert (answer.status, answer.codes) == (404, {"not-found"}), version
    admin.delete(path)
    gone = admin.get(f"{path}/_history/2")
    assert (gone.status, gone.codes, gone.headers["ETag"]) == (410, {"deleted"}, 'W/"2"')
    assert admin.get(f"{path}/_history/1").status == 200


@pytest.mark.statement("fhir-rest B40")
def test_an_update_makes_version_2_and_a_history_of_two(wide: World) -> None:
    admin = wide.admin
    stored = made(admin, patient("UN"))
    answer = admin.put(f"/{named(stored)}", {**patient("DEUX"), "id": stored["id"]})
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"2"')
    assert answer.headers["Location"] == f"{BASE}/{named(stored)}/_history/2"
    assert answer.json["name"][0]["family"] == "DEUX"
    history = admin.get(f"/{named(stored)}/_history").json
    assert [each["resource"]["meta"]["versionId"] for each in history["entry"]] == ["2", "1"]


@pytest.mark.statement("fhir-rest B41")
def test_an_update_of_an_unknown_id_creates_it(wide: World) -> None:
    answer = wide.admin.put("/Patient/chosen.by-client", patient(id="chosen.by-client"))
    assert (answer.status, answer.headers["ETag"]) == (201, 'W/"1"')
    assert answer.headers["Location"] == f"{BASE}/Patient/chosen.by-client/_history/1"


@pytest.mark.statement("fhir-rest B41")
def test_where_ids_are_the_servers_an_update_of_an_unknown_id_is_405(world: World) -> None:
    answer = world.doctor().put("/DocumentReference/new", {"resourceType": "DocumentReference", "id": "new"})
    assert (answer.status, answer.codes) == (405, {"not-supported"})
    assert "GET" in answer.headers["Allow"]


@pytest.mark.statement("fhir-rest B42")
@pytest.mark.parametrize("id_", [None, "other", 5, ""])
def test_an_update_with_another_id_or_none_is_400(admin: Client, id_: object) -> None:
    stored = made(admin, patient())
    body = patient() if id_ is None else {**patient(), "id": id_}
    answer = admin.put(f"/{named(stored)}", body)
    assert (answer.status, answer.codes, answer.expressions) == (400, {"invalid"}, ["Patient.id"])
    assert admin.get(f"/{named(stored)}").headers["ETag"] == 'W/"1"'


@pytest.mark.statement("fhir-rest B43")
def test_an_update_that_says_the_same_makes_no_version(wide: World) -> None:
    admin = wide.admin
    stored = made(admin, patient())
    for body in (stored, {**patient(), "id": stored["id"]}, dict(reversed(stored.items()))):
        answer = admin.put(f"/{named(stored)}", body)
        assert (answer.status, answer.headers["ETag"], answer.json) == (200, 'W/"1"', stored)
    assert len(admin.get(f"/{named(stored)}/_history").json["entry"]) == 1


def test_an_update_that_changes_only_the_digits_of_a_number_is_a_change(admin: Client) -> None:
    head = {"Content-Type": "application/fhir+json"}
    text = json.dumps(observation(id="exact", valueQuantity={"value": 7}))
    assert admin.call("PUT", "/Observation/exact", text.replace("7}", "1.0}").encode(), head).status == 201
    answer = admin.call("PUT", "/Observation/exact", text.replace("7}", "1.00}").encode(), head)
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"2"')
    assert b'"value":1.00' in answer.body


@pytest.mark.statement("fhir-rest B44")
def test_an_update_brings_a_deleted_resource_back(wide: World) -> None:
    admin = wide.admin
    stored = made(admin, organization())
    admin.delete(f"/{named(stored)}")
    answer = admin.put(f"/{named(stored)}", {**organization("De retour"), "id": stored["id"]})
    assert (answer.status, answer.headers["ETag"]) == (201, 'W/"3"')
    assert admin.get(f"/{named(stored)}").json["name"] == "De retour"
    assert len(admin.get("/Organization?name=de%20retour").entries) == 1


@pytest.mark.statement("fhir-rest B45")
def test_the_time_of_versions_strictly_increases_when_the_clock_does_not(world: World) -> None:
    admin = world.admin
    stored = made(admin, patient("V0"))
    times = [stored["meta"]["lastUpdated"]]
    for number in range(4):
        world.clock.time_ms -= 500  # a clock that is set back
        answer = admin.put(f"/{named(stored)}", {**patient(f"V{number + 1}"), "id": stored["id"]})
        times.append(answer.json["meta"]["lastUpdated"])
    assert times == sorted(set(times))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each) for each in times)
    assert datetime.fromisoformat(times[-1]) > datetime.fromisoformat(times[0])


@pytest.mark.statement("fhir-rest B46")
def test_a_delete_is_204_and_its_repetition_too(wide: World) -> None:
    admin = wide.admin
    path = f"/{named(made(admin, organization()))}"
    first, second, unknown = admin.delete(path), admin.delete(path), admin.delete("/Organization/never-was")
    assert [first.status, second.status, unknown.status] == [204, 204, 204]
    assert first.body == second.body == b""
    assert admin.get(path).headers["ETag"] == 'W/"2"'
    assert admin.get("/Organization/never-was").status == 404


@pytest.mark.statement("fhir-rest B47")
def test_a_delete_answers_an_outcome_when_it_is_preferred(admin: Client) -> None:
    path = f"/{named(made(admin, organization()))}"
    for _ in range(2):
        answer = admin.delete(path, Prefer="return=OperationOutcome")
        assert (answer.status, answer.json["resourceType"]) == (200, "OperationOutcome")
        assert {issue["severity"] for issue in answer.json["issue"]} == {"information"}
        assert answer.headers["Preference-Applied"] == "return=OperationOutcome"


@pytest.mark.statement("fhir-rest B48")
def test_what_others_refer_to_is_not_deleted(wide: World) -> None:
    admin = wide.admin
    owner = made(admin, organization())
    child = made(admin, organization("Service", partOf={"reference": named(owner)}))
    answer = admin.delete(f"/{named(owner)}")
    assert (answer.status, answer.codes) == (409, {"conflict"})
    assert named(child) in answer.json["issue"][0]["diagnostics"]
    assert admin.get(f"/{named(owner)}").status == 200
    assert admin.delete(f"/{named(child)}").status == 204
    assert admin.delete(f"/{named(owner)}").status == 204


def test_a_refused_delete_names_at_most_ten(admin: Client) -> None:
    owner = made(admin, organization())
    for number in range(12):
        made(admin, organization(f"Service {number}", partOf={"reference": named(owner)}))
    answer = admin.delete(f"/{named(owner)}")
    assert answer.status == 409
    assert answer.json["issue"][0]["diagnostics"].count("Organization/") == 10


@pytest.mark.statement("fhir-rest B49")
@pytest.mark.parametrize("type_", ["AuditEvent", "Provenance", "Patient", "DocumentReference", "List", "Consent"])
def test_what_is_kept_for_ever_cannot_be_deleted(admin: Client, type_: str) -> None:
    answer = admin.delete(f"/{type_}/any")
    assert (answer.status, answer.codes) == (405, {"not-supported"})
    assert "DELETE" not in answer.headers["Allow"]
    assert "GET" in answer.headers["Allow"]


@pytest.mark.statement("fhir-rest B50")
def test_a_deleted_resource_leaves_searches_at_once_and_stays_in_history(wide: World) -> None:
    admin = wide.admin
    stored = made(admin, organization("Fugace"))
    admin.delete(f"/{named(stored)}")
    answer = admin.get("/Organization?name=fugace&_total=accurate")
    assert (answer.entries, answer.json["total"]) == ([], 0)
    assert admin.get(f"/Organization?_id={stored['id']}").entries == []
    history = admin.get(f"/{named(stored)}/_history").json
    assert [each["request"]["method"] for each in history["entry"]] == ["DELETE", "POST"]


@pytest.mark.statement("fhir-rest B54")
def test_a_create_says_that_a_declared_profile_was_not_checked(admin: Client) -> None:
    unknown = "https://example.org/StructureDefinition/unheard-of"
    answer = admin.post("/Patient", patient(meta={"profile": [unknown]}), Prefer="return=OperationOutcome")
    assert answer.status == 201
    said = [(issue["severity"], issue.get("expression")) for issue in answer.json["issue"]]
    assert ("warning", ["Patient.meta.profile[0]"]) in said
    known = admin.post("/Patient", patient(), Prefer="return=OperationOutcome")
    assert {issue["severity"] for issue in known.json["issue"]} == {"information"}


@pytest.mark.statement("fhir-rest B55")
def test_an_update_cannot_strip_the_confidentiality_of_a_document(world: World) -> None:
    world.open()
    world.authorise()
    id_ = world.submit("1.2.250.1.999.1.7", labels=((CONFIDENTIALITY, "R"),))
    document = world.admin.get(f"/DocumentReference/{id_}").json
    stripped = {key: part for key, part in document.items() if key != "securityLabel"}
    answer = world.admin.put(f"/DocumentReference/{id_}", stripped)
    assert answer.status == 200
    assert [each["coding"][0]["code"] for each in answer.json["securityLabel"]] == ["R"]
    masked = world.submit("1.2.250.1.999.1.8", labels=((CONFIDENTIALITY, "N"), (VISIBILITY, "MASQUE_PS")))
    document = world.admin.get(f"/DocumentReference/{masked}").json
    stripped = {**document, "securityLabel": [{"coding": [{"system": CONFIDENTIALITY, "code": "N"}]}]}
    world.authorise(professional=NURSE)
    nurse = world.doctor(NURSE, profession="60")
    refused = nurse.put(f"/DocumentReference/{masked}", stripped)
    unknown = nurse.put("/DocumentReference/unknown", {**stripped, "id": "unknown"})
    assert (refused.status, refused.body) == (405, unknown.body)  # she must not know that it exists
    kept = world.admin.get(f"/DocumentReference/{masked}").json["securityLabel"]
    assert [each["coding"][0]["code"] for each in kept] == ["MASQUE_PS", "N"]


@pytest.mark.statement("fhir-rest A20")
@pytest.mark.parametrize("id_", ["a" * 65, "with_underscore", "sp%20ace", "é", "a%2Fb", "a:b", "..%00"])
def test_an_id_that_is_none_is_400(admin: Client, id_: str) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        body: object = {"resourceType": "Organization", "id": id_} if method == "PUT" else None
        answer = admin.call(method, f"/Organization/{id_}", [] if method == "PATCH" else body,
                            {"Content-Type": "application/json-patch+json"} if method == "PATCH" else None)  # fmt: skip
        assert answer.status == 400, (method, answer.status)
        assert answer.codes & {"value", "invalid"}


def test_ids_are_case_sensitive_and_unique_per_type(admin: Client) -> None:
    for path in ("/Patient/Same", "/Patient/same", "/Organization/same"):
        type_, id_ = path[1:].split("/")
        body = {**(patient() if type_ == "Patient" else organization()), "id": id_}
        assert admin.put(path, body).status == 201
    assert admin.get("/Patient/SAME").status == 404
    assert len(admin.get("/Patient").entries) == 2
