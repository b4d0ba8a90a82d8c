"""From an Authorization header to a Caller. RFC 6750: bearer tokens, in the header only.

A genuine token is verified once and remembered; only its validity is judged on every request.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from fhir_dmp.errors import Forbidden
from fhir_dmp.http.request import Environ
from fhir_dmp.identity.caller import Actor, Caller, Scope
from fhir_dmp.identity.tokens import Verifier, refusal
from fhir_dmp.ports import Clock

#: How many verified tokens are remembered in each worker.
REMEMBERED = 4096
#: What may be read without a token.
PUBLIC = frozenset({"metadata", ".well-known"})
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


def bearer(verifier: Verifier, clock: Clock) -> Authenticate:
    """Return the function that tells the caller from its token."""
    open_token = lru_cache(maxsize=REMEMBERED)(verifier.open)

    def authenticate(environ: Environ) -> Caller:
        header: str = environ.get("HTTP_AUTHORIZATION", "")
        if not header:
            raise refusal("This needs an access token: Authorization: Bearer <token>.")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise refusal("The Authorization header must be: Bearer <token>.")
        grant = open_token(token.strip())
        verifier.check_time(grant.validity, clock.now_ms() / 1000)
        return grant.caller

    return authenticate


def anyone(environ: Environ) -> Caller:
    """Return the anonymous administrator of an open server; loopback peers only, whatever the server is bound to.

    Raises:
        Forbidden: the peer is another machine.
    """
    if environ.get("REMOTE_ADDR", "") not in _LOOPBACK:
        raise Forbidden("Open access serves this machine only.")
    return ANYONE
