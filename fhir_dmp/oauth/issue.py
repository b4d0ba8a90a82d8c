"""Access tokens and id_tokens, made from what was authorised.

[security 1.5, 2.8]; RFC 9068, OpenID Connect Core section 2. An access token says who and what for; what is only for
this server (launch context, a long scope, the motive of an emergency) is kept beside it under its `jti`.
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from joserfc import jwt

from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.identity.scopes import parse
from fhir_dmp.identity.tokens import ALGORITHM, Validity, claims_of, sign
from fhir_dmp.oauth.authority import Authority
from fhir_dmp.oauth.clients import Client
from fhir_dmp.oauth.codes import Authorization
from fhir_dmp.ports import StateRecord

TOKEN: Final = "token"  # noqa: S105 - the kind of a record
ID_TOKEN_S: Final = 600
#: Above it a token no longer fits the header of every proxy [security 1.5].
MOST_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Access:
    """An access token to make. life_s: its life in seconds. thumbprint: of the certificate it is bound to.

    family: the authorization it belongs to. context: launch context, for introspection. kept: a record is kept even
    when nothing would be lost without.
    """

    caller: Caller
    client: Client
    scope: str
    life_s: int
    family: str = ""
    sid: str = ""
    auth_time_s: int | None = None
    acr: str = ""
    amr: tuple[str, ...] = ()
    auth_mode: str = ""
    thumbprint: str = ""
    consents: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was made. caller: as its claims describe it, for the audit."""

    token: str
    jti: str
    expires_in_s: int
    caller: Caller


def of_authorization(authorization: Authorization, client: Client, scope: str, life_s: int) -> Access:
    """Return the token to make for an authorization."""
    return Access(
        authorization.caller,
        client,
        scope,
        life_s,
        family=authorization.family,
        sid=authorization.sid,
        auth_time_s=authorization.auth_time_s,
        acr=authorization.acr,
        amr=authorization.amr,
        consents=authorization.consents,
        context=authorization.context,
        profile=authorization.profile if "profile" in scope.split() else {},
    )


def access_token(access: Access, authority: Authority) -> Issued:
    """Sign an access token and keep what must be kept of it."""
    now_ms = authority.now_ms()
    now_s = now_ms // 1000
    jti = authority.services.ids.token()
    caller = replace(access.caller, client=access.client.client_id, scopes=parse(access.scope), jti=jti)
    caller = replace(caller, issuer=authority.issuer)
    # Administrators have an API of their own: their tokens open nothing of the record [security 1.2 I].
    audience = f"{authority.issuer}/admin" if caller.actor is Actor.ADMIN else authority.services.base
    validity = Validity(now_s, now_s + access.life_s)
    claims = claims_of(caller, issuer=authority.issuer, audience=audience, validity=validity, jti=jti)
    kept = _complete(claims, access, authority)
    token = sign(claims, authority.services.verifier.keys)
    if len(token) > MOST_BYTES:
        kept["scope"] = claims.pop("scope")
        claims["scope_ref"] = jti
        token = sign(claims, authority.services.verifier.keys)
    if kept:
        tags = tuple(f"{name}:{value}" for name, value in _tags(access) if value)
        authority.state.put(StateRecord(TOKEN, jti, json.dumps(kept), (validity.expires + 60) * 1000, tags), now_ms)
    return Issued(token, jti, access.life_s, caller)


def _tags(access: Access) -> tuple[tuple[str, str], ...]:
    return (("family", access.family), ("sub", access.caller.subject), ("sid", access.sid))


def _complete(claims: dict[str, Any], access: Access, authority: Authority) -> dict[str, Any]:
    """Add to the claims what a Caller does not hold, and return what is kept beside the token."""
    claims["scope"] = access.scope
    if access.auth_time_s is not None:
        claims["auth_time"] = access.auth_time_s
    if access.acr:
        claims["acr"] = access.acr
    if access.amr:
        claims["amr"] = list(access.amr)
    if access.thumbprint:
        claims["cnf"] = {"x5t#S256": access.thumbprint}
    own = claims["dmp"]
    if access.family:
        own["grant"] = access.family
    if access.auth_mode:
        own["auth_mode"] = access.auth_mode
    if access.client.software:
        own["lps"] = dict(access.client.software)
    if access.client.referencing is not None:
        own["finality"] = access.client.referencing.finality.value
    if access.caller.patient and access.consents:
        documents = [f"{authority.services.base}/Consent/{each}" for each in access.consents]
        patient = f"{authority.services.base}/Patient/{access.caller.patient}"
        claims["extensions"]["ihe_pcf"] = {"patient_id": patient, "doc_id": documents}
    kept: dict[str, Any] = {}
    if (reason := own.pop("btg_reason", None)) is not None:  # words about a person have no place in a token
        kept["btg_reason"] = reason
    if access.family or access.context:
        kept["context"] = dict(access.context)
    if access.profile:
        kept["profile"] = dict(access.profile)
    return kept


def id_token(authorization: Authorization, access: str, scope: str, authority: Authority, *, nonce: str = "") -> str:
    """Sign an id_token; it names the access token that it came with."""
    now_s = authority.now_ms() // 1000
    claims: dict[str, Any] = {
        "iss": authority.issuer,
        "sub": authorization.caller.subject,
        "aud": authorization.client_id,
        "azp": authorization.client_id,
        "iat": now_s,
        "exp": now_s + ID_TOKEN_S,
        "auth_time": authorization.auth_time_s,
        "at_hash": urlsafe_b64encode(hashlib.sha256(access.encode()).digest()[:16]).rstrip(b"=").decode(),
        **about(authorization, scope, authority),
    }
    optional = {"nonce": nonce, "acr": authorization.acr, "amr": list(authorization.amr), "sid": authorization.sid}
    claims.update({name: value for name, value in optional.items() if value})
    key = authority.id_keys.current
    return jwt.encode({"alg": ALGORITHM, "typ": "JWT", "kid": key.kid}, claims, key, algorithms=[ALGORITHM])


def about(authorization: Authorization, scope: str, authority: Authority) -> dict[str, Any]:
    """Return what may be told of the person under these scopes: `fhirUser`, and the name with `profile`."""
    words = scope.split()
    found: dict[str, Any] = {}
    user = fhir_user(authorization.caller)
    if "fhirUser" in words and user:
        found["fhirUser"] = f"{authority.services.base}/{user}"
    if "profile" in words:
        names = ("name", "given_name", "family_name")
        found.update({name: authorization.profile[name] for name in names if name in authorization.profile})
    return found


def fhir_user(caller: Caller) -> str | None:
    """Return the reference of the person as a resource of this server."""
    if caller.fhir_user:
        return caller.fhir_user
    return f"Patient/{caller.patient}" if caller.actor.value == "PATIENT" and caller.patient else None
