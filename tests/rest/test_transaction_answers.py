"""What a transaction answers for each entry, and its deletions. fhir-rest 8, checklist F."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rest.shapes import (
    BASE,
    SYSTEM,
    bundle,
    created,
    entry,
    fhirpath_patch,
    json_patch,
    made,
    named,
    organization,
    patient,
    statuses,
)
from tests.world import Client, Json, World

ONE, TWO, THREE = (f"urn:uuid:00000000-0000-4000-8000-00000000000{n}" for n in "123")


class TestAnswers:
    """One response entry for each request entry, in its order."""

    @pytest.mark.statement("fhir-rest F161")
    def test_the_answer_has_the_order_and_the_number_of_the_request(self, admin: Client) -> None:
        stored = made(admin, organization("A"))
        away = made(admin, organization("B"))
        sent = bundle(
            "transaction",
            entry("GET", named(stored)),
            entry("PUT", named(stored), {**organization("A2"), "id": stored["id"]}),
            entry("DELETE", named(away)),
            entry("POST", "Patient", patient()),
            entry("PUT", "Patient/mine", patient(id="mine")),
            entry("DELETE", "Organization/never-was"),
        )
        answer = admin.post("/", sent)
        assert answer.json["type"] == "transaction-response"
        responses = [each["response"] for each in answer.json["entry"]]
        assert [each["status"] for each in responses] == [
            "200 OK",
            "200 OK",
            "204 No Content",
            "201 Created",
            "201 Created",
            "204 No Content",
        ]
        assert responses[1]["location"] == f"{named(stored)}/_history/2"
        assert responses[4]["location"] == "Patient/mine/_history/1"
        assert [each.get("etag") for each in responses] == ['W/"2"', 'W/"2"', 'W/"2"', 'W/"1"', 'W/"1"', None]
        assert all("lastModified" in each for each in responses[:5])
        assert "location" not in responses[2]

    @pytest.mark.statement("fhir-rest F163")
    def test_reads_see_the_new_state_and_searches_are_nested_searchsets(self, admin: Client) -> None:
        sent = bundle(
            "transaction",
            entry("GET", "Patient/mine"),
            entry("GET", "Patient?family=neuf&_total=accurate"),
            entry("GET", "Patient/mine/_history"),
            entry("HEAD", "Patient/mine"),
            entry("GET", "Patient/nobody"),
            entry("GET", f"{BASE}/Patient/mine"),
            entry("PUT", "Patient/mine", patient("NEUF", id="mine")),
        )
        shown = admin.post("/", sent).json["entry"]
        assert shown[0]["resource"]["name"][0]["family"] == "NEUF"
        assert (shown[1]["resource"]["type"], shown[1]["resource"]["total"]) == ("searchset", 1)
        assert shown[2]["resource"]["type"] == "history"
        assert (shown[3]["response"]["status"], shown[3].get("resource")) == ("200 OK", None)
        assert shown[4]["response"]["status"] == "404 Not Found"
        assert shown[4]["response"]["outcome"]["issue"][0]["code"] == "not-found"
        assert shown[5]["resource"] == shown[0]["resource"]

    def test_a_read_may_be_conditional(self, admin: Client) -> None:
        stored = made(admin, patient())
        sent = bundle(
            "transaction",
            entry("GET", named(stored), ifNoneMatch='W/"1"'),
            entry("GET", named(stored), ifNoneMatch='W/"2"'),
            entry("GET", named(stored), ifModifiedSince="2030-01-01T00:00:00Z"),
        )
        answer = admin.post("/", sent)
        assert statuses(answer) == ["304 Not Modified", "200 OK", "304 Not Modified"]
        assert ["resource" in each for each in answer.json["entry"]] == [False, True, False]

    @pytest.mark.statement("fhir-rest F169")
    @pytest.mark.parametrize("kind", ["transaction", "batch"])
    def test_an_empty_bundle_is_200(self, wide: World, kind: str) -> None:
        answer = wide.admin.post("/", bundle(kind))
        assert (answer.status, answer.json["type"], "entry" in answer.json) == (200, f"{kind}-response", False)

    @pytest.mark.statement("fhir-rest F171")
    @pytest.mark.parametrize("kind", ["transaction", "batch"])
    def test_patch_entries_of_both_kinds_work(self, admin: Client, kind: str) -> None:
        left, right = made(admin, patient("A")), made(admin, patient("B", number="A-1"))
        sent = bundle(
            kind,
            entry("PATCH", named(left), json_patch([{"op": "replace", "path": "/name/0/family", "value": "A2"}])),
            entry("PATCH", f"Patient?identifier={SYSTEM}|A-1", fhirpath_patch("Patient.name.family", "B2")),
        )
        answer = admin.post("/", sent)
        assert statuses(answer) == ["200 OK", "200 OK"], answer.body
        families = [admin.get(f"/{named(each)}").json["name"][0]["family"] for each in (left, right)]
        assert families == ["A2", "B2"]

    def test_an_unchanged_update_makes_no_version(self, admin: Client) -> None:
        stored = made(admin, patient())
        answer = admin.post("/", bundle("transaction", entry("PUT", named(stored), stored)))
        assert (statuses(answer), answer.json["entry"][0]["response"]["etag"]) == (["200 OK"], 'W/"1"')

    def test_the_conditional_update_table_holds_inside_a_transaction(self, admin: Client) -> None:
        url = f"Patient?identifier={SYSTEM}|A-1"

        def put(body: Json) -> Any:
            return admin.post("/", bundle("transaction", entry("PUT", url, body)))

        made_ = put(patient(number="A-1"))
        assert statuses(made_) == ["201 Created"]
        id_ = created(made_, 0).partition("/")[2]
        assert statuses(put(patient("B", number="A-1"))) == ["200 OK"]
        assert statuses(put(patient("C", number="A-1", id=id_))) == ["200 OK"]
        assert put(patient(number="A-1", id="other")).status == 400
        admin.put("/Patient/taken", patient(id="taken"))
        url = f"Patient?identifier={SYSTEM}|B-2"
        assert put(patient(number="B-2", id="taken")).status == 409
        assert statuses(put(patient(number="B-2", id="free"))) == ["201 Created"]
        made(admin, patient(number="B-2"))
        assert put(patient(number="B-2")).status == 412


class TestDeletions:
    """Referential protection looks at the state after the transaction."""

    def test_resources_that_refer_to_each_other_are_deleted_together(self, admin: Client) -> None:
        owner = made(admin, organization("A"))
        child = made(admin, organization("B", partOf={"reference": named(owner)}))
        sent = bundle("transaction", entry("DELETE", named(owner)), entry("DELETE", named(child)))
        assert statuses(admin.post("/", sent)) == ["204 No Content", "204 No Content"]

    def test_a_reference_that_is_removed_with_it_protects_nothing(self, admin: Client) -> None:
        owner = made(admin, organization("A"))
        child = made(admin, organization("B", partOf={"reference": named(owner)}))
        freed = {**organization("B"), "id": child["id"]}
        sent = bundle("transaction", entry("DELETE", named(owner)), entry("PUT", named(child), freed))
        assert statuses(admin.post("/", sent)) == ["204 No Content", "200 OK"]

    def test_a_reference_that_stays_or_arrives_is_409(self, admin: Client) -> None:
        owner = made(admin, organization("A"))
        new = organization("B", partOf={"reference": named(owner)})
        sent = bundle("transaction", entry("POST", "Organization", new), entry("DELETE", named(owner)))
        answer = admin.post("/", sent)
        assert (answer.status, answer.codes) == (409, {"conflict"})
        assert answer.expressions == ["Bundle.entry[0].resource.partOf.reference"]
        child = made(admin, new)
        kept = {**new, "id": child["id"], "alias": ["B"]}
        sent = bundle("transaction", entry("PUT", named(child), kept), entry("DELETE", named(owner)))
        assert admin.post("/", sent).status == 409
        assert admin.get(f"/{named(owner)}").status == 200
