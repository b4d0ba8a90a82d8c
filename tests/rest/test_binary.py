"""Binary: any content in, the same bytes out, safely. fhir-rest 11, checklist I."""

from __future__ import annotations

import base64

import pytest

from tests.rest.shapes import BASE, bundle, entry, made, patient
from tests.samples import NURSE
from tests.world import Client, Json, Response, World

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 8


def _posted(client: Client, content: bytes, type_: str, **headers: str) -> Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.call("POST", "/Binary", content, {"Content-Type": type_, **given})
    assert answer.status == 201, answer.body
    return answer


def _path(answer: Response) -> str:
    return answer.headers["Location"].removeprefix(BASE).partition("/_history")[0]


@pytest.mark.statement("fhir-rest I194")
def test_posted_bytes_come_back_identical_with_their_type(wide: World) -> None:
    stored = _posted(wide.admin, PDF, "application/pdf")
    assert stored.headers["ETag"] == 'W/"1"'
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/pdf"}):
        answer = wide.admin.get(_path(stored), **accept)
        assert (answer.status, answer.body) == (200, PDF)
        assert answer.headers["Content-Type"] == "application/pdf"
        assert answer.headers["Content-Length"] == str(len(PDF))
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["ETag"] == 'W/"1"'


@pytest.mark.statement("fhir-rest I195")
@pytest.mark.parametrize("how", ["accept", "format"])
def test_a_fhir_accept_returns_the_resource_with_its_base64(wide: World, how: str) -> None:
    path = _path(_posted(wide.admin, PDF, "application/pdf"))
    if how == "accept":
        answer = wide.admin.get(path, Accept="application/fhir+json")
    else:
        answer = wide.admin.get(f"{path}?_format=json")
    assert answer.headers["Content-Type"] == "application/fhir+json;charset=utf-8"
    assert answer.json["resourceType"] == "Binary"
    assert answer.json["contentType"] == "application/pdf"
    assert base64.b64decode(answer.json["data"]) == PDF
    as_xml = wide.admin.get(path, Accept="application/fhir+xml")
    assert base64.b64encode(PDF) in as_xml.body
    assert as_xml.headers["Content-Type"].startswith("application/fhir+xml")


@pytest.mark.statement("fhir-rest I196")
@pytest.mark.parametrize("form", ["json", "xml"])
def test_a_posted_binary_resource_is_read_as_one(wide: World, form: str) -> None:
    text = base64.b64encode(b"bonjour").decode()
    if form == "json":
        body: object = {"resourceType": "Binary", "contentType": "text/plain", "data": text}
        stored = wide.admin.post("/Binary", body)
    else:
        xml = f'<Binary xmlns="http://hl7.org/fhir"><contentType value="text/plain"/><data value="{text}"/></Binary>'
        stored = wide.admin.call("POST", "/Binary", xml.encode(), {"Content-Type": "application/fhir+xml"})
    assert stored.status == 201, stored.body
    answer = wide.admin.get(_path(stored))
    assert (answer.body, answer.headers["Content-Type"]) == (b"bonjour", "text/plain")


@pytest.mark.statement("fhir-rest I197")
def test_a_posted_patient_is_stored_as_a_content(wide: World) -> None:
    content = b'{"resourceType": "Patient" , "active":true}'
    stored = _posted(wide.admin, content, "application/fhir+json")
    answer = wide.admin.get(_path(stored), Accept="*/*")
    assert answer.body == content
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    assert wide.admin.get("/Patient").entries == []


@pytest.mark.statement("fhir-rest I198")
def test_the_security_context_decides_who_reads(world: World) -> None:
    id_ = world.open()
    world.authorise()
    doctor, nurse = world.doctor(), world.doctor(NURSE, profession="60")
    stored = _posted(doctor, PDF, "application/pdf", X_Security_Context=f"Patient/{id_}")
    shown = doctor.get(_path(stored), Accept="application/fhir+json").json
    assert shown["securityContext"] == {"reference": f"Patient/{id_}"}
    assert doctor.get(_path(stored)).status == 200
    assert nurse.get(_path(stored)).status in (403, 404)
    world.authorise(professional=NURSE)
    assert nurse.get(_path(stored)).body == PDF
    wrong = doctor.call("POST", "/Binary", PDF, {"Content-Type": "application/pdf", "X-Security-Context": "nonsense"})
    assert wrong.status == 400


def test_a_content_that_no_document_points_to_is_its_creators(world: World) -> None:
    doctor, nurse = world.doctor(), world.doctor(NURSE, profession="60")
    lone = _path(_posted(doctor, PDF, "application/pdf"))
    sent = bundle("transaction", entry("POST", "Binary", {"resourceType": "Binary", "contentType": "text/plain"}))
    location = doctor.post("/", sent).json["entry"][0]["response"]["location"]
    for path in (lone, "/" + location.partition("/_history")[0]):
        assert doctor.get(path).status == 200
        assert nurse.get(path).status == 404
        assert nurse.call("PUT", path, b"x", {"Content-Type": "text/plain"}).status in (403, 404)


@pytest.mark.statement("fhir-rest I199")
def test_one_range_is_206_and_a_range_outside_416(wide: World) -> None:
    path = _path(_posted(wide.admin, PDF, "application/pdf"))
    part = wide.admin.get(path, Range="bytes=0-99")
    assert (part.status, part.body) == (206, PDF[:100])
    assert part.headers["Content-Range"] == f"bytes 0-99/{len(PDF)}"
    assert part.headers["Content-Length"] == "100"
    assert wide.admin.get(path, Range="bytes=-5").body == PDF[-5:]
    assert wide.admin.get(path, Range="bytes=2000-").body == PDF[2000:]
    outside = wide.admin.get(path, Range=f"bytes={len(PDF)}-")
    assert (outside.status, outside.headers["Content-Range"]) == (416, f"bytes */{len(PDF)}")
    assert wide.admin.get(path, Range="bytes=0-1,5-6").body == PDF


@pytest.mark.statement("fhir-rest I200")
@pytest.mark.parametrize("type_", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml"])
def test_active_content_is_sandboxed(admin: Client, type_: str) -> None:
    path = _path(_posted(admin, b"<html><script>alert(1)</script></html>", type_))
    answer = admin.get(path)
    assert answer.headers["Content-Type"] == type_
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_harmless_content_is_shown_inline(admin: Client) -> None:
    for type_, content in (("application/pdf", PDF), ("image/png", b"\x89PNG\r\n\x1a\n"), ("text/plain", b"Bonjour")):
        assert admin.get(_path(_posted(admin, content, type_))).headers["Content-Disposition"].startswith("inline")


@pytest.mark.statement("fhir-rest I202")
def test_hash_and_size_are_verified_on_publication(world: World) -> None:
    from tests import samples

    world.open()
    good = samples.submission("1.2.250.1.999.4.1")
    for field, wrong in (("size", 3), ("hash", base64.b64encode(b"x" * 20).decode())):
        sent = samples.submission("1.2.250.1.999.4.1")
        sent["entry"][1]["resource"]["content"][0]["attachment"][field] = wrong
        answer = world.doctor().post("", sent)
        assert answer.status == 422, answer.body
        assert any(f"attachment.{field}" in place for place in answer.expressions)
    assert world.doctor().post("", good).status == 200


@pytest.mark.statement("fhir-rest I203")
def test_a_content_is_not_sent_again_to_who_has_it(wide: World) -> None:
    path = _path(_posted(wide.admin, PDF, "application/pdf"))
    answer = wide.admin.get(path, If_None_Match='W/"1"')
    assert (answer.status, answer.body) == (304, b"")
    assert wide.admin.get(path, If_None_Match='W/"2"').status == 200


def test_a_binary_is_updated_by_bytes_or_by_a_resource(wide: World) -> None:
    admin = wide.admin
    path = _path(_posted(admin, b"un", "text/plain"))
    second = admin.call("PUT", path, b"deux", {"Content-Type": "text/csv"})
    assert (second.status, second.headers["ETag"]) == (200, 'W/"2"')
    assert (admin.get(path).body, admin.get(path).headers["Content-Type"]) == (b"deux", "text/csv")
    body: Json = {"resourceType": "Binary", "id": path.rpartition("/")[2], "contentType": "text/plain", "data": "QUJD"}
    assert admin.put(path, body).headers["ETag"] == 'W/"3"'
    assert admin.get(path).body == b"ABC"
    assert admin.get(f"{path}/_history/1").body == b"un"
    assert admin.put(path, body).headers["ETag"] == 'W/"3"'


def test_a_raw_content_that_is_put_to_a_new_id_creates_it(admin: Client) -> None:
    answer = admin.call("PUT", "/Binary/mine", b"x", {"Content-Type": "text/plain"})
    assert answer.status == 201
    assert admin.get("/Binary/mine").body == b"x"


def test_the_answer_to_a_posted_binary_does_not_repeat_a_big_content(admin: Client) -> None:
    stored = _posted(admin, PDF, "application/pdf")
    assert stored.json["contentType"] == "application/pdf"


@pytest.mark.parametrize("data", ["***", "QUJ", 5, {"a": 1}])
def test_a_binary_whose_data_is_no_base64_is_refused(admin: Client, data: object) -> None:
    answer = admin.post("/Binary", {"resourceType": "Binary", "contentType": "text/plain", "data": data})
    assert answer.status in (400, 422)
    assert answer.expressions == ["Binary.data"]


def test_a_binary_without_content_type_is_422(admin: Client) -> None:
    answer = admin.post("/Binary", {"resourceType": "Binary", "data": "QUJD"})
    assert (answer.status, answer.expressions) == (422, ["Binary.contentType"])


def test_a_specific_type_that_is_not_the_contents_is_406(admin: Client) -> None:
    path = _path(_posted(admin, PDF, "application/pdf"))
    answer = admin.get(path, Accept="image/png")
    assert (answer.status, answer.codes) == (406, {"not-supported"})


def test_head_of_a_content_has_the_headers_and_no_body(wide: World) -> None:
    path = _path(_posted(wide.admin, PDF, "application/pdf"))
    answer = wide.admin.call("HEAD", path)
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", str(len(PDF)))


def test_binaries_are_neither_searched_nor_deleted(admin: Client) -> None:
    made(admin, patient())
    path = _path(_posted(admin, PDF, "application/pdf"))
    assert admin.get("/Binary").status == 405
    assert admin.delete(path).status == 405
    assert admin.get("/?_type=Binary").status == 400
