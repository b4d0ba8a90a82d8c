"""The one place that knows every adapter: Settings in, Services out."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from os import urandom
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhir_dmp import definitions, keyring, packages
from fhir_dmp.access.decision import Rules as AccessRules
from fhir_dmp.access.matrix import Matrix, parse_matrix
from fhir_dmp.audit.chain import Seal
from fhir_dmp.audit.event import Site
from fhir_dmp.audit.kinds import event_kinds
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.audit.signing import CheckpointKeys
from fhir_dmp.audit.story import Story
from fhir_dmp.background import Repeating, Witness
from fhir_dmp.demo import accounts
from fhir_dmp.demo import load as demo
from fhir_dmp.documents.rules import Rules as DocumentRules
from fhir_dmp.errors import ConfigurationError, DmpError, Problem, StoreUnavailable
from fhir_dmp.extraction.reader import reader
from fhir_dmp.fhir.bucket import bucket
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.fhir.structure import Structures
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
from fhir_dmp.ports import Clock, Commit, IdentityProvider, ResourceStore, Version
from fhir_dmp.search.parameters import Registry
from fhir_dmp.search.terms import Terms
from fhir_dmp.settings import Settings
from fhir_dmp.settings import Store as StoreSettings
from fhir_dmp.signin.desk import Desk
from fhir_dmp.store.sealed import Masters, SealedStore, refuse_sealed, seal
from fhir_dmp.terminology.codes import Codes
from fhir_dmp.terminology.national import INS_SYSTEMS
from fhir_dmp.upstream.fetch import Fetcher
from fhir_dmp.validation.conformance import Profiles
from fhir_dmp.validation.policy import Policy

#: How often the trail is looked at, in s; seals follow audit.seal_every_s, or a thousand records.
SEAL_LOOK_S = 1.0
#: How often expired codes, assertions and logins are removed, in s.
SWEEP_S = 60.0


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return the current time in ms since the epoch, UTC."""
        return time.time_ns() // 1_000_000


@lru_cache(maxsize=4096)
def _bucket(patient: str) -> int:
    return bucket(patient.removeprefix("Patient/"))


class RandomIds:
    """UUIDs of version 7 whose 12 bits after the version are the patient's bucket (fhir/bucket.py)."""

    def resource(self, patient: str | None = None) -> str:
        """Return a new logical id."""
        low = int.from_bytes(urandom(10), "big")
        carried = _bucket(patient) if patient else low >> 68
        head = time.time_ns() // 1_000_000 & (1 << 48) - 1
        digits = f"{head:012x}7{carried:03x}{low & (1 << 62) - 1 | 1 << 63:016x}"
        # Spelled out here because uuid.UUID takes longer than all the rest; this runs several times a request.
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def token(self) -> str:
        """Return an unguessable string."""
        return secrets.token_urlsafe(24)


def _memory(settings: StoreSettings) -> ResourceStore:
    from fhir_dmp.store.memory import MemoryStore

    return MemoryStore()


def _sqlite(settings: StoreSettings) -> ResourceStore:
    from fhir_dmp.store.sqlite.store import open_sqlite

    return open_sqlite(Path(settings.url.removeprefix("sqlite:///")))


def _mongo(settings: StoreSettings) -> ResourceStore:
    from fhir_dmp.store.mongo import open_mongo

    return open_mongo(settings.url, allow_standalone=settings.allow_standalone)


#: Folders of definitions that clients may read.
PUBLISHED = tuple(f"profiles/{folder}" for folder in definitions.FOLDERS)

STORES: Mapping[str, Callable[[StoreSettings], ResourceStore]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "mongodb": _mongo,
    "mongodb+srv": _mongo,
}


def open_store(settings: StoreSettings) -> ResourceStore:
    """Open the store that the URL names, behind its seal when it is encrypted.

    Raises:
        ConfigurationError: an unknown scheme; keys that are not those of the store.
        StoreUnavailable: it cannot be reached.
    """
    if settings.encryption_keys:
        return _sealed(settings)
    if settings.data_keys_url:
        raise ConfigurationError(Problem("store.data_keys_url", "is only for an encrypted store", _WITH_KEYS))
    store = _bare(settings)
    try:
        refuse_sealed(store)
    except BaseException:
        store.close()
        raise
    return store


_WITH_KEYS = "set store.encryption_keys too, or remove it"


def _bare(settings: StoreSettings, setting: str = "store.url") -> ResourceStore:
    scheme = settings.url.partition(":")[0]
    if scheme not in STORES:
        raise ConfigurationError(Problem(setting, f"unknown scheme '{scheme}'", f"one of {', '.join(STORES)}"))
    return STORES[scheme](settings)


def _sealed(settings: StoreSettings) -> SealedStore:
    path = Path(settings.encryption_keys)
    if settings.data_keys_url == settings.url:
        what = "names the record's own store"
        raise ConfigurationError(Problem("store.data_keys_url", what, "name another one, or remove it"))
    with ExitStack() as opened:
        store = opened.enter_context(closing(_bare(settings)))
        apart: ResourceStore | None = None
        if settings.data_keys_url:
            elsewhere = replace(settings, url=settings.data_keys_url)
            apart = opened.enter_context(closing(_bare(elsewhere, "store.data_keys_url")))
        found = seal(store, lambda: Masters(keyring.master_keys(path)), apart)
        opened.pop_all()
    return found


def _providers(settings: Settings, clock: Clock) -> dict[str, IdentityProvider]:
    """Return the identity providers that are configured."""
    from fhir_dmp.upstream.openid import OpenIdProvider, Relation

    found: dict[str, IdentityProvider] = {}
    for name in ("psc", "fc"):
        given = {key: getattr(settings.upstream, f"{name}_{key}") for key in
                 ("discovery_url", "client_id", "client_secret", "scope", "acr")}  # fmt: skip
        if given["discovery_url"]:
            found[name] = OpenIdProvider(Relation(name, **given), clock)
    return found


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone.

    Raises:
        ConfigurationError: no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(Problem("server.timezone", f"no time zone '{name}'")) from error


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
        return _providers(self.settings, self.clock)

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
        except (DmpError, ValueError):
            # Nothing is lost: the records are durable, and the next start seals them.
            logging.getLogger("fhir_dmp").exception("the audit trail could not be sealed at the stop")
        self.store.close()


#: Variables by which libraries switch protections off, for development: never beside a record.
DEVELOPMENT_SWITCHES = ("AUTHLIB_INSECURE_TRANSPORT", "FLASK_DEBUG", "WERKZEUG_DEBUG_PIN", "PYTHONHTTPSVERIFY")


def refuse_development_switches(environ: Mapping[str, str]) -> None:
    """Refuse to start where the environment switches a protection off. [security H-21]

    Raises:
        ConfigurationError: names the variable.
    """
    for name in DEVELOPMENT_SWITCHES:
        harmless = environ.get(name, "") in (("1", "") if name == "PYTHONHTTPSVERIFY" else ("0", ""))
        if not harmless:
            raise ConfigurationError(Problem(name, "switches a protection off", "remove it from the environment"))


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
        trail=_trail(opened, settings),
        clock=ticking,
        ids=RandomIds(),
        zone=zone,
        base=base,
        issuer=issuer,
        registry=profiles.registry().without(_switched_off(settings, profiles.base.structures)),
        structures=profiles.base.structures,
        documents=_document_rules(settings, base, ins),
        started_matrix=_matrix(settings),
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
        oauth_uris=tuple(oauth_uris(issuer)),
        story=Story(definitions.read("audit/story.toml")),
        messages=messages(definitions.read("notices/messages.toml"), settings.notices.portal_url, zone),
        witness=witness_of(settings, given=store is not None),
    )


class LiveProfiles:
    """The profiles of this project and of the added packages; a change of the packages is seen within a second."""

    def __init__(self, canonical_base: str, folder: Path, every_s: float = 1.0) -> None:
        self.base = definitions.base()
        self._canonical_base = canonical_base
        self._folder = folder
        self._every_s = every_s
        self._looked = time.monotonic()
        self._stamp = packages.stamp(folder)
        self._now = self._loaded()

    def __call__(self) -> Profiles:
        """Return the profiles as they are now."""
        if time.monotonic() - self._looked > self._every_s:
            self._looked = time.monotonic()
            stamp = packages.stamp(self._folder)
            if stamp != self._stamp:
                self._now, self._stamp = self._loaded(), stamp
        return self._now

    def registry(self) -> Registry:
        """Return the search parameters, those of the packages included."""
        added = [
            each
            for package in packages.added(self._folder)
            for each in package.resources
            if each["resourceType"] == "SearchParameter"
        ]
        return definitions.search_parameters_with(added) if added else definitions.search_parameters()

    def _loaded(self) -> Profiles:
        added = [each for package in packages.added(self._folder) for each in package.resources]
        resources = [*definitions.conformance(self._canonical_base), *added]
        return definitions.profiles(resources)


def _unwitnessed(seal: Seal) -> None:
    """A store in memory, or one that a test brings, has no place outside of itself."""


def witness_of(settings: Settings, *, given: bool = False) -> Path | None:
    """Return the file that keeps checkpoints outside of the store; given: the store is not that of the settings."""
    if settings.audit.checkpoints:
        return Path(settings.audit.checkpoints)
    scheme, _, rest = settings.store.url.partition(":")
    if given or scheme == "memory":
        return None
    if scheme == "sqlite":
        path = Path(rest.removeprefix("///"))
        return path.with_name(path.name + "-checkpoints.jsonl")
    return keyring.folder_of(settings) / f"checkpoints-{urlsplit(settings.store.url).path.strip('/') or 'dmp'}.jsonl"


#: What the record itself is made of: these types cannot be switched off.
_RECORD = """AuditEvent Basic Binary Bundle CareTeam Consent DocumentReference List OperationOutcome Organization
    Parameters Patient Person Practitioner PractitionerRole Provenance RelatedPerson"""
NEEDED = frozenset(_RECORD.split())


def _switched_off(settings: Settings, structures: Structures) -> frozenset[str]:
    """Return the resource types that this deployment does not offer.

    Raises:
        ConfigurationError: something that is no resource type, or one that the record is made of.
    """
    for name in settings.server.types_off:
        if not structures.is_resource(name):
            raise ConfigurationError(Problem("server.types_off", f"'{name}' is no resource type of FHIR R4"))
        if name in NEEDED:
            raise ConfigurationError(Problem("server.types_off", f"{name} is part of the record and stays on"))
    return frozenset(settings.server.types_off)


class BatchedTrail:
    """Audit records of reads, committed together every tenth of a second: a crash may lose those of that time.

    A stop does not (`flush`), and a store that does not answer for a while does not either.
    """

    def __init__(self, store: ResourceStore, every_s: float = 0.1) -> None:
        self._store = store
        self._every_s = every_s
        self._waiting: deque[tuple[AuditRecord, ...]] = deque()
        self._some = threading.Event()
        self._writing = threading.Lock()
        threading.Thread(target=self._run, name="audit-trail", daemon=True).start()

    def __call__(self, records: tuple[AuditRecord, ...]) -> None:
        """Queue records."""
        self._waiting.append(records)
        self._some.set()

    def flush(self) -> None:
        """Commit what is queued; keep it queued when the store does not answer."""
        with self._writing:
            self._some.clear()
            batch: list[AuditRecord] = []
            while self._waiting:
                batch.extend(self._waiting.popleft())
            try:
                if batch:
                    self._store.commit(Commit(audit=tuple(batch)))
            except StoreUnavailable:
                self._waiting.appendleft(tuple(batch))
                self._some.set()
                logging.getLogger("fhir_dmp").exception("%d audit records wait for the store", len(batch))

    def _run(self) -> None:
        while True:
            self._some.wait()
            time.sleep(self._every_s)
            self.flush()


def _trail(store: ResourceStore, settings: Settings) -> Callable[[tuple[AuditRecord, ...]], None]:
    if settings.audit.durability == "batched":
        return BatchedTrail(store)
    return lambda records: _commit_now(store, records)


def _commit_now(store: ResourceStore, records: tuple[AuditRecord, ...]) -> None:
    store.commit(Commit(audit=records))


def public_urls(settings: Settings) -> tuple[str, str]:
    """Return the public FHIR base and the issuer, from the settings or from host and port."""
    server = settings.server
    here = f"{'https' if server.tls_certificate else 'http'}://{server.host}:{server.port}"
    return (server.base_url or f"{here}/fhir").rstrip("/"), (server.issuer or f"{here}/auth").rstrip("/")


def _document_rules(settings: Settings, base: str, ins: InsRules) -> DocumentRules:
    documents = settings.documents
    return DocumentRules(
        fhir_base=base,
        codes=Codes.load(definitions.load_json),
        ins=ins,
        author_check=documents.author_check,
        verify_hash=documents.verify_hash,
        traits_check="strict" if settings.identity.traits_check else "off",
        profiles=settings.validation.mode,
        mask_plus_invisible=documents.mask_plus_invisible,
        minors=documents.minors,
        age_of_majority=documents.age_of_majority,
        skew_ms=documents.clock_skew_minutes * 60_000,
        fhir_documents=documents.fhir_documents,
        zone=zone_of(settings.server.timezone),
        operator_name=documents.operator_name,
        operator_oid=documents.operator_oid,
    )


def _matrix(settings: Settings) -> Matrix:
    path, training = settings.access.matrix, settings.access.training_like_profession
    if not path:
        return parse_matrix(definitions.read("mappings/habilitation-matrix.csv"), training_like_profession=training)
    try:
        return parse_matrix(Path(path).read_bytes(), training_like_profession=training)
    except OSError as error:
        raise ConfigurationError(Problem("access.matrix", f"cannot read {path}", "correct the path")) from error


def publish_definitions(services: Wired) -> int:
    """Store the conformance resources of the release; return how many changed."""
    return publish((content for folder in PUBLISHED for _, content in definitions.each_json(folder)), services)


def demo_accounts() -> list[str]:
    """Return lines that present the people of the demonstration record."""
    return [*demo.lines(), *accounts.lines()]


def load_demo(services: Wired) -> None:
    """Load the demonstration record; a second time changes nothing."""
    demo.load(services, services.handle)
    accounts.load(services.desk)
