"""Transactions: order, references, costs. fhir-rest 8, checklist F."""

from __future__ import annotations

import time

import pytest

from tests.rest.shapes import (
    SYSTEM,
    bundle,
    created,
    entry,
    made,
    named,
    observation,
    organization,
    patient,
    statuses,
)
from tests.world import Client, World

XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


ONE, TWO, THREE = (f"urn:uuid:00000000-0000-4000-8000-00000000000{n}" for n in "123")


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
        owner = created(answer, 1)
        stored = admin.get(f"/{created(answer, 0)}").json
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
        subjects = [admin.get(f"/{created(answer, index)}").json["subject"]["reference"] for index in (1, 2)]
        assert subjects == [created(answer, 0), "Patient/9"]

    @pytest.mark.statement("fhir-rest F152")
    def test_links_to_what_a_put_makes_are_rewritten_to_its_id(self, admin: Client) -> None:
        sent = bundle(
            "transaction",
            entry("POST", "Observation", observation(ONE)),
            entry("PUT", "Patient/mine", patient(id="mine"), ONE),
        )
        answer = admin.post("/", sent)
        assert admin.get(f"/{created(answer, 0)}").json["subject"]["reference"] == "Patient/mine"

    def test_two_new_resources_may_refer_to_each_other(self, admin: Client) -> None:
        left = organization("Gauche", partOf={"reference": TWO})
        right = organization("Droite", partOf={"reference": ONE})
        answer = admin.post(
            "/",
            bundle("transaction", entry("POST", "Organization", left, ONE), entry("POST", "Organization", right, TWO)),
        )
        names = [created(answer, 0), created(answer, 1)]
        assert [admin.get(f"/{name}").json["partOf"]["reference"] for name in names] == names[::-1]

    @pytest.mark.statement("fhir-rest F155")
    def test_a_conditional_reference_becomes_its_one_match(self, admin: Client) -> None:
        owner = made(admin, patient(number="A-1"))
        sent = bundle("transaction", entry("POST", "Observation", observation(f"Patient?identifier={SYSTEM}|A-1")))
        answer = admin.post("/", sent)
        assert admin.get(f"/{created(answer, 0)}").json["subject"]["reference"] == named(owner)

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
        assert created(first, 0) == created(second, 0)
        for answer in (first, second):
            assert admin.get(f"/{created(answer, 1)}").json["subject"]["reference"] == created(first, 0)
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
        assert admin.get(f"/{created(answer, 1)}").json["subject"]["reference"] == ONE


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
    first = created(answer, 500)
    assert world.admin.get(f"/{first}").json["subject"]["reference"] == created(answer, 0)


def test_a_store_without_transactions_answers_501_and_still_takes_batches(wide: World) -> None:
    sent = bundle("transaction", entry("POST", "Patient", patient()), entry("POST", "Organization", organization()))
    answer = wide.admin.post("/", sent)
    assert answer.status == (200 if wide.services.store.transactional else 501)
    assert statuses(wide.admin.post("/", {**sent, "type": "batch"})) == ["201 Created", "201 Created"]
