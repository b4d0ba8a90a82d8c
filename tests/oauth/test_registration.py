"""Clients that describe themselves: off unless the operator says so, and pending until somebody approves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_dmp.store.memory import MemoryStore
from tests.oauth.people import Auth, jwks, rsa_key
from tests.world import Response, make_world

TOKEN = "initial-access-token"
SOFTWARE = {"client_name": "Nouveau", "redirect_uris": ["https://nouveau.example/cb"],
            "grant_types": ["authorization_code"], "scope": "openid patient/*.rs"}  # fmt: skip


def sent(auth: Auth, body: Any, token: str | None = TOKEN) -> Response:
    """Send a description."""
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
    return auth.world.request("POST", "/auth/register", json.dumps(body).encode(), headers)


@pytest.fixture
def opened() -> Auth:
    """A server at which software may register."""
    return Auth(make_world(MemoryStore(), None, DMP_SECURITY_REGISTRATION_TOKEN=TOKEN))


def test_nobody_registers_unless_the_operator_says_so() -> None:
    assert sent(Auth(make_world(MemoryStore())), SOFTWARE).status == 404


def test_what_registers_itself_is_pending_and_gets_nothing(opened: Auth) -> None:
    answer = sent(opened, SOFTWARE)
    assert (answer.status, answer.json["status"], answer.headers["Cache-Control"]) == (201, "pending", "no-store")
    client_id = answer.json["client_id"]
    assert opened.redeem("x", client_id=client_id).json["error"] == "invalid_client"


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x"])
def test_registration_needs_the_initial_token(opened: Auth, token: str | None) -> None:
    assert sent(opened, SOFTWARE, token).status == 401


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uris": ["http://nouveau.example/cb"]},
        {"status": "active"},
        {"introspects": True},
        {"kind": "feeder"},
        {"structure": "1750100125"},
        {"client_id": "chosen"},
        {"grant_types": ["password"]},
        {"jwks": jwks(rsa_key())},
        {"client_name": ""},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_client_may_not_say_of_itself_is_refused(opened: Auth, change: dict[str, Any]) -> None:
    answer = sent(opened, {**SOFTWARE, **change})
    assert (answer.status, answer.json["error"]) == (400, "invalid_client_metadata")


def test_what_is_no_description_is_refused(opened: Auth) -> None:
    bodies: tuple[Any, ...] = ([], "x", None)
    for body in bodies:
        assert sent(opened, body).json["error"] == "invalid_request"


def test_a_secret_is_made_for_who_wants_one(opened: Auth) -> None:
    answer = sent(opened, {**SOFTWARE, "token_endpoint_auth_method": "client_secret_basic"})
    assert len(answer.json["client_secret"]) == 43
