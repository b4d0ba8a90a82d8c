"""Transactions that are refused: nothing of them is stored. fhir-rest 8, checklist F."""

from __future__ import annotations

import pytest

from fhir_dmp.ports import AuditQuery
from tests.rest.shapes import (
    SYSTEM,
    bundle,
    entry,
    json_patch,
    made,
    named,
    organization,
    patient,
    statuses,
)
from tests.samples import NURSE
from tests.world import Client, Json, World

ONE, TWO, THREE = (f"urn:uuid:00000000-0000-4000-8000-00000000000{n}" for n in "123")


class TestRefusals:
    """One error refuses everything, and names its place."""

    @pytest.mark.statement("fhir-rest F157")
    @pytest.mark.parametrize("methods", [("PUT", "PUT"), ("PUT", "DELETE"), ("DELETE", "PATCH"), ("PATCH", "PUT")])
    def test_the_same_resource_twice_is_400(self, admin: Client, methods: tuple[str, str]) -> None:
        stored = made(admin, organization(number="A-1"))
        bodies: dict[str, Json | None] = {
            "PUT": {**organization("B"), "id": stored["id"]},
            "DELETE": None,
            "PATCH": json_patch([{"op": "remove", "path": "/name"}]),
        }
        for urls in ((named(stored), named(stored)), (named(stored), f"Organization?identifier={SYSTEM}|A-1")):
            sent = bundle("transaction", *(entry(m, url, bodies[m]) for m, url in zip(methods, urls, strict=True)))
            answer = admin.post("/", sent)
            assert (answer.status, answer.codes, answer.expressions) == (400, {"invalid"}, ["Bundle.entry[1]"])
        assert admin.get(f"/{named(stored)}").headers["ETag"] == 'W/"1"'

    @pytest.mark.statement("fhir-rest F157")
    def test_two_creates_under_one_criterion_are_400(self, admin: Client) -> None:
        twin = entry("POST", "Patient", patient(number="A-1"), ifNoneExist=f"identifier={SYSTEM}|A-1")
        answer = admin.post("/", bundle("transaction", twin, twin))
        assert (answer.status, answer.expressions) == (400, ["Bundle.entry[1]"])
        assert admin.get("/Patient").entries == []

    @pytest.mark.statement("fhir-rest F158")
    def test_a_full_url_twice_is_400(self, admin: Client) -> None:
        sent = bundle(
            "transaction", entry("POST", "Patient", patient(), ONE), entry("POST", "Organization", organization(), ONE)
        )
        answer = admin.post("/", sent)
        assert (answer.status, answer.codes, answer.expressions) == (400, {"invalid"}, ["Bundle.entry[1].fullUrl"])

    @pytest.mark.statement("fhir-rest F160")
    @pytest.mark.parametrize(
        ("last", "status"),
        [
            (entry("POST", "Observation", {"resourceType": "Observation"}), 422),
            (entry("PUT", "Patient/x", patient(id="y")), 400),
            (entry("POST", "Patient", organization()), 400),
            (entry("PATCH", "Patient/nobody", {"resourceType": "Parameters"}), 404),
            (entry("DELETE", "AuditEvent/x"), 405),
            (entry("PUT", "Unheard/x", {"resourceType": "Unheard", "id": "x"}), 400),
            (entry("POST", "Patient/$validate", patient()), 400),
            (entry("PUT", "Patient/a_b", patient(id="a_b")), 400),
            (entry("POST", "Patient"), 400),
            (entry("PUT", "Patient/x", patient(id="x"), ifMatch='W/"3"'), 412),
        ],
    )
    def test_a_failure_in_the_last_entry_leaves_nothing(self, world: World, last: Json, status: int) -> None:
        admin = world.admin
        before = world.services.store.sequence()
        answer = admin.post("/", bundle("transaction", entry("POST", "Organization", organization("Jamais")), last))
        assert answer.status == status, answer.body
        assert all(place.startswith("Bundle.entry[1]") for place in answer.expressions)
        assert answer.expressions
        assert world.services.store.sequence() == before
        assert admin.get("/Organization").entries == []
        trail = world.services.store.audit(AuditQuery(count=10)).records
        assert [record.outcome for _, record in trail if record.kind in ("create", "transaction")] == ["4"]

    @pytest.mark.statement("fhir-rest F162")
    def test_an_if_match_that_fails_is_412_for_all(self, wide: World) -> None:
        if not wide.services.store.transactional:
            pytest.skip("this store keeps no transactions")
        admin = wide.admin
        stored = made(admin, organization("A"))
        sent = bundle(
            "transaction",
            entry("POST", "Patient", patient()),
            entry("PUT", named(stored), {**organization("B"), "id": stored["id"]}, ifMatch='W/"2"'),
        )
        answer = admin.post("/", sent)
        assert (answer.status, answer.codes, answer.expressions) == (412, {"conflict"}, ["Bundle.entry[1]"])
        assert admin.get("/Patient").entries == []
        sent["entry"][1]["request"]["ifMatch"] = 'W/"1"'
        assert statuses(admin.post("/", sent)) == ["201 Created", "200 OK"]

    @pytest.mark.statement("fhir-rest F168")
    @pytest.mark.parametrize("kind", ["collection", "searchset", "history", "document", "batch-response", "unheard"])
    def test_a_bundle_of_another_type_is_400_on_the_base(self, admin: Client, kind: str) -> None:
        answer = admin.post("/", bundle(kind))
        assert (answer.status, answer.codes, answer.expressions) == (400, {"invalid"}, ["Bundle.type"])

    def test_what_is_no_bundle_is_400_on_the_base(self, admin: Client) -> None:
        assert admin.post("/", patient()).status == 400
        assert admin.call("POST", "/", b"").status == 400

    @pytest.mark.statement("fhir-rest F170")
    @pytest.mark.parametrize("kind", ["transaction", "batch"])
    def test_more_entries_than_the_limit_are_refused(self, admin: Client, kind: str) -> None:
        answer = admin.post("/", bundle(kind, *[entry("GET", "Patient/x")] * 1001))
        assert (answer.status, answer.codes) == (413, {"too-costly"})

    @pytest.mark.statement("fhir-rest F173")
    def test_the_refusal_of_one_entry_refuses_all(self, world: World) -> None:
        world.open()
        world.authorise(professional=NURSE)
        nurse = world.doctor(NURSE, profession="60")
        fine = entry("POST", "Binary", {"resourceType": "Binary", "contentType": "text/plain", "data": "QUJD"})
        assert nurse.post("/", bundle("transaction", fine)).status == 200
        for refused in (
            entry("POST", "Organization", organization()),
            entry("GET", "_history"),
            entry("POST", "Patient", patient()),
        ):
            before = world.services.store.sequence()
            answer = nurse.post("/", bundle("transaction", fine, refused))
            assert answer.status == 403, answer.body
            assert answer.expressions == ["Bundle.entry[1]"]
            assert world.services.store.sequence() == before

    @pytest.mark.statement("fhir-rest F173")
    def test_the_refusal_of_a_read_refuses_all(self, world: World) -> None:
        id_ = world.open()
        stranger = world.doctor(NURSE, profession="60")
        world.consent(next(iter(world.patients)), "block", deny=True, actor=[_actor(NURSE)])
        before = world.services.store.sequence()
        sent = bundle("transaction", entry("GET", f"Patient/{id_}"), entry("GET", "Organization"))
        assert stranger.post("/", sent).status in (403, 404)
        assert world.services.store.sequence() == before

    @pytest.mark.parametrize("value", ["text", {"resourceType": "Patient"}, 5])
    def test_an_entry_list_that_is_none_is_400(self, admin: Client, value: object) -> None:
        for kind in ("transaction", "batch"):
            answer = admin.post("/", {"resourceType": "Bundle", "type": kind, "entry": value})
            assert (answer.status, answer.expressions) == (400, ["Bundle.entry"])


def _actor(professional: str) -> Json:
    return {
        "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
        "reference": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": professional}},
    }
