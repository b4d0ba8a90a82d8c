"""The token endpoint: one function from a request to the JSON answer, one branch for each grant.

[security 2.5]; RFC 6749 sections 4 to 6, SMART App Launch 2.2, IHE ITI-71. The order of the checks is part of the
contract: an unknown grant is told before anything about the client is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.identity.granting import TooManyScopes, grant, is_within, limit_of
from fhir_dmp.oauth import families, issue
from fhir_dmp.oauth.authenticate import client_of
from fhir_dmp.oauth.authority import Authority, Request
from fhir_dmp.oauth.clients import (
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    GRANT_TYPES,
    REFRESH_TOKEN,
    TOKEN_EXCHANGE,
    Client,
    Kind,
)
from fhir_dmp.oauth.codes import Authorization, CodeReused, Proof, redeem_code
from fhir_dmp.oauth.errors import OAuthError
from fhir_dmp.oauth.exchange import exchange
from fhir_dmp.oauth.families import Lifetimes, RefreshReused
from fhir_dmp.oauth.revoke import end_family, still_valid

#: Lives of access tokens, in seconds.
USER_S: Final = 900
EMERGENCY_S: Final = 600
BACKEND_S: Final = 300
_DAY_S: Final = 24 * 3600
#: What of a request may be kept in the trail: nothing that could be used again.
_TOLD: Final = ("grant_type", "client_id", "redirect_uri", "scope", "audience", "resource", "requested_token_type",
                "subject_token_type", "work_situation")  # fmt: skip
#: TRE_A00: who feeds for the national health insurance.
FEEDER_ROLE: Final = ("urn:oid:1.2.250.1.213.1.1.4.6", "ALIM_AM")
Json = dict[str, Any]


def token(request: Request, authority: Authority) -> Json:
    """Answer a token request.

    Raises:
        OAuthError: it is refused. Unavailable: what happened cannot be recorded, so nothing is issued.
    """
    client: Client | None = None
    try:
        grant_type = _grant_type(request)
        client = client_of(request, authority)
        _check_target(request, authority)
        if not client.may_use(grant_type):
            raise OAuthError("unauthorized_client", "The client is not registered for this grant.")
        answer, issued = _GRANTS[grant_type](request, client, authority)
    except OAuthError as error:
        _refused(error, request, client, authority)
        raise
    authority.record(request, "token", issued.caller, query=_told(request))
    return answer


def _grant_type(request: Request) -> str:
    grant_type = request.get("grant_type")
    if not grant_type:
        raise OAuthError("invalid_request", "grant_type is required.")
    if grant_type not in GRANT_TYPES:
        raise OAuthError("unsupported_grant_type", f"The grants are {', '.join(GRANT_TYPES)}.")
    return grant_type


def _check_target(request: Request, authority: Authority) -> None:
    for name in ("resource", "audience"):
        if request.get(name).rstrip("/") not in ("", authority.services.base):
            raise OAuthError("invalid_target", f"{name} must be {authority.services.base}.")


def _told(request: Request) -> str:
    return urlencode([(name, request.get(name)[:500]) for name in _TOLD if request.get(name)])


def _refused(error: OAuthError, request: Request, client: Client | None, authority: Authority) -> None:
    """Record a refusal; what was used twice ends everything that came of it, before the answer leaves."""
    client_id = client.client_id if client else request.get("client_id")[:100]
    if isinstance(error, CodeReused | RefreshReused):
        end_family(authority, error.family)
        what = "code-reused" if isinstance(error, CodeReused) else "refresh-reused"
        authority.record(request, "token-revoked", client_id=client_id, outcome="8", reason=what)
        return
    authority.record(request, "token", client_id=client_id, outcome="8", reason=error.error, query=_told(request))


def asked_scope(text: str, *limits: str) -> str:
    """Return what of the scopes asked for may be granted.

    Raises:
        OAuthError: invalid_scope; nothing may, or too much is asked.
    """
    try:
        found = grant(text, *limits)
    except TooManyScopes as error:
        raise OAuthError("invalid_scope", f"Too many scopes: {error}.") from error
    if not found:
        raise OAuthError("invalid_scope", "None of the scopes asked for can be granted to this client.")
    return found


# --- authorization_code and refresh_token ----------------------------------------------------------------------------


def _by_code(request: Request, client: Client, authority: Authority) -> tuple[Json, issue.Issued]:
    for name in ("code", "redirect_uri", "code_verifier"):
        if not request.get(name):
            raise OAuthError("invalid_request", f"{name} is required.")
    proof = Proof(client.client_id, request.get("redirect_uri"), request.get("code_verifier"))
    authorization = redeem_code(authority.state, request.get("code"), proof, authority.now_ms())
    still_valid(authorization, authority)
    answer, issued = _answer(authorization, client, authorization.scope, authority, nonce=authorization.nonce)
    if (life := _refresh_life(authorization, client)) is not None:
        answer["refresh_token"] = families.start(authority.state, authorization, life, authority.now_ms())
    return answer, issued


def _refresh_life(authorization: Authorization, client: Client) -> Lifetimes | None:
    """Return how long the authorization may be renewed, None when it may not."""
    words = authorization.scope.split()
    caller = authorization.caller
    renewable = caller.mode is Mode.NORMAL and not caller.secret and client.may_use(REFRESH_TOKEN)
    if not renewable or not {"offline_access", "online_access"} & set(words):
        return None
    if "offline_access" not in words:
        idle, absolute = 8 * 3600, 8 * 3600
    elif caller.actor is Actor.PROFESSIONAL:
        idle, absolute = 12 * 3600, 12 * 3600
    else:
        idle, absolute = 30 * _DAY_S, 180 * _DAY_S
    return Lifetimes(min(client.refresh_idle_s or idle, idle), min(client.refresh_absolute_s or absolute, absolute))


def _answer(
    authorization: Authorization, client: Client, scope: str, authority: Authority, *, nonce: str = ""
) -> tuple[Json, issue.Issued]:
    most = EMERGENCY_S if authorization.caller.mode is not Mode.NORMAL else USER_S
    life_s = min(client.access_token_s or most, 3600 if most == USER_S else most)
    issued = issue.access_token(issue.of_authorization(authorization, client, scope, life_s), authority)
    answer = bearer(issued, scope)
    answer.update(context_of(authorization.context))
    if "openid" in scope.split():
        answer["id_token"] = issue.id_token(authorization, issued.token, scope, authority, nonce=nonce)
    return answer, issued


def bearer(issued: issue.Issued, scope: str) -> Json:
    """Return the members that every token response has."""
    return {
        "access_token": issued.token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in_s,
        "scope": scope,
    }


def context_of(context: Mapping[str, Any]) -> Json:
    """Return the launch context as it is answered: nothing that is empty (older clients expect no empty lists)."""
    return {name: value for name, value in context.items() if value not in (None, "", [], {})}


def _by_refresh(request: Request, client: Client, authority: Authority) -> tuple[Json, issue.Issued]:
    if not request.get("refresh_token"):
        raise OAuthError("invalid_request", "refresh_token is required.")
    state, now_ms = authority.state, authority.now_ms()
    grace_ms = authority.services.settings.security.refresh_grace_s * 1000
    renewal = families.present(state, request.get("refresh_token"), client.client_id, now_ms, grace_ms)
    authorization = renewal.family.authorization
    still_valid(authorization, authority)
    scope = _renewed_scope(request.get("scope"), authorization, client)
    successor = families.replace_token(state, renewal, authority.pepper, now_ms)
    answer, issued = _answer(authorization, client, scope, authority)
    return {**answer, "refresh_token": successor}, issued


def _renewed_scope(asked: str, authorization: Authorization, client: Client) -> str:
    caller = authorization.caller
    granted = grant(authorization.scope, client.scope, limit_of(caller.actor, caller.mode))
    if not granted:
        raise OAuthError("invalid_grant", "Nothing of what was granted may still be granted.")
    try:
        if asked and not is_within(asked, granted):
            raise OAuthError("invalid_scope", "A refresh cannot ask for more than was granted.")
    except TooManyScopes as error:
        raise OAuthError("invalid_scope", f"Too many scopes: {error}.") from error
    return grant(asked, granted) if asked else granted


# --- client_credentials ----------------------------------------------------------------------------------------------


def _by_client(request: Request, client: Client, authority: Authority) -> tuple[Json, issue.Issued]:
    caller = software(client)
    if not request.get("scope"):
        raise OAuthError("invalid_scope", "scope is required.")
    scope = asked_scope(request.get("scope"), client.scope, limit_of(caller.actor))
    life_s = min(client.access_token_s or BACKEND_S, BACKEND_S)
    thumbprint = request.certificate.thumbprint if request.certificate and client.certificate else ""
    access = issue.Access(caller, client, scope, life_s, thumbprint=thumbprint, auth_mode="INDIRECTE")
    issued = issue.access_token(access, authority)
    return bearer(issued, scope), issued


def software(client: Client) -> Caller:
    """Return the caller that a client is when no person stands behind it."""
    feeder = client.kind is Kind.FEEDER
    return Caller(
        Actor.FEEDER if feeder else Actor.STRUCTURE,
        subject=client.client_id,
        client=client.client_id,
        name=client.structure_name or client.name,
        structure=client.structure or None,
        roles=(FEEDER_ROLE,) if feeder else (),
    )


# --- token exchange --------------------------------------------------------------------------------------------------


def _by_exchange(request: Request, client: Client, authority: Authority) -> tuple[Json, issue.Issued]:
    person = exchange(request, client, authority)
    if not request.get("scope"):
        raise OAuthError("invalid_scope", "scope is required.")
    scope = asked_scope(request.get("scope"), client.scope, limit_of(person.caller.actor, person.caller.mode))
    access = issue.Access(
        person.caller,
        client,
        scope,
        max(1, min(client.access_token_s or BACKEND_S, BACKEND_S, person.most_s)),
        auth_time_s=person.auth_time_s,
        acr=person.acr,
        auth_mode=person.auth_mode,
        thumbprint=person.thumbprint,
    )
    issued = issue.access_token(replace(access, context={"patient": person.caller.patient}), authority)
    answer = bearer(issued, scope)
    answer["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
    return answer, issued


_Grant = Callable[[Request, Client, Authority], tuple[Json, issue.Issued]]
_GRANTS: Final[Mapping[str, _Grant]] = {
    AUTHORIZATION_CODE: _by_code,
    REFRESH_TOKEN: _by_refresh,
    CLIENT_CREDENTIALS: _by_client,
    TOKEN_EXCHANGE: _by_exchange,
}
