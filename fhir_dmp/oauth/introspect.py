"""Introspection (RFC 7662, ITI-102) and userinfo (OpenID Connect Core 5.3). [security 2.7, 2.8]"""

from __future__ import annotations

from typing import Any, Final

from fhir_dmp.errors import Unauthenticated
from fhir_dmp.oauth.authenticate import client_of
from fhir_dmp.oauth.authority import Authority, Request
from fhir_dmp.oauth.clients import Kind
from fhir_dmp.oauth.errors import OAuthError
from fhir_dmp.oauth.guard import Guard, Opened
from fhir_dmp.oauth.revoke import consents_hold
from fhir_dmp.oauth.token_endpoint import context_of

SCOPE: Final = "__introspect"
INACTIVE: Final[dict[str, Any]] = {"active": False}
#: Claims that are answered as they stand in the token.
_CLAIMS: Final = ("client_id", "exp", "iat", "nbf", "sub", "iss", "aud", "jti", "fhirUser", "cnf", "extensions",
                  "patient", "auth_time", "acr", "amr")  # fmt: skip


def introspect(request: Request, guard: Guard, authority: Authority) -> dict[str, Any]:
    """Answer whether a token is active, and what it says.

    Raises:
        OAuthError: invalid_client or invalid_token (401); the caller may not ask.
    """
    _check_caller(request, guard, authority)
    if not request.get("token"):
        raise OAuthError("invalid_request", "token is required.")
    try:
        opened = guard.open(request.get("token"))
        guard.verifier.check_time(opened.grant.validity, authority.now_ms() / 1000)
    except Unauthenticated:
        return dict(INACTIVE)
    if not guard.standing.holds(opened.holding) or not consents_hold(_consents(opened), authority):
        return dict(INACTIVE)
    claims = opened.grant.claims
    found = {name: claims[name] for name in _CLAIMS if name in claims}
    kept = guard.kept_of(opened)
    return {
        **context_of(kept.get("context", {})),
        **found,
        "active": True,
        "nbf": claims.get("nbf", claims["iat"]),
        "scope": kept.get("scope", opened.scope),
        "token_type": "Bearer",
    }


def _consents(opened: Opened) -> tuple[str, ...]:
    documents = opened.grant.claims.get("extensions", {}).get("ihe_pcf", {}).get("doc_id", ())
    return tuple(str(each).rpartition("/")[2] for each in documents)


def _check_caller(request: Request, guard: Guard, authority: Authority) -> None:
    if request.authorization[:7].lower() == "bearer ":
        opened = bearer_of(request, guard, authority)
        if SCOPE not in opened.scope.split():
            raise OAuthError("invalid_token", f"The token lacks the scope {SCOPE}.", headers=_CHALLENGE)
        return
    client = client_of(request, authority)
    if client.is_public or not (client.introspects or client.kind is Kind.RESOURCE_SERVER):
        raise OAuthError("invalid_client", "The client may not introspect tokens.")


_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="dmp", error="invalid_token"'}


def bearer_of(request: Request, guard: Guard, authority: Authority) -> Opened:
    """Return the bearer token of a request to this server's own endpoints.

    Raises:
        OAuthError: invalid_token; none, or not one that holds.
    """
    scheme, _, token = request.authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise OAuthError("invalid_token", "This needs an access token.", headers=_CHALLENGE)
    try:
        opened = guard.open(token.strip())
        guard.check(opened, request.certificate, authority.now_ms())
    except Unauthenticated as error:
        raise OAuthError("invalid_token", str(error), headers=_CHALLENGE) from error
    return opened


def userinfo(request: Request, guard: Guard, authority: Authority) -> dict[str, Any]:
    """Answer who the person behind the token is, as far as its scopes allow.

    Raises:
        OAuthError: invalid_token (401), insufficient_scope (403).
    """
    opened = bearer_of(request, guard, authority)
    words = opened.scope.split()
    if "openid" not in words:
        headers = {"WWW-Authenticate": 'Bearer realm="dmp", error="insufficient_scope", scope="openid"'}
        raise OAuthError("insufficient_scope", "The token lacks the scope openid.", headers=headers)
    found: dict[str, Any] = {"sub": opened.grant.caller.subject}
    user = opened.grant.claims.get("fhirUser")
    if "fhirUser" in words and user:
        found["fhirUser"] = f"{authority.services.base}/{user}"
    if "profile" in words:
        found.update(guard.kept_of(opened).get("profile", {}))
    return found
