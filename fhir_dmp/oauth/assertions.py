"""JWTs that clients and institutions sign: header, key, signature, claims, and each of them once.

[security 2.6], RFC 7523, RFC 8725. Nothing in the token chooses how it is judged: the algorithms, the key set and the
audience are ours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhir_dmp.errors import StateConflict
from fhir_dmp.oauth.jwks import Jwk
from fhir_dmp.ports import StateRecord, StateStore

KIND: Final = "assertion"
ALGORITHMS: Final = ("RS384", "ES384")
#: Longest time an assertion may be good for, and the clock difference accepted, in seconds.
MOST_S: Final = 300
SKEW_S: Final = 30
MAX_ASSERTION: Final = 8192

_HEADERS: Final = frozenset({"typ", "alg", "kid", "jku"})


class BadAssertion(Exception):
    """The assertion is not acceptable; the text says why, for developers."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """What an assertion says before its signature was looked at: enough to find the key, nothing to act upon."""

    text: str
    kid: str
    algorithm: str
    jku: str | None
    claims: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """The claim `iss`, or an empty text."""
        found = self.claims.get("iss")
        return found if isinstance(found, str) else ""


def look(text: str) -> Unverified:
    """Read header and claims.

    Raises:
        BadAssertion: no JWT that could be accepted whoever signed it.
    """
    if len(text) > MAX_ASSERTION or not text.isascii():
        raise BadAssertion("no signed JWT")
    try:
        token = jws.extract_compact(text.encode())
        header = token.headers()
        claims = _claims(token.payload)
    except (JoseError, ValueError, TypeError) as error:
        raise BadAssertion("no signed JWT") from error
    kid, algorithm, jku = header.get("kid"), header.get("alg"), header.get("jku")
    if header.keys() - _HEADERS:
        raise BadAssertion(f"header: only {', '.join(sorted(_HEADERS))} are accepted")
    if header.get("typ") != "JWT":
        raise BadAssertion("header: typ must be JWT")
    if algorithm not in ALGORITHMS:
        raise BadAssertion(f"header: alg must be one of {', '.join(ALGORITHMS)}")
    if not isinstance(kid, str) or not kid:
        raise BadAssertion("header: kid is required")
    if jku is not None and not isinstance(jku, str):
        raise BadAssertion("header: jku must be a text")
    return Unverified(text, kid, algorithm, jku, claims)


def _claims(payload: bytes) -> Mapping[str, Any]:
    values = json.loads(payload)
    if not isinstance(values, dict):
        raise TypeError("claims are an object")
    return values


def verify(seen: Unverified, keys: Sequence[Jwk]) -> Mapping[str, Any]:
    """Check the signature against the only key of that id, and return the claims.

    Raises:
        BadAssertion: no such key, several, one of another kind, or another signature.
    """
    if len(keys) != 1:
        raise BadAssertion("no key with this kid" if not keys else "several keys have this kid")
    key = _key(keys[0], seen.algorithm)
    try:
        return jwt.decode(seen.text, key, algorithms=[seen.algorithm]).claims
    except (JoseError, ValueError, TypeError) as error:
        raise BadAssertion("the signature does not verify") from error


def _key(jwk: Jwk, algorithm: str) -> RSAKey | ECKey:
    wanted = "RSA" if algorithm.startswith("RS") else "EC"
    if jwk.get("kty") != wanted or jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
        raise BadAssertion("the key with this kid does not fit the algorithm")
    public = {name: value for name, value in jwk.items() if name in ("kty", "n", "e", "crv", "x", "y", "kid")}
    try:
        if wanted == "RSA":
            if len(str(public.get("n", ""))) * 6 < 2048:
                raise BadAssertion("the key has less than 2048 bits")
            return RSAKey.import_key(public)
        if jwk.get("crv") != "P-384":
            raise BadAssertion("ES384 needs a key on P-384")
        return ECKey.import_key(public)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise BadAssertion("the key with this kid cannot be read") from error


def check_claims(claims: Mapping[str, Any], audiences: Sequence[str], now_s: float) -> str:
    """Judge audience and times, and return the `jti`.

    Raises:
        BadAssertion: one of them is missing or wrong.
    """
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(each, str) and each in audiences for each in named):
        raise BadAssertion(f"aud must be {audiences[0]}")
    expires = _seconds(claims.get("exp"), "exp")
    if expires <= now_s - SKEW_S:
        raise BadAssertion("it has expired")
    if expires > now_s + MOST_S + SKEW_S:
        raise BadAssertion(f"exp must be at most {MOST_S} s ahead")
    for name in ("nbf", "iat"):
        if name in claims and _seconds(claims[name], name) > now_s + SKEW_S:
            raise BadAssertion(f"{name} lies in the future")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= 256:
        raise BadAssertion("jti is required, 1 to 256 characters")
    return jti


def _seconds(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 40:
        raise BadAssertion(f"{name} must be a time in seconds")
    return float(value)


def use_once(state: StateStore, issuer: str, jti: str, expires_s: float, now_ms: int) -> None:
    """Take the id of an assertion whose signature was verified; one insertion, so that of two only one succeeds.

    Raises:
        BadAssertion: it was used before.
    """
    key = hashlib.sha256(f"{issuer}|{jti}".encode()).hexdigest()
    until_ms = int((expires_s + 2 * SKEW_S) * 1000)
    try:
        state.put(StateRecord(KIND, key, "{}", until_ms), now_ms, expected=0)
    except StateConflict as error:
        raise BadAssertion("this jti was used already") from error
