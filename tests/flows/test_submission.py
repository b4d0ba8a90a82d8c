"""TD2, option B: a submission (ITI-65) is stored and answered. [dmp-fhir 9.5]"""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_dmp.fhir.xml import to_xml
from tests import samples
from tests.flows.steps import (
    ARCHIVED,
    Dossier,
    assert_refused,
    attachment,
    next_ins,
    nothing_stored,
)
from tests.flows.submissions import (
    BINARY,
    DOCUMENT,
    LIST,
    URI,
    content_of,
    fhir_submission,
    folder,
    ids,
    post,
    resource,
    submission,
    with_entry,
)
from tests.world import World


@pytest.mark.statement("dmp-fhir 9.5/62", "dmp-fhir 9.5/63", "dmp-fhir 9.1/11")
def test_a_submission_answers_each_entry_with_201_and_a_location_in_order(dossier: Dossier) -> None:
    answer = post(dossier, submission(dossier))
    assert answer.status == 200, answer.body
    assert answer.json["type"] == "transaction-response"
    responses = [entry["response"] for entry in answer.json["entry"]]
    assert [each["status"] for each in responses] == ["201 Created"] * 3
    assert [each.split("/")[0] for each in ids(answer)] == ["List", "DocumentReference", "Binary"]
    assert all(each["location"].endswith("/_history/1") for each in responses)


@pytest.mark.statement("dmp-fhir 9.5/62")
def test_the_answer_keeps_the_order_of_the_request(dossier: Dossier) -> None:
    body = submission(dossier)
    body["entry"] = [body["entry"][index] for index in (BINARY, LIST, DOCUMENT)]
    answer = post(dossier, body)
    assert [each.split("/")[0] for each in ids(answer)] == ["Binary", "List", "DocumentReference"]


@pytest.mark.statement("dmp-fhir 9.5/62", "dmp-fhir 9.1/4")
def test_a_submission_in_xml_is_the_same(world: World, dossier: Dossier) -> None:
    body = submission(dossier)
    xml = to_xml(body, world.services.structures)
    answer = world.doctor().call("POST", "", xml, {"content-type": "application/fhir+xml"})
    assert answer.status == 200, answer.body
    assert world.doctor().get(f"/{ids(answer)[BINARY]}").body == content_of(body)


@pytest.mark.statement("dmp-fhir 9.5/64")
def test_urn_references_become_ids_everywhere_but_inside_contained_resources(world: World, dossier: Dossier) -> None:
    body = submission(dossier)
    url = body["entry"][DOCUMENT]["fullUrl"]
    document = resource(body, DOCUMENT)
    document["contained"][0]["extension"] = [{"url": "https://example.org/seen", "valueUri": url}]
    document["extension"] = [{"url": "https://example.org/self", "valueReference": {"reference": url}}]
    answer = post(dossier, body)
    assert answer.status == 200, answer.body
    made, stored, binary = ids(answer)
    kept = dossier.read(stored.split("/")[1])
    assert attachment(kept)["url"] == f"{world.services.base}/{binary}"
    assert kept["extension"][0]["valueReference"]["reference"] == stored
    assert kept["contained"][0]["extension"][0]["valueUri"] == url
    assert kept["author"] == [{"reference": "#role"}]
    assert world.admin.get(f"/{made}").json["entry"] == [{"item": {"reference": stored}}]
    assert world.admin.get(f"/{binary}", Accept="application/fhir+json").json["securityContext"]["reference"] == stored


@pytest.mark.statement("dmp-fhir 9.5/76")
def test_a_submission_replayed_with_if_none_exist_is_200_and_stores_nothing(dossier: Dossier) -> None:
    body = submission(dossier)
    unique = resource(body, DOCUMENT)["masterIdentifier"]["value"]
    body["entry"][DOCUMENT]["request"]["ifNoneExist"] = f"identifier={URI}|{unique}"
    set_unique = resource(body, LIST)["identifier"][0]["value"]
    body["entry"][LIST]["request"]["ifNoneExist"] = f"identifier={URI}|{set_unique}"
    first = post(dossier, body)
    assert first.status == 200, first.body
    with nothing_stored(dossier.world):
        again = post(dossier, body)
    assert again.status == 200, again.body
    assert [entry["response"]["status"] for entry in again.json["entry"]] == ["200 OK"] * 3
    assert ids(again) == ids(first)


@pytest.mark.statement("dmp-fhir 9.5/76")
def test_a_submission_replayed_without_if_none_exist_is_409(dossier: Dossier) -> None:
    body = submission(dossier)
    assert post(dossier, body).status == 200
    with nothing_stored(dossier.world):
        answer = post(dossier, body)
    assert_refused(answer, 409, "doublon-uniqueid", "XDSDuplicateUniqueIdInRegistry", at="Bundle.entry")


@pytest.mark.statement("dmp-fhir 9.5/78")
def test_a_folder_is_created_by_post_and_updated_by_put(world: World, dossier: Dossier) -> None:
    body = submission(dossier)
    first = body["entry"][DOCUMENT]["fullUrl"]
    answer = post(dossier, with_entry(body, folder(dossier, [first])))
    assert answer.status == 200, answer.body
    made = ids(answer)[3]
    assert answer.json["entry"][3]["response"]["status"] == "201 Created"
    stored = world.admin.get(f"/{made}").json
    again = submission(dossier)
    stored["entry"].append({"item": {"reference": again["entry"][DOCUMENT]["fullUrl"]}})
    update = post(dossier, with_entry(again, stored, "PUT", made))
    assert update.status == 200, update.body
    assert update.json["entry"][3]["response"]["status"] == "200 OK"
    assert update.json["entry"][3]["response"]["location"] == f"{made}/_history/2"
    items = [entry["item"]["reference"] for entry in world.admin.get(f"/{made}").json["entry"]]
    assert items == [ids(answer)[DOCUMENT], ids(update)[DOCUMENT]]


@pytest.mark.statement("dmp-fhir 9.5/78")
def test_a_folder_cannot_move_to_another_patient_nor_be_invented_by_put(world: World, dossier: Dossier) -> None:
    body = submission(dossier)
    url = body["entry"][DOCUMENT]["fullUrl"]
    made = ids(post(dossier, with_entry(body, folder(dossier, [url]))))[3]
    other = Dossier.open(world, next_ins())
    moved = submission(other)
    items = [moved["entry"][DOCUMENT]["fullUrl"]]
    invented = submission(dossier)
    for bundle, who, place in ((moved, other, made), (invented, dossier, "List/invented")):
        items = [bundle["entry"][DOCUMENT]["fullUrl"]]
        changed = {**folder(who, items), "id": place.split("/")[1]}
        with nothing_stored(world, content_of(bundle)):
            answer = post(who, with_entry(bundle, changed, "PUT", place))
        assert_refused(answer, 422, at="Bundle.entry[3]")


@pytest.mark.statement("dmp-fhir 9.5/79", "dmp-fhir 9.5/80", "dmp-fhir 9.8/148")
def test_a_native_fhir_document_is_stored_and_served_without_hash_and_size(world: World, dossier: Dossier) -> None:
    body = fhir_submission(dossier)
    answer = post(dossier, body)
    assert answer.status == 200, answer.body
    place = ids(answer)[BINARY]
    assert place.startswith("Bundle/")
    got = world.doctor().get(f"/{place}")
    assert got.status == 200, got.body
    assert got.json["type"] == "document"
    sent = resource(body, BINARY)
    assert [each["resource"] for each in got.json["entry"]] == [each["resource"] for each in sent["entry"]]
    assert got.json["identifier"] == sent["identifier"]
    assert attachment(dossier.read(ids(answer)[DOCUMENT].split("/")[1]))["url"] == f"{world.services.base}/{place}"


@pytest.mark.statement("dmp-fhir 9.5/81")
def test_the_source_patient_is_stored_as_received_and_never_altered(world: World, dossier: Dossier) -> None:
    body = submission(dossier)
    source = resource(body, DOCUMENT)["contained"][-1]
    source["name"] = [{"family": "BELLANGER", "given": ["Anouk"]}]
    source["identifier"].append({"system": "urn:oid:1.2.250.1.999.3", "value": "IPP-0042"})
    id_ = ids(post(dossier, body))[DOCUMENT].split("/")[1]
    assert dossier.read(id_)["contained"][-1] == source
    patient = world.admin.get(f"/Patient/{dossier.id}").json
    patient["name"][0]["family"] = "CHANGED"
    assert world.admin.put(f"/Patient/{dossier.id}", patient).status == 200
    dossier.archive(id_)
    assert dossier.read(id_)["contained"][-1] == source


@pytest.mark.statement("dmp-fhir 9.5/82")
def test_unknown_extensions_come_back_unchanged(world: World, dossier: Dossier) -> None:
    body = submission(dossier)
    extensions = [
        {"url": f"{samples.MHD}/StructureDefinition/ihe-sourcePatientId", "valueReference": {"reference": "#source"}},
        {"url": "https://example.org/precise", "valueDecimal": 1.10},
        {"url": "https://example.org/nested", "extension": [{"url": "part", "valueCode": "x"}]},
    ]
    sent = resource(body, LIST)
    sent["extension"] += extensions
    sent["contained"].append({"resourceType": "Patient", "id": "source", "identifier": [{"value": "IPP-1"}]})
    answer = post(dossier, body)
    assert answer.status == 200, answer.body
    stored = world.admin.get(f"/{ids(answer)[LIST]}")
    assert stored.json["extension"] == sent["extension"]
    assert stored.json["contained"] == sent["contained"]


@pytest.mark.statement("dmp-fhir 9.5/82")
def test_the_digits_of_a_number_come_back_unchanged(world: World, dossier: Dossier) -> None:
    body = submission(dossier)
    extension = {"url": "https://example.org/precise", "valueDecimal": 12345}
    resource(body, DOCUMENT)["extension"] = [extension]
    sent = json.dumps(body).replace("12345}", "1.100}")
    answer = world.doctor().call("POST", "", sent.encode(), {"content-type": "application/fhir+json"})
    assert answer.status == 200, answer.body
    assert b'"valueDecimal":1.100}' in world.doctor().get(f"/{ids(answer)[DOCUMENT]}").body


@pytest.mark.statement("dmp-fhir 9.5/78")
def test_a_folder_follows_a_replacement_and_drops_what_is_deleted(world: World, dossier: Dossier) -> None:
    body = submission(dossier)
    for number in range(3):
        body = with_entry(body, folder(dossier, [body["entry"][DOCUMENT]["fullUrl"]]))
        body["entry"][-1]["fullUrl"] += str(number)
    answer = post(dossier, body)
    assert answer.status == 200, answer.body
    old, folders = ids(answer)[DOCUMENT].split("/")[1], ids(answer)[3:]

    def items() -> list[list[str]]:
        return [[e["item"]["reference"] for e in world.admin.get(f"/{each}").json.get("entry", [])] for each in folders]

    new = dossier.replace(old)
    assert items() == [[f"DocumentReference/{old}", f"DocumentReference/{new}"]] * 3
    dossier.delete(new)
    assert items() == [[f"DocumentReference/{old}"]] * 3
    sets = [
        each["entry"][0]["item"]["reference"]
        for each in dossier.search(world.admin, "code=submissionset", "List").entries
    ]
    assert f"DocumentReference/{new}" in sets


@pytest.mark.statement("dmp-fhir 9.5/77")
def test_a_patient_may_be_named_but_is_not_shown_to_who_only_feeds(world: World, dossier: Dossier) -> None:
    body = submission(dossier)
    url = f"Patient?identifier={samples.INS}|{dossier.ins}"
    full = "urn:uuid:6f1f1a3c-3b0a-4b52-9a51-a36d1a1f3c94"
    body["entry"].append({"fullUrl": full, "request": {"method": "GET", "url": url}})
    for index in (LIST, DOCUMENT):
        resource(body, index)["subject"] = {"reference": full}
    answer = post(dossier, body, Prefer="return=representation")
    assert answer.status == 200, answer.body
    assert answer.json["entry"][3]["response"]["location"].startswith(f"Patient/{dossier.id}")
    assert "resource" not in answer.json["entry"][3]


@pytest.mark.statement("dmp-fhir 9.5/84")
def test_a_class_that_does_not_follow_from_the_type_is_a_warning(dossier: Dossier) -> None:
    answer = post(dossier, submission(dossier, class_="42"))
    assert answer.status == 200, answer.body
    issues = answer.json["entry"][DOCUMENT]["response"]["outcome"]["issue"]
    assert {issue["severity"] for issue in issues} == {"warning"}
    assert any("category" in place for issue in issues for place in issue.get("expression", []))


@pytest.mark.statement("dmp-fhir 9.5/85")
@pytest.mark.parametrize(
    "more",
    [
        {"type_": ("https://example.org/types", "mine")},
        {"labels": ((samples.CONFIDENTIALITY, "V"),)},
    ],
    ids=["type", "label"],
)
def test_a_code_outside_a_preferred_binding_is_at_most_a_warning(dossier: Dossier, more: dict[str, Any]) -> None:
    answer = post(dossier, submission(dossier, **more))
    assert answer.status == 200, answer.body
    outcome = answer.json["entry"][DOCUMENT]["response"].get("outcome", {"issue": []})
    assert {issue["severity"] for issue in outcome["issue"]} <= {"warning", "information"}


@pytest.mark.statement("dmp-fhir 9.5/86")
def test_a_submission_set_changes_only_its_status_and_archive_flag(world: World, dossier: Dossier) -> None:
    place = ids(post(dossier, submission(dossier)))[LIST]
    stored = world.admin.get(f"/{place}").json
    for client in (world.doctor(), world.admin):
        for path, value in (("/title", "Autre"), ("/date", "2026-06-12T11:00:00+02:00"), ("/entry", [])):
            with nothing_stored(world):
                answer = client.patch(f"/{place}", [{"op": "add", "path": path, "value": value}])
            assert answer.status in (403, 422), answer.body
    with nothing_stored(world):
        assert_refused(world.admin.put(f"/{place}", {**stored, "title": "Autre"}), 422, "metadonnee-non-modifiable")
    archived = {"op": "add", "path": "/extension/-", "value": {"url": ARCHIVED, "valueBoolean": True}}
    retired = {"op": "replace", "path": "/status", "value": "retired"}
    answer = world.admin.patch(f"/{place}", [archived, retired])
    assert answer.status == 200, answer.body
    assert answer.json["status"] == "retired"
    assert answer.json["meta"]["versionId"] == "2"


@pytest.mark.statement("dmp-fhir 9.5/66")
def test_a_submission_of_several_documents_lists_them_all(world: World, dossier: Dossier) -> None:
    body, more = submission(dossier), submission(dossier)
    body["entry"] += more["entry"][1:]
    resource(body, LIST)["entry"].append({"item": {"reference": more["entry"][DOCUMENT]["fullUrl"]}})
    answer = post(dossier, body)
    assert answer.status == 200, answer.body
    assert [each.split("/")[0] for each in ids(answer)][3:] == ["DocumentReference", "Binary"]
    assert len(dossier.found(world.admin)) == 2
