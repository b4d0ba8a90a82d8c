"""Authorization codes: bound, short-lived, redeemed once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.oauth.codes import (
    LIFE_MS,
    Authorization,
    CodeReused,
    Proof,
    authorization_of,
    challenge_of,
    issue_code,
    redeem_code,
)
from fhir_dmp.oauth.errors import OAuthError
from fhir_dmp.store.memory.state import MemoryState

NOW = 1_781_260_000_000
VERIFIER = "v" * 43
CALLBACK = "https://app.example/callback"
ASKED = Authorization(
    "app",
    Caller(Actor.PATIENT, "sub-1", name="Anouk Tiroir", patient="p1"),
    "openid patient/*.rs",
    auth_time_s=NOW // 1000 - 5,
    acr="mfa",
    amr=("pwd", "otp"),
    nonce="n",
    redirect_uri=CALLBACK,
    code_challenge=challenge_of(VERIFIER),
    context={"patient": "p1", "need_patient_banner": True},
    profile={"name": "Anouk Tiroir"},
    consents=("c1",),
)
PROOF = Proof("app", CALLBACK, VERIFIER)


def test_a_code_is_redeemed_for_exactly_what_was_authorised() -> None:
    state = MemoryState()
    redeemed = redeem_code(state, issue_code(state, ASKED, NOW), PROOF, NOW + LIFE_MS - 1)
    assert replace(redeemed, caller=ASKED.caller) == ASKED
    assert (redeemed.caller.actor, redeemed.caller.patient, redeemed.caller.name) == (
        Actor.PATIENT,
        "p1",
        "Anouk Tiroir",
    )


def test_an_authorization_survives_its_json() -> None:
    assert authorization_of(ASKED.to_json()) == ASKED


def test_the_store_never_holds_the_code_itself() -> None:
    state = MemoryState()
    code = issue_code(state, ASKED, NOW)
    (record,) = state.listed("code", NOW)
    assert code not in repr(record)


def test_a_code_has_256_bits() -> None:
    state = MemoryState()
    codes = {issue_code(state, ASKED, NOW) for _ in range(50)}
    assert len(codes) == 50
    assert all(len(code) == 43 for code in codes)


def test_a_code_expires_after_60_seconds() -> None:
    state = MemoryState()
    code = issue_code(state, ASKED, NOW)
    with pytest.raises(OAuthError, match="expired"):
        redeem_code(state, code, PROOF, NOW + 60_000)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"client_id": "other"}, "another client"),
        ({"redirect_uri": CALLBACK + "/"}, "redirect_uri"),
        ({"code_verifier": "w" * 43}, "code_verifier"),
        ({"code_verifier": ""}, "code_verifier"),
        ({"code_verifier": "v" * 42}, "code_verifier"),
        ({"code_verifier": "v" * 129}, "code_verifier"),
        ({"code_verifier": "é" * 43}, "code_verifier"),
    ],
)
def test_a_wrong_proof_uses_the_code_up(change: dict[str, str], reason: str) -> None:
    state = MemoryState()
    code = issue_code(state, ASKED, NOW)
    with pytest.raises(OAuthError, match=reason) as refused:
        redeem_code(state, code, replace(PROOF, **change), NOW)
    assert (refused.value.error, refused.value.status) == ("invalid_grant", 400)
    with pytest.raises(CodeReused):
        redeem_code(state, code, PROOF, NOW)


def test_a_second_use_names_the_authorization_to_revoke() -> None:
    state = MemoryState()
    code = issue_code(state, ASKED, NOW)
    redeem_code(state, code, PROOF, NOW)
    with pytest.raises(CodeReused) as again:
        redeem_code(state, code, PROOF, NOW + 3600_000)
    assert again.value.family == ASKED.family


def test_of_many_that_redeem_a_code_one_succeeds() -> None:
    state = MemoryState()
    code = issue_code(state, ASKED, NOW)

    def redeem(_: int) -> bool:
        try:
            redeem_code(state, code, PROOF, NOW)
        except CodeReused:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(redeem, range(8))) == 1


@pytest.mark.parametrize("missing", [{"redirect_uri": ""}, {"code_challenge": ""}, {"code_challenge": "plain"}])
def test_a_code_without_bindings_is_never_made(missing: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="bound"):
        issue_code(MemoryState(), replace(ASKED, **missing), NOW)


@given(st.text(max_size=200))
def test_no_other_text_is_a_code(text: str) -> None:
    state = MemoryState()
    issue_code(state, ASKED, NOW)
    with pytest.raises(OAuthError, match="not known"):
        redeem_code(state, text, PROOF, NOW)
