"""Accounts as values: passwords, codes, and what is kept of them."""

from __future__ import annotations

from dataclasses import replace

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.errors import BadRequest
from fhir_dmp.identity import accounts
from fhir_dmp.identity.accounts import Account, AccountClass, Profile, SecondFactor
from fhir_dmp.identity.caller import Actor
from fhir_dmp.identity.upstream import Practice

PASSWORD = "une phrase assez longue"
NOW = 1_781_260_000_000


def account(**more: object) -> Account:
    base = Account(
        "a1", "anouk", AccountClass.PATIENT, "s1", accounts.hashed(PASSWORD), SecondFactor.TOTP,
        totp=pyotp.random_base32(), profiles=(Profile(Actor.PATIENT, "p1", "BELLANGER Anouk", "Patient/p1"),),
        practices=(Practice(("urn:oid:1.2.250.1.71.1.2.7", "10"), "10C", ("x", "SM26"), "1750999013", "Canal"),),
        upstream=("fc", "fc-1"), devices=("d1",),
    )  # fmt: skip
    return replace(base, **more)  # type: ignore[arg-type]


def test_the_password_is_kept_as_argon2id_and_recognised() -> None:
    one = account()
    assert one.password.startswith("$argon2id$")
    assert PASSWORD not in repr(one)
    assert accounts.is_password(one, PASSWORD)
    assert not accounts.is_password(one, PASSWORD + "x")


def test_nobody_and_a_disabled_account_have_no_password() -> None:
    assert not accounts.is_password(None, PASSWORD)
    assert not accounts.is_password(account(disabled=True), PASSWORD)
    assert not accounts.is_password(account(password=""), "")


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * 257])
def test_a_password_has_a_reasonable_length(password: str) -> None:
    with pytest.raises(BadRequest, match="12 to 256"):
        accounts.hashed(password)


def test_a_time_based_code_is_good_once_and_one_step_around() -> None:
    one = account()
    for shift_s in (0, -30, 30):
        assert accounts.totp_step(one, pyotp.TOTP(one.totp).at(NOW // 1000 + shift_s), NOW) is not None
    assert accounts.totp_step(one, pyotp.TOTP(one.totp).at(NOW // 1000 + 120), NOW) is None
    code = accounts.totp_now(one, NOW)
    step = accounts.totp_step(one, code, NOW)
    assert step is not None
    assert accounts.totp_step(replace(one, last_totp=step), code, NOW) is None


@given(st.text(max_size=20))
def test_no_text_but_the_code_is_a_code(typed: str) -> None:
    one = Account("a", "l", AccountClass.PATIENT, "s", "", SecondFactor.TOTP, totp="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    good = {pyotp.TOTP(one.totp).at(NOW // 1000 + shift) for shift in (-30, 0, 30)}
    typed = accounts.digits(typed)
    assert (accounts.totp_step(one, typed, NOW) is not None) == (typed in good)


def test_a_code_that_was_sent_is_kept_only_as_a_digest() -> None:
    code = "012345"
    assert code not in accounts.code_digest(code, "salt")
    assert accounts.code_digest(code, "salt") != accounts.code_digest(code, "other")


def test_an_account_comes_back_as_it_was_kept() -> None:
    one = account()
    assert accounts.from_json(accounts.to_json(one)) == one


def test_the_authenticator_gets_a_uri_without_the_password() -> None:
    one = account()
    uri = accounts.totp_uri(one, "DMP")
    assert uri.startswith("otpauth://totp/DMP:anouk?secret=")
