"""Callers and claims are two forms of the same thing. security 1.5."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from fhir_dmp.errors import Unauthenticated
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.identity.keys import SigningKeys
from fhir_dmp.identity.scopes import dump, maximum, parse
from fhir_dmp.identity.tokens import Validity, Verifier, caller_of, claims_of, sign
from fhir_dmp.terminology.aliases import TRE_R248_ACCESS_MODE

ISSUER, AUDIENCE = "https://dmp.example/auth", "https://dmp.example/fhir"
TEXT = st.text(max_size=20)
CALLER = st.builds(
    Caller,
    actor=st.sampled_from(Actor),
    subject=TEXT,
    client=TEXT,
    name=TEXT,
    professional=st.none() | TEXT,
    structure=st.none() | st.text("0123456789", min_size=9, max_size=14),
    patient=st.none() | TEXT,
    roles=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
    mode=st.sampled_from(Mode),
    reason=st.none() | TEXT,
    regulator=st.booleans(),
    secret=st.booleans(),
    scopes=st.sampled_from(Actor).map(maximum),
    jti=st.just("j-1"),
    issuer=st.just(ISSUER),
    delegation=st.lists(TEXT, max_size=2).map(tuple),
    fhir_user=st.none() | TEXT,
    sector=TEXT,
    app=st.none() | TEXT,
    app_write_classes=st.none() | st.lists(TEXT, max_size=2).map(tuple),
    app_classes=st.none() | st.lists(TEXT, max_size=2).map(tuple),
).map(lambda caller: replace(caller, fhir_user=None) if caller.actor is Actor.PATIENT else caller)


@cache
def keys(count: int = 1) -> SigningKeys:
    return SigningKeys(tuple(RSAKey.generate_key(2048, auto_kid=True) for _ in range(count)))


def claims(caller: Caller, jti: str = "j-1") -> dict[str, object]:
    return claims_of(caller, issuer=ISSUER, audience=AUDIENCE, validity=Validity(100, 200), jti=jti)


@given(CALLER)
def test_a_caller_survives_its_claims(caller: Caller) -> None:
    assert caller_of(claims(caller)) == caller


def test_the_claims_are_those_of_the_specification() -> None:
    caller = Caller(
        Actor.PROFESSIONAL,
        "s-1",
        client="lps",
        name="ESSAI Claire",
        professional="899700000001",
        structure="1750000001",
        patient="p-123",
        roles=(("urn:oid:1.2.250.1.71.1.2.7", "10"),),
        mode=Mode.BREAK_GLASS,
        reason="coma",
        scopes=parse("patient/*.rs"),
    )
    assert claims(caller) == {
        "iss": ISSUER,
        "sub": "s-1",
        "client_id": "lps",
        "aud": AUDIENCE,
        "jti": "j-1",
        "iat": 100,
        "exp": 200,
        "scope": "patient/*.rs",
        "patient": "p-123",
        "extensions": {
            "ihe_iua": {
                "subject_name": "ESSAI Claire",
                "subject_organization_id": "urn:oid:1.2.250.1.71.4.2.2:1750000001",
                "subject_role": [{"system": "urn:oid:1.2.250.1.71.1.2.7", "code": "10"}],
                "purpose_of_use": [
                    {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "BTG"},
                    {"system": TRE_R248_ACCESS_MODE, "code": "bris_de_glace"},
                ],
                "national_provider_identifier": "899700000001",
                "person_id": "p-123",
            }
        },
        "dmp": {
            "actor": "PS",
            "secret_connection": False,
            "btg_reason": "coma",
            "btg_reason_hash": hashlib.sha256(b"coma").hexdigest(),
        },
    }


def test_a_token_of_an_earlier_key_is_still_good() -> None:
    old, new = keys(2).keys
    token = sign(claims(Caller(Actor.ADMIN, "a")), SigningKeys((old,)))
    rotated = Verifier(SigningKeys((new, old)), ISSUER, AUDIENCE)
    assert rotated.open(token).caller.actor is Actor.ADMIN
    with pytest.raises(Unauthenticated):
        Verifier(SigningKeys((new,)), ISSUER, AUDIENCE).open(token)


@pytest.mark.parametrize(
    ("issuer", "audience", "anywhere", "good"),
    [
        ("http://127.0.0.1:8000/auth", "http://127.0.0.1:8000/fhir", False, False),
        ("http://127.0.0.1:8000/auth", "http://127.0.0.1:8000/fhir", True, True),
        ("http://localhost:9000/auth", "http://localhost:9000/fhir", True, True),
        ("http://127.0.0.1:8000/auth", "http://127.0.0.1:8000/other", True, False),
        ("http://127.0.0.1:8000/other", "http://127.0.0.1:8000/fhir", True, False),
        ("urn:x", "urn:x", True, False),
    ],
)
def test_without_a_public_url_host_and_port_do_not_matter(
    issuer: str, audience: str, anywhere: bool, good: bool
) -> None:
    made = claims_of(Caller(Actor.ADMIN, "a"), issuer=issuer, audience=audience, validity=Validity(1, 2), jti="j")
    verifier = Verifier(keys(), ISSUER, AUDIENCE, anywhere=anywhere)
    if good:
        assert verifier.open(sign(made, keys())).caller.subject == "a"
    else:
        with pytest.raises(Unauthenticated):
            verifier.open(sign(made, keys()))


def test_not_before_counts_when_it_is_later_than_the_issue() -> None:
    token = sign({**claims(Caller(Actor.ADMIN, "a")), "nbf": 150}, keys())
    assert Verifier(keys(), ISSUER, AUDIENCE).open(token).validity == Validity(150, 200)


@pytest.mark.statement("security T-29")
def test_a_token_stays_small_enough_for_a_header() -> None:
    for actor in Actor:
        caller = Caller(actor, "s" * 40, patient="p" * 36, scopes=maximum(actor))
        assert len(sign(claims(replace(caller, name="ESSAI Claire")), keys())) < 4096, actor
        assert dump(caller.scopes)


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda data: data.decode("latin-1")))
def test_no_text_is_taken_for_a_token(text: str) -> None:
    with pytest.raises(Unauthenticated):
        Verifier(keys(), ISSUER, AUDIENCE).open(text)


@pytest.mark.parametrize(
    ("actor", "reason"),
    [("FEEDER", "HPAYMT"), ("AUDITOR", "HSYSADMIN"), ("ORG", "TREAT"), ("PS", "TREAT"), ("REP", "PATRQT")],
)
def test_a_token_says_for_what_its_caller_acts(actor: str, reason: str) -> None:
    claims = claims_of(Caller(Actor(actor), "x"), issuer="i", audience="a", validity=Validity(0, 1), jti="j")
    purposes = [each["code"] for each in claims["extensions"]["ihe_iua"]["purpose_of_use"]]
    assert purposes == [reason, "normal"]
