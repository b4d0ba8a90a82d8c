"""Which client sends a request, and its proof. [security 2.5, 2.6]: exactly one method for each request.

Every defect of a proof is the same `invalid_client`; what was wrong is said in the description, for developers of the
client, and tells nothing about secrets.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from functools import cache
from typing import Final
from urllib.parse import unquote_plus

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from fhir_dmp.errors import Unavailable
from fhir_dmp.oauth.assertions import BadAssertion, check_claims, look, use_once, verify
from fhir_dmp.oauth.authority import Authority, Request
from fhir_dmp.oauth.clients import Client, Method
from fhir_dmp.oauth.errors import OAuthError

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: Client secrets have 256 bits: no dictionary holds them, so that the cheapest safe parameters do.
_HASHER: Final = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)
_WRONG: Final = "The client is not known, or its proof is not valid."


def hash_secret(secret: str) -> str:
    """Return what is kept of a client secret (argon2id)."""
    return _HASHER.hash(secret)


@cache
def _nobody() -> str:
    """The hash that is compared for clients that do not exist, so that they take as long as others."""
    return hash_secret("nobody has this secret")


def _refused(description: str = _WRONG, *, basic: bool = False) -> OAuthError:
    headers = {"WWW-Authenticate": 'Basic realm="dmp"'} if basic else {}
    return OAuthError("invalid_client", description, headers=headers)


def client_of(request: Request, authority: Authority) -> Client:
    """Return the client that sent the request, proven.

    Raises:
        OAuthError: invalid_client; invalid_request when two methods are used at once. TooMany: it asks too often.
    """
    try:
        client = _proven(request, authority)
    except OAuthError:
        request.failed()
        raise
    request.proven(client.client_id)
    return client


def _proven(request: Request, authority: Authority) -> Client:
    basic = request.authorization[:6].lower() == "basic "
    assertion = "client_assertion" in request.parameters or "client_assertion_type" in request.parameters
    if basic and (assertion or "client_secret" in request.parameters):
        raise OAuthError("invalid_request", "Use one method of client authentication.")
    if "client_secret" in request.parameters:
        raise _refused("A client secret is sent in the Authorization header (client_secret_basic) only.")
    if basic:
        return _by_secret(request, authority)
    client = _by_assertion(request, authority) if assertion else _by_id(request, authority)
    _check_certificate(client, request, authority)
    return client


def _active(client_id: str, method: Method, authority: Authority) -> Client:
    client = authority.clients.active(client_id) if client_id else None
    if client is None or client.method is not method:
        raise _refused()
    return client


def _by_secret(request: Request, authority: Authority) -> Client:
    try:
        text = b64decode(request.authorization[6:].strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _refused("The Authorization header is no Basic credential.", basic=True) from error
    name, _, secret = text.partition(":")
    client_id = unquote_plus(name)
    client = authority.clients.active(client_id)
    known = client is not None and client.method is Method.BASIC
    try:
        _HASHER.verify(client.secret_hash if client is not None and known else _nobody(), unquote_plus(secret))
    except (Argon2Error, InvalidHashError) as error:
        raise _refused(basic=True) from error
    if client is None or not known or request.get("client_id") not in ("", client.client_id):
        raise _refused(basic=True)
    return client


def _by_id(request: Request, authority: Authority) -> Client:
    """A public client says who it is; one that connects with its certificate is known by that too."""
    client = authority.clients.active(request.get("client_id")) if request.get("client_id") else None
    if client is None or client.method not in (Method.NONE, Method.TLS):
        raise _refused("The client is not known, or it must prove who it is.")
    if client.method is Method.TLS and request.certificate is None:
        raise _refused("This client connects with its certificate.")
    return client


def _check_certificate(client: Client, request: Request, authority: Authority) -> None:
    if client.certificate is None:
        return
    certificate = request.certificate
    if certificate is None or not certificate.is_of(client.certificate):
        raise _refused("The certificate of the connection is not the one that was registered.")
    if not certificate.is_valid_at(authority.now_ms() / 1000):
        raise _refused("The certificate of the connection is not valid now.")


def _by_assertion(request: Request, authority: Authority) -> Client:
    if request.get("client_assertion_type") != ASSERTION_TYPE:
        raise _refused(f"client_assertion_type must be {ASSERTION_TYPE}.")
    now_ms = authority.now_ms()
    try:
        seen = look(request.get("client_assertion"))
        client = _active(seen.issuer, Method.JWT, authority)
        if seen.claims.get("sub") != client.client_id:
            raise BadAssertion("iss and sub must both be the client_id")
        if request.get("client_id") not in ("", client.client_id):
            raise BadAssertion("client_id differs from the sub of the assertion")
        if seen.jku is not None and seen.jku != client.jwks_uri:
            raise BadAssertion("jku is not the registered JWKS URL")
        claims = verify(seen, authority.client_keys.find(client, seen.kid, now_ms))
        jti = check_claims(claims, authority.assertion_audiences, now_ms / 1000)
        use_once(authority.state, client.client_id, jti, float(claims["exp"]), now_ms)
    except BadAssertion as error:
        raise _refused(f"client_assertion: {error}.") from error
    except Unavailable as error:
        raise _refused("client_assertion: the keys of the client cannot be fetched.") from error
    return client
