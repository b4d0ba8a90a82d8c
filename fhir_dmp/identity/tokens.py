"""Access tokens: a Caller as signed claims, and signed claims as a Caller.

RFC 9068 (JWT access tokens, `typ` at+jwt), RFC 8725 (one algorithm, nothing taken from the header but a known `kid`),
IHE IUA (`extensions.ihe_iua`). The claims are described in docs/tokens.md. A token never holds an INS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError

from fhir_dmp.errors import Unauthenticated
from fhir_dmp.identity.caller import EMERGENCY_TTL_S, Actor, Caller, Mode, act_reason
from fhir_dmp.identity.keys import Keys
from fhir_dmp.identity.scopes import dump, parse
from fhir_dmp.terminology.aliases import ACT_REASON, STRUCTURE, TRE_R248_ACCESS_MODE

ALGORITHM: Final = "RS256"
TYPE: Final = "at+jwt"
#: Larger tokens are refused before anything is computed on them.
MAX_TOKEN: Final = 8192

_HEADERS = frozenset({"typ", "alg", "kid"})


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a token is good, in seconds since the epoch, without leeway."""

    not_before: int
    expires: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What a genuine token says: who, and for how long. The time is not judged yet. claims: all of them."""

    caller: Caller
    validity: Validity
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def thumbprint(self) -> str | None:
        """The certificate that the token is bound to (`cnf.x5t#S256`, RFC 8705), None when it is bound to none."""
        bound = self.claims.get("cnf")
        if bound is None:
            return None
        found = bound.get("x5t#S256") if isinstance(bound, Mapping) else None
        # A binding that is not understood is one that no connection fulfils.
        return found if isinstance(found, str) else ""


def refusal(diagnostics: str, code: str = "login", error: str = "invalid_token") -> Unauthenticated:
    """Make the answer to a missing or bad token (RFC 6750, section 3)."""
    return Unauthenticated(diagnostics, code=code, headers={"WWW-Authenticate": f'Bearer realm="dmp", error="{error}"'})


def claims_of(caller: Caller, *, issuer: str, audience: str, validity: Validity, jti: str) -> dict[str, Any]:
    """Return the claims of an access token for that caller."""
    iua: dict[str, Any] = {
        "subject_name": caller.name or None,
        "subject_organization_id": f"{STRUCTURE}:{caller.structure}" if caller.structure else None,
        "subject_role": [{"system": system, "code": code} for system, code in caller.roles] or None,
        "purpose_of_use": [
            {"system": ACT_REASON, "code": act_reason(caller.actor, caller.mode)},
            {"system": TRE_R248_ACCESS_MODE, "code": caller.mode.value},
        ],
        "national_provider_identifier": caller.professional,
        "person_id": caller.patient,
    }
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": caller.subject,
        "client_id": caller.client,
        "aud": audience,
        "jti": jti,
        "iat": validity.not_before,
        "exp": validity.expires,
        "scope": dump(caller.scopes),
        "patient": caller.patient,
        "fhirUser": f"Patient/{caller.patient}" if caller.actor is Actor.PATIENT else caller.fhir_user,
        "extensions": {"ihe_iua": _present(iua)},
        "dmp": _private(caller),
    }
    return _present(claims)


def _private(caller: Caller) -> dict[str, Any]:
    reason = caller.reason
    return _present(
        {
            "actor": caller.actor.value,
            "secret_connection": caller.secret,
            "regulator": caller.regulator or None,
            "rep_of": caller.patient if caller.actor is Actor.REPRESENTATIVE else None,
            "delegation": list(caller.delegation) or None,
            "secteur": caller.sector or None,
            "app": caller.app,
            "finality": caller.finality or None,
            "app_classes": None if caller.app_classes is None else list(caller.app_classes),
            "app_write_classes": None if caller.app_write_classes is None else list(caller.app_write_classes),
            "btg_reason": reason,
            "btg_reason_hash": hashlib.sha256(reason.encode()).hexdigest() if reason else None,
        }
    )


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def sign(claims: Mapping[str, Any], keys: Keys) -> str:
    """Return the signed token."""
    header = {"typ": TYPE, "alg": ALGORITHM, "kid": keys.current.kid}
    return jwt.encode(header, dict(claims), keys.current, algorithms=[ALGORITHM])


@dataclass(frozen=True, slots=True)
class Verifier:
    """Judges tokens of one issuer for one audience.

    anywhere: no public URL is configured, so that the same server may be known under several hosts and ports (a token
    printed beside a server on another port): only the paths of issuer and audience are compared. The signature is
    still this server's own.
    """

    keys: Keys
    issuer: str
    audience: str
    leeway_s: int = 30
    anywhere: bool = False

    def open(self, token: str) -> Grant:
        """Check everything about a token that does not depend on the time.

        Raises:
            Unauthenticated: not a token of this issuer for this server, or with claims that say nothing clear.
        """
        claims = self._signed_claims(token)
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if not self._is(self.issuer, claims.get("iss")) or not any(self._is(self.audience, each) for each in audiences):
            raise refusal("The token is not meant for this server (iss, aud).")
        caller, validity = caller_of(claims), _validity(claims)
        if caller.mode is Mode.BREAK_GLASS:  # obligation `limit:600s`, whoever signed a longer life
            validity = replace(validity, expires=min(validity.expires, validity.not_before + EMERGENCY_TTL_S))
        return Grant(caller, validity, claims)

    def _is(self, own: str, claimed: object) -> bool:
        if claimed == own:
            return True
        return self.anywhere and isinstance(claimed, str) and _path(claimed) == _path(own)

    def check_time(self, validity: Validity, now_s: float) -> None:
        """Refuse a token that is not good at `now_s`, seconds since the epoch.

        Raises:
            Unauthenticated: code expired past the end, login before the start.
        """
        if now_s >= validity.expires + self.leeway_s:
            raise refusal("The token has expired; ask for a new one.", "expired")
        if now_s < validity.not_before - self.leeway_s:
            raise refusal("The token is not valid yet; check the clocks.")

    def _signed_claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN or not token.isascii():
            raise refusal("The token is no signed JWT of this server.")
        try:
            header = jws.extract_compact(token.encode()).headers()
            key = self.keys.find(header["kid"]) if header.keys() == _HEADERS else None
            if key is None or header["alg"] != ALGORITHM or header["typ"] not in (TYPE, f"application/{TYPE}"):
                raise refusal("The token is no signed JWT of this server.")
            return jwt.decode(token, key, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, TypeError) as error:
            raise refusal("The token is no signed JWT of this server.") from error


def _path(url: str) -> str | None:
    scheme, separator, rest = url.partition("://")
    return "/" + rest.partition("/")[2] if separator and scheme in ("http", "https") else None


def _validity(claims: Mapping[str, Any]) -> Validity:
    issued = _seconds(claims.get("iat"))
    return Validity(max(_seconds(claims.get("nbf", issued)), issued), _seconds(claims.get("exp")))


def _seconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 40:
        raise refusal("The token does not say when it is valid (iat, nbf, exp).")
    return int(value)


def caller_of(claims: Mapping[str, Any]) -> Caller:
    """Return the caller that genuine claims describe.

    Raises:
        Unauthenticated: the kind of caller, its identity or its access mode cannot be told.
    """
    try:
        return _caller(claims)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise refusal("The claims of the token do not describe a caller.") from error


def _caller(claims: Mapping[str, Any]) -> Caller:
    own = claims["dmp"]
    iua = claims.get("extensions", {}).get("ihe_iua", {})
    return Caller(
        actor=Actor(own["actor"]),
        subject=_text(claims["sub"]),
        client=_text(claims.get("client_id", "")),
        name=_text(iua.get("subject_name", "")),
        professional=_optional(iua.get("national_provider_identifier")),
        structure=_structure(_optional(iua.get("subject_organization_id"))),
        patient=_optional(claims.get("patient")),
        roles=tuple((_text(role["system"]), _text(role["code"])) for role in iua.get("subject_role", ())),
        mode=_mode(iua.get("purpose_of_use", ())),
        reason=_optional(own.get("btg_reason")),
        regulator=own.get("regulator") is True,
        secret=own.get("secret_connection") is True,
        scopes=parse(_text(claims.get("scope", ""))),
        jti=_optional(claims.get("jti")),
        issuer=_text(claims["iss"]),
        delegation=_strings(own.get("delegation", ())),
        # A patient is known by the claim `patient`; fhirUser says the same.
        fhir_user=None if own["actor"] == Actor.PATIENT.value else _optional(claims.get("fhirUser")),
        sector=_text(own.get("secteur", "")),
        app=_optional(own.get("app")),
        finality=_text(own.get("finality", "")),
        app_classes=_strings(own["app_classes"]) if own.get("app_classes") is not None else None,
        app_write_classes=_strings(own["app_write_classes"]) if own.get("app_write_classes") is not None else None,
        reads_self={"openid", "fhirUser"} <= set(_text(claims.get("scope", "")).split()),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a claim is no string")
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)


def _strings(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple):
        raise TypeError("a claim is no list")
    return tuple(_text(part) for part in value)


def _structure(value: str | None) -> str | None:
    return value.removeprefix(f"{STRUCTURE}:") if value else None


def _mode(purposes: Any) -> Mode:
    modes = {purpose["code"] for purpose in purposes if purpose["system"] == TRE_R248_ACCESS_MODE}
    if len(modes) > 1:
        raise ValueError("two access modes")
    return Mode(modes.pop()) if modes else Mode.NORMAL
