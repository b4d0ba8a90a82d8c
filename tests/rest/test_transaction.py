"""Transactions: order, references, conditions, atomicity, answers. fhir-rest 8, checklist F."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from fhir_dmp.ports import AuditQuery
from tests.rest.shapes import BASE, SYSTEM, bundle, entry, made, named, observation, organization, patient, statuses
from tests.samples import NURSE
from tests.world import Client, Json, World

XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'
ONE, TWO, THREE = (f"urn:uuid:00000000-0000-4000-8000-00000000000{n}" for n in "123")


def _created(answer: Any, index: int) -> str:
    """Return `Type/id` of what an entry made."""
    location: str = answer.json["entry"][index]["response"]["location"]
    return location.partition("/_history/")[0]


@pytest.mark.statement("fhir-rest F151")
def test_the_order_of_processing_is_not_the_order_of_entries(admin: Client) -> None:
    """The reads see what the writes made, the conditions the state before, and the deletion makes room."""
    old = made(admin, organization("Ancienne", number="A-1"))
    kept = made(admin, organization("Gardée"))
    sent = bundle(
        "transaction",
        entry("GET", "Organization?name=nouvelle"),
        entry("PUT", named(kept), {**organization("Gardée 2"), "id": kept["id"]}),
        entry("GET", named(kept)),
        entry("POST", "Organization", organization("Nouvelle", number="A-2")),
        entry("DELETE", named(old)),
        entry("GET", f"Organization?identifier={SYSTEM}|A-1"),
    )
    answer = admin.post("/", sent)
    assert answer.status == 200, answer.body
    assert [s[:3] for s in statuses(answer)] == ["200", "200", "200", "201", "204", "200"]
    shown = [each.get("resource") for each in answer.json["entry"]]
    assert len(shown[0]["entry"]) == 1
    assert shown[2]["name"] == "Gardée 2"
    assert "entry" not in shown[5]


class TestReferences:
    """What becomes of temporary names."""

    @pytest.mark.statement("fhir-rest F152", "fhir-rest F153")
    def test_every_kind_of_link_to_an_entry_is_rewritten_and_plain_text_is_not(self, admin: Client) -> None:
        sent = observation(
            ONE,
            contained=[{"resourceType": "Specimen", "id": "s", "subject": {"reference": ONE}}],
            specimen={"reference": "#s"},
            extension=[
                {"url": "https://example.org/a", "valueReference": {"reference": ONE}},
                {"url": "https://example.org/b", "valueUri": ONE},
                {"url": "https://example.org/c", "valueString": ONE},
                {"url": "https://example.org/d", "valueUrl": f"{ONE}x"},
            ],
            note=[{"text": ONE}],
            text={
                "status": "generated",
                "div": f'<div {XHTML}><a href="{ONE}">{ONE}</a><img src="{ONE}" alt=""/></div>',
            },
        )
        answer = admin.post(
            "/",
            bundle("transaction", entry("POST", "Observation", sent, TWO), entry("POST", "Patient", patient(), ONE)),
        )
        assert answer.status == 200, answer.body
        owner = _created(answer, 1)
        stored = admin.get(f"/{_created(answer, 0)}").json
        assert stored["subject"]["reference"] == owner
        assert stored["contained"][0]["subject"]["reference"] == owner
        assert stored["specimen"]["reference"] == "#s"
        assert [list(each.values())[1] for each in stored["extension"]] == [{"reference": owner}, owner, ONE, f"{ONE}x"]
        assert stored["note"][0]["text"] == ONE
        assert f'<a href="{owner}">{ONE}</a><img src="{owner}"' in stored["text"]["div"]
        assert len(admin.get(f"/Observation?subject={owner}").entries) == 1

    @pytest.mark.statement("fhir-rest F154")
    def test_a_relative_reference_starts_from_the_root_of_its_entry(self, admin: Client) -> None:
        there = "https://elsewhere.example/fhir"
        sent = bundle(
            "transaction",
            entry("POST", "Patient", patient(id="9"), f"{there}/Patient/9"),
            entry("POST", "Observation", observation("Patient/9", id="8"), f"{there}/Observation/8"),
            entry("POST", "Observation", observation("Patient/9"), ONE),
        )
        answer = admin.post("/", sent)
        assert answer.status == 200, answer.body
        subjects = [admin.get(f"/{_created(answer, index)}").json["subject"]["reference"] for index in (1, 2)]
        assert subjects == [_created(answer, 0), "Patient/9"]

    @pytest.mark.statement("fhir-rest F152")
    def test_links_to_what_a_put_makes_are_rewritten_to_its_id(self, admin: Client) -> None:
        sent = bundle(
            "transaction",
            entry("POST", "Observation", observation(ONE)),
            entry("PUT", "Patient/mine", patient(id="mine"), ONE),
        )
        answer = admin.post("/", sent)
        assert admin.get(f"/{_created(answer, 0)}").json["subject"]["reference"] == "Patient/mine"

    def test_two_new_resources_may_refer_to_each_other(self, admin: Client) -> None:
        left = organization("Gauche", partOf={"reference": TWO})
        right = organization("Droite", partOf={"reference": ONE})
        answer = admin.post(
            "/",
            bundle("transaction", entry("POST", "Organization", left, ONE), entry("POST", "Organization", right, TWO)),
        )
        names = [_created(answer, 0), _created(answer, 1)]
        assert [admin.get(f"/{name}").json["partOf"]["reference"] for name in names] == names[::-1]

    @pytest.mark.statement("fhir-rest F155")
    def test_a_conditional_reference_becomes_its_one_match(self, admin: Client) -> None:
        owner = made(admin, patient(number="A-1"))
        sent = bundle("transaction", entry("POST", "Observation", observation(f"Patient?identifier={SYSTEM}|A-1")))
        answer = admin.post("/", sent)
        assert admin.get(f"/{_created(answer, 0)}").json["subject"]["reference"] == named(owner)

    @pytest.mark.statement("fhir-rest F155")
    @pytest.mark.parametrize(("matches", "code"), [(0, "not-found"), (2, "multiple-matches")])
    def test_a_conditional_reference_without_exactly_one_match_is_412(
        self, admin: Client, matches: int, code: str
    ) -> None:
        for _ in range(matches):
            made(admin, patient(number="A-1"))
        sent = bundle(
            "transaction",
            entry("POST", "Organization", organization("Jamais")),
            entry("POST", "Observation", observation(f"Patient?identifier={SYSTEM}|A-1")),
        )
        answer = admin.post("/", sent)
        assert (answer.status, answer.codes) == (412, {code})
        assert answer.expressions == ["Bundle.entry[1].resource.subject.reference"]
        assert admin.get("/Organization").entries == []

    def test_a_conditional_reference_is_strict(self, admin: Client) -> None:
        made(admin, patient())
        for query in ("unheard=1", "_count=1", ""):
            sent = bundle("transaction", entry("POST", "Observation", observation(f"Patient?{query}")))
            answer = admin.post("/", sent)
            assert answer.status == 400, query
            assert answer.expressions == ["Bundle.entry[0].resource.subject.reference"]

    @pytest.mark.statement("fhir-rest F156")
    def test_references_to_a_conditional_create_lead_to_what_exists_already(self, admin: Client) -> None:
        criteria = f"identifier={SYSTEM}|A-1"
        sent = bundle(
            "transaction",
            entry("POST", "Patient", patient(number="A-1"), ONE, ifNoneExist=criteria),
            entry("POST", "Observation", observation(ONE)),
        )
        first, second = admin.post("/", sent), admin.post("/", sent)
        assert statuses(first) == ["201 Created", "201 Created"]
        assert statuses(second) == ["200 OK", "201 Created"]
        assert _created(first, 0) == _created(second, 0)
        for answer in (first, second):
            assert admin.get(f"/{_created(answer, 1)}").json["subject"]["reference"] == _created(first, 0)
        assert len(admin.get("/Patient").entries) == 1

    @pytest.mark.statement("fhir-rest F159")
    @pytest.mark.parametrize("name", [THREE, "urn:oid:1.2.3"])
    def test_a_temporary_name_of_nothing_is_400(self, admin: Client, name: str) -> None:
        answer = admin.post("/", bundle("transaction", entry("POST", "Observation", observation(name), ONE)))
        assert (answer.status, answer.codes) == (400, {"invalid"})
        assert answer.expressions == ["Bundle.entry[0].resource.subject.reference"]

    def test_a_batch_leaves_references_as_they_are(self, admin: Client) -> None:
        sent = bundle("batch", entry("POST", "Patient", patient(), ONE), entry("POST", "Observation", observation(ONE)))
        answer = admin.post("/", sent)
        assert admin.get(f"/{_created(answer, 1)}").json["subject"]["reference"] == ONE


class TestRefusals:
    """One error refuses everything, and names its place."""

    @pytest.mark.statement("fhir-rest F157")
    @pytest.mark.parametrize("methods", [("PUT", "PUT"), ("PUT", "DELETE"), ("DELETE", "PATCH"), ("PATCH", "PUT")])
    def test_the_same_resource_twice_is_400(self, admin: Client, methods: tuple[str, str]) -> None:
        stored = made(admin, organization(number="A-1"))
        bodies: dict[str, Json | None] = {
            "PUT": {**organization("B"), "id": stored["id"]},
            "DELETE": None,
            "PATCH": _json_patch([{"op": "remove", "path": "/name"}]),
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


def _json_patch(operations: list[Json]) -> Json:
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}


def _fhirpath_patch(path: str, value: str) -> Json:
    parts = [{"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": path}]
    parts.append({"name": "value", "valueString": value})
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


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
            entry("PATCH", named(left), _json_patch([{"op": "replace", "path": "/name/0/family", "value": "A2"}])),
            entry("PATCH", f"Patient?identifier={SYSTEM}|A-1", _fhirpath_patch("Patient.name.family", "B2")),
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
        id_ = _created(made_, 0).partition("/")[2]
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
            shown = admin.post("/", bundle(kind, entry("GET", _created(stored, 0)))).json["entry"][0]["resource"]
            assert (shown["resourceType"], shown["data"]) == ("Binary", "QUJD")

    def test_batch_operations_answer_their_own_outcome(self, admin: Client) -> None:
        answer = admin.post("/", bundle("batch", entry("POST", "Patient/$validate", patient())))
        assert answer.json["entry"][0]["resource"]["resourceType"] == "OperationOutcome"


@pytest.mark.statement("fhir-rest F172")
def test_a_thousand_entries_take_a_few_seconds(world: World) -> None:
    """The budget is for two busy processors; on free ones it takes a tenth."""
    names = [f"urn:uuid:00000000-0000-4000-9000-{number:012d}" for number in range(1000)]
    entries = [entry("POST", "Patient", patient(f"N{number}"), names[number]) for number in range(500)]
    entries += [entry("POST", "Observation", observation(names[n]), names[500 + n]) for n in range(500)]
    sent = bundle("transaction", *entries)
    started = time.process_time()
    answer = world.admin.post("/", sent)
    spent = time.process_time() - started
    assert answer.status == 200, answer.body[:500]
    assert statuses(answer) == ["201 Created"] * 1000
    assert spent < 15
    first = _created(answer, 500)
    assert world.admin.get(f"/{first}").json["subject"]["reference"] == _created(answer, 0)


def test_a_store_without_transactions_answers_501_and_still_takes_batches(wide: World) -> None:
    sent = bundle("transaction", entry("POST", "Patient", patient()), entry("POST", "Organization", organization()))
    answer = wide.admin.post("/", sent)
    assert answer.status == (200 if wide.services.store.transactional else 501)
    assert statuses(wide.admin.post("/", {**sent, "type": "batch"})) == ["201 Created", "201 Created"]
