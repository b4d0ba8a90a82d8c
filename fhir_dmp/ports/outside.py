"""What the use cases need of the world beside a store: time, identifiers, the request, who signs in, the mail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, Protocol

from fhir_dmp.identity.upstream import UpstreamIdentity


class Clock(Protocol):
    """Time, so that the core needs none of its own."""

    def now_ms(self) -> int:
        """Return the current time in ms since the epoch, UTC."""


class Ids(Protocol):
    """New identifiers."""

    def resource(self, patient: str | None = None) -> str:
        """Return a new logical id: a UUID of version 7 whose 12 random bits A hash the patient, when known."""

    def token(self) -> str:
        """Return an unguessable string."""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What the corridor knows of the HTTP request beside its content.

    base: public FHIR base URL without trailing slash. raw: method and URL as received, for the audit of searches
    (never logged). prefer_return: minimal, representation or OperationOutcome; prefer_stated: the client said so, which
    decides what the entries of a bundle answer. strict: Prefer handling=strict.
    """

    request_id: str
    address: str
    base: str
    raw: str = ""
    prefer_return: str = "representation"
    prefer_stated: bool = False
    strict: bool = False
    if_match: tuple[int, ...] | None = None
    if_match_any: bool = False
    if_none_match_any: bool = False
    if_none_exist: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignInSecrets:
    """What binds one sign-in at an identity provider to this server: nonce and PKCE verifier, new for each."""

    nonce: str
    verifier: str


class SignInFailed(Exception):
    """Nobody was identified. The text is for the log; refused: the person or the provider said no, for good.

    pending: what the sign-in was for, when that is known.
    """

    def __init__(self, text: str, *, refused: bool = False, pending: str = "") -> None:
        super().__init__(text)
        self.refused = refused
        self.pending = pending


class IdentityProvider(Protocol):
    """A national identity provider. The contract is tests/upstream."""

    @property
    def name(self) -> str:
        """`psc` (health professionals) or `fc` (everybody)."""

    def begin(self, redirect_uri: str, state: str, secrets: SignInSecrets) -> str:
        """Return the URL to send the browser to.

        Raises:
            SignInFailed: the provider cannot be reached.
        """

    def complete(self, answer: Mapping[str, str], redirect_uri: str, secrets: SignInSecrets) -> UpstreamIdentity:
        """Return who signed in, from the parameters of the callback.

        Raises:
            SignInFailed: refused there, or anything that does not fit.
        """

    def introspect(self, token: str) -> Mapping[str, Any] | None:
        """Return what the provider says of an access token that somebody else obtained, None when it is not active.

        Raises:
            Unavailable: it does not answer.
        """

    def end(self, id_token: str, state: str, return_to: str) -> str | None:
        """Return the URL that ends the sign-in at the provider, None when it has none."""


class Scanner(Protocol):
    """Looks for malware."""

    def scan(self, chunks: Iterator[bytes]) -> str | None:
        """Return the name of what a content holds, None when it holds none.

        Raises:
            Unavailable: the scanner cannot be asked, or not about this content; the text says why, without a dot.
        """


class Mailer(Protocol):
    """Sends one message at once."""

    def send(self, message: EmailMessage) -> None:
        """Hand a message over; when this returns it was accepted.

        Raises:
            MailUnavailable: another try may succeed. MailRefused: none will.
        """
