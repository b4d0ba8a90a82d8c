"""What the endpoints of the authorization server work with. Built once by bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fhir_dmp.audit.build import audit_record
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.identity.keys import Keys
from fhir_dmp.interactions import record
from fhir_dmp.interactions.services import Services
from fhir_dmp.oauth.certificates import Presented
from fhir_dmp.oauth.exchange_port import Introspect
from fhir_dmp.oauth.jwks import ClientKeys
from fhir_dmp.oauth.registry import Registry
from fhir_dmp.oauth.standing import Standing
from fhir_dmp.ports import StateStore


@dataclass(frozen=True, slots=True)
class Request:
    """One request to an endpoint of the authorization server: its form, and who sent it.

    parameters: the form, each name once. authorization: the header, whole. certificate: of the connection, as the
    trusted proxy handed it on. address: of the client. proven, failed: count a request of a client that proved itself,
    and one that did not; they raise TooMany when it is one too many.
    """

    parameters: Mapping[str, str]
    authorization: str = ""
    certificate: Presented | None = None
    address: str = ""
    request_id: str = ""
    proven: Callable[[str], None] = lambda client_id: None
    failed: Callable[[], None] = lambda: None

    def get(self, name: str) -> str:
        """Return a parameter, or an empty text: an empty parameter is as good as none (RFC 6749, section 3.2)."""
        return self.parameters.get(name, "")


@dataclass(frozen=True, eq=False)
class Authority:
    """The authorization server of one issuer. id_keys: sign id_tokens only. pepper: derives refresh tokens.

    introspect: asks Pro Santé Connect about a token, None where that is not configured.
    """

    services: Services
    clients: Registry
    standing: Standing
    client_keys: ClientKeys
    id_keys: Keys
    pepper: bytes = field(repr=False)
    introspect: Introspect | None = None

    @property
    def state(self) -> StateStore:
        """What is remembered."""
        return self.services.store.state

    @property
    def issuer(self) -> str:
        """Public URL of the authorization server."""
        return self.services.issuer

    @property
    def token_endpoint(self) -> str:
        """Public URL of the token endpoint."""
        return f"{self.services.issuer}/token"

    @property
    def assertion_audiences(self) -> tuple[str, ...]:
        """What an assertion may name as its audience. [security 2.6, 10]"""
        also = (self.issuer,) if self.services.settings.security.assertion_aud_issuer else ()
        return (self.token_endpoint, *also)

    def now_ms(self) -> int:
        """Return the time."""
        return self.services.clock.now_ms()

    def record(
        self,
        request: Request,
        kind: str,
        caller: Caller | None = None,
        *,
        client_id: str = "",
        outcome: str = "0",
        reason: str | None = None,
        query: str | None = None,
        details: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Keep what happened in the audit trail; it never holds a token, a secret or an assertion.

        Raises:
            Unavailable: it cannot be kept.
        """
        who = caller or Caller(Actor.STRUCTURE, subject="", client=client_id)
        patient = f"Patient/{who.patient}" if who.patient else None
        kept = audit_record(
            who,
            id_=self.services.ids.resource(patient),
            kind=kind,
            recorded_ms=self.now_ms(),
            address=request.address,
            request_id=request.request_id,
            outcome=outcome,
            reason=reason,
            patient=patient,
            query=query,
            details=details,
        )
        record.keep(self.services, kept)
