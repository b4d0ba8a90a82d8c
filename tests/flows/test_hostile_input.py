"""Bad input gets the right 4xx, names the place, and leaves no trace."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests import samples
from tests.flows.steps import (
    Dossier,
    assert_refused,
    attachment,
    escaped,
    next_content,
    next_ins,
    next_oid,
    nothing_stored,
    publication,
)
from tests.flows.submissions import content_of, resource, submission
from tests.samples import Json
from tests.world import Response, World

FHIR = {"content-type": "application/fhir+json"}


@pytest.fixture(scope="module")
def dossier(world: World) -> Dossier:
    """One open dossier with one document, whose author is authorised: nothing here stores anything in it."""
    opened = Dossier.open(world, next_ins())
    opened.submit()
    opened.authorise()
    return opened


def raw(dossier: Dossier, path: str, body: bytes, **headers: str) -> Response:
    """Post bytes as the author."""
    return dossier.world.doctor().call("POST", path, body, {**FHIR, **headers})


@pytest.mark.parametrize("path", ["", "/DocumentReference", "/Patient/$dmp-ouvrir"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"42",
        b"not json",
        b"{",
        b'{"resourceType":',
        b"\xff\xfe\x00",
        b'{"resourceType": NaN}',
        b'{"resourceType": "Bundle"} trailing',
        b"<xml/>",
    ],
    ids=str,
)
def test_what_is_no_json_object_is_400(dossier: Dossier, path: str, body: bytes) -> None:
    with nothing_stored(dossier.world):
        assert_refused(raw(dossier, path, body), 400)


def test_duplicate_keys_are_400_and_named(dossier: Dossier) -> None:
    body = json.dumps(publication(next_oid(), ins=dossier.ins))
    with nothing_stored(dossier.world):
        for twice in (body[:-1] + ', "status": "superseded"}', body.replace('"title":', '"title": "x", "title":', 1)):
            answer = raw(dossier, "/DocumentReference", twice.encode())
            assert_refused(answer, 400)
            assert any(name in answer.body.decode() for name in ("status", "title"))


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/DocumentReference", "List"),
        ("/DocumentReference", "Nonsense"),
        ("", "DocumentReference"),
        ("/List", "Patient"),
    ],
)
def test_another_resource_type_than_the_url_names_is_400(dossier: Dossier, path: str, type_: str) -> None:
    body = publication(next_oid(), ins=dossier.ins) | {"resourceType": type_}
    with nothing_stored(dossier.world):
        assert_refused(raw(dossier, path, json.dumps(body).encode()), 400)


@pytest.mark.parametrize("type_", [None, 3, [], {}, "", "documentreference", "$where"])
def test_a_resource_without_a_type_is_400(dossier: Dossier, type_: object) -> None:
    body = publication(next_oid(), ins=dossier.ins)
    del body["resourceType"]
    if type_ is not None:
        body["resourceType"] = type_
    with nothing_stored(dossier.world):
        assert_refused(raw(dossier, "/DocumentReference", json.dumps(body).encode()), 400)


def test_a_body_that_is_too_large_is_413(dossier: Dossier) -> None:
    size = 60 * 1024 * 1024
    with nothing_stored(dossier.world):
        answer = raw(dossier, "/DocumentReference", b" " * 1000, content_length=str(size))
        assert_refused(answer, 413, "too-long")


def test_a_body_of_60_mb_is_413_and_nothing_is_kept(world: World, make: Callable[..., World]) -> None:
    server = make(DMP_SERVER_MAX_BODY_BYTES="1000000")
    dossier = Dossier.open(server, next_ins())
    content = b"x" * 1_200_000
    with nothing_stored(server, content):
        answer = server.doctor().post("/DocumentReference", publication(next_oid(), ins=dossier.ins, content=content))
        assert_refused(answer, 413, "too-long")
        answer = server.doctor().post("", samples.submission(next_oid(), ins=dossier.ins, content=content))
        assert_refused(answer, 413, "too-long")


def test_more_than_1000_entries_are_refused(dossier: Dossier) -> None:
    body = submission(dossier)
    content = content_of(body)
    body["entry"] += [body["entry"][2]] * 998
    batch = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": "List/x"}}] * 1001,
    }
    with nothing_stored(dossier.world, content):
        for bundle in (body, batch):
            assert_refused(dossier.world.doctor().post("", bundle), 413, "too-costly", at="Bundle.entry")


def nul(body: Json) -> None:
    body["description"] = "a\x00b"


def lone_surrogate(body: Json) -> None:
    body["description"] = "a\ud800b"


def control(body: Json) -> None:
    attachment(body)["title"] = "a\x07b"


def surrogate_key(body: Json) -> None:
    body["context"]["extension"] = [{"url": "https://example.org/\udfff", "valueString": "x"}]


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (nul, "DocumentReference.description"),
        (lone_surrogate, "DocumentReference.description"),
        (control, "DocumentReference.content[0].attachment.title"),
        (surrogate_key, "DocumentReference.context.extension[0].url"),
    ],
)
def test_nul_and_lone_surrogates_are_refused_and_named(
    dossier: Dossier, spoil: Callable[[Json], None], place: str
) -> None:
    content = next_content()
    body = publication(next_oid(), ins=dossier.ins, content=content)
    spoil(body)
    with nothing_stored(dossier.world, content):
        answer = raw(dossier, "/DocumentReference", json.dumps(body).encode())
    assert answer.status in (400, 422), answer.body
    assert_refused(answer, answer.status)
    if answer.status == 422:
        assert place in answer.expressions
    whole = submission(dossier)
    spoil(resource(whole, 1))
    with nothing_stored(dossier.world, content_of(whole)):
        answer = raw(dossier, "", json.dumps(whole).encode())
    assert answer.status in (400, 422), answer.body


@pytest.mark.parametrize("depth", [100, 10_000, 200_000])
def test_deep_nesting_is_refused_and_kills_nobody(dossier: Dossier, depth: int) -> None:
    nested = b'{"extension":[' * depth + b"{}" + b"]}" * depth
    arrays = b"[" * depth + b"]" * depth
    with nothing_stored(dossier.world):
        for inner in (nested, arrays):
            body = b'{"resourceType":"DocumentReference","extension":[' + inner + b"]}"
            answer = raw(dossier, "/DocumentReference", body)
            assert answer.status in (400, 422), answer.body[:300]
            assert_refused(answer, answer.status)
    xml = b"<DocumentReference xmlns='http://hl7.org/fhir'>" + b"<extension url='x'>" * depth
    xml += b"</extension>" * depth + b"</DocumentReference>"
    with nothing_stored(dossier.world):
        answer = raw(dossier, "/DocumentReference", xml, **{"content-type": "application/fhir+xml"})
    assert answer.status in (400, 422), answer.body[:300]


def test_an_xml_bomb_is_400(dossier: Dossier) -> None:
    bomb = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
    <DocumentReference xmlns="http://hl7.org/fhir"><description value="&b;"/></DocumentReference>"""
    outside = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>
    <DocumentReference xmlns="http://hl7.org/fhir"><description value="&x;"/></DocumentReference>"""
    with nothing_stored(dossier.world):
        for body in (bomb, outside):
            answer = raw(dossier, "/DocumentReference", body, **{"content-type": "application/fhir+xml"})
            assert_refused(answer, 400)
            assert b"root:" not in answer.body


@pytest.mark.parametrize(
    "name", ["$where", "$ne", "$gt", "a.$b", "status[$ne]", "patient[$regex]", "__proto__", "_page[$ne]"]
)
def test_operators_in_parameters_mean_nothing(dossier: Dossier, name: str) -> None:
    doctor = dossier.world.doctor()
    answer = doctor.get(f"/DocumentReference?{dossier.criterion}&{name}=1", Prefer="handling=strict")
    assert_refused(answer, 400)
    lenient = dossier.search(doctor, f"{name}=1")
    if lenient.status == 200:
        assert len(lenient.entries) == 1
    else:
        assert_refused(lenient, 400)


@pytest.mark.parametrize(
    "value", ['{"$ne":null}', "{$gt: ''}", "' OR 1=1 --", "%", "_", "\\", "a\\", "*", "$", "x'; DROP TABLE resource;--"]
)
@pytest.mark.parametrize(
    "parameter", ["status", "type", "identifier", "description", "author.family", "_id", "location"]
)
def test_operators_in_values_are_only_text(dossier: Dossier, parameter: str, value: str) -> None:
    answer = dossier.search(dossier.world.admin, f"{parameter}={escaped(value)}")
    assert answer.status in (200, 400), answer.body
    if answer.status == 200:
        assert answer.json["total"] == 0, answer.body


def test_keys_with_operators_are_refused_in_bodies(dossier: Dossier) -> None:
    extras: tuple[Json, ...] = ({"$where": "1"}, {"a.b": 1}, {"__proto__": {}}, {"context": {"$ne": 1}})
    for extra in extras:
        content = next_content()
        body = publication(next_oid(), ins=dossier.ins, content=content) | extra
        with nothing_stored(dossier.world, content):
            answer = dossier.world.doctor().post("/DocumentReference", body)
        assert_refused(answer, 422)


def wrong_key(dossier: Dossier) -> str:
    """Return the INS of the dossier with another control key."""
    key = int(dossier.ins[13:])
    return f"{dossier.ins[:13]}{key % 97 + 1:02d}"


def test_a_wrong_control_key_opens_nothing(world: World, dossier: Dossier) -> None:
    with nothing_stored(world):
        answer = world.doctor().post("/Patient/$dmp-ouvrir", samples.opening(samples.patient(wrong_key(dossier))))
    assert_refused(answer, 422, "value", "ins-cle-invalide")


def test_a_submission_for_a_wrong_control_key_is_422(world: World, dossier: Dossier) -> None:
    content = next_content()
    ins = wrong_key(dossier)
    with nothing_stored(world, content):
        answer = world.doctor().post("", samples.submission(next_oid(), ins=ins, content=content))
        assert_refused(answer, 422, "dmp-inexistant", at="Bundle.entry")
        answer = world.doctor().post("/DocumentReference", publication(next_oid(), ins=ins, content=content))
        assert_refused(answer, 422, "dmp-inexistant", at="DocumentReference.subject")


@pytest.mark.parametrize(
    "url",
    ["", "/", "DocumentReference/x/y/z", "https://elsewhere.example/fhir/List", "../List", "List?", "Nonsense", "$x"],
)
def test_a_strange_request_url_in_a_bundle_is_refused(dossier: Dossier, url: str) -> None:
    body = submission(dossier)
    body["entry"][1]["request"]["url"] = url
    with nothing_stored(dossier.world, content_of(body)):
        answer = dossier.world.doctor().post("", body)
    assert answer.status in (400, 422), answer.body
    assert_refused(answer, answer.status)
    generic = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": {"resourceType": "Practitioner"}, "request": {"method": "POST", "url": url}}],
    }
    with nothing_stored(dossier.world):
        answer = dossier.world.admin.post("", generic)
    assert 400 <= answer.status < 500, answer.body
    assert_refused(answer, answer.status)


MALFORMED: list[object] = [
    None,
    3,
    "x",
    [],
    {},
    {"request": None},
    {"request": {}},
    {"request": {"method": "POST"}},
    {"resource": 3},
]


@pytest.mark.parametrize("entry", MALFORMED, ids=repr)
def test_a_malformed_entry_of_a_batch_is_answered_in_its_place(dossier: Dossier, entry: object) -> None:
    get = {"request": {"method": "GET", "url": f"Patient/{dossier.id}"}}
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [get, entry, get]}
    answer = dossier.world.doctor().post("", batch)
    assert answer.status == 200, answer.body
    statuses = [each["response"]["status"][:3] for each in answer.json["entry"]]
    assert statuses == ["200", "400", "200"]
    assert "entry[1]" in str(answer.json["entry"][1]["response"]["outcome"]["issue"][0]["expression"])


@pytest.mark.parametrize("entry", MALFORMED, ids=repr)
def test_a_malformed_entry_of_a_transaction_is_refused_and_named(dossier: Dossier, entry: object) -> None:
    body = submission(dossier)
    content = content_of(body)
    body["entry"].insert(1, entry)
    with nothing_stored(dossier.world, content):
        answer = dossier.world.doctor().post("", body)
    assert answer.status in (400, 422), answer.body
    assert_refused(answer, answer.status)
    assert any("entry[1]" in place for place in answer.expressions), answer.body


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("subject",), "x"),
        (("subject", "reference"), 3),
        (("content",), {}),
        (("content", 0, "attachment"), []),
        (("content", 0, "attachment", "data"), 5),
        (("content", 0, "attachment", "data"), "not base64!"),
        (("author",), [None]),
        (("author", 0, "reference"), "#absent"),
        (("context",), [{}]),
        (("securityLabel",), ["N"]),
        (("masterIdentifier",), "urn:oid:1.2.3"),
        (("contained",), [3]),
        (("contained", 0, "contained"), [{"resourceType": "Patient"}]),
        (("extension",), [{"url": 3}]),
        (("date",), "tomorrow"),
        (("type",), None),
        (("relatesTo",), [{"code": "replaces"}]),
        (("relatesTo",), [{"code": "replaces", "target": {"reference": "urn:uuid:nobody"}}]),
    ],
    ids=str,
)
def test_elements_of_the_wrong_shape_are_named(dossier: Dossier, path: tuple[str | int, ...], value: object) -> None:
    content = next_content()
    body = publication(next_oid(), ins=dossier.ins, content=content)
    holder: object = body
    for step in path[:-1]:
        holder = holder[step]  # type: ignore[index]
    holder[path[-1]] = value  # type: ignore[index]
    with nothing_stored(dossier.world, content):
        answer = dossier.world.doctor().post("/DocumentReference", body)
    assert answer.status in (400, 422), answer.body
    assert_refused(answer, answer.status)
    assert any(str(path[0]) in place for place in answer.expressions), answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/DocumentReference/" + "x" * 65,
        "/DocumentReference/a%20b",
        "/DocumentReference/%00",
        "/DocumentReference/..%2f..%2fPatient",
        "/DocumentReference/$nonsense",
        "/DocumentReference/x/_history/abc",
        "/DocumentReference/x/_history/99999999999999999999",
        "/%F0%9F%92%A9",
        "/DocumentReference?_count=-1",
        "/DocumentReference?_count=abc",
        "/DocumentReference?_page=x",
        "/DocumentReference?patient=Patient/x&_sort=-",
        "/DocumentReference?patient=Patient/x&_include=DocumentReference:nonsense",
        "/DocumentReference?patient=Patient/x&_lastUpdated=gtNaN",
        "/List?_has:x=1",
        "/Patient?identifier=" + "%7C" * 300,
    ],
)
def test_strange_urls_are_4xx_or_answered(dossier: Dossier, path: str) -> None:
    for client in (dossier.world.doctor(), dossier.world.admin):
        answer = client.get(path, Prefer="handling=strict")
        assert answer.status < 500, answer.body
        if answer.status != 200:
            assert_refused(answer, answer.status)
