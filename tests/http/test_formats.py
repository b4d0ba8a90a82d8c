"""Representations: who gets JSON, XML or a page, and what bodies are taken. fhir-rest 2, checklist A."""

from __future__ import annotations

import gzip

import orjson
import pytest

from fhir_dmp.errors import NotFound
from fhir_dmp.fhir.xml import from_xml
from tests.http.world import PATIENT, World, resource, structures

JSON = "application/fhir+json;charset=utf-8"
XML = "application/fhir+xml;charset=utf-8"


@pytest.mark.statement("fhir-rest A1")
def test_without_accept_the_answer_is_fhir_json() -> None:
    reply = World().get("/metadata")
    assert (reply.status, reply.header("Content-Type")) == (200, JSON)
    assert reply.json == PATIENT


@pytest.mark.statement("fhir-rest A2", "fhir-rest A3", "fhir-rest A4", "fhir-rest A7")
@pytest.mark.parametrize(
    ("path", "accept", "expected"),
    [
        ("/Patient/p-1?_format=xml", "application/fhir+json", XML),
        ("/Patient/p-1?_format=application/fhir+json", "application/fhir+xml", JSON),
        ("/Patient/p-1?_format=application%2Ffhir%2Bxml", "", XML),
        ("/Patient/p-1?_format=text/json", "", JSON),
        ("/Patient/p-1", "application/xml", "application/xml;charset=utf-8"),
        ("/Patient/p-1", "text/xml", "text/xml;charset=utf-8"),
        ("/Patient/p-1", "application/json", "application/json;charset=utf-8"),
        ("/Patient/p-1", "application/json, */*", JSON),
        ("/Patient/p-1", "application/json, application/fhir+json;q=0.5", JSON),
        ("/Patient/p-1", "application/fhir+xml;q=0.9, application/fhir+json;q=0.5", XML),
        ("/Patient/p-1", "application/fhir+json;q=0.5, application/fhir+xml", XML),
        ("/Patient/p-1", "*/*", JSON),
        ("/Patient/p-1", "application/*", JSON),
        ("/Patient/p-1", "*/*, application/fhir+json;q=0", XML),
        ("/Patient/p-1", "image/png, */*;q=0.1", JSON),
        ("/Patient/p-1", "application/fhir+json; fhirVersion=4.0", JSON),
        ("/Patient/p-1", "application/fhir+json; fhirVersion=3.0, application/fhir+xml;q=0.1", XML),
    ],
)
def test_the_representation_follows_format_then_accept(path: str, accept: str, expected: str) -> None:
    reply = World().get(path, **({"Accept": accept} if accept else {}))
    assert (reply.status, reply.header("Content-Type")) == (200, expected)


def test_xml_holds_the_same_resource() -> None:
    reply = World().get("/Patient/p-1", Accept="application/fhir+xml")
    assert from_xml(reply.body, structures()) == PATIENT


def test_digits_survive_both_representations() -> None:
    body = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00}}'
    world = World(answer=resource(body=body))
    assert world.get("/Observation/o").body == body
    assert b'<value value="1.00"/>' in world.get("/Observation/o?_format=xml").body


@pytest.mark.statement("fhir-rest A6", "fhir-rest A9")
@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/Patient/p-1", "image/png"),
        ("/Patient/p-1", "application/fhir+json;q=0"),
        ("/Patient/p-1", "application/fhir+json; fhirVersion=3.0"),
        ("/Patient/p-1?_format=turtle", "*/*"),
    ],
)
def test_what_cannot_be_represented_is_406_and_nothing_is_done(path: str, accept: str) -> None:
    world = World()
    reply = world.send("PUT", path, orjson.dumps(PATIENT), {"Accept": accept, "Content-Type": "application/fhir+json"})
    assert (reply.status, reply.header("Content-Type"), reply.issue["code"]) == (406, JSON, "not-supported")
    assert world.calls == []


@pytest.mark.statement("fhir-rest A5")
def test_a_browser_gets_a_page_that_escapes_the_record() -> None:
    evil = {
        **PATIENT,
        "name": [{"text": "<script>alert(1)</script>&\"'"}],
        "link": [{"other": {"reference": "Patient/p-2"}}],
    }
    reply = World(answer=resource(evil)).get("/Patient/p-1?a=%22b", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    page = reply.body.decode()
    assert reply.header("Content-Type") == "text/html;charset=utf-8"
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert '<a href="http://127.0.0.1:8000/fhir/Patient/p-2">Patient/p-2</a>' in page
    assert 'href="http://127.0.0.1:8000/fhir/Patient/p-1?a=%22b&amp;_format=json&amp;_pretty=true"' in page
    assert reply.header("Content-Security-Policy").startswith("default-src 'none'; style-src 'sha256-")


@pytest.mark.statement("fhir-rest A11")
def test_pretty_changes_white_space_only() -> None:
    world = World()
    plain, pretty = world.get("/Patient/p-1"), world.get("/Patient/p-1?_pretty=true")
    assert plain.body != pretty.body
    assert plain.json == pretty.json
    assert plain.header("ETag") == pretty.header("ETag") == 'W/"3"'


@pytest.mark.statement("fhir-rest A26")
def test_gzip_is_used_above_a_kilobyte_when_accepted() -> None:
    big = {**PATIENT, "text": {"status": "generated", "div": "x" * 2000}}
    world = World(answer=resource(big))
    zipped = world.get("/Patient/p-1", Accept_Encoding="deflate, gzip")
    plain = world.get("/Patient/p-1", Accept_Encoding="gzip;q=0")
    assert zipped.header("Content-Encoding") == "gzip"
    assert zipped.header("Content-Length") == str(len(zipped.body))
    assert gzip.decompress(zipped.body) == plain.body
    assert plain.header("Content-Encoding") == ""
    assert World().get("/Patient/p-1", Accept_Encoding="gzip").header("Content-Encoding") == ""


@pytest.mark.statement("fhir-rest A21")
def test_head_has_the_headers_of_get_and_no_body() -> None:
    world = World()
    got = world.send("GET", "/Patient/p-1", headers={"X-Request-Id": "a"})
    head = world.send("HEAD", "/Patient/p-1", headers={"X-Request-Id": "a"})
    assert (head.status, head.body) == (200, b"")
    assert head.headers == got.headers
    assert world.call.method == "GET"


@pytest.mark.parametrize(
    ("language", "text"), [("fr-FR,en;q=0.5", "Ressource introuvable."), ("de", "The resource was not found.")]
)
def test_people_read_errors_in_their_language(language: str, text: str) -> None:
    reply = World(answer=NotFound("There is no such thing.")).get("/Patient/x", Accept_Language=language)
    assert reply.issue["details"]["text"] == text


@pytest.mark.statement("fhir-rest A4")
def test_errors_come_in_the_wanted_format() -> None:
    reply = World(answer=NotFound("Nothing here.")).get("/Patient/x?_format=xml")
    outcome = from_xml(reply.body, structures())
    assert (reply.status, outcome["issue"][0]["code"]) == (404, "not-found")
