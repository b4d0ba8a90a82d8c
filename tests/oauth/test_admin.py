"""The admin API: administrators and nobody else, two pairs of eyes, and everything in the trail."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.oauth.clients import Client, Kind, UserClass
from fhir_dmp.oauth.records import client_json
from fhir_dmp.store.memory import MemoryStore
from tests.oauth.people import APP, CALLBACK, PORTAL, Auth, claims_of
from tests.world import Response, make_world

Json = dict[str, Any]
CONSOLE = Client(
    "console",
    "Console",
    Kind.ADMIN_UI,
    user_classes=frozenset({UserClass.ADMIN}),
    grant_types=("authorization_code",),
    scope="openid __admin.clients",
    redirect_uris=(CALLBACK,),
)


@pytest.fixture
def desk() -> Auth:
    """A server with the console of its administrators."""
    made = Auth(make_world(MemoryStore()))
    made.register(CONSOLE)
    made.register(APP)
    return made


def administrator(desk: Auth, name: str = "admin-1", scope: str = "openid __admin.clients") -> str:
    """Return the token of an administrator."""
    token: str = desk.signed_in(client_id="console", scope=scope, caller=Caller(Actor.ADMIN, name), context={})[
        "access_token"
    ]
    return token


def asked(desk: Auth, method: str, path: str, token: str | None, body: Json | None = None) -> Response:
    """Send a request to the admin API."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    content = b"" if body is None else json.dumps(body).encode()
    return desk.world.request(method, f"/auth/admin{path}", content, headers)


def test_administrators_and_nobody_else(desk: Auth) -> None:
    assert asked(desk, "GET", "/clients", administrator(desk)).status == 200
    patient = desk.signed_in(scope="openid patient/*.rs", caller=Caller(Actor.PROFESSIONAL, "p"), context={})[
        "access_token"
    ]
    for token in (None, "x", patient, desk.world.admin.token):
        answer = asked(desk, "GET", "/clients", token)
        assert (answer.status, "WWW-Authenticate" in answer.headers) == (401, True)
    assert asked(desk, "GET", "/clients", administrator(desk, scope="openid")).status == 403


def test_the_token_of_an_administrator_opens_nothing_of_the_record(desk: Auth) -> None:
    token = administrator(desk)
    assert claims_of(token)["aud"] == f"{desk.world.services.issuer}/admin"
    assert desk.bearer(token).get("/Patient?_summary=count").status == 401


def test_a_new_client_waits_for_a_second_administrator(desk: Auth) -> None:
    new = {**client_json(APP), "client_id": "nouveau"}
    proposed = asked(desk, "POST", "/clients", administrator(desk), new)
    assert (proposed.status, proposed.json["status"]) == (201, "proposed")
    change = proposed.json["change"]
    assert asked(desk, "GET", "/clients/nouveau", administrator(desk)).status == 404
    own = asked(desk, "POST", f"/changes/{change}/agree", administrator(desk))
    assert own.status == 403
    (waiting,) = asked(desk, "GET", "/changes", administrator(desk)).json["changes"]
    assert (waiting["by"], waiting["client"]["client_id"]) == ("admin-1", "nouveau")
    other = administrator(desk, "admin-2")
    assert asked(desk, "POST", f"/changes/{change}/agree", other).json["status"] == "applied"
    assert asked(desk, "POST", f"/changes/{change}/agree", other).status == 404
    desk.wait(3)
    assert asked(desk, "GET", "/clients/nouveau", other).json["client_name"] == APP.name


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"redirect_uris": ["https://other.example/cb"]}, "proposed"),
        ({"scope": "openid patient/*.cruds"}, "proposed"),
        ({"grant_types": ["authorization_code"]}, "proposed"),
        ({"client_name": "Autre nom"}, "applied"),
        ({"contacts": ["a@carnet.example"]}, "applied"),
    ],
)
def test_what_matters_needs_two_administrators(desk: Auth, changed: Json, status: str) -> None:
    answer = asked(desk, "PUT", "/clients/carnet", administrator(desk), {**client_json(APP), **changed})
    assert answer.json["status"] == status
    desk.wait(3)
    stored = asked(desk, "GET", "/clients/carnet", administrator(desk)).json
    (name,) = changed
    assert (stored.get(name) == changed[name]) is (status == "applied")


def test_a_proposal_can_be_dropped(desk: Auth) -> None:
    token = administrator(desk)
    changed = {**client_json(APP), "scope": "openid"}
    change = asked(desk, "PUT", "/clients/carnet", token, changed).json["change"]
    assert asked(desk, "DELETE", f"/changes/{change}", token).status == 200
    assert asked(desk, "DELETE", f"/changes/{change}", token).status == 404
    assert asked(desk, "POST", f"/changes/{change}/agree", administrator(desk, "admin-2")).status == 404


def test_a_suspension_needs_one_administrator_and_works_at_once(desk: Auth) -> None:
    caller = Caller(Actor.PROFESSIONAL, "ps-1")
    token = desk.signed_in(scope="openid fhirUser", caller=caller, context={})["access_token"]
    assert asked(desk, "POST", "/clients/carnet/suspend", administrator(desk)).json["status"] == "suspended"
    desk.wait(4)
    answer = desk.bearer(token).get("/Organization")
    assert (answer.status, 'error="invalid_token"' in answer.headers["WWW-Authenticate"]) == (401, True)
    assert "status" in asked(desk, "POST", "/clients/carnet/restore", administrator(desk)).json


def test_a_secret_is_replaced_and_never_shown(desk: Auth) -> None:
    desk.register(PORTAL)
    token = administrator(desk)
    shown = asked(desk, "GET", "/clients/portail", token)
    assert b"secret_hash" not in shown.body
    assert len(asked(desk, "POST", "/clients/portail/secret", token).json["client_secret"]) == 43
    assert asked(desk, "POST", "/clients/carnet/secret", token).status == 403


@pytest.mark.parametrize(
    "body", [None, {"client_id": "x"}, {**client_json(APP), "redirect_uris": ["http://a.example/"]}]
)
def test_what_cannot_be_registered_is_told(desk: Auth, body: Json | None) -> None:
    answer = asked(desk, "POST", "/clients", administrator(desk), body)
    assert answer.status in (400, 422)
    assert set(answer.json) <= {"error", "error_description", "problems"}


def test_every_change_is_in_the_trail(desk: Auth) -> None:
    asked(desk, "POST", "/clients/carnet/suspend", administrator(desk))
    events = json.dumps(desk.world.admin.get("/AuditEvent?date=ge2026-01-01&_count=50").json)
    assert "client carnet suspended" in events
    assert replace(APP).client_id == "carnet"
