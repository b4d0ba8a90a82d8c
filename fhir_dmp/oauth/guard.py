"""What stands behind a bearer token: the signed claims, what is kept beside them, and whether all of it still holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from fhir_dmp.identity.scopes import parse
from fhir_dmp.identity.tokens import Grant, Verifier, refusal
from fhir_dmp.oauth.certificates import Presented
from fhir_dmp.oauth.standing import Holding, Standing
from fhir_dmp.ports import Clock, StateStore

KIND = "token"


@dataclass(frozen=True, slots=True)
class Opened:
    """A genuine token. kept: what this server keeps beside it. Its time and its standing are not judged yet."""

    grant: Grant
    kept: dict[str, Any]

    @property
    def scope(self) -> str:
        """Everything that was granted, as it was answered."""
        found = self.kept.get("scope", self.grant.claims.get("scope", ""))
        return found if isinstance(found, str) else ""

    @property
    def holding(self) -> Holding:
        """What it depends on."""
        caller = self.grant.caller
        family = self.grant.claims["dmp"].get("grant", "")
        return Holding(caller.jti or "", caller.client, family if isinstance(family, str) else "", caller.subject)


@dataclass(frozen=True, slots=True)
class Guard:
    """Judges bearer tokens. One for each worker. Thread safe."""

    verifier: Verifier
    state: StateStore
    standing: Standing
    clock: Clock

    def open(self, token: str) -> Opened:
        """Verify a token and read what is kept beside it: that never changes, so it may be remembered.

        Raises:
            Unauthenticated: not a token of this server. StoreUnavailable.
        """
        grant = self.verifier.open(token)
        caller = grant.caller
        reference = grant.claims.get("scope_ref")
        if reference is None and caller.reason is None and "btg_reason_hash" not in grant.claims["dmp"]:
            return Opened(grant, {})
        record = self.state.get(KIND, caller.jti or "", self.clock.now_ms())
        kept = {} if record is None else json.loads(record.body)
        if reference is not None and "scope" not in kept:
            raise refusal("The scopes of the token are not known any more; ask for a new one.")
        scopes = parse(kept["scope"]) if reference is not None else caller.scopes
        known = replace(caller, scopes=scopes, reason=kept.get("btg_reason", caller.reason))
        return Opened(replace(grant, caller=known), kept)

    def check(self, opened: Opened, certificate: Presented | None, now_ms: int) -> None:
        """Judge what may change while a token lives: time, certificate of the connection, revocation, suspension.

        Raises:
            Unauthenticated: it does not hold (any more). StoreUnavailable.
        """
        self.verifier.check_time(opened.grant.validity, now_ms / 1000)
        bound = opened.grant.thumbprint
        if bound is not None and (certificate is None or certificate.thumbprint != bound):
            raise refusal("The token is bound to a certificate that this connection does not have.")
        if not self.standing.holds(opened.holding):
            raise refusal("The token has been revoked, or its client suspended.")

    def kept_of(self, opened: Opened) -> dict[str, Any]:
        """Return what is kept beside a token, launch context included."""
        record = self.state.get(KIND, opened.grant.caller.jti or "", self.clock.now_ms())
        return {} if record is None else json.loads(record.body)
