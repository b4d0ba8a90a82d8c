"""What the web layer needs from the rest of the house; bootstrap.Services fulfils it."""

from __future__ import annotations

from typing import Protocol

from fhir_dmp.errors import DmpError
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Structures
from fhir_dmp.identity.tokens import Verifier
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.oauth.authority import Authority
from fhir_dmp.oauth.guard import Guard
from fhir_dmp.oauth.registry import Registry as Clients
from fhir_dmp.ports import Clock, ResourceStore
from fhir_dmp.settings import Settings
from fhir_dmp.signin.desk import Desk


class Services(Protocol):
    """Everything that is wired once at the start."""

    @property
    def settings(self) -> Settings:
        """The configuration."""

    @property
    def store(self) -> ResourceStore:
        """The record."""

    @property
    def structures(self) -> Structures:
        """What R4 says about each type."""

    @property
    def clients(self) -> Clients:
        """The registered clients."""

    @property
    def desk(self) -> Desk:
        """Signing in and authorising."""

    @property
    def guard(self) -> Guard:
        """The judge of bearer tokens."""

    @property
    def admin_guard(self) -> Guard:
        """The judge of administrators' tokens."""

    @property
    def authority(self) -> Authority:
        """The authorization server."""

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def verifier(self) -> Verifier:
        """The judge of tokens."""

    @property
    def base(self) -> str:
        """Public URL of the FHIR base, without trailing slash."""

    @property
    def issuer(self) -> str:
        """Public URL of the authorization server, without trailing slash."""

    def handle(self, call: Call) -> Answer:
        """Run one FHIR interaction.

        Raises:
            DmpError: it was refused, or failed in a way that the client should know.
        """

    def refused(self, call: Call, error: DmpError) -> None:
        """Record a request that was refused before it became an interaction: no usable token, an unreadable body.

        Raises:
            Unavailable: it cannot be recorded.
        """

    def capability(self) -> Json:
        """Return the CapabilityStatement of what is running."""
