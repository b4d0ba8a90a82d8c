"""Token exchange: a professional whom somebody else has authenticated. RFC 8693, [security 1.2 B2 and B3, 1.4].

The subject token is an access token of Pro Santé Connect, which is asked whether it is still good, or a JWT in which
the institution vouches for its professional. Either way the client connects with its certificate, and what it gets is
bound to it (RFC 8705).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from fhir_dmp.errors import Unavailable
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.identity.granting import ACCESS_MODE
from fhir_dmp.identity.upstream import Practice, professional_of, reaches
from fhir_dmp.oauth.assertions import BadAssertion, check_claims, look, use_once, verify
from fhir_dmp.oauth.authority import Authority, Request
from fhir_dmp.oauth.clients import Client
from fhir_dmp.oauth.errors import OAuthError
from fhir_dmp.oauth.people import fhir_user_of, professional_subject
from fhir_dmp.terminology.numbers import professional_id, structure_id

ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
#: How long ago a professional may have signed in at the institution, in seconds.
MOST_SIGNED_IN_S: Final = 12 * 3600
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_MAX_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class Vouched:
    """A professional, as vouched for. most_s: how long the proof is good. auth_mode: TRE_R218."""

    caller: Caller
    most_s: int
    thumbprint: str
    auth_time_s: int | None = None
    acr: str = ""
    auth_mode: str = "DIRECTE"


def exchange(request: Request, client: Client, authority: Authority) -> Vouched:
    """Return the professional that the subject token stands for.

    Raises:
        OAuthError: invalid_client without the registered certificate; invalid_request, invalid_grant, invalid_scope.
    """
    if request.certificate is None or client.certificate is None:
        raise OAuthError("invalid_client", "A token exchange needs the registered certificate of the client.")
    for name in ("subject_token", "subject_token_type"):
        if not request.get(name):
            raise OAuthError("invalid_request", f"{name} is required.")
    if request.get("subject_token_type") not in (ACCESS_TOKEN, JWT):
        raise OAuthError("invalid_request", f"subject_token_type must be {ACCESS_TOKEN} or {JWT}.")
    if request.get("requested_token_type") not in ("", ACCESS_TOKEN):
        raise OAuthError("invalid_request", f"requested_token_type must be {ACCESS_TOKEN}.")
    actor = _actor_claims(request, client, authority)
    asserted = request.get("subject_token_type") == JWT and _issuer_of(request.get("subject_token")) == client.client_id
    found = _by_institution(request, client, authority) if asserted else _by_psc(request, client, actor, authority)
    caller = _in_context(request, found.caller)
    return replace(found, caller=_in_mode(request, caller, authority), thumbprint=request.certificate.thumbprint)


def _issuer_of(text: str) -> str:
    try:
        return look(text).issuer
    except BadAssertion:
        return ""


# --- an institution vouches ------------------------------------------------------------------------------------------


def _by_institution(request: Request, client: Client, authority: Authority) -> Vouched:
    claims = _signed(request.get("subject_token"), "subject_token", client, authority)
    now_s = authority.now_ms() / 1000
    number = professional_id(_text(claims.get("sub")))
    if number is None or not client.structure:
        raise OAuthError("invalid_grant", "subject_token: sub must be the national id of a professional.")
    stated = _text(claims.get("structure"))
    if stated and structure_id(stated) != client.structure:
        raise OAuthError("invalid_grant", "subject_token: structure is not that of the client.")
    auth_time = claims.get("auth_time")
    if isinstance(auth_time, bool) or not isinstance(auth_time, int | float):
        raise OAuthError("invalid_grant", "subject_token: auth_time says when the professional signed in.")
    if not now_s - MOST_SIGNED_IN_S <= auth_time <= now_s + 30:
        raise OAuthError("invalid_grant", "subject_token: auth_time must lie in the last twelve hours.")
    roles = _roles(claims.get("subject_role"))
    if not roles:
        raise OAuthError("invalid_grant", "subject_token: subject_role names the profession.")
    practice = Practice(roles[0], "", roles[1] if len(roles) > 1 else None, client.structure, client.structure_name)
    caller = _professional(number, _text(claims.get("subject_name")), practice, authority)
    return Vouched(caller, 300, "", int(auth_time), _text(claims.get("acr")), "INDIRECTE")


def _signed(text: str, name: str, client: Client, authority: Authority) -> Mapping[str, Any]:
    """Return the claims of a JWT that the client signed for this token endpoint, once."""
    now_ms = authority.now_ms()
    try:
        seen = look(text)
        if seen.issuer != client.client_id:
            raise BadAssertion("iss must be the client_id")
        if client.jwks is None and not client.jwks_uri:
            raise BadAssertion("the client has no registered keys")
        claims = verify(seen, authority.client_keys.find(client, seen.kid, now_ms))
        jti = check_claims(claims, authority.assertion_audiences, now_ms / 1000)
        use_once(authority.state, f"{name}|{client.client_id}", jti, float(claims["exp"]), now_ms)
    except BadAssertion as error:
        raise OAuthError("invalid_grant", f"{name}: {error}.") from error
    except Unavailable as error:
        raise OAuthError("invalid_grant", f"{name}: the keys of the client cannot be fetched.") from error
    return claims


def _roles(value: object) -> tuple[tuple[str, str], ...]:
    told = [each for each in value[:4] if isinstance(each, Mapping)] if isinstance(value, list) else []
    pairs = ((_text(each.get("system")), _text(each.get("code"))) for each in told)
    return tuple(pair for pair in pairs if all(pair))


# --- Pro Santé Connect vouches ---------------------------------------------------------------------------------------


def _by_psc(request: Request, client: Client, actor: Mapping[str, Any], authority: Authority) -> Vouched:
    if authority.introspect is None:
        raise OAuthError("invalid_request", "Tokens of Pro Santé Connect are not accepted by this server.")
    claims = authority.introspect(request.get("subject_token"))
    if claims is None:
        raise OAuthError("invalid_grant", "The subject_token is not active.")
    acr, required = _text(claims.get("acr")), authority.services.settings.upstream.psc_acr
    if required and not reaches(acr or required, required):
        raise OAuthError("invalid_grant", "The professional did not sign in with the authentication class required.")
    person = professional_of(claims)
    if person is None:
        raise OAuthError("invalid_grant", "The subject_token names no professional.")
    wanted = request.get("work_situation") or _text(actor.get("situation_exercice"))
    practice = _practice(person.practices, wanted, client.structure)
    caller = _professional(person.number, person.name, practice, authority)
    now_s, expires = authority.now_ms() / 1000, claims.get("exp")
    most_s = int(expires - now_s) if isinstance(expires, int | float) and not isinstance(expires, bool) else 300
    if most_s < 1:
        raise OAuthError("invalid_grant", "The subject_token has expired.")
    return Vouched(replace(caller, regulator=person.regulator), most_s, "", acr=acr)


def _practice(practices: tuple[Practice, ...], wanted: str, structure: str) -> Practice:
    """Return the one work situation: of those asked for, of the client's structure when it speaks for one."""
    found = [each for each in practices if not wanted or each.work_situation == wanted]
    found = [each for each in found if not structure or each.structure == structure]
    if len(found) == 1:
        return found[0]
    if not found:
        raise OAuthError("invalid_grant", "The professional has no such work situation.")
    raise OAuthError("invalid_request", "work_situation required")


def _actor_claims(request: Request, client: Client, authority: Authority) -> Mapping[str, Any]:
    if not request.get("actor_token"):
        return {}
    if request.get("actor_token_type") != JWT:
        raise OAuthError("invalid_request", f"actor_token_type must be {JWT}.")
    return _signed(request.get("actor_token"), "actor_token", client, authority)


# --- the caller ------------------------------------------------------------------------------------------------------


def _professional(number: str, name: str, practice: Practice, authority: Authority) -> Caller:
    return Caller(
        Actor.PROFESSIONAL,
        subject=professional_subject(authority.pepper, number),
        name=name,
        professional=number,
        structure=practice.structure,
        roles=practice.roles,
        sector=practice.sector,
        fhir_user=fhir_user_of(number, authority.services),
    )


def _in_context(request: Request, caller: Caller) -> Caller:
    """Set the patient in context, by logical id. Whether the caller may see it is decided at every request."""
    patient = request.get("patient")
    if not patient:
        return caller
    if not _ID.fullmatch(patient):
        raise OAuthError("invalid_request", "patient is the logical id of a Patient.")
    return replace(caller, patient=patient)


def _in_mode(request: Request, caller: Caller, authority: Authority) -> Caller:
    """Set the access mode that the scopes ask for [security 1.2 D, E]."""
    modes = {word.removeprefix(ACCESS_MODE) for word in request.get("scope").split() if word.startswith(ACCESS_MODE)}
    if len(modes) > 1 or not modes <= {mode.value for mode in Mode}:
        raise OAuthError("invalid_scope", "One access mode: normal, bris_de_glace or centre_15.")
    mode = Mode(modes.pop()) if modes else Mode.NORMAL
    if mode is Mode.NORMAL:
        return caller
    if caller.patient is None:
        raise OAuthError("invalid_request", "patient is required in an emergency mode.")
    if mode is Mode.REGULATION:
        centres = {structure_id(each) or each for each in authority.services.settings.access.regulation_centres}
        if not caller.regulator or caller.structure not in centres:
            raise OAuthError("invalid_scope", "This professional may not claim centre_15.")
        return replace(caller, mode=mode)
    if caller.roles[0][1] not in authority.services.settings.access.btg_professions:
        raise OAuthError("invalid_scope", "This profession may not claim bris_de_glace.")
    reason = request.get("__access_reason").strip()
    if not 1 <= len(reason) <= _MAX_REASON:
        raise OAuthError("invalid_request", "__access_reason says why the glass is broken, 1 to 500 characters.")
    return replace(caller, mode=mode, reason=reason)


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= _MAX_REASON and value.isprintable() else ""
