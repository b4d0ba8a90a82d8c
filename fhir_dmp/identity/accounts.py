"""A local account as a value: how its holder proves who they are, and for whom they may act. No I/O here.

A password (argon2id, RFC 9106) and a second factor: a code by e-mail, or a time-based code (TOTP, RFC 6238).
[security 1.2, rows A1 to A3 and H]
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from fhir_dmp.errors import BadRequest
from fhir_dmp.identity.caller import Actor
from fhir_dmp.identity.upstream import Practice

MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 256
#: Six digits, good for ten minutes and five tries.
CODE_DIGITS: Final = 6
CODE_LIFE_MS: Final = 600_000
TRIES: Final = 5
_TOTP_STEP_S: Final = 30

_hasher = PasswordHasher()


class AccountClass(StrEnum):
    """Who an account is for."""

    PATIENT = "patient"
    PROFESSIONAL = "professional"
    AUDITOR = "auditor"


class SecondFactor(StrEnum):
    """How the second proof reaches the holder."""

    EMAIL = "email"
    TOTP = "totp"


@dataclass(frozen=True, slots=True)
class Profile:
    """One record that the holder may enter, and as what. patient: logical id. name: of the record's holder.

    fhir_user: `Patient/x` or `RelatedPerson/y`. delegation: `Consent/z` of a delegate.
    """

    actor: Actor
    patient: str
    name: str
    fhir_user: str
    delegation: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """One account. login: what the holder types, kept folded. password: argon2id hash. totp: shared secret, base32.

    subject: opaque and stable, claim `sub`. email: where codes and notices go. number, practices, regulator: of a
    professional. upstream: (provider, its name of the person) of an identity that signs in to this account.
    last_totp: the last time step used, so that no code is good twice. devices: hashes of known browsers.
    """

    id: str
    login: str
    kind: AccountClass
    subject: str
    password: str
    second: SecondFactor
    family: str = ""
    given: str = ""
    email: str = ""
    totp: str = ""
    profiles: tuple[Profile, ...] = ()
    number: str = ""
    practices: tuple[Practice, ...] = ()
    regulator: bool = False
    fhir_user: str = ""
    upstream: tuple[str, str] | None = None
    language: str = "fr"
    disabled: bool = False
    last_totp: int = 0
    devices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name for people and for the audit trail."""
        return f"{self.family} {self.given}".strip() or self.login

    def __repr__(self) -> str:
        return f"Account({self.id})"


def folded(login: str) -> str:
    """Return a login as it is compared: without case, surrounding spaces and compatibility forms.

    >>> folded("  Anouk@Example.ORG ")
    'anouk@example.org'
    """
    return unicodedata.normalize("NFKC", login).strip().casefold()[:200]


def hashed(password: str) -> str:
    """Return the argon2id hash of a new password.

    Raises:
        BadRequest: too short or too long.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise BadRequest(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")
    return _hasher.hash(unicodedata.normalize("NFKC", password))


@lru_cache(maxsize=1)
def _nobodys() -> str:
    """Return what is verified for an account that does not exist, so that both take the same time."""
    return _hasher.hash("nobody has this password")


def is_password(account: Account | None, typed: str) -> bool:
    """Check a password; for an account that does not exist or is disabled the same work is done, and it is wrong."""
    usable = account is not None and not account.disabled and bool(account.password)
    known = account.password if account is not None and usable else _nobodys()
    try:
        _hasher.verify(known, unicodedata.normalize("NFKC", typed[:MAX_PASSWORD]))
    except (Argon2Error, InvalidHashError):
        return False
    return usable


def code_digest(code: str, salt: str) -> str:
    """Return what is kept of a code that was sent."""
    return hmac.new(salt.encode(), code.encode(), hashlib.sha256).hexdigest()


def totp_uri(account: Account, issuer: str) -> str:
    """Return the otpauth: URI that authenticator applications read."""
    return pyotp.TOTP(account.totp).provisioning_uri(name=account.login, issuer_name=issuer)


def totp_now(account: Account, now_ms: int) -> str:
    """Return the code that is good at this moment."""
    return pyotp.TOTP(account.totp).at(now_ms // 1000)


def totp_step(account: Account, typed: str, now_ms: int) -> int | None:
    """Return the time step whose code was typed, one step early or late included; None when wrong or used before."""
    now = now_ms // 1000 // _TOTP_STEP_S
    generator = pyotp.TOTP(account.totp)
    for step in (now, now - 1, now + 1):
        if step > account.last_totp and hmac.compare_digest(generator.at(step * _TOTP_STEP_S).encode(), typed.encode()):
            return step
    return None


def digits(typed: str) -> str:
    """Return a code as typed, without the spaces that people put into it."""
    return "".join(typed.split())[:12]


def to_json(account: Account) -> dict[str, Any]:
    """Return an account as JSON values."""
    return {
        "id": account.id,
        "login": account.login,
        "kind": account.kind.value,
        "subject": account.subject,
        "password": account.password,
        "second": account.second.value,
        "family": account.family,
        "given": account.given,
        "email": account.email,
        "totp": account.totp,
        "profiles": [
            [each.actor.value, each.patient, each.name, each.fhir_user, each.delegation] for each in account.profiles
        ],
        "number": account.number,
        "practices": [practice_json(each) for each in account.practices],
        "regulator": account.regulator,
        "fhir_user": account.fhir_user,
        "upstream": list(account.upstream) if account.upstream else None,
        "language": account.language,
        "disabled": account.disabled,
        "last_totp": account.last_totp,
        "devices": list(account.devices),
    }


def from_json(values: Mapping[str, Any]) -> Account:
    """Read what `to_json` wrote."""
    simple = {
        name: values[name]
        for name in ("id", "login", "subject", "password", "family", "given", "email", "totp", "number", "regulator",
                     "fhir_user", "language", "disabled", "last_totp")
    }  # fmt: skip
    return Account(
        kind=AccountClass(values["kind"]),
        second=SecondFactor(values["second"]),
        profiles=tuple(Profile(Actor(actor), *rest) for actor, *rest in values["profiles"]),
        practices=tuple(practice_of(each) for each in values["practices"]),
        upstream=(values["upstream"][0], values["upstream"][1]) if values["upstream"] else None,
        devices=tuple(values["devices"]),
        **simple,
    )


def practice_json(practice: Practice) -> dict[str, Any]:
    """Return a practice as JSON values."""
    return {
        "profession": list(practice.profession),
        "work_situation": practice.work_situation,
        "speciality": list(practice.speciality) if practice.speciality else None,
        "structure": practice.structure,
        "structure_name": practice.structure_name,
        "sector": practice.sector,
    }


def practice_of(values: Mapping[str, Any]) -> Practice:
    """Read what `practice_json` wrote."""
    speciality = values["speciality"]
    return Practice(
        profession=(values["profession"][0], values["profession"][1]),
        work_situation=values["work_situation"],
        speciality=(speciality[0], speciality[1]) if speciality else None,
        structure=values["structure"],
        structure_name=values["structure_name"],
        sector=values["sector"],
    )
