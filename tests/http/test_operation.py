"""What operators see: access log, metrics, health, discovery, OpenAPI, the two mounts."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from typing import Any

import pytest

from fhir_dmp.errors import NotFound, StoreUnavailable
from fhir_dmp.http.access_log import AccessLog
from fhir_dmp.http.app import application, create_app, mount_under_flask
from fhir_dmp.http.health import LOOK_MS, Readiness
from fhir_dmp.http.openapi import document
from fhir_dmp.http.request import Request
from fhir_dmp.ports import StateRecord
from fhir_dmp.settings import Settings
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.store.memory.state import MemoryState
from tests.http.world import BASE, CAPABILITY, Reply, World, run
from tests.world import FixedClock

INS = "285047511200314"
QUIET = Settings.load({"DMP_SERVER_ACCESS_LOG": "false"})


def fetch(world: World, path: str, method: str = "GET", **extra: Any) -> Reply:
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        **extra,
    }
    return run(application(world), environ)


@pytest.mark.statement("fhir-rest L233", "security H-24", "security TH49", "security H-19")
def test_the_access_log_tells_what_happened_and_nothing_of_the_record() -> None:
    world = World(answer=NotFound(f"no {INS}"))
    token = world.token()
    world.send("GET", f"/Patient/{INS}?identifier={INS}%0Aforged", headers={"X-Request-Id": INS}, token=token)
    world.send(
        "POST", "/Patient/_search", f"identifier={INS}".encode(), {"Content-Type": "application/x-www-form-urlencoded"}
    )
    world.send("GET", f"/{INS}/DUPONT/$x%22", token=token)
    world.send("GET", "/Patient/0191a1b2-0000-7000-8000-000000000001/_history/12", peer="192.0.2.1")
    text = world.log.getvalue()
    assert INS not in text
    assert "DUPONT" not in text
    assert token not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["path"] for line in lines] == [
        "Patient/[id]",
        "Patient/_search",
        "[id]/[id]/[id]",
        "Patient/0191a1b2-0000-7000-8000-000000000001/_history/12",
    ]
    assert lines[0]["request"] == "-"
    assert {key: lines[3][key] for key in ("time", "address", "method", "status")} == {
        "time": "2026-01-01T10:00:00Z",
        "address": "192.0.2.1",
        "method": "GET",
        "status": 404,
    }


def test_log_lines_are_written_behind_the_requests() -> None:
    stream = io.StringIO()
    log = AccessLog(stream)
    log.write(0, Request({}, "r-1", "127.0.0.1", BASE, head=True), 200, 1.25)
    deadline = time.monotonic() + 5
    while not stream.getvalue() and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    assert json.loads(stream.getvalue()) == {
        "time": "1970-01-01T00:00:00Z",
        "address": "127.0.0.1",
        "method": "HEAD",
        "path": "",
        "status": 200,
        "ms": 1.2,
        "request": "r-1",
    }


def test_metrics_count_interactions_and_show_the_store() -> None:
    world = World(settings=QUIET)
    world.get("/Patient/p-1")
    world.get("/Patient/p-1")
    world.get("/Patient?name=x")
    world.send("TRACE", "/Patient")
    text = world.metrics.expose(world.store, True).decode()
    assert 'dmp_http_requests_total{interaction="read",status="200"} 2.0' in text
    assert 'dmp_http_requests_total{interaction="search-type",status="200"} 1.0' in text
    assert 'dmp_http_requests_total{interaction="other",status="405"} 1.0' in text
    assert 'dmp_http_request_duration_seconds_count{interaction="read"} 2.0' in text
    assert "\ndmp_store_up 1\n" in text
    assert "\ndmp_commits_total 0\n" in text


class Broken(MemoryStore):
    """A store that does not answer."""

    def ping(self) -> None:
        raise StoreUnavailable("down")


class FullState(MemoryState):
    """A state that takes nothing."""

    def put(self, record: StateRecord, now_ms: int, expected: int | None = None) -> StateRecord:
        raise StoreUnavailable("full")


class Full(MemoryStore):
    """A store whose disk is full: it answers, and takes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._state = FullState()


def test_readiness_follows_the_store_and_liveness_does_not() -> None:
    for store, status in ((MemoryStore(), 200), (Broken(), 503), (Full(), 503)):
        world = World(settings=QUIET, store=store)
        assert fetch(world, "/health/live").status == 200
        assert fetch(world, "/health/ready").status == status
        scrape = fetch(world, "/metrics")
        assert f"dmp_store_up {int(status == 200)}" in scrape.body.decode()
        assert scrape.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"


def test_readiness_looks_at_the_store_once_in_two_seconds_and_sees_it_come_back() -> None:
    store, clock = MemoryStore(), FixedClock()
    readiness = Readiness(store, clock)
    assert readiness.serves()
    first = store.state.get("probe", "ready", clock.now_ms())
    assert readiness.serves()
    assert store.state.get("probe", "ready", clock.now_ms()) == first
    readiness.store = Full()
    clock.time_ms += LOOK_MS
    assert not readiness.serves()
    readiness.store = store
    clock.time_ms += LOOK_MS
    assert readiness.serves()


def test_the_fhir_api_is_mounted_beside_the_pages() -> None:
    world = World(settings=QUIET)
    token = {"HTTP_AUTHORIZATION": f"Bearer {world.token()}"}
    for path in ("/fhir/Patient/p-1", "/fhir/metadata", "/fhir", "/fhir/"):
        assert fetch(world, path, **token).json["resourceType"] == "Patient"
    assert world.calls[0].path == ("Patient", "p-1")
    assert world.calls[-1].path == ()
    lost = fetch(world, "/Patient/p-1", HTTP_ACCEPT="application/fhir+json")
    assert (lost.status, lost.header("Content-Type")) == (404, "application/fhir+json")
    assert lost.json["issue"][0]["diagnostics"].endswith(f"The FHIR base of this server is {BASE}.")
    read = fetch(world, "/fhirish", HTTP_ACCEPT="text/html,*/*;q=0.8", HTTP_ACCEPT_LANGUAGE="fr")
    assert (read.status, "repartez de l’accueil" in read.body.decode(), b'href="/"' in read.body) == (404, True, True)
    home = fetch(world, "/")
    assert (home.status, home.header("X-Content-Type-Options")) == (200, "nosniff")
    assert home.body.decode().count("<title>") == 1
    assert re.findall(r"<title>(.*) - (.*)</title>", home.body.decode()) == [("Bienvenue", "Dossier médical partagé")]
    assert b"fhir-dmp" in home.body


def test_the_same_function_serves_below_flask() -> None:
    world = World(settings=QUIET)
    client = mount_under_flask(create_app(world), world).test_client()
    reply = client.get("/fhir/Patient/p-1", headers={"Authorization": f"Bearer {world.token()}"})
    assert (reply.status_code, reply.headers["ETag"]) == (200, 'W/"3"')
    assert client.get("/health/live").get_json() == {"status": "up"}


@pytest.mark.statement("security S-15")
def test_keys_are_published_without_their_private_half() -> None:
    world = World(settings=QUIET)
    for path in ("/auth/jwks", "/auth/jwks.json"):
        reply = fetch(world, path)
        assert reply.json["keys"]
        assert all(set(key) == {"kty", "n", "e", "kid", "use", "alg"} for key in reply.json["keys"])
        assert reply.header("Access-Control-Allow-Origin") == "*"
        assert reply.header("Cache-Control") == "max-age=3600"


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/auth",
        "/auth/.well-known/openid-configuration",
        "/auth/.well-known/oauth-authorization-server",
    ],
)
def test_discovery_is_served_at_the_usual_places(path: str) -> None:
    reply = fetch(World(settings=QUIET), path)
    assert (reply.json["issuer"], reply.json["jwks_uri"]) == (
        "http://127.0.0.1:8000/auth",
        "http://127.0.0.1:8000/auth/jwks",
    )


def test_openapi_describes_what_the_statement_offers_and_no_more() -> None:
    api = document(CAPABILITY, BASE)
    assert {path: sorted(item) for path, item in api["paths"].items()} == {
        "/metadata": ["get"],
        "/": ["post"],
        "/Patient": ["get", "post"],
        "/Patient/_search": ["post"],
        "/Patient/{id}": ["get", "patch"],
        "/Patient/$dmp-ouvrir": ["post"],
    }
    search = api["paths"]["/Patient"]["get"]
    assert [parameter["name"] for parameter in search["parameters"]] == ["identifier", "_format"]
    assert api["paths"]["/metadata"]["get"]["security"] == []
    ids = [operation["operationId"] for item in api["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
    assert fetch(World(settings=QUIET), "/openapi.json").json == api


def test_openapi_names_every_path_parameter() -> None:
    for path, item in document(CAPABILITY, BASE)["paths"].items():
        for operation in item.values():
            named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}, path
