"""Batches: each entry for itself. fhir-rest 8, checklist F."""

from __future__ import annotations

import pytest

from tests.rest.shapes import (
    SYSTEM,
    bundle,
    created,
    entry,
    organization,
    patient,
    statuses,
)
from tests.world import Client, Json, World

ONE, TWO, THREE = (f"urn:uuid:00000000-0000-4000-8000-00000000000{n}" for n in "123")


class TestBatch:
    """A batch is a row of lone interactions."""

    @pytest.mark.statement("fhir-rest F166")
    def test_one_bad_entry_spoils_no_other(self, wide: World) -> None:
        admin = wide.admin
        broken: Json = {"resource": patient()}
        sent = bundle(
            "batch",
            entry("POST", "Patient", patient()),
            entry("POST", "Observation", {"resourceType": "Observation"}),
            broken,
            entry("GET", "Patient/nobody"),
            entry("PUT", "Organization/mine", {**organization(), "id": "mine"}, ifMatch='W/"1"'),
            entry("DELETE", "Patient/nobody"),
            entry("FROB", "Patient"),
            entry("POST", "Organization", organization()),
        )
        answer = admin.post("/", sent)
        assert (answer.status, answer.json["type"]) == (200, "batch-response")
        assert [s[:3] for s in statuses(answer)] == ["201", "422", "400", "404", "412", "405", "400", "201"]
        for index in (1, 2, 3, 4, 5, 6):
            outcome = answer.json["entry"][index]["response"]["outcome"]
            assert outcome["issue"][0]["expression"][0].startswith(f"Bundle.entry[{index}]")
        assert len(admin.get("/Patient").entries) == len(admin.get("/Organization").entries) == 1

    @pytest.mark.statement("fhir-rest F167")
    @pytest.mark.parametrize("url", ["", "/"])
    def test_a_nested_bundle_is_refused_for_its_entry(self, admin: Client, url: str) -> None:
        nested = entry("POST", url, bundle("transaction", entry("POST", "Patient", patient())))
        answer = admin.post("/", bundle("batch", nested, entry("POST", "Patient", patient())))
        assert [s[:3] for s in statuses(answer)] == ["400", "201"]

    @pytest.mark.statement("fhir-rest F167")
    def test_a_nested_bundle_refuses_a_transaction(self, admin: Client) -> None:
        nested = entry("POST", "/", bundle("transaction", entry("POST", "Patient", patient())))
        answer = admin.post("/", bundle("transaction", nested))
        assert (answer.status, answer.expressions) == (400, ["Bundle.entry[0].request.url"])

    def test_a_batch_conditions_each_entry(self, wide: World) -> None:
        criteria = f"identifier={SYSTEM}|A-1"
        twin = entry("POST", "Patient", patient(number="A-1"), ifNoneExist=criteria)
        answer = wide.admin.post("/", bundle("batch", twin, twin))
        assert statuses(answer) == ["201 Created", "200 OK"]

    def test_a_binary_in_a_bundle_is_answered_as_a_resource(self, admin: Client) -> None:
        binary: Json = {"resourceType": "Binary", "contentType": "text/plain", "data": "QUJD"}
        for kind in ("batch", "transaction"):
            stored = admin.post("/", bundle(kind, entry("POST", "Binary", binary)))
            shown = admin.post("/", bundle(kind, entry("GET", created(stored, 0)))).json["entry"][0]["resource"]
            assert (shown["resourceType"], shown["data"]) == ("Binary", "QUJD")

    def test_batch_operations_answer_their_own_outcome(self, admin: Client) -> None:
        answer = admin.post("/", bundle("batch", entry("POST", "Patient/$validate", patient())))
        assert answer.json["entry"][0]["resource"]["resourceType"] == "OperationOutcome"
