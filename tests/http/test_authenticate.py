"""Who is asking: tokens in, callers out. fhir-rest L230, security 1.5 and 8.2."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.settings import Settings
from fhir_dmp.terminology.aliases import TRE_R248_ACCESS_MODE
from tests.http.world import BASE, ISSUER, NOW_S, Reply, World, signing_keys


def refused(reply: Reply, code: str = "login") -> None:
    assert (reply.status, reply.issue["code"]) == (401, code)
    assert reply.header("WWW-Authenticate") == 'Bearer realm="dmp", error="invalid_token"'


@pytest.mark.statement("fhir-rest L230", "security H-31")
def test_without_a_token_nothing_is_reached() -> None:
    world = World()
    refused(world.send("GET", "/Patient/p-1", token=None))
    refused(world.send("POST", "/Patient", b"{}" * 1000, {"Content-Type": "application/json"}, token=None))
    assert world.calls == []


@pytest.mark.statement("fhir-rest J213")
def test_what_is_public_needs_no_token() -> None:
    world = World()
    assert world.send("GET", "/metadata", token=None).status == 200
    assert world.call.caller.scopes == ()


def test_a_token_makes_the_caller() -> None:
    world = World()
    caller = Caller(
        Actor.PROFESSIONAL,
        "ps-77",
        client="lps",
        name="ESSAI Claire",
        professional="810001234567",
        structure="1750000001",
        patient="p-1",
        roles=(("urn:oid:1.2.250.1.71.1.2.7", "10"),),
    )
    world.send("GET", "/Patient/p-1", token=world.token(caller))
    told = world.call.caller
    assert (told.actor, told.professional, told.structure, told.patient, told.roles, told.name) == (
        caller.actor,
        caller.professional,
        caller.structure,
        caller.patient,
        caller.roles,
        caller.name,
    )


@pytest.mark.statement("fhir-rest L230", "security T-28")
def test_a_token_lives_as_long_as_it_says_and_the_leeway() -> None:
    world = World()
    token = world.token(start=NOW_S, ttl=600)
    for shift, alive in ((-31, False), (-30, True), (0, True), (629, True), (630, False)):
        world.clock.ms = (NOW_S + shift) * 1000
        reply = world.send("GET", "/Patient/p-1", token=token)
        if alive:
            assert reply.status == 200, shift
        else:
            refused(reply, "expired" if shift > 0 else "login")


@pytest.mark.parametrize(
    "header", ["Basic dTpw", "Bearer", "Bearer ", "bearer x y", "Bearer é", "Bearer a.b.c", "Bearer " + "a" * 9000]
)
def test_another_authorization_header_is_401(header: str) -> None:
    world = World()
    refused(world.send("GET", "/Patient/p-1", headers={"Authorization": header}, token=None))


@pytest.mark.statement("security TH24", "security TH25", "security H-18")
@pytest.mark.parametrize(
    "kind", ["none", "hs256", "foreign", "no-kid", "unknown-kid", "typ", "jwk", "jku", "tampered", "unsigned"]
)
def test_a_forged_token_is_401(kind: str) -> None:
    world = World()
    key = signing_keys().current
    good = world.token()
    claims = orjson.loads(_decoded(good.split(".")[1]))
    header = {"typ": "at+jwt", "alg": "RS256", "kid": key.kid}
    foreign = RSAKey.generate_key(2048)
    forged = {
        "none": lambda: f"{_encoded({**header, 'alg': 'none'})}.{_encoded(claims)}.",
        "hs256": lambda: _signed_with_the_public_key({**header, "alg": "HS256"}, claims),
        "foreign": lambda: jwt.encode(header, claims, foreign),
        "no-kid": lambda: jwt.encode({"typ": "at+jwt", "alg": "RS256"}, claims, key),
        "unknown-kid": lambda: jwt.encode({**header, "kid": "../../etc/passwd"}, claims, key),
        "typ": lambda: jwt.encode({**header, "typ": "JWT"}, claims, key),
        "jwk": lambda: jwt.encode({**header, "jwk": foreign.as_dict(private=False)}, claims, foreign),
        "jku": lambda: jwt.encode({**header, "jku": "https://evil.example/jwks"}, claims, key),
        "tampered": lambda: f"{good.split('.')[0]}.{_encoded({**claims, 'sub': 'p-2'})}.{good.split('.')[2]}",
        "unsigned": lambda: good.rpartition(".")[0] + ".",
    }[kind]()
    refused(world.send("GET", "/Patient/p-1", token=forged))
    assert world.calls == []


@pytest.mark.statement("security TH25", "security H-18")
@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://other.example/fhir"},
        {"aud": [f"{BASE}/"]},
        {"iss": "https://other.example/auth"},
        {"exp": "soon"},
        {"exp": True},
        {"iat": -5},
        {"dmp": {}},
        {"dmp": {"actor": "ROOT"}},
        {"dmp": []},
        {"sub": 7},
        {"scope": ["user/*.rs"]},
        {"extensions": {"ihe_iua": {"purpose_of_use": [{"system": TRE_R248_ACCESS_MODE}]}}},
        {"extensions": {"ihe_iua": {"purpose_of_use": [{"system": TRE_R248_ACCESS_MODE, "code": "root"}]}}},
        {"extensions": {"ihe_iua": {"subject_role": "10"}}},
        {"extensions": []},
    ],
)
def test_claims_that_say_nothing_clear_are_401(changed: dict[str, Any]) -> None:
    world = World()
    refused(world.send("GET", "/Patient/p-1", token=world.token(**changed)))


def test_one_of_several_audiences_is_enough() -> None:
    world = World()
    assert world.send("GET", "/Patient/p-1", token=world.token(aud=["https://other.example", BASE])).status == 200


def test_open_access_is_for_this_machine_only() -> None:
    world = World(settings=Settings.load({"DMP_SERVER_ACCESS": "open"}))
    assert world.send("GET", "/Patient/p-1", token=None).status == 200
    assert (world.call.caller.anonymous, world.call.caller.is_admin) == (True, True)
    assert world.call.caller.may("d", "Patient")
    assert world.send("GET", "/Patient/p-1", token=None, peer="192.0.2.1").status == 403


def test_a_genuine_token_is_verified_once() -> None:
    world = World()
    token = world.token()
    opened = []
    guard = world.guard

    class Counting:
        def open(self, text: str) -> object:
            opened.append(text)
            return guard.open(text)

        check = staticmethod(guard.check)
        verifier = guard.verifier

    from fhir_dmp.http.authenticate import bearer

    authenticate = bearer(Counting(), world.clock, lambda _: None)  # type: ignore[arg-type]  # counts what it passes on
    for _ in range(3):
        assert authenticate({"HTTP_AUTHORIZATION": f"Bearer {token}"}).subject == "p-1"
    assert opened == [token]
    assert ISSUER.endswith("/auth")


def _signed_with_the_public_key(header: object, claims: object) -> str:
    text = f"{_encoded(header)}.{_encoded(claims)}"
    digest = hmac.new(signing_keys().current.as_pem(private=False), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
