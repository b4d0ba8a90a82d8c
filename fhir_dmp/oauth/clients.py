"""A registered client as a value: what the catalogue knows of one application, and what it may therefore do.

[security 2.9]. Member names in JSON are those of RFC 7591 where it has one. Keeping clients is the business of
registry.py; proving that a request comes from one, of authenticate.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from fhir_dmp.oauth.uris import same_redirect

AUTHORIZATION_CODE: Final = "authorization_code"
REFRESH_TOKEN: Final = "refresh_token"  # noqa: S105 - the name of a grant
CLIENT_CREDENTIALS: Final = "client_credentials"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105
GRANT_TYPES: Final = (AUTHORIZATION_CODE, REFRESH_TOKEN, CLIENT_CREDENTIALS, TOKEN_EXCHANGE)


class Kind(StrEnum):
    """What kind of software a client is; actors F, G, H, I and J of [security 1.2] among others."""

    LPS = "lps"
    PROXY = "proxy"
    APP = "catalogue-app"
    FEEDER = "feeder"
    RESOURCE_SERVER = "resource-server"
    AUDITOR_UI = "auditor-ui"
    ADMIN_UI = "admin-ui"


class UserClass(StrEnum):
    """Who may sign in through a client."""

    PATIENT = "patient"
    PROFESSIONAL = "professional"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Method(StrEnum):
    """How a client proves at the token endpoint that it is itself."""

    NONE = "none"
    BASIC = "client_secret_basic"
    JWT = "private_key_jwt"
    TLS = "tls_client_auth"


class Status(StrEnum):
    """Whether a client may do anything at all. pending: registered, not approved yet."""

    ACTIVE = "active"
    PENDING = "pending"
    SUSPENDED = "suspended"


class Finality(StrEnum):
    """For what a catalogue application is referenced."""

    PREVENTION = "prevention"
    DIAGNOSIS = "diagnosis"
    CARE = "care"
    FOLLOW_UP = "follow-up"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The client certificate of mutual TLS: subject and issuer as RFC 4514 text, SHA-256 of the DER in hexadecimal.

    Empty members are not compared; subject or sha256 is set.
    """

    subject: str = ""
    issuer: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Referencing:
    """The catalogue's decision about an application [security 2.9].

    decision, date, review_date: reference and days (YYYY-MM-DD). read_classes, write_classes: codes of TRE_A03 that it
    may read and write (None: all). evidence: criterion family -> where the proof lies. hds: attestation of certified
    hosting.
    """

    decision: str
    date: str
    finality: Finality
    read_classes: tuple[str, ...] | None = None
    write_classes: tuple[str, ...] | None = None
    hds: str = ""
    review_date: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Client:
    """One registered client. scope: the most that it may ask for, as a scope string.

    structure, structure_name: StructIdNat and name of the institution it speaks for. secret_hash: argon2id.
    jwks, jwks_uri: its public keys, by value or by https URL. certificate: required of a request when set, beside any
    other proof. introspects: it may introspect tokens of every client. bulk: it may export.
    """

    client_id: str
    name: str
    kind: Kind
    user_classes: frozenset[UserClass] = frozenset()
    method: Method = Method.NONE
    grant_types: tuple[str, ...] = ()
    scope: str = ""
    redirect_uris: tuple[str, ...] = ()
    launch_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    secret_hash: str = ""
    jwks: Mapping[str, Any] | None = None
    jwks_uri: str = ""
    certificate: Certificate | None = None
    structure: str = ""
    structure_name: str = ""
    software: Mapping[str, str] = field(default_factory=dict)
    referencing: Referencing | None = None
    access_token_s: int | None = None
    refresh_idle_s: int | None = None
    refresh_absolute_s: int | None = None
    contacts: tuple[str, ...] = ()
    legal_entity: str = ""
    introspects: bool = False
    bulk: bool = False
    status: Status = Status.ACTIVE

    @property
    def is_public(self) -> bool:
        """Say whether it has no proof of its own."""
        return self.method is Method.NONE

    @property
    def is_active(self) -> bool:
        """Say whether it may be served."""
        return self.status is Status.ACTIVE

    @property
    def as_application(self) -> tuple[str | None, tuple[str, ...] | None, tuple[str, ...] | None]:
        """Return (id, document classes it may see, those it may write) of a catalogue application, Nones otherwise."""
        if self.kind is not Kind.APP:
            return None, None, None
        if self.referencing is None:
            return self.client_id, None, None
        return self.client_id, self.referencing.read_classes, self.referencing.write_classes

    def may_use(self, grant_type: str) -> bool:
        """Say whether it is registered for the grant."""
        return grant_type in self.grant_types

    def has_redirect(self, uri: str) -> bool:
        """Say whether the URI is registered: exact match, the port of a loopback address excepted (RFC 8252, 7.3)."""
        return any(same_redirect(registered, uri) for registered in self.redirect_uris)
