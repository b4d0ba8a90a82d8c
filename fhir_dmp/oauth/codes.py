"""What a person has authorised, and the one-time code that an application redeems for it.

[security 2.3, 2.5]: a code has 256 bits of randomness, lives 60 s, is redeemed once, and is kept only as its SHA-256.
It stays on record after its use, so that a second use is recognised (RFC 6749, section 4.1.2).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fhir_dmp.errors import StateConflict
from fhir_dmp.identity.caller import Caller
from fhir_dmp.identity.tokens import Validity, caller_of, claims_of
from fhir_dmp.oauth.errors import OAuthError
from fhir_dmp.ports import StateRecord, StateStore

KIND: Final = "code"
LIFE_MS: Final = 60_000
#: How long a second use of a code is recognised.
REMEMBERED_MS: Final = 24 * 3600 * 1000

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Authorization:
    """What was authorised once: by whom, to which client, for what. Refresh tokens carry it on.

    caller: the person in the chosen role (its `scopes`, `client`, `jti` and `issuer` are not used: they are set anew in
    each token). scope: everything granted, as it is answered (`openid launch/patient patient/*.rs`). context: the
    launch context as parameters of the token response (`patient`, `encounter`, `fhirContext`, `need_patient_banner`,
    `intent`, `smart_style_url`, `tenant`). profile: `name`, `given_name`, `family_name` for the scope `profile`.
    consents: ids of the Consents that allow it (claim `ihe_pcf.doc_id`); when one is no longer active, nothing more is
    issued. auth_time_s: when the person signed in, in seconds. sid: the browser login. family: the name of this
    authorization: all that is issued under it is revoked together.
    """

    client_id: str
    caller: Caller
    scope: str
    auth_time_s: int
    family: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    acr: str = ""
    amr: tuple[str, ...] = ()
    sid: str = ""
    nonce: str = ""
    redirect_uri: str = ""
    code_challenge: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, str] = field(default_factory=dict)
    consents: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        claims = claims_of(self.caller, issuer="", audience="", validity=Validity(0, 0), jti="")
        return {
            "client_id": self.client_id,
            "caller": claims,
            "scope": self.scope,
            "auth_time": self.auth_time_s,
            "family": self.family,
            "acr": self.acr,
            "amr": list(self.amr),
            "sid": self.sid,
            "nonce": self.nonce,
            "redirect_uri": self.redirect_uri,
            "code_challenge": self.code_challenge,
            "context": dict(self.context),
            "profile": dict(self.profile),
            "consents": list(self.consents),
        }


def authorization_of(values: Mapping[str, Any]) -> Authorization:
    """Read what `to_json` wrote."""
    return Authorization(
        client_id=values["client_id"],
        caller=replace(caller_of(values["caller"]), jti=None),
        scope=values["scope"],
        auth_time_s=values["auth_time"],
        family=values["family"],
        acr=values["acr"],
        amr=tuple(values["amr"]),
        sid=values["sid"],
        nonce=values["nonce"],
        redirect_uri=values["redirect_uri"],
        code_challenge=values["code_challenge"],
        context=values["context"],
        profile=values["profile"],
        consents=tuple(values["consents"]),
    )


@dataclass(frozen=True, slots=True)
class Proof:
    """What a client shows to redeem a code."""

    client_id: str
    redirect_uri: str
    code_verifier: str


class CodeReused(OAuthError):
    """A code was presented a second time: everything issued under `family` must be revoked."""

    def __init__(self, family: str) -> None:
        super().__init__("invalid_grant", "The code has been used already.")
        self.family = family


def secret_key(secret: str) -> str:
    """Return the key under which something secret is kept: its SHA-256 in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_challenge(text: str) -> bool:
    """Say whether a text can be a code_challenge of the method S256.

    >>> is_challenge("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"), is_challenge("short")
    (True, False)
    """
    return _CHALLENGE.fullmatch(text) is not None


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636, section 4.2).

    >>> challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    return urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()


def issue_code(state: StateStore, authorization: Authorization, now_ms: int) -> str:
    """Keep what was authorised and return the code for it; needs redirect_uri and code_challenge.

    Raises:
        ValueError: without them; a code that anybody could redeem is never made.
    """
    if not authorization.redirect_uri or not is_challenge(authorization.code_challenge):
        raise ValueError("a code is bound to a redirect_uri and an S256 challenge")
    code = secrets.token_urlsafe(32)
    body = {"used": False, "valid_until_ms": now_ms + LIFE_MS, "authorization": authorization.to_json()}
    tags = (f"family:{authorization.family}", f"sub:{authorization.caller.subject}")
    record = StateRecord(KIND, secret_key(code), json.dumps(body), now_ms + REMEMBERED_MS, tags)
    state.put(record, now_ms, expected=0)
    return code


def redeem_code(state: StateStore, code: str, proof: Proof, now_ms: int) -> Authorization:
    """Use a code up and return what it stands for. Whatever is wrong with the proof, the code is used up.

    Raises:
        CodeReused: it was used before.
        OAuthError: invalid_grant; unknown, expired, of another client or redirect_uri, or the verifier is wrong.
    """
    record = state.get(KIND, secret_key(code), now_ms)
    if record is None:
        raise OAuthError("invalid_grant", "The code is not known or has expired.")
    body = json.loads(record.body)
    authorization = authorization_of(body["authorization"])
    if body["used"]:
        raise CodeReused(authorization.family)
    used = StateRecord(KIND, record.key, json.dumps({**body, "used": True}), record.expires_ms, record.tags)
    try:
        state.put(used, now_ms, expected=record.version)
    except StateConflict as error:
        raise CodeReused(authorization.family) from error
    _check(authorization, proof, now_ms >= body["valid_until_ms"])
    return authorization


def _check(authorization: Authorization, proof: Proof, expired: bool) -> None:
    if expired:
        raise OAuthError("invalid_grant", "The code has expired.")
    if proof.client_id != authorization.client_id:
        raise OAuthError("invalid_grant", "The code was issued to another client.")
    if proof.redirect_uri != authorization.redirect_uri:
        raise OAuthError("invalid_grant", "The redirect_uri is not that of the authorization request.")
    known = _VERIFIER.fullmatch(proof.code_verifier) is not None
    challenge = challenge_of(proof.code_verifier) if known else ""
    if not hmac.compare_digest(challenge, authorization.code_challenge):
        raise OAuthError("invalid_grant", "The code_verifier does not match the code_challenge.")
