"""Prefer: what a write answers with, and how strictly parameters are read. fhir-rest 4.3."""

from __future__ import annotations

import pytest

from tests.rest.shapes import BASE, bundle, entry, made, named, organization, patient
from tests.world import Client, Response


def _writes(admin: Client, prefer: str) -> list[Response]:
    """Return the answers of a create, an update, a patch, and an update that changes nothing."""
    created = admin.post("/Patient", patient("UN"), Prefer=prefer)
    path = created.headers["Location"].removeprefix(BASE).partition("/_history")[0]
    body = {**patient("DEUX"), "id": path.rpartition("/")[2]}
    change = [{"op": "replace", "path": "/name/0/family", "value": "TROIS"}]
    return [
        created,
        admin.put(path, body, Prefer=prefer),
        admin.put(path, body, Prefer=prefer),
        admin.patch(path, change, Prefer=prefer),
    ]


@pytest.mark.statement("fhir-rest B51")
def test_return_minimal_has_headers_and_no_body(admin: Client) -> None:
    for answer, version in zip(_writes(admin, "return=minimal"), "1223", strict=True):
        assert answer.body == b""
        assert answer.headers["Content-Length"] == "0"
        assert answer.headers["ETag"] == f'W/"{version}"'
        assert answer.headers["Location"].endswith(f"/_history/{version}")
        assert "Last-Modified" in answer.headers
        assert "Content-Type" not in answer.headers


@pytest.mark.statement("fhir-rest B52")
def test_return_operation_outcome_answers_an_outcome(admin: Client) -> None:
    for answer, version in zip(_writes(admin, "return=OperationOutcome"), "1223", strict=True):
        assert answer.json["resourceType"] == "OperationOutcome"
        assert answer.json["issue"][0]["severity"] == "information"
        assert answer.headers["ETag"] == f'W/"{version}"'


def test_return_representation_is_the_default_of_writes(admin: Client) -> None:
    for prefer in ("return=representation", "respond-async", "return=whatever"):
        assert [answer.json["resourceType"] for answer in _writes(admin, prefer)] == ["Patient"] * 4


@pytest.mark.statement("fhir-rest B53")
@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("return=minimal", "return=minimal"),
        ("return=minimal, handling=strict", "return=minimal, handling=strict"),
        ('handling=lenient; foo=1, return="representation", x-own=1', "return=representation, handling=lenient"),
    ],
)
def test_applied_preferences_are_echoed(admin: Client, prefer: str, applied: str) -> None:
    assert admin.post("/Patient", patient(), Prefer=prefer).headers["Preference-Applied"] == applied


def test_unknown_preferences_are_ignored(admin: Client) -> None:
    assert "Preference-Applied" not in admin.post("/Patient", patient(), Prefer="wait=10, x=y").headers


@pytest.mark.statement("fhir-rest F164")
@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_a_bundle_answers_with_resources_when_they_are_asked_for(admin: Client, kind: str) -> None:
    stored = made(admin, organization("Avant"))
    sent = bundle(
        kind,
        entry("POST", "Patient", patient()),
        entry("PUT", named(stored), {**organization("Après"), "id": stored["id"]}),
        entry("GET", named(stored)),
    )
    answer = admin.post("/", sent, Prefer="return=representation")
    assert answer.status == 200, answer.body
    assert [each["resource"]["resourceType"] for each in answer.json["entry"]] == [
        "Patient",
        "Organization",
        "Organization",
    ]
    assert answer.json["entry"][1]["resource"]["name"] == "Après"
    assert answer.headers["Preference-Applied"] == "return=representation"


@pytest.mark.parametrize("kind", ["transaction", "batch"])
@pytest.mark.parametrize("prefer", ["return=minimal", ""])
def test_the_writes_of_a_bundle_answer_without_resources_unless_asked(admin: Client, kind: str, prefer: str) -> None:
    answer = admin.post(
        "/", bundle(kind, entry("POST", "Patient", patient())), **({"Prefer": prefer} if prefer else {})
    )
    only = answer.json["entry"][0]
    assert "resource" not in only
    assert only["response"]["status"] == "201 Created"
    assert only["response"]["location"].startswith("Patient/")


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_the_writes_of_a_bundle_answer_with_outcomes_when_asked(admin: Client, kind: str) -> None:
    sent = bundle(kind, entry("POST", "Patient", patient()), entry("POST", "Organization", organization()))
    answer = admin.post("/", sent, Prefer="return=OperationOutcome")
    for each in answer.json["entry"]:
        assert "resource" not in each
        assert each["response"]["outcome"]["resourceType"] == "OperationOutcome"
