"""What the use cases work with: the ports, and the tables that were read at start. Built once by bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from fhir_dmp.access.decision import Rules as AccessRules
from fhir_dmp.access.matrix import Matrix
from fhir_dmp.audit.event import Site
from fhir_dmp.audit.kinds import EventKinds
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.audit.story import Story
from fhir_dmp.cda.knowledge import Knowledge
from fhir_dmp.documents.rules import Rules as DocumentRules
from fhir_dmp.documents.texts import ReadPdf
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Structures
from fhir_dmp.identity.tokens import Verifier
from fhir_dmp.interactions.definition_cache import DefinitionCache
from fhir_dmp.interactions.matrix_shelf import MatrixShelf
from fhir_dmp.interactions.remembered import DecisionCache, DocumentCache, FactsCache, WordsOfContents
from fhir_dmp.interactions.told import Told
from fhir_dmp.notices.messages import Messages
from fhir_dmp.ports import Clock, Ids, ResourceStore, Scanner
from fhir_dmp.search.parameters import Registry
from fhir_dmp.settings import Settings
from fhir_dmp.terminology.loaded import Loaded
from fhir_dmp.validation.conformance import Profiles, judge
from fhir_dmp.validation.policy import Policy


@dataclass(frozen=True, eq=False)
class Services:
    """Everything an interaction may use. Tables are values; only the ports do input and output.

    profiles: the definitions at hand now, those of added packages included. judging: what a broken rule costs, by type.
    read_pdf: reads the text of a PDF within bounds; None where contents are not searched (documents.content_search_ms).
    scanner: what looks for malware in contents; None where documents.scanner_url names nothing.
    oauth_uris: extensions of the CapabilityStatement that name the endpoints of the authorization server.
    started_matrix: that of access.matrix, or the packaged one; `matrix` is the one in force.
    trail: commits audit records that come without a write, durable before the answer or batched (audit.durability).
    cda: what mappings/ says about CDA.
    """

    settings: Settings
    store: ResourceStore
    clock: Clock
    ids: Ids
    zone: ZoneInfo
    base: str
    issuer: str
    registry: Registry
    structures: Structures
    documents: DocumentRules
    started_matrix: Matrix
    access: AccessRules
    events: EventKinds
    site: Site
    cursor_key: bytes
    verifier: Verifier
    profiles: Callable[[], Profiles]
    judging: Policy
    cda: Callable[[], Knowledge]
    started_ms: int
    trail: Callable[[tuple[AuditRecord, ...]], None]
    messages: Messages
    story: Story
    told: Told = field(default_factory=Told)
    read_pdf: ReadPdf | None = None
    scanner: Scanner | None = None
    words: WordsOfContents = field(default_factory=WordsOfContents)
    oauth_uris: tuple[Json, ...] = ()
    facts: FactsCache = field(default_factory=FactsCache)
    entries: DecisionCache = field(default_factory=DecisionCache)
    seen: DocumentCache = field(default_factory=DocumentCache)
    definitions: DefinitionCache = field(default_factory=DefinitionCache)
    shelf: MatrixShelf = field(default_factory=MatrixShelf)

    @property
    def matrix(self) -> Matrix:
        """The habilitation matrix in force; one that was activated holds from the next request of every worker."""
        if self.settings.access.matrix:
            return self.started_matrix
        return self.shelf.matrix(self.facts, self.store, self.clock.now_ms(), self.started_matrix)

    def validate(self, resource: Json) -> tuple[Issue, ...]:
        """Return what is wrong with a resource: as R4, and as the profiles that it declares."""
        return judge(resource, self.profiles())

    @property
    def terminology(self) -> Loaded:
        """The definitions of profiles/, of the added packages and of the packaged tables."""
        return self.profiles().terminology

    @property
    def compartments(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """Compartment type -> resource type -> reference parameters that link to it."""
        return self.registry.compartments

    def is_offered(self, type_: str) -> bool:
        """Say whether this is a resource type that this server offers: one of R4, and not switched off."""
        return self.structures.is_resource(type_) and type_ not in self.settings.server.types_off

    @property
    def types(self) -> tuple[str, ...]:
        """The resource types that this server offers, in alphabetical order."""
        return tuple(filter(self.is_offered, self.structures.resource_types))

    @property
    def canonical(self) -> str:
        """Namespace of the artefacts that this project defines."""
        return self.settings.canonical_base
