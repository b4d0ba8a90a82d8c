"""The one place that knows every adapter: Settings in, Services out."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from fhir_dmp import definitions, keyring, packages
from fhir_dmp.access.decision import Rules as AccessRules
from fhir_dmp.audit.chain import Seal
from fhir_dmp.audit.event import Site
from fhir_dmp.audit.kinds import event_kinds
from fhir_dmp.audit.signing import CheckpointKeys
from fhir_dmp.audit.story import Story
from fhir_dmp.background import Repeating, Witness
from fhir_dmp.bootstrap.choices import (
    document_rules,
    matrix,
    providers,
    public_urls,
    refuse_development_switches,
    scanner,
    switched_off,
    witness_of,
    zone_of,
)
from fhir_dmp.bootstrap.profiles import LiveProfiles
from fhir_dmp.bootstrap.stores import STORES, open_store
from fhir_dmp.bootstrap.system import RandomIds, SystemClock
from fhir_dmp.bootstrap.trail import BatchedTrail, trail
from fhir_dmp.demo import accounts
from fhir_dmp.demo import load as demo
from fhir_dmp.errors import DmpError, told
from fhir_dmp.extraction.reader import reader
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.identity.tokens import Verifier
from fhir_dmp.interactions.capabilities import statement
from fhir_dmp.interactions.dispatch import handle, refused
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.gather import patient_by_identifier
from fhir_dmp.interactions.published import publish
from fhir_dmp.interactions.sealing import Sealer
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import index_terms
from fhir_dmp.mail.smtp import smtp_of
from fhir_dmp.notices.messages import messages
from fhir_dmp.oauth.authority import Authority
from fhir_dmp.oauth.guard import Guard
from fhir_dmp.oauth.jwks import ClientKeys
from fhir_dmp.oauth.offer import oauth_uris
from fhir_dmp.oauth.registry import Registry as Clients
from fhir_dmp.oauth.standing import Standing
from fhir_dmp.patients.ins import InsRules
from fhir_dmp.ports import Clock, IdentityProvider, ResourceStore, Version
from fhir_dmp.search.terms import Terms
from fhir_dmp.settings import Settings
from fhir_dmp.signin.desk import Desk
from fhir_dmp.terminology.national import INS_SYSTEMS
from fhir_dmp.upstream.fetch import Fetcher
from fhir_dmp.validation.policy import Policy

__all__ = [
    "PUBLISHED",
    "STORES",
    "BatchedTrail",
    "LiveProfiles",
    "RandomIds",
    "SystemClock",
    "Wired",
    "build",
    "demo_accounts",
    "load_demo",
    "open_store",
    "public_urls",
    "publish_definitions",
    "refuse_development_switches",
    "witness_of",
]

#: How often the trail is looked at, in s; seals follow audit.seal_every_s, or a thousand records.
SEAL_LOOK_S = 1.0
#: How often expired codes, assertions and logins are removed, in s.
SWEEP_S = 60.0
#: Folders of definitions that clients may read.
PUBLISHED = tuple(f"profiles/{folder}" for folder in definitions.FOLDERS)


@dataclass(frozen=True, eq=False)
class Wired(Services):
    """The services, with the two doors that HTTP and the command line use.

    witness: file that keeps the checkpoints outside of the store. beside: what runs in threads of its own.
    """

    witness: Path | None = None
    beside: list[Repeating] = field(default_factory=list)

    @cached_property
    def clients(self) -> Clients:
        """The registered clients."""
        return Clients(self.store.state, self.clock)

    @cached_property
    def desk(self) -> Desk:
        """Signing in and authorising."""
        url = self.settings.mail.smtp_url
        mailer = smtp_of(url) if url else None
        return Desk(self, self.clients, self.handle, self._identity_providers, mailer)

    @cached_property
    def _identity_providers(self) -> dict[str, IdentityProvider]:
        return providers(self.settings, self.clock)

    @cached_property
    def guard(self) -> Guard:
        """The judge of bearer tokens."""
        standing = Standing(self.store.state, self.clients, self.clock)
        return Guard(self.verifier, self.store.state, standing, self.clock)

    @cached_property
    def admin_guard(self) -> Guard:
        """The judge of administrators' tokens: the same keys, another audience."""
        return replace(self.guard, verifier=replace(self.verifier, audience=f"{self.issuer}/admin"))

    @cached_property
    def authority(self) -> Authority:
        """The authorization server."""
        folder, security = keyring.folder_of(self.settings), self.settings.security
        psc = self._identity_providers.get("psc")
        return Authority(
            self,
            self.clients,
            self.guard.standing,
            ClientKeys(Fetcher(security.allowed_private_hosts, security.ca_file)),
            keyring.LiveKeys(folder, "id-token", lambda: self.clock.now_ms() / 1000),
            keyring.secret(folder, "refresh"),
            psc.introspect if psc is not None else None,
        )

    def handle(self, call: Call) -> Answer:
        """Answer one FHIR request."""
        return handle(call, self)

    def refused(self, call: Call, error: DmpError) -> None:
        """Record a request that was refused before it became an interaction."""
        refused(call, error, self)

    def capability(self) -> Json:
        """Return the CapabilityStatement of what is running."""
        return statement(self)

    def terms(self, version: Version) -> Terms:
        """Return the index terms of a stored version, for `reindex`."""
        return index_terms(parse_stored(version.body), self)

    def patient_id(self, system: str | None, value: str) -> str | None:
        """Return the logical id of the patient with this INS (any authority when the system is None)."""
        for each in (system,) if system else INS_SYSTEMS:
            found = patient_by_identifier(each, value, self)
            if found is not None:
                return found
        return None

    def ins_of(self, value: str) -> tuple[str, str] | None:
        """Return (system, INS) under which a patient of this store is known by this number."""
        known = ((system, value) for system in INS_SYSTEMS if patient_by_identifier(system, value, self) is not None)
        return next(known, None)

    @cached_property
    def checkpoint_keys(self) -> CheckpointKeys:
        """The keys that sign checkpoints of the audit trail."""
        return keyring.checkpoint_keys(keyring.folder_of(self.settings))

    @cached_property
    def sealer(self) -> Sealer:
        """What seals the audit trail."""
        every_ms = self.settings.audit.seal_every_s * 1000
        witness = Witness(self.witness) if self.witness is not None else None
        keep = witness.keep if witness is not None else _unwitnessed
        return Sealer(self.store.ledger, self.checkpoint_keys, self.clock, every_ms, keep)

    def start(self) -> None:
        """Begin the work that goes on beside requests: sealing the audit trail, forgetting what has expired."""
        sealer = self.sealer
        self.beside.append(Repeating("audit-seal", sealer.run, SEAL_LOOK_S))
        self.beside.append(Repeating("state-sweep", self.sweep_state, SWEEP_S))

    def sweep_state(self) -> int:
        """Remove what the authorization server need not remember any more; return how much it was."""
        return self.store.state.sweep(self.clock.now_ms())

    def close(self) -> None:
        """Write what waits, seal the trail, and release the store."""
        if isinstance(self.trail, BatchedTrail):
            self.trail.flush()
        for each in self.beside:
            each.stop()
        try:
            self.sealer.run(everything=True)
        except (DmpError, ValueError) as error:
            # Nothing is lost: the records are durable, and the next start seals them.
            logging.getLogger("fhir_dmp").error("the audit trail is not sealed at the stop: %s", told(error))
        self.store.close()


def build(settings: Settings, *, store: ResourceStore | None = None, clock: Clock | None = None) -> Wired:
    """Wire the whole server from its settings; `store` and `clock` replace what the settings would open.

    Raises:
        ConfigurationError: a setting cannot be used. StoreUnavailable: the store cannot be reached.
    """
    refuse_development_switches(os.environ)
    folder = keyring.folder_of(settings)
    zone = zone_of(settings.server.timezone)
    base, issuer = public_urls(settings)
    profiles = LiveProfiles(settings.canonical_base, packages.folder_of(settings, folder))
    ins = InsRules(settings.canonical_base, settings.identity.ins_key_check, settings.identity.ins_test_allowed)
    ticking = clock or SystemClock()
    opened = store or open_store(settings.store)
    return Wired(
        settings=settings,
        store=opened,
        trail=trail(opened, settings),
        clock=ticking,
        ids=RandomIds(),
        zone=zone,
        base=base,
        issuer=issuer,
        registry=profiles.registry().without(switched_off(settings, profiles.base.structures)),
        structures=profiles.base.structures,
        documents=document_rules(settings, base, ins),
        started_matrix=matrix(settings),
        access=AccessRules.of(settings, zone),
        events=event_kinds(definitions.read("audit/events.toml"), settings.canonical_base),
        site=Site(socket.gethostname()),
        cursor_key=keyring.secret(folder, "cursors"),
        verifier=Verifier(
            keyring.LiveKeys(folder, "access-token", lambda: ticking.now_ms() / 1000),
            issuer,
            base,
            settings.security.token_leeway_s,
            anywhere=not settings.server.base_url,
        ),
        profiles=profiles,
        judging=Policy.read(settings.validation.mode, settings.validation.types, settings.validation.minimum),
        cda=definitions.cda_knowledge,
        started_ms=ticking.now_ms(),
        read_pdf=reader(settings.documents.content_search_ms / 1000) if settings.documents.content_search_ms else None,
        scanner=scanner(settings.documents.scanner_url),
        oauth_uris=tuple(oauth_uris(issuer)),
        story=Story(definitions.read("audit/story.toml")),
        messages=messages(definitions.read("notices/messages.toml"), settings.notices.portal_url, zone),
        witness=witness_of(settings, given=store is not None),
    )


def _unwitnessed(seal: Seal) -> None:
    """A store in memory, or one that a test brings, has no place outside of itself."""


def publish_definitions(services: Wired) -> int:
    """Store the conformance resources of the release; return how many changed."""
    released = (content for folder in PUBLISHED for _, content in definitions.each_json(folder))
    return publish((*released, *services.terminology.national()), services)


def demo_accounts() -> list[str]:
    """Return lines that present the people of the demonstration record."""
    return [*demo.lines(), *accounts.lines()]


def load_demo(services: Wired) -> None:
    """Load the demonstration record; a second time changes nothing."""
    demo.load(services, services.handle)
    accounts.load(services.desk)
