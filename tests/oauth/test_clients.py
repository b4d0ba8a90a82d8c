"""The registry of clients: what may be registered, exact redirects, and how fast a change is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.errors import Conflict, NotFound, Unprocessable
from fhir_dmp.oauth.clients import Certificate, Client, Finality, Kind, Method, Referencing, Status, UserClass
from fhir_dmp.oauth.records import client_json, client_of
from fhir_dmp.oauth.registry import Registry
from fhir_dmp.oauth.uris import same_redirect
from fhir_dmp.store.memory.state import MemoryState

APP = Client(
    "carnet",
    "Carnet de route",
    Kind.APP,
    user_classes=frozenset({UserClass.PATIENT}),
    grant_types=("authorization_code", "refresh_token"),
    scope="openid fhirUser launch/patient patient/DocumentReference.rs offline_access",
    redirect_uris=("https://carnet.example/callback?from=dmp", "http://127.0.0.1/callback"),
    allowed_origins=("https://carnet.example",),
    referencing=Referencing("REF-2026-7", "2026-01-15", Finality.PREVENTION, read_classes=("10", "11")),
)
BACKEND = Client(
    "sih",
    "Dossier de l'hôpital",
    Kind.LPS,
    method=Method.JWT,
    grant_types=("client_credentials",),
    scope="system/DocumentReference.c system/Binary.c",
    jwks_uri="https://sih.example/jwks.json",
    certificate=Certificate(sha256="ab" * 32),
    structure="1330000017",
    software={"nom": "SIH", "version": "3"},
)


class Clock:
    """A clock that the test sets."""

    time_ms = 1_781_260_000_000

    def now_ms(self) -> int:
        """Return the time."""
        return self.time_ms


@pytest.mark.parametrize("client", [APP, BACKEND])
def test_a_client_survives_its_json(client: Client) -> None:
    assert client_of(client_json(client)) == client


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"redirect_uris": ["http://app.example/cb"]}, "redirect_uris"),
        ({"redirect_uris": ["https://app.example/cb#x"]}, "redirect_uris"),
        ({"redirect_uris": ["https://*.example/cb"]}, "redirect_uris"),
        ({"redirect_uris": ["https://good.example@evil.example/cb"]}, "redirect_uris"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "redirect_uris"),
        ({"redirect_uris": ["//evil.example/cb"]}, "redirect_uris"),
        ({"redirect_uris": []}, "redirect_uris"),
        ({"redirect_uris": "https://app.example/cb"}, "redirect_uris"),
        ({"allowed_origins": ["https://app.example/path"]}, "allowed_origins"),
        ({"allowed_origins": ["*"]}, "allowed_origins"),
        ({"kind": "toy"}, "kind"),
        ({"user_classes": ["robot"]}, "user_classes"),
        ({"client_id": ""}, "client_id"),
        ({"grant_types": ["password"]}, "grant_types"),
        ({"grant_types": ["authorization_code", "client_credentials"]}, "grant_types"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "jwks"),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "certificate"),
        ({"token_endpoint_auth_method": "client_secret_jwt"}, "token_endpoint_auth_method"),
        ({"jwks_uri": "https://app.example/jwks"}, "jwks"),
        ({"referencing": None}, "referencing"),
        ({"referencing": {"decision": "x", "date": "2026-01-01", "finality": "publicity"}}, "referencing.finality"),
        ({"access_token_s": 999999}, "access_token_s"),
        ({"access_token_s": True}, "access_token_s"),
        ({"certificate": {"serial": "1"}}, "certificate"),
        ({"toy": 1}, "toy"),
    ],
)
def test_what_cannot_be_registered_is_named(change: dict[str, Any], place: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        client_of({**client_json(APP), **change})
    assert place in [issue.expression[0] for issue in refused.value.issues]


@pytest.mark.statement("security A-4")
@pytest.mark.parametrize(
    "asked",
    [
        "https://carnet.example/callback",
        "https://carnet.example/callback?from=DMP",
        "https://carnet.example/Callback?from=dmp",
        "https://carnet.example/callback/?from=dmp",
        "https://carnet.example/callback?from=dmp&x=1",
        "https://carnet.example:443/callback?from=dmp",
        "https://CARNET.example/callback?from=dmp",
        "https://carnet.example/callback?from=dmp#x",
        "https://carnet.example@evil.example/callback?from=dmp",
        "https://carnet.example\\@evil.example/callback?from=dmp",
        "//carnet.example/callback?from=dmp",
        "http://carnet.example/callback?from=dmp",
        "http://127.0.0.1:81/callback/x",
        "http://localhost:81/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1:81@evil.example/callback",
        "",
    ],
)
def test_a_redirect_uri_that_is_not_the_registered_one_is_not_taken(asked: str) -> None:
    assert not APP.has_redirect(asked)


def test_the_registered_uri_is_taken_and_a_native_application_chooses_its_port() -> None:
    assert APP.has_redirect("https://carnet.example/callback?from=dmp")
    assert APP.has_redirect("http://127.0.0.1:51004/callback")


@given(st.text(max_size=60), st.sampled_from(["https://a.example/cb", "http://127.0.0.1/cb", "http://[::1]:1/cb"]))
def test_whatever_is_asked_only_a_loopback_port_may_differ(asked: str, registered: str) -> None:
    for given_uri in (asked, registered + asked):
        if same_redirect(registered, given_uri) and given_uri != registered:
            assert given_uri.startswith(("http://127.0.0.1", "http://[::1]"))
            assert given_uri.endswith("/cb")


def test_a_client_is_registered_once() -> None:
    registry = Registry(MemoryState(), Clock())
    registry.add(APP)
    assert registry.get("carnet") == APP
    with pytest.raises(Conflict):
        registry.add(replace(APP, name="Autre"))
    registry.add(BACKEND)
    assert registry.all() == (APP, BACKEND)


def test_an_unknown_client_cannot_be_changed() -> None:
    with pytest.raises(NotFound):
        Registry(MemoryState(), Clock()).change(APP)


def test_a_suspension_is_seen_by_every_worker_within_five_seconds() -> None:
    state, clock = MemoryState(), Clock()
    one, other = Registry(state, clock), Registry(state, clock)
    one.add(APP)
    assert other.active("carnet") == APP
    one.change(replace(APP, status=Status.SUSPENDED))
    assert one.active("carnet") is None
    clock.time_ms += 4_000
    assert other.active("carnet") is None


def test_asking_again_for_a_client_does_not_ask_the_store() -> None:
    state, clock = MemoryState(), Clock()
    registry = Registry(state, clock)
    registry.add(APP)
    registry.get("carnet")
    state.remove("client", "carnet")
    assert registry.get("carnet") == APP
    clock.time_ms += 4_000
    assert registry.get("carnet") is None
