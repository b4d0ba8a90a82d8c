"""From an Authorization header to a Caller. RFC 6750: bearer tokens, in the header only.

A genuine token is verified once and remembered; what may change while it lives is judged on every request.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from fhir_dmp.errors import Forbidden
from fhir_dmp.http.request import Environ
from fhir_dmp.identity.caller import Actor, Caller, Scope
from fhir_dmp.identity.tokens import refusal
from fhir_dmp.oauth.certificates import Presented
from fhir_dmp.oauth.guard import Guard, Opened
from fhir_dmp.ports import Clock

#: How many verified tokens are remembered in each worker.
REMEMBERED = 4096
#: What may be read without a token.
PUBLIC = frozenset({"metadata", ".well-known", "brands"})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1", ""})

#: A caller without any right, for what is public.
NOBODY = Caller(Actor.PATIENT, subject="")
#: The caller of `--access open`.
ANYONE = Caller(
    Actor.ADMIN,
    subject="anonymous",
    name="anonymous",
    scopes=(Scope("system", "*", frozenset("cruds")),),
    anonymous=True,
)

Authenticate = Callable[[Environ], Caller]


def bearer(guard: Guard, clock: Clock, certificate: Callable[[Environ], Presented | None]) -> Authenticate:
    """Return the function that tells the caller from its token. certificate: that of the connection."""

    @lru_cache(maxsize=REMEMBERED)
    def open_token(token: str, generation: int) -> Opened:
        return guard.open(token)

    def authenticate(environ: Environ) -> Caller:
        header: str = environ.get("HTTP_AUTHORIZATION", "")
        if not header:
            raise refusal("This needs an access token: Authorization: Bearer <token>.")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise refusal("The Authorization header must be: Bearer <token>.")
        opened = open_token(token.strip(), guard.verifier.keys.generation)
        bound = opened.grant.thumbprint is not None
        guard.check(opened, certificate(environ) if bound else None, clock.now_ms())
        return opened.grant.caller

    return authenticate


def anyone(environ: Environ) -> Caller:
    """Return the anonymous administrator of an open server; loopback peers only, whatever the server is bound to.

    Raises:
        Forbidden: the peer is another machine.
    """
    if environ.get("REMOTE_ADDR", "") not in _LOOPBACK:
        raise Forbidden("Open access serves this machine only.")
    return ANYONE
