"""Attacks by what is sent: each row of [security 8.3] is tried, and must fail as the row says."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from fhir_dmp.ports import HistoryQuery
from tests import samples
from tests.benchmarks import processes
from tests.flows.steps import Dossier, next_oid
from tests.samples import Json
from tests.world import Response, World

FHIR_JSON, FHIR_XML = "application/fhir+json", "application/fhir+xml"


def stored(world: World) -> int:
    return len(world.services.store.history(HistoryQuery(count=10_000)).versions)


def note(**more: object) -> Json:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **more}


def sent(world: World, body: bytes, kind: str = FHIR_JSON, path: str = "/Observation", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.admin.call("POST", path, body, {"Content-Type": kind, **named})


@contextmanager
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """Listen on a port, and keep who came: nobody should."""
    came: list[bytes] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.1)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                came.append(b"somebody")
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], came
            time.sleep(0.15)
        finally:
            stop.set()
            thread.join()


@pytest.mark.statement("security TH40", "security H-19")
@pytest.mark.parametrize("query", ["_id[$ne]=1", "$where=1", "name[$regex]=.*", "identifier.$gt=1", "patient[]=x"])
def test_an_operator_of_the_database_in_a_name_is_an_unknown_parameter(world: World, query: str) -> None:
    name, _, value = query.partition("=")
    answer = world.admin.get(f"/Patient?{quote(name)}={value}", Prefer="handling=strict")
    assert answer.status == 400
    lenient = world.admin.get(f"/Patient?{quote(name)}={value}&_id=nobody")
    assert lenient.status in (200, 400)
    assert lenient.status == 400 or lenient.entries == []


@pytest.mark.statement("security TH40", "security H-19")
def test_an_operator_of_the_database_in_a_value_is_a_value(world: World) -> None:
    for value in ('{"$gt":""}', "$where", "[$ne]=1", "'; DROP TABLE res; --", 'x" OR 1=1', "a\x00b"):
        answer = world.admin.get(f"/Observation?identifier={quote(value)}&code={quote(value)}")
        assert answer.status in (200, 400)
        assert answer.status == 400 or answer.entries == []
    named = sent(world, json.dumps(note(**{"$gt": 1})).encode())
    assert named.status in (400, 422)
    made = world.admin.post("/Observation", note(valueString='{"$gt": 1}', identifier=[{"value": "$ne.x"}]))
    assert made.json["valueString"] == '{"$gt": 1}'
    found = world.admin.get("/Observation?identifier=" + quote("$ne.x"))
    assert [each["id"] for each in found.entries] == [made.json["id"]]


@pytest.mark.statement("security TH41", "security H-19")
def test_text_that_strangles_regular_expressions_is_answered_within_a_second(world: World) -> None:
    for value in ("a" * 5000 + "!", "(" * 1000, "(a+)+$" * 200, "\\" * 3000, "%" * 3000):
        for query in (f"family:contains={quote(value)}", f"name={quote(value)}", f"identifier={quote(value)}"):
            started = time.process_time()
            answer = world.admin.get(f"/Patient?{query}")
            assert time.process_time() - started < 1
            assert answer.status in (200, 400, 414)
    started = time.process_time()
    path = "Patient.name.where(family.matches('^(a+)+$')).given"
    patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": path}]}]}  # fmt: skip
    made = world.admin.post("/Patient", {"resourceType": "Patient", "name": [{"family": "a" * 40 + "!"}]}).json
    answer = world.admin.call(
        "PATCH", f"/Patient/{made['id']}", json.dumps(patch).encode(), {"Content-Type": FHIR_JSON}
    )
    assert time.process_time() - started < 1
    assert 400 <= answer.status < 500


BOMBS = {
    "deep": b'{"resourceType":"Observation","extension":[' * 2000 + b"]}" * 2000,
    "twice": b'{"resourceType":"Observation","status":"final","status":"amended","code":{"text":"x"}}',
    "nan": b'{"resourceType":"Observation","valueQuantity":{"value":NaN}}',
    "infinity": b'{"resourceType":"Observation","valueQuantity":{"value":1e99999999}}',
    "digits": b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":'
    + b"9" * 100_000 + b"}}",
    "open": b"[" * 1_000_000,
}  # fmt: skip


@pytest.mark.statement("security TH42", "security H-19")
@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_json_bomb_is_refused_quickly_and_leaves_nothing(world: World, name: str) -> None:
    before, started = stored(world), time.process_time()
    answer = sent(world, BOMBS[name])
    assert answer.status in (400, 413, 422), answer.body[:200]
    assert time.process_time() - started < 2
    assert answer.json["resourceType"] == "OperationOutcome"
    assert stored(world) == before


@pytest.mark.statement("security TH42", "security TH51", "security H-19")
def test_a_body_that_is_too_large_is_413_also_when_it_comes_compressed(make: object) -> None:
    world: World = make(DMP_SERVER_MAX_BODY_BYTES="100000")  # type: ignore[operator]
    large = json.dumps(note(valueString="x" * 200_000)).encode()
    assert sent(world, large).status == 413
    bomb = gzip.compress(json.dumps(note(valueString="x" * 50_000_000)).encode())
    assert len(bomb) < 100_000
    started = time.process_time()
    assert sent(world, bomb, Content_Encoding="gzip").status == 413
    assert time.process_time() - started < 2
    assert sent(world, b"x", Content_Encoding="br").status == 415
    assert sent(world, b"not gzip", Content_Encoding="gzip").status == 400


@pytest.mark.statement("security TH43", "security TH46", "security H-19")
@pytest.mark.parametrize("path", ["/Observation", "", "/DocumentReference"])
def test_xml_entities_are_refused_and_nothing_is_fetched(world: World, path: str) -> None:
    with listener() as (port, came):
        bodies = (
            '<!DOCTYPE o [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
            '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
            '<Observation xmlns="http://hl7.org/fhir"><id value="&c;"/></Observation>',
            f'<!DOCTYPE o SYSTEM "http://127.0.0.1:{port}/x.dtd"><Observation xmlns="http://hl7.org/fhir"/>',
            f'<!DOCTYPE o [<!ENTITY x SYSTEM "http://127.0.0.1:{port}/x">]>'
            '<Observation xmlns="http://hl7.org/fhir"><id value="&x;"/></Observation>',
            '<!DOCTYPE o [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
            '<Observation xmlns="http://hl7.org/fhir"><id value="&x;"/></Observation>',
            f'<Observation xmlns="http://hl7.org/fhir" xmlns:xi="http://www.w3.org/2001/XInclude">'
            f'<xi:include href="http://127.0.0.1:{port}/x"/></Observation>',
        )
        for body in bodies:
            answer = sent(world, body.encode(), FHIR_XML, path)
            assert 400 <= answer.status < 500
            assert b"root:" not in answer.body
    assert came == []


@pytest.mark.statement("security TH43", "security H-19")
def test_a_cda_document_is_read_under_the_same_rules(dossier: Dossier) -> None:
    with listener() as (port, came):
        cda = (
            f'<!DOCTYPE c [<!ENTITY x SYSTEM "http://127.0.0.1:{port}/x">]>'
            '<ClinicalDocument xmlns="urn:hl7-org:v3">&x;</ClinicalDocument>'
        )
        body = samples.submission(next_oid(), ins=dossier.ins, content=cda.encode(), content_type="text/xml")
        answer = dossier.world.doctor().post("", body)
        assert answer.status in (200, 400, 422)
    assert came == []


@pytest.mark.statement("security TH44", "security H-19")
@pytest.mark.parametrize(
    "div",
    [
        '<div xmlns="http://www.w3.org/1999/xhtml"><p onload="alert(1)">x</p></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><a href="javascript:alert(1)">x</a></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><iframe src="http://evil.example"></iframe></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><form action="http://evil.example"><input/></form></div>',
    ],
)
def test_active_content_in_a_narrative_is_refused(world: World, div: str) -> None:
    answer = world.admin.post("/Observation", note(text={"status": "generated", "div": div}))
    assert answer.status == 422, answer.body


@pytest.mark.statement("security TH44", "security H-19")
def test_a_content_leaves_sandboxed_and_is_not_guessed(dossier: Dossier) -> None:
    document = dossier.document()
    binary = document["content"][0]["attachment"]["url"].rpartition("/")[2]
    answer = dossier.world.doctor().get(f"/Binary/{binary}", Accept="text/plain")
    assert answer.status == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (
        "sandbox" in answer.headers["Content-Security-Policy"]
        or "default-src 'none'" in answer.headers["Content-Security-Policy"]
    )
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.statement("security TH44", "security H-19")
@pytest.mark.parametrize("content_type", ["application/pdf", "image/jpeg", "image/png", "image/tiff"])
def test_a_page_that_is_sent_as_something_else_is_refused(dossier: Dossier, content_type: str) -> None:
    page = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
    body = samples.submission(next_oid(), ins=dossier.ins, content=page, content_type=content_type)
    before = stored(dossier.world)
    answer = dossier.world.doctor().post("", body)
    assert answer.status == 422, answer.body
    assert stored(dossier.world) == before


EICAR = b"X5O!P%@AP[4" + b"\\" + b"PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@pytest.mark.statement("security TH44", "security H-19")
@pytest.mark.parametrize("content", [b"MZ\x90\x00program", b"\x7fELF\x02", b"<svg onload='alert(1)'/>", EICAR])
def test_a_program_is_no_document(dossier: Dossier, content: bytes) -> None:
    body = samples.submission(next_oid(), ins=dossier.ins, content=content, content_type="application/pdf")
    before = stored(dossier.world)
    assert dossier.world.doctor().post("", body).status == 422
    assert dossier.world.admin.call("POST", "/Binary", content, {"Content-Type": "image/png"}).status == 422
    assert stored(dossier.world) == before


@pytest.mark.statement("security TH46", "security TH47", "security H-19")
@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "localhost:{port}", "2130706433:{port}", "[::1]:{port}", "0:{port}"]
)
def test_an_address_in_a_resource_is_never_called(dossier: Dossier, host: str) -> None:
    with listener() as (port, came):
        url = "http://" + host.format(port=port) + "/x"
        world = dossier.world
        subject = {"reference": f"Patient/{dossier.id}"}
        world.admin.post("/Observation", note(subject=subject, performer=[{"reference": f"{url}/Practitioner/1"}]))
        world.admin.post("/Endpoint", {"resourceType": "Endpoint", "status": "active", "address": url})
        document = samples.document("1.2.250.1.999.8.46", ins=dossier.ins)
        document["content"][0]["attachment"]["url"] = url
        document["content"][0]["attachment"].pop("data", None)
        answer = world.doctor().post("/DocumentReference", document)
        assert 400 <= answer.status < 500 or answer.status == 201
        world.admin.get(f"/Observation?performer={quote(url, safe='')}%2FPractitioner%2F1")
        world.admin.get(f"/Observation/$validate?profile={quote(url, safe='')}")
    assert came == []


@pytest.mark.statement("security TH48", "security H-19")
@pytest.mark.parametrize(
    "id_", ["..%2f..%2fetc%2fpasswd", "%2e%2e", "a%00b", "x%0d%0aSet-Cookie:a=b", "a" * 65, "a/b/c/d/e"]
)
def test_an_id_that_is_none_reaches_nothing(world: World, id_: str) -> None:
    for type_ in ("Patient", "Binary"):
        answer = world.admin.get(f"/{type_}/{id_}")
        assert answer.status in (400, 404), id_
        assert "Set-Cookie" not in answer.headers
        assert b"root:" not in answer.body


@pytest.mark.statement("security TH48", "security H-19")
def test_a_line_break_in_a_header_is_never_echoed(world: World) -> None:
    answer = world.admin.get("/Patient/x", X_Request_Id="good\r\nSet-Cookie: a=b")
    assert "\n" not in answer.headers["X-Request-Id"]
    assert "Set-Cookie" not in answer.headers
    assert world.admin.put("/Patient/x", {"resourceType": "Patient", "id": "x"}, If_Match='W/"1"\r\nX: y').status in (
        400,
        412,
    )


@pytest.mark.statement("security TH53", "security H-19")
def test_a_method_is_what_the_request_line_says(world: World, shared: Dossier) -> None:
    before = stored(world)
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        answer = world.admin.get(f"/Patient/{shared.id}", **{header: "DELETE"})
        assert answer.status == 200
    assert world.admin.call("TRACE", "/Patient").status == 405
    assert world.admin.call("CONNECT", "/Patient").status == 405
    assert stored(world) == before


@pytest.mark.statement("security TH52", "security TH55", "security H-19")
def test_answers_are_not_cached_nor_shared_with_other_origins(world: World, shared: Dossier) -> None:
    for path in (f"/Patient/{shared.id}", f"/DocumentReference?{shared.criterion}", "/Patient/nobody"):
        answer = world.admin.get(path)
        assert "no-store" in answer.headers["Cache-Control"]
        assert "Authorization" in answer.headers["Vary"]
        assert "Access-Control-Allow-Origin" not in world.admin.get(path, Origin="https://evil.example").headers


def exchange(port: int, raw: bytes) -> bytes:
    """Send bytes to the server as they are and return what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)


@pytest.mark.statement("security TH54", "security H-19")
@pytest.mark.slow
def test_a_request_of_two_lengths_is_no_request(tmp_path: Path) -> None:
    with processes.server(tmp_path, "--workers", "1") as server:
        token = processes.token(server, tmp_path, "--as", "admin")
        head = (
            f"POST /fhir/Patient HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {FHIR_JSON}\r\n"
        )
        smuggled = b"GET /fhir/Patient HTTP/1.1\r\nHost: x\r\n\r\n"
        for lengths in (
            "Content-Length: 0\r\nContent-Length: 44\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 1,2\r\n",
        ):
            answer = exchange(server.port, (head + lengths + "\r\n").encode() + b"0\r\n\r\n" + smuggled)
            statuses = [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1")]
            assert b"401" not in answer, lengths  # the second request was never seen as one of its own
            assert not statuses or statuses[0].split()[1].startswith(b"4"), (lengths, statuses)
