"""Transport and formats through the whole server. fhir-rest 1 and 2, checklist A (the rest is in tests/http)."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from fhir_dmp.fhir.resource import dump
from fhir_dmp.http.html import page
from fhir_dmp.http.request import Request
from tests.rest.conftest import opened
from tests.rest.shapes import BASE, bare, link, made, named, observation, organization, patient
from tests.world import Client, World

JSON_TYPE = "application/fhir+json;charset=utf-8"
XML_TYPE = "application/fhir+xml;charset=utf-8"


@pytest.mark.statement("fhir-rest A1", "fhir-rest A2", "fhir-rest A3", "fhir-rest A4", "fhir-rest A7")
@pytest.mark.parametrize(
    ("query", "accept", "type_"),
    [
        ("", "", JSON_TYPE),
        ("", "*/*", JSON_TYPE),
        ("?_format=xml", "application/fhir+json", XML_TYPE),
        ("?_format=application/fhir+json", "application/fhir+xml", JSON_TYPE),
        ("?_format=json", "text/html", JSON_TYPE),
        ("", "application/fhir+xml;q=0.9, application/fhir+json;q=0.5", XML_TYPE),
        ("", "application/xml", "application/xml;charset=utf-8"),
        ("", "application/json", "application/json;charset=utf-8"),
    ],
)
def test_the_format_is_negotiated(admin: Client, query: str, accept: str, type_: str) -> None:
    stored = made(admin, patient())
    for path in (f"/{named(stored)}", "/metadata", "/Patient", "/Patient/nobody", f"/{named(stored)}/_history"):
        answer = admin.get(path + query, **({"Accept": accept} if accept else {}))
        assert answer.headers["Content-Type"] == type_, path
        assert answer.body.startswith(b"<" if "xml" in type_ else b"{")


@pytest.mark.statement("fhir-rest A5")
def test_a_browser_gets_a_page_that_escapes_the_resource(admin: Client) -> None:
    stored = made(admin, patient("<script>alert(1)</script>"))
    for path in (f"/{named(stored)}", "/Patient", "/Patient/nobody"):
        answer = admin.get(path, Accept="text/html,application/xhtml+xml,*/*;q=0.8")
        assert answer.headers["Content-Type"] == "text/html;charset=utf-8"
        assert b"<script" not in answer.body
        assert "script" not in answer.headers["Content-Security-Policy"]


HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.statement("fhir-rest A5")
def test_a_browser_sees_what_was_found_and_where_it_goes_on(admin: Client) -> None:
    for number in range(3):
        made(admin, patient(f"<b>N{number}</b>", birthDate="1990-01-02"))
    page = admin.get("/Patient?_count=2&_sort=family&frob=1", **HTML).body.decode()
    assert page.count("<tr><td>match</td>") == 2
    assert "&lt;b&gt;N0&lt;/b&gt; Zoé · 1990-01-02" in page
    assert ">next</a>" in page
    assert "frob" in page.partition("<pre>")[0]
    assert "<b>" not in page


@pytest.mark.statement("fhir-rest A5")
@pytest.mark.parametrize("path", ["/Patient?birthdate=hier", "/metadata", "/Patient/nobody", "/", "/_history"])
def test_a_browser_sees_every_kind_of_answer(admin: Client, path: str) -> None:
    made(admin, patient())
    answer = admin.get(path, **HTML)
    assert answer.headers["Content-Type"] == "text/html;charset=utf-8"
    assert f"HTTP {answer.status}" in answer.body.decode()
    assert answer.status < 500


@pytest.mark.parametrize("odd", [None, 1, "x", [], [None], {}, {"coding": "x"}, [{"family": 1}], {"text": ["x"]}])
def test_a_page_is_made_of_whatever_was_stored_without_validation(odd: object) -> None:
    shown = dict.fromkeys(("name", "title", "code", "date", "type", "entry", "link", "issue"), odd)
    for type_ in ("Patient", "Bundle", "OperationOutcome"):
        for holder in ({**shown, "resourceType": type_}, {"resourceType": "Bundle", "entry": [{"resource": shown}]}):
            request = Request({}, "r", "127.0.0.1", BASE, head=False, segments=("Patient", "1"))
            assert page(dump(holder), request, 200)[0].startswith(b"<!DOCTYPE html>")


@pytest.mark.statement("fhir-rest A6")
def test_nothing_acceptable_is_406_and_nothing_was_done(admin: Client) -> None:
    answer = admin.post("/Patient", patient(), Accept="image/png")
    assert (answer.status, answer.codes) == (406, {"not-supported"})
    assert admin.get("/Patient").entries == []


@pytest.mark.statement("fhir-rest A8", "fhir-rest A9", "fhir-rest A10")
@pytest.mark.parametrize(
    "type_",
    [
        "text/plain",
        "image/png",
        "application/fhir+json; fhirVersion=3.0",
        "application/fhir+json; charset=iso-8859-1",
        "application/x-www-form-urlencoded",
    ],
)
def test_another_media_type_is_415(admin: Client, type_: str) -> None:
    body = json.dumps(patient()).encode()
    for method, path in (("POST", "/Patient"), ("PUT", "/Patient/x"), ("POST", "/"), ("POST", "/Patient/$validate")):
        answer = admin.call(method, path, body, {"Content-Type": type_})
        assert (answer.status, answer.codes) == (415, {"not-supported"}), (method, path)


@pytest.mark.statement("fhir-rest A11")
def test_pretty_changes_whitespace_only(admin: Client) -> None:
    path = f"/{named(made(admin, observation(valueQuantity={'value': 5})))}"
    plain, pretty = admin.get(path), admin.get(f"{path}?_pretty=true")
    assert b"\n  " in pretty.body
    assert (pretty.json, pretty.headers["ETag"]) == (plain.json, plain.headers["ETag"])
    assert admin.get(f"{path}?_pretty=false").body == plain.body


@pytest.mark.statement("fhir-rest A12")
def test_a_key_twice_is_400(admin: Client) -> None:
    body = b'{"resourceType":"Patient","active":true,"active":false}'
    answer = admin.call("POST", "/Patient", body, {"Content-Type": "application/fhir+json"})
    assert (answer.status, answer.codes) == (400, {"structure"})


@pytest.mark.statement("fhir-rest A13")
@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"name": []}, "Patient.name"),
        ({"name": [{}]}, "Patient.name[0]"),
        ({"name": None}, "Patient.name"),
        ({"frobs": 1}, "Patient"),
        ({"birthDate": ""}, "Patient.birthDate"),
        ({"active": "yes"}, "Patient.active"),
    ],
)
def test_json_that_fhir_forbids_is_refused_with_its_place(admin: Client, part: dict[str, Any], place: str) -> None:
    answer = admin.post("/Patient", patient(**part))
    assert answer.status in (400, 422)
    assert any(each.startswith(place) for each in answer.expressions), answer.body


@pytest.mark.statement("fhir-rest A14")
def test_nulls_that_align_extensions_come_back_byte_for_byte(wide: World) -> None:
    content = (
        '"name":[{"given":["Zoé",null,"Ève"],"_given":[null,{"extension":[{"url":"https://example.org/x",'
        '"valueCode":"y"}]},null]}]'
    )
    body = ('{"resourceType":"Patient","id":"aligned",' + content + "}").encode()
    wide.admin.call("PUT", "/Patient/aligned", body, {"Content-Type": "application/fhir+json"})
    assert content.encode() in wide.admin.get("/Patient/aligned").body
    assert content.encode() in wide.admin.get("/Patient").body


@pytest.mark.statement("fhir-rest A15")
@pytest.mark.parametrize("number", ["1.00", "1.0", "100", "0.00001", "12345678901234567890.5", "1e3", "-0.50"])
def test_decimals_keep_their_digits_in_json_and_xml(wide: World, number: str) -> None:
    text = json.dumps(observation(id="exact", valueQuantity={"value": 7})).replace("7}", number + "}")
    stored = wide.admin.call("PUT", "/Observation/exact", text.encode(), {"Content-Type": "application/fhir+json"})
    assert stored.status == 201, stored.body
    assert f'"value":{number}'.encode() in wide.admin.get("/Observation/exact").body
    as_xml = wide.admin.get("/Observation/exact?_format=xml").body
    assert f'<value value="{number}"/>'.encode() in as_xml
    back = wide.admin.call("PUT", "/Observation/exact", as_xml, {"Content-Type": "application/fhir+xml"})
    assert back.headers["ETag"] == 'W/"1"'


@pytest.mark.statement("fhir-rest A16")
def test_a_doctype_is_400_and_nothing_is_fetched(admin: Client) -> None:
    body = (
        b'<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        b'<Patient xmlns="http://hl7.org/fhir"><id value="&x;"/></Patient>'
    )
    answer = admin.call("POST", "/Patient", body, {"Content-Type": "application/fhir+xml"})
    assert (answer.status, answer.codes) == (400, {"security"})
    assert b"root:" not in answer.body


@pytest.mark.statement("fhir-rest A18")
@pytest.mark.parametrize("bad", ["<script>x</script>", '<p onclick="x()">a</p>', '<a href="javascript:x()">a</a>'])
def test_active_narrative_is_422(admin: Client, bad: str) -> None:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{bad}</div>'
    answer = admin.post("/Patient", patient(text={"status": "generated", "div": div}))
    assert answer.status == 422
    assert answer.expressions == ["Patient.text.div"]


@pytest.mark.statement("fhir-rest A19")
@pytest.mark.parametrize("path", ["/Unheard", "/patient", "/Unheard/x", "/Unheard/x/_history", "/Unheard/$validate"])
def test_an_unknown_type_is_404(admin: Client, path: str) -> None:
    answer = admin.get(path)
    assert (answer.status, answer.codes) == (404, {"not-supported"})


@pytest.mark.statement("fhir-rest A21")
def test_head_answers_the_headers_of_get_without_body(wide: World) -> None:
    admin = wide.admin
    stored = made(admin, patient())
    paths = (f"/{named(stored)}", f"/{named(stored)}/_history/1", "/Patient", "/metadata", "/Patient/nobody")
    for path in paths:
        get, head = admin.get(path), admin.call("HEAD", path)
        assert (head.status, head.body) == (get.status, b"")
        for name in ("Content-Type", "ETag", "Last-Modified", "Cache-Control"):
            assert head.headers.get(name) == get.headers.get(name), (path, name)
        if path != "/Patient":  # the id and time of a searchset are new each time
            assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.statement("fhir-rest A22")
@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/Patient/x", "GET, HEAD, PUT, PATCH, OPTIONS"),
        ("POST", "/Organization/x", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ("PUT", "/", "GET, HEAD, POST, OPTIONS"),
        ("DELETE", "/metadata", "GET, HEAD, OPTIONS"),
        ("GET", "/Patient/_search", "POST, OPTIONS"),
        ("PUT", "/_search", "POST, OPTIONS"),
        ("GET", "/Patient/$dmp-ouvrir", "POST, OPTIONS"),
        ("DELETE", "/AuditEvent", "GET, HEAD, POST, OPTIONS"),
    ],
)
def test_a_method_that_is_not_offered_is_405_with_allow(admin: Client, method: str, path: str, allow: str) -> None:
    answer = admin.call(method, path, patient() if method in ("POST", "PUT") else None)
    assert (answer.status, answer.codes, answer.headers["Allow"]) == (405, {"not-supported"}, allow)


@pytest.mark.statement("fhir-rest A24")
def test_the_request_id_comes_back_or_is_made(admin: Client) -> None:
    for path in ("/Patient", "/Patient/nobody", "/metadata"):
        assert admin.get(path, X_Request_Id="Abc-1.2").headers["X-Request-Id"] == "Abc-1.2"
        for wrong in ("a b", "x" * 65, "é", "a_b"):
            made_ = admin.get(path, X_Request_Id=wrong).headers["X-Request-Id"]
            assert made_
            assert made_ != wrong


@pytest.mark.statement("fhir-rest A26")
def test_big_answers_are_compressed_for_who_takes_it(admin: Client) -> None:
    path = f"/{named(made(admin, patient(family='X' * 3000)))}"
    plain, packed = admin.get(path), admin.get(path, Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["ETag"] == plain.headers["ETag"]


@pytest.mark.statement("fhir-rest A27")
def test_behind_a_declared_proxy_all_links_use_its_host() -> None:
    world = next(opened("memory", None, DMP_SERVER_TRUSTED_PROXIES="127.0.0.1"))
    world.open()
    world.authorise()
    document = world.submit("1.2.250.1.999.5.1")
    admin = world.admin
    outside = {"X_Forwarded_Host": "dmp.example.org", "X_Forwarded_Proto": "https"}
    public = "https://dmp.example.org/fhir"
    stored = admin.post("/Organization", organization(), **outside)
    assert stored.headers["Location"].startswith(f"{public}/Organization/")
    path = f"/{named(stored.json)}"
    admin.put(path, {**organization("B"), "id": stored.json["id"]})
    admin.post("/Organization", organization())
    for answer in (
        admin.get("/Organization?_count=1", **outside),
        admin.get(f"{path}/_history?_count=1", **outside),
        admin.get("/?_type=Organization,Patient&_count=1", **outside),
        admin.get("/AuditEvent?_count=1", **outside),
    ):
        assert {each["url"].startswith(public) for each in answer.json["link"]} == {True}
        assert {"self", "next"} <= {each["relation"] for each in answer.json["link"]}
        assert answer.json["entry"][0]["fullUrl"].startswith(public)
    url = admin.get(f"/DocumentReference/{document}", **outside).json["content"][0]["attachment"]["url"]
    assert url.startswith(f"{public}/Binary/")
    unchanged = admin.get(f"/DocumentReference/{document}", **outside).json
    assert admin.put(f"/DocumentReference/{document}", unchanged, **outside).headers["ETag"] == 'W/"1"'
    capability = admin.get("/metadata", **outside).json
    assert capability["implementation"]["url"] == public


def test_undeclared_proxies_are_ignored(admin: Client) -> None:
    answer = admin.get("/Patient", X_Forwarded_Host="evil.example", X_Forwarded_Proto="https")
    assert link(answer, "self") == "/Patient?_count=20"
    assert admin.get("/metadata", X_Forwarded_Host="evil.example").json["implementation"]["url"] == BASE


def test_a_resource_sent_as_xml_is_the_same_as_sent_as_json(wide: World) -> None:
    admin = wide.admin
    sent = observation(note=[{"text": 'é < & "x"'}], valueQuantity={"value": 12, "unit": "mmol/L"})
    as_json = made(admin, sent)
    as_xml = admin.get(f"/{named(as_json)}?_format=xml").body
    stored = admin.call("POST", "/Observation", as_xml, {"Content-Type": "application/fhir+xml"})
    assert stored.status == 201, stored.body
    assert bare(stored.json) == sent
