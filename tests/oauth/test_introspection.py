"""Introspection, revocation and userinfo: who may ask, and what is answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhir_dmp.oauth.clients import Kind, Method, Status
from fhir_dmp.oauth.revoke import end_login
from fhir_dmp.oauth.standing import Standing
from tests.oauth.people import APP, SECRET, Auth, backend, basic, claims_of, jwks, rsa_key

INACTIVE = {"active": False}
AT_DESK = {"authorization": basic("desk", SECRET)}


@pytest.fixture
def desk(auth: Auth) -> Auth:
    """A server with a resource server beside it that may introspect."""
    from fhir_dmp.oauth.authenticate import hash_secret

    auth.register(
        backend(
            client_id="desk",
            kind=Kind.RESOURCE_SERVER,
            method=Method.BASIC,
            jwks=None,
            grant_types=(),
            scope="",
            secret_hash=hash_secret(SECRET),
        )
    )
    return auth


def introspected(desk: Auth, token: str, **more: str) -> Any:
    """Return the answer of introspection."""
    answer = desk.post("introspect", {"token": token, **more}, **AT_DESK)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store"), answer.body
    return answer.json


@pytest.mark.statement("security I-1")
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer x"}, {"authorization": basic("desk", "wrong")}], ids=str
)
def test_not_everybody_may_introspect(desk: Auth, headers: dict[str, str]) -> None:
    token = desk.signed_in()["access_token"]
    answer = desk.post("introspect", {"token": token}, **headers)
    assert (answer.status, "active" in answer.json) == (401, False)


@pytest.mark.statement("security I-1")
def test_neither_a_public_client_nor_any_token_may_introspect(desk: Auth) -> None:
    token = desk.signed_in()["access_token"]
    assert desk.post("introspect", {"token": token, "client_id": "carnet"}).status == 401
    assert desk.post("introspect", {"token": token}, authorization=f"Bearer {token}").status == 401
    assert desk.post("introspect", {"token": token}, authorization=basic("portail", SECRET)).status == 401


@pytest.mark.statement("security I-2")
def test_a_token_with_the_scope_introspects_tokens_of_any_client(auth: Auth) -> None:
    auth.register(backend(client_id="watch", scope="__introspect"))
    watch = auth.by_client("__introspect", client_id="watch").json
    assert watch["scope"] == "__introspect"
    token = auth.signed_in()["access_token"]
    answer = auth.post("introspect", {"token": token}, authorization=f"Bearer {watch['access_token']}")
    assert (answer.status, answer.json["active"], answer.json["client_id"]) == (200, True, "carnet")


def test_a_registered_resource_server_introspects_with_its_assertion(auth: Auth) -> None:
    auth.register(backend(client_id="annex", introspects=True, jwks=jwks(rsa_key())))
    token = auth.signed_in()["access_token"]
    answer = auth.post("introspect", {"token": token, **auth.proof(client_id="annex")})
    assert (answer.status, answer.json["active"]) == (200, True)


@pytest.mark.statement("security I-3", "security I-4")
def test_an_active_token_is_told_whole(desk: Auth) -> None:
    body = desk.signed_in(context={"patient": desk.patient, "encounter": "e1", "need_patient_banner": False})
    told = introspected(desk, body["access_token"])
    claims = claims_of(body["id_token"])
    assert (told["active"], told["token_type"], told["client_id"]) == (True, "Bearer", "carnet")
    assert set(told["scope"].split()) == set(body["scope"].split())
    assert (told["patient"], told["encounter"], told["need_patient_banner"]) == (desk.patient, "e1", False)
    assert (told["iss"], told["sub"]) == (claims["iss"], claims["sub"])
    assert f"{desk.world.services.base}/{told['fhirUser']}" == claims["fhirUser"]
    assert told["exp"] - told["iat"] == 900
    assert told["aud"] == desk.world.services.base
    assert {"jti", "nbf", "extensions"} <= told.keys()


@pytest.mark.statement("security I-5")
def test_everything_else_is_inactive_and_nothing_more(desk: Auth) -> None:
    good = desk.signed_in()
    head, payload, tag = good["access_token"].split(".")
    for token in (
        "x",
        "a.b.c",
        f"{head}.{payload}.{tag[:-2]}AA",
        f"{head}.{payload}.",
        good["id_token"],
        good["refresh_token"],
        "é",
    ):
        assert introspected(desk, token) == INACTIVE
    desk.wait(1000)
    assert introspected(desk, good["access_token"]) == INACTIVE


def test_an_unknown_hint_changes_nothing(desk: Auth) -> None:
    token = desk.signed_in()["access_token"]
    assert introspected(desk, token, token_type_hint="something")["active"] is True


@pytest.mark.statement("security I-6")
def test_introspection_is_posted(desk: Auth) -> None:
    assert desk.world.request("GET", "/auth/introspect", b"", {}).status == 405


def test_introspection_needs_a_token(desk: Auth) -> None:
    answer = desk.post("introspect", {"x": "y"}, **AT_DESK)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


def test_a_suspended_client_makes_its_tokens_inactive(desk: Auth) -> None:
    token = desk.signed_in()["access_token"]
    desk.register(replace(APP, status=Status.SUSPENDED))
    assert introspected(desk, token) == INACTIVE


@pytest.mark.statement("security I-7")
def test_a_revoked_token_is_dead_for_this_worker_and_for_others(desk: Auth) -> None:
    services = desk.world.services
    token = desk.signed_in()["access_token"]
    elsewhere = Standing(services.store.state, services.clients, desk.world.clock)
    opened = services.guard.open(token)
    assert elsewhere.holds(opened.holding)
    answer = desk.post("revoke", {"token": token, "client_id": "carnet"})
    assert (answer.status, answer.json, answer.headers["Cache-Control"]) == (200, {}, "no-store")
    desk.wait(5)
    assert introspected(desk, token) == INACTIVE
    assert desk.read(token).status == 401
    assert not elsewhere.holds(opened.holding)


@pytest.mark.statement("security I-8")
@pytest.mark.parametrize("token", ["x", "a.b.c", "é", "x" * 9000])
def test_revoking_an_unknown_token_is_no_error(auth: Auth, token: str) -> None:
    answer = auth.post("revoke", {"token": token, "client_id": "carnet", "token_type_hint": "whatever"})
    assert (answer.status, answer.json) == (200, {})


@pytest.mark.statement("security I-9")
def test_a_client_revokes_its_own_tokens_only(auth: Auth) -> None:
    body = auth.signed_in()
    for token in (body["access_token"], body["refresh_token"]):
        answer = auth.post("revoke", {"token": token, "client_id": "tension"})
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    auth.wait(4)
    assert auth.read(body["access_token"]).status == 200
    assert auth.refresh(body["refresh_token"]).status == 200
    assert auth.post("revoke", {"token": "x"}).status == 401
    assert auth.post("revoke", {"client_id": "carnet"}).status == 400


@pytest.mark.statement("security I-10")
def test_revoking_a_refresh_token_kills_the_access_tokens(auth: Auth) -> None:
    body = auth.signed_in()
    auth.post("revoke", {"token": body["refresh_token"], "client_id": "carnet"})
    auth.wait(4)
    assert auth.read(body["access_token"]).status == 401
    assert auth.refresh(body["refresh_token"]).json["error"] == "invalid_grant"


def test_revoking_an_access_token_leaves_the_rest(auth: Auth) -> None:
    body = auth.signed_in()
    auth.post("revoke", {"token": body["access_token"], "client_id": "carnet"})
    assert auth.refresh(body["refresh_token"]).status == 200


def test_the_end_of_a_login_ends_what_lives_by_it(auth: Auth) -> None:
    online = auth.signed_in(scope="openid online_access patient/*.rs", sid="s-1")
    offline = auth.signed_in(scope="openid offline_access patient/*.rs", sid="s-1")
    end_login(auth.world.services.authority, "s-1")
    auth.wait(4)
    assert auth.read(online["access_token"]).status == 401
    assert auth.refresh(online["refresh_token"]).status == 400
    assert auth.refresh(offline["refresh_token"]).status == 200


@pytest.mark.statement("security O-7")
def test_userinfo_tells_what_the_scopes_allow(auth: Auth) -> None:
    def told(scope: str) -> Any:
        token = auth.signed_in(scope=scope)["access_token"]
        answer = auth.world.request("GET", "/auth/userinfo", b"", {"authorization": f"Bearer {token}"})
        posted = auth.post("userinfo", "", authorization=f"Bearer {token}")
        assert (answer.status, answer.json) == (posted.status, posted.json)
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.json

    user = f"{auth.world.services.base}/Patient/{auth.patient}"
    names = {"name": "Anouk Bellanger", "given_name": "Anouk", "family_name": "Bellanger"}
    assert told("openid patient/*.rs") == {"sub": "sub-anouk"}
    assert told("openid fhirUser") == {"sub": "sub-anouk", "fhirUser": user}
    assert told("openid profile fhirUser") == {"sub": "sub-anouk", "fhirUser": user, **names}


def test_userinfo_needs_a_good_token_with_openid(auth: Auth) -> None:
    assert auth.post("userinfo", "").status == 401
    assert auth.post("userinfo", "", authorization="Bearer x").status == 401
    token = auth.signed_in(scope="patient/*.rs")["access_token"]
    answer = auth.post("userinfo", "", authorization=f"Bearer {token}")
    assert (answer.status, answer.json["error"]) == (403, "insufficient_scope")
    id_token = auth.signed_in()["id_token"]
    assert auth.post("userinfo", "", authorization=f"Bearer {id_token}").status == 401


@pytest.mark.statement("security TH25", "security H-18")
def test_an_id_token_opens_nothing(auth: Auth) -> None:
    assert auth.read(auth.signed_in()["id_token"]).status == 401


def test_what_has_expired_is_forgotten(auth: Auth) -> None:
    auth.by_client()
    auth.wait(1000)
    assert auth.world.services.sweep_state() > 0
    assert auth.world.services.store.state.listed("assertion", auth.world.clock.time_ms) == ()
