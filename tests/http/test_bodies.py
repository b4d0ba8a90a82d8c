"""Request bodies: types, sizes, encodings, forms, contents."""

from __future__ import annotations

import gzip
import hashlib

import orjson
import pytest

from fhir_dmp.fhir.resource import dump
from fhir_dmp.settings import Settings
from tests.http.world import PATIENT, World

FHIR = {"Content-Type": "application/fhir+json"}
BODY = orjson.dumps(PATIENT)


def test_a_json_resource_reaches_the_use_case() -> None:
    world = World()
    assert world.send("POST", "/Patient", BODY, {"Content-Type": "application/fhir+json; charset=utf-8"}).status == 200
    payload = world.call.payload
    assert payload is not None
    assert (payload.resource, payload.media_type, payload.declared) == (
        PATIENT,
        "application/fhir+json",
        "application/fhir+json; charset=utf-8",
    )


def test_an_xml_resource_reaches_the_use_case_as_json() -> None:
    world = World()
    body = b'<Patient xmlns="http://hl7.org/fhir"><active value="true"/></Patient>'
    assert world.send("POST", "/Patient", body, {"Content-Type": "application/xml"}).status == 200
    assert world.call.payload is not None
    assert world.call.payload.resource == {"resourceType": "Patient", "active": True}


@pytest.mark.statement("fhir-rest A8", "fhir-rest A9", "fhir-rest A10")
@pytest.mark.parametrize(
    "declared",
    [
        "text/plain",
        "application/fhir+json; fhirVersion=3.0",
        "application/fhir+json; charset=iso-8859-1",
        "application/fhir+ndjson",
        "text/html",
    ],
)
def test_a_body_of_another_type_is_415(declared: str) -> None:
    world = World()
    reply = world.send("POST", "/Patient", BODY, {"Content-Type": declared})
    assert (reply.status, reply.issue["code"]) == (415, "not-supported")
    assert world.calls == []


@pytest.mark.statement("fhir-rest A9")
def test_fhir_version_4_is_taken() -> None:
    assert (
        World().send("POST", "/Patient", BODY, {"Content-Type": "application/fhir+json; fhirVersion=4.0"}).status == 200
    )


def test_a_missing_type_is_guessed_unless_strict() -> None:
    world = World()
    assert world.send("POST", "/Patient", BODY).status == 200
    assert world.send("POST", "/Patient", b' <Patient xmlns="http://hl7.org/fhir"/>').status == 200
    assert world.send("POST", "/Patient", b"hello").status == 415
    assert world.send("POST", "/Patient", BODY, {"Prefer": "handling=strict"}).status == 415


@pytest.mark.statement("fhir-rest A12", "fhir-rest A16")
@pytest.mark.parametrize(
    ("declared", "body", "code"),
    [
        ("application/fhir+json", b'{"resourceType":"Patient","id":"a","id":"b"}', "structure"),
        ("application/fhir+json", b"{", "structure"),
        ("application/fhir+json", b"", None),
        ("application/fhir+json", b'"text"', "structure"),
        ("application/fhir+json", b"\xff", "structure"),
        ("application/fhir+json", b"[" * 100_000, "structure"),
        ("application/fhir+json", b'{"a":NaN}', "structure"),
        ("application/fhir+xml", b'<!DOCTYPE x [<!ENTITY y "z">]><Patient xmlns="http://hl7.org/fhir"/>', "security"),
        ("application/fhir+xml", b"<Patient", "structure"),
        ("application/json-patch+json", b"[}", "structure"),
        ("application/json-patch+json", b'[], "x": 1', "structure"),
    ],
)
def test_a_malformed_body_is_400(declared: str, body: bytes, code: str | None) -> None:
    world = World()
    method = "PATCH" if "patch" in declared else "POST"
    reply = world.send(method, "/Patient/a" if method == "PATCH" else "/Patient", body, {"Content-Type": declared})
    if code is None:
        assert world.call.payload is None
        return
    assert (reply.status, reply.issue["code"]) == (400, code)
    assert world.calls == []


def test_patch_takes_json_patch_and_parameters_and_says_so() -> None:
    world = World()
    patch = b'[{"op":"test","path":"/a","value":1.10}]'
    assert world.send("PATCH", "/Patient/a", patch, {"Content-Type": "application/json-patch+json"}).status == 200
    assert world.call.payload is not None
    assert dump(world.call.payload.patch) == patch
    assert world.send("PATCH", "/Patient/a", b'{"resourceType":"Parameters"}', FHIR).status == 200
    refused = world.send("PATCH", "/Patient/a", BODY, {"Content-Type": "application/json"})
    assert refused.status == 415
    assert refused.header("Accept-Patch").split(", ") == [
        "application/json-patch+json",
        "application/fhir+json",
        "application/fhir+xml",
        "application/xml-patch+xml",
    ]


@pytest.mark.statement("fhir-rest A25")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_413(chunked: bool) -> None:
    world = World(settings=Settings.load({"DMP_SERVER_MAX_BODY_BYTES": "1000"}))
    body = b'{"a":"' + b"x" * 993 + b'"}'
    reply = world.send("POST", "/Patient", [body] if chunked else body, FHIR)
    assert (len(body), reply.status, reply.issue["code"]) == (1001, 413, "too-long")
    fitting = b'{"a":"' + b"x" * 992 + b'"}'
    assert world.send("POST", "/Patient", [fitting] if chunked else fitting, FHIR).status == 200


def test_a_gzip_body_is_inflated() -> None:
    world = World()
    body = gzip.compress(orjson.dumps({**PATIENT, "language": "x" * 200_000}))
    assert world.send("POST", "/Patient", body, {**FHIR, "Content-Encoding": "gzip"}).status == 200
    assert world.call.payload is not None
    assert world.call.payload.resource == {**PATIENT, "language": "x" * 200_000}


@pytest.mark.statement("fhir-rest A25")
def test_a_gzip_bomb_is_413() -> None:
    bomb = gzip.compress(b"{" + b" " * 20_000_000 + b"}")
    reply = World().send("POST", "/Patient", bomb, {**FHIR, "Content-Encoding": "gzip"})
    assert (reply.status, reply.issue["code"]) == (413, "too-long")


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"not gzip", "gzip", 400),
        (gzip.compress(BODY)[:-9], "gzip", 400),
        (gzip.compress(BODY) + b"more", "gzip", 400),
        (BODY, "br", 415),
        (BODY, "identity", 200),
    ],
)
def test_damaged_or_unknown_encodings_are_refused(body: bytes, encoding: str, status: int) -> None:
    assert World().send("POST", "/Patient", body, {**FHIR, "Content-Encoding": encoding}).status == status


def test_a_body_shorter_than_announced_is_400() -> None:
    reply = World().send("POST", "/Patient", BODY, {**FHIR, "Content-Length": str(len(BODY) + 1)})
    assert (reply.status, reply.issue["code"]) == (400, "structure")
    assert World().send("POST", "/Patient", BODY, {**FHIR, "Content-Length": "-1"}).status == 400


def test_the_form_of_a_search_joins_the_query() -> None:
    world = World()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"identifier=urn:oid:1%7C2&_format=xml&name=%C3%A9+b"
    reply = world.send("POST", "/Patient/_search?_count=3", body, form)
    assert world.call.query == (
        ("_count", "3"),
        ("identifier", "urn:oid:1|2"),
        ("_format", "xml"),
        ("name", "é b"),
    )
    assert (
        world.call.info.raw == "POST /fhir/Patient/_search?_count=3&identifier=urn:oid:1%7C2&_format=xml&name=%C3%A9+b"
    )
    assert reply.header("Content-Type") == "application/fhir+xml;charset=utf-8"
    assert world.send("POST", "/Patient/_search", b"", form).status == 200
    assert world.send("POST", "/Patient/_search", b"{}", FHIR).status == 415


@pytest.mark.statement("fhir-rest I194")
def test_bytes_sent_to_binary_become_a_staged_content() -> None:
    world = World()
    content = b"%PDF-1.7 " + bytes(range(256)) * 1000
    world.send("POST", "/Binary", content, {"Content-Type": "application/pdf"})
    payload = world.call.payload
    assert payload is not None
    assert payload.blob is not None
    assert (payload.blob.sha256, payload.blob.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert payload.resource is None


@pytest.mark.statement("fhir-rest I196", "fhir-rest I197")
def test_fhir_sent_to_binary_is_parsed_only_when_it_is_a_binary() -> None:
    world = World()
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": "YQ=="}
    world.send("POST", "/Binary", orjson.dumps(binary), FHIR)
    payload = world.call.payload
    assert payload is not None
    assert (payload.resource, payload.blob) == (binary, None)
    world.send("POST", "/Binary", BODY, FHIR)
    other = world.calls[1].payload
    assert other is not None
    assert other.blob is not None
    assert (other.resource, other.blob.size) == (None, len(BODY))


@pytest.mark.statement("fhir-rest I196", "fhir-rest I197")
def test_large_fhir_sent_to_binary_is_told_apart_too() -> None:
    world = World()
    data = "QUJD" * 600_000
    world.send(
        "POST", "/Binary", orjson.dumps({"contentType": "text/plain", "data": data, "resourceType": "Binary"}), FHIR
    )
    payload = world.call.payload
    assert payload is not None
    assert payload.resource is not None
    marker = payload.resource["data"]
    assert payload.staged[marker].sha256 == hashlib.sha256(b"ABC" * 600_000).hexdigest()
    other = orjson.dumps({**PATIENT, "language": "x" * 2_000_000})
    world.send("POST", "/Binary", other, FHIR)
    assert world.call.payload is not None
    assert world.call.payload.blob is not None
    assert world.call.payload.blob.sha256 == hashlib.sha256(other).hexdigest()


def test_large_contents_inside_a_bundle_are_staged_while_they_arrive() -> None:
    world = World()
    content = bytes(range(256)) * 8192
    import base64

    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "resource": {
                    "resourceType": "Binary",
                    "contentType": "application/pdf",
                    "data": base64.b64encode(content).decode(),
                }
            },
            {"resource": PATIENT},
        ],
    }
    assert world.send("POST", "/", orjson.dumps(bundle), FHIR).status == 200
    payload = world.call.payload
    assert payload is not None
    assert payload.resource is not None
    first, second = payload.resource["entry"]
    blob = payload.staged[first["resource"]["data"]]
    assert (blob.sha256, blob.size, blob.sha1) == (
        hashlib.sha256(content).hexdigest(),
        len(content),
        hashlib.sha1(content).digest(),
    )
    assert second["resource"] == PATIENT


def test_a_cda_sent_to_an_operation_stays_as_it_is() -> None:
    world = World()
    cda = b'<?xml version="1.0"?><!-- <Patient --><ClinicalDocument xmlns="urn:hl7-org:v3"/>'
    world.send("POST", "/$cda-to-fhir", cda, {"Content-Type": "text/xml"})
    assert world.call.payload is not None
    assert (world.call.payload.raw, world.call.payload.resource) == (cda, None)
    reply = world.send("POST", "/Patient", cda, {"Content-Type": "text/xml"})
    assert reply.status == 400


def test_a_get_has_no_body() -> None:
    world = World()
    world.send("GET", "/Patient/a", b"ignored", FHIR)
    assert world.call.payload is None
