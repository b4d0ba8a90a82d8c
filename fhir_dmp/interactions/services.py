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
from fhir_dmp.documents.rules import Rules as DocumentRules
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Structures
from fhir_dmp.identity.tokens import Verifier
from fhir_dmp.interactions.remembered import DecisionCache, DocumentCache, FactsCache
from fhir_dmp.ports import Clock, Ids, ResourceStore
from fhir_dmp.search.parameters import Registry
from fhir_dmp.settings import Settings
from fhir_dmp.validation.conformance import Profiles, judge
from fhir_dmp.validation.policy import Policy


@dataclass(frozen=True, eq=False)
class Services:
    """Everything an interaction may use. Tables are values; only the ports do input and output.

    profiles: the definitions at hand now, those of added packages included. judging: what a broken rule costs, by type.
    trail: commits audit records that come without a write, durable before the answer or batched (audit.durability).
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
    matrix: Matrix
    access: AccessRules
    events: EventKinds
    site: Site
    cursor_key: bytes
    verifier: Verifier
    profiles: Callable[[], Profiles]
    judging: Policy
    started_ms: int
    trail: Callable[[tuple[AuditRecord, ...]], None]
    facts: FactsCache = field(default_factory=FactsCache)
    entries: DecisionCache = field(default_factory=DecisionCache)
    seen: DocumentCache = field(default_factory=DocumentCache)

    def validate(self, resource: Json) -> tuple[Issue, ...]:
        """Return what is wrong with a resource: as R4, and as the profiles that it declares."""
        return judge(resource, self.profiles())

    @property
    def compartments(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """Compartment type -> resource type -> reference parameters that link to it."""
        return self.registry.compartments

    @property
    def canonical(self) -> str:
        """Namespace of the artefacts that this project defines."""
        return self.settings.canonical_base
