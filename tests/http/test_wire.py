"""Transport: ids of requests, methods, paths, CORS, proxies, defects. fhir-rest 1, checklist A."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from fhir_dmp.errors import BadRequest, MethodNotAllowed, NotFound
from fhir_dmp.interactions.exchange import Answer, Content
from fhir_dmp.settings import Settings
from tests.http.world import BASE, World


@pytest.mark.statement("fhir-rest A24", "security H-32")
@pytest.mark.parametrize("given", ["abc-1.2", "a" * 64, "A"])
def test_a_well_formed_request_id_is_echoed(given: str) -> None:
    world = World()
    assert world.get("/Patient/p-1", X_Request_Id=given).header("X-Request-Id") == given
    assert world.call.info.request_id == given


@pytest.mark.statement("fhir-rest A24")
@pytest.mark.parametrize("given", ["", "a" * 65, "a_b", "a b", "é", "a\r\nb"])
def test_another_request_id_is_replaced(given: str) -> None:
    made = World().get("/Patient/p-1", X_Request_Id=given).header("X-Request-Id")
    assert re.fullmatch(r"[0-9a-f]{24}", made)
    assert made != World().get("/Patient/p-1", X_Request_Id=given).header("X-Request-Id")


@pytest.mark.statement("fhir-rest A19", "fhir-rest A20", "fhir-rest A22")
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("No such type.", code="not-supported"), 404, "not-supported"),
        (BadRequest("An id has 1 to 64 characters.", code="value"), 400, "value"),
        (MethodNotAllowed("Not on an instance.", headers={"Allow": "GET, PUT"}), 405, "not-supported"),
    ],
)
def test_refusals_keep_status_code_and_headers(error: Exception, status: int, code: str) -> None:
    reply = World(answer=error).send("POST", "/Patient/p-1", b"{}", {"Content-Type": "application/json"})
    assert (reply.status, reply.issue["code"]) == (status, code)
    assert reply.header("Allow") == ("GET, PUT" if status == 405 else "")


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "get", "X" * 1000])
def test_foreign_methods_are_405(method: str) -> None:
    world = World()
    reply = world.send(method, "/Patient/p-1")
    assert (reply.status, reply.header("Allow")) == (405, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
    assert world.calls == []


@pytest.mark.statement("security TH53", "security H-19")
def test_method_overrides_have_no_effect() -> None:
    world = World()
    world.get("/Patient/p-1", X_HTTP_Method_Override="DELETE")
    assert world.call.method == "GET"


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("", ()),
        ("/", ()),
        ("/Patient/p-1/_history/2", ("Patient", "p-1", "_history", "2")),
        ("/Patient/", ("Patient",)),
        ("/Patient/été", ("Patient", "été")),
        ("/Patient/..", ("Patient", "..")),
    ],
)
def test_the_path_becomes_segments(path: str, segments: tuple[str, ...]) -> None:
    world = World()
    world.get(path)
    assert world.call.path == segments


@pytest.mark.parametrize("path", ["//Patient", "/Patient//x", "/Patient/a\x00b", "/Patient/a\nb"])
def test_a_malformed_path_is_400(path: str) -> None:
    assert World().get(path).status == 400


def test_the_query_arrives_decoded_and_in_order() -> None:
    world = World()
    world.get("/Patient?name=%C3%A9t%C3%A9+x&_count=2&&name=%26&flag")
    assert world.call.query == (("name", "été x"), ("_count", "2"), ("name", "&"), ("flag", ""))
    assert world.call.info.raw == "GET /fhir/Patient?name=%C3%A9t%C3%A9+x&_count=2&&name=%26&flag"


@pytest.mark.parametrize("query", ["a=%FF", "a=%00", "&".join(["a=1"] * 1001), "a=" + "b" * 40_000])
def test_a_malformed_query_is_400(query: str) -> None:
    assert World().get("/Patient?" + query).status == 400


@pytest.mark.statement("security T-27")
@pytest.mark.parametrize("form", [False, True])
def test_a_token_outside_of_the_header_is_400(form: bool) -> None:
    world = World()
    token = world.token()
    if form:
        reply = world.send(
            "POST",
            "/Patient/_search",
            f"access_token={token}".encode(),
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
    else:
        reply = world.get(f"/Patient?access_token={token}")
    assert reply.status == 400
    assert reply.header("WWW-Authenticate") == 'Bearer realm="dmp", error="invalid_request"'
    assert world.calls == []


@pytest.mark.statement("fhir-rest A23")
def test_pre_flight_succeeds_for_a_registered_origin_only() -> None:
    world = World(settings=Settings.load({"DMP_SERVER_ALLOWED_ORIGINS": "https://app.example"}))
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
    reply = world.send("OPTIONS", "/Patient/p-1", headers=asked, token=None)
    assert (reply.status, reply.header("Access-Control-Allow-Origin")) == (204, "https://app.example")
    assert "PUT" in reply.header("Access-Control-Allow-Methods")
    assert "If-Match" in reply.header("Access-Control-Allow-Headers")
    got = world.get("/Patient/p-1", Origin="https://app.example")
    exposed = {name.strip() for name in got.header("Access-Control-Expose-Headers").split(",")}
    assert {"ETag", "Location", "Content-Location"} <= exposed
    assert got.header("Access-Control-Allow-Credentials") == ""


@pytest.mark.statement("security TH52", "security H-19")
def test_other_origins_are_told_nothing_but_what_is_public() -> None:
    world = World(settings=Settings.load({"DMP_SERVER_ALLOWED_ORIGINS": "https://app.example"}))
    assert world.get("/Patient/p-1", Origin="https://evil.example").header("Access-Control-Allow-Origin") == ""
    assert (
        world.send("OPTIONS", "/Patient", headers={"Origin": "https://evil.example"}).header(
            "Access-Control-Allow-Methods"
        )
        == ""
    )
    for path in ("/metadata", "/.well-known/smart-configuration"):
        assert (
            world.send("GET", path, headers={"Origin": "https://any.example"}, token=None).header(
                "Access-Control-Allow-Origin"
            )
            == "*"
        )


@pytest.mark.statement("fhir-rest A27")
@pytest.mark.parametrize(
    ("headers", "base", "address"),
    [
        (
            {"X-Forwarded-Host": "dmp.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"},
            "https://dmp.example/fhir",
            "203.0.113.7",
        ),
        (
            {"Forwarded": 'for="[2001:db8::1]:4711";host="dmp.example:8443";proto=https'},
            "https://dmp.example:8443/fhir",
            "2001:db8::1",
        ),
        (
            {"X-Forwarded-Host": "a.example, b.example", "X-Forwarded-For": "6.6.6.6, 203.0.113.7"},
            "http://b.example/fhir",
            "203.0.113.7",
        ),
        ({"X-Forwarded-For": "203.0.113.7, 10.0.0.2"}, BASE, "203.0.113.7"),
        ({"X-Forwarded-Host": "evil.example/x?", "X-Forwarded-For": "not an address"}, BASE, "10.0.0.1"),
        (
            {"X-Forwarded-Host": "dmp.example", "X-Forwarded-Port": "8443", "X-Forwarded-Proto": "https"},
            "https://dmp.example:8443/fhir",
            "10.0.0.1",
        ),
    ],
)
def test_a_declared_proxy_tells_host_scheme_and_client(headers: dict[str, str], base: str, address: str) -> None:
    world = World(settings=Settings.load({"DMP_SERVER_TRUSTED_PROXIES": "10.0.0.0/24"}))
    world.send("GET", "/Patient/p-1", headers=headers, peer="10.0.0.1")
    assert (world.call.info.base, world.call.info.address) == (base, address)


@pytest.mark.statement("fhir-rest A27")
def test_an_undeclared_proxy_is_ignored() -> None:
    world = World(settings=Settings.load({"DMP_SERVER_TRUSTED_PROXIES": "10.0.0.1"}))
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-For": "1.2.3.4", "Forwarded": "host=evil.example"}
    world.send("GET", "/Patient/p-1", headers=headers, peer="192.0.2.9")
    assert (world.call.info.base, world.call.info.address) == (BASE, "192.0.2.9")


def test_a_configured_public_url_wins_over_what_a_proxy_says() -> None:
    settings = Settings.load({"DMP_SERVER_TRUSTED_PROXIES": "10.0.0.1", "DMP_SERVER_BASE_URL": BASE})
    world = World(settings=settings)
    world.send("GET", "/Patient/p-1", headers={"X-Forwarded-Host": "other.example"}, peer="10.0.0.1")
    assert world.call.info.base == BASE


def test_a_secure_server_asks_for_https_from_now_on() -> None:
    assert (
        World(base="https://dmp.example/fhir").get("/Patient/p-1").header("Strict-Transport-Security")
        == "max-age=31536000"
    )
    assert World().get("/Patient/p-1").header("Strict-Transport-Security") == ""


@pytest.mark.statement("fhir-rest A28", "fhir-rest L233")
def test_a_defect_shows_nothing_but_the_request_id(caplog: pytest.LogCaptureFixture) -> None:
    secret = "DUPONT 285047511200314"
    reply = World(answer=KeyError(secret)).get("/Patient/p-1", X_Request_Id="r-42")
    assert (reply.status, reply.issue["code"]) == (500, "exception")
    assert "r-42" in reply.issue["diagnostics"]
    assert reply.header("X-Request-Id") == "r-42"
    assert secret.encode() not in reply.body
    assert b"world.py" not in reply.body
    logged = caplog.text
    assert "r-42" in logged
    assert "KeyError" in logged
    assert "world.py" in logged
    assert secret not in logged


@pytest.mark.statement("security H-27", "security TH55", "security H-19")
def test_every_answer_is_guarded() -> None:
    for reply in (World().get("/Patient/p-1"), World(answer=NotFound("x")).get("/Patient/p-1")):
        assert reply.header("X-Content-Type-Options") == "nosniff"
        assert reply.header("Cache-Control") == "no-store, private"
        assert "Authorization" in reply.header("Vary")
        assert reply.header("Content-Security-Policy") == "default-src 'none'; frame-ancestors 'none'"


def test_discovery_is_json_whatever_is_accepted() -> None:
    world = World()
    reply = world.send("GET", "/.well-known/smart-configuration", headers={"Accept": "text/html"}, token=None)
    assert (reply.status, reply.header("Content-Type")) == (200, "application/json")
    assert reply.json["issuer"] == "http://127.0.0.1:8000/auth"
    assert reply.json["jwks_uri"] == "http://127.0.0.1:8000/auth/jwks"
    assert "patient/*.rs" in reply.json["scopes_supported"]
    assert world.send("GET", "/.well-known/other", token=None).status == 404
    assert world.send("POST", "/.well-known/smart-configuration", b"", token=None).status == 405
    assert world.calls == []


@pytest.mark.statement("fhir-rest L233")
def test_a_stream_that_breaks_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"some"
        raise OSError("DUPONT 285047511200314")

    world = World(answer=Answer(content=Content(chunks(), "application/pdf", 100), version=1))
    with pytest.raises(ConnectionAbortedError) as caught:
        world.get("/Binary/b", X_Request_Id="r-7")
    assert "DUPONT" not in str(caught.value)
    assert "request r-7 failed: OSError at" in caplog.text
    assert "DUPONT" not in caplog.text
