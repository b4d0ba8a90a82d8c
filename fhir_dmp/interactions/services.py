"""What the use cases work with: the ports, and the tables that were read at start. Built once by bootstrap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from fhir_dmp.access.decision import Rules as AccessRules
from fhir_dmp.access.document import DocumentFacts, document_facts
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.matrix import Matrix
from fhir_dmp.audit.event import Site
from fhir_dmp.audit.kinds import EventKinds
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.documents.rules import Rules as DocumentRules
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.fhir.structure import Structures
from fhir_dmp.identity.tokens import Verifier
from fhir_dmp.ports import Clock, Ids, ResourceStore, Version, Write
from fhir_dmp.search.parameters import Registry
from fhir_dmp.settings import Settings


class FactsCache:
    """What is known of a patient's consents, for at most `ttl_ms`, dropped at once when this process changes them."""

    def __init__(self, ttl_ms: int = 2000, size: int = 10_000) -> None:
        self._ttl_ms = ttl_ms
        self._size = size
        self._known: dict[str, tuple[int, PatientFacts]] = {}
        self._lock = threading.Lock()

    def get(self, patient: str, now_ms: int) -> PatientFacts | None:
        """Return the facts when they are fresh enough."""
        found = self._known.get(patient)
        return found[1] if found and now_ms - found[0] < self._ttl_ms else None

    def put(self, patient: str, facts: PatientFacts, now_ms: int) -> None:
        """Remember the facts."""
        with self._lock:
            if len(self._known) >= self._size:
                self._known.clear()
            self._known[patient] = (now_ms, facts)

    def forget(self, patients: Iterable[str]) -> None:
        """Drop what is known of these patients."""
        with self._lock:
            for patient in patients:
                self._known.pop(patient, None)

    def clear(self) -> None:
        """Drop everything: a directory entry that consents refer to has changed."""
        with self._lock:
            self._known.clear()


class DocumentCache:
    """What decisions need of a document version. A version never changes, so an entry never goes stale."""

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._known: dict[tuple[str, int], DocumentFacts] = {}

    def of(self, version: Version) -> DocumentFacts:
        """Return the facts of a stored DocumentReference version."""
        key = (version.id, version.version)
        found = self._known.get(key)
        if found is None:
            found = document_facts(parse_stored(version.body))
            if len(self._known) >= self._size:
                self._known.clear()
            self._known[key] = found
        return found


@dataclass(frozen=True, eq=False)
class Services:
    """Everything an interaction may use. Tables are values; only the ports do input and output.

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
    validate: Callable[[Json], tuple[Issue, ...]]
    started_ms: int
    trail: Callable[[tuple[AuditRecord, ...]], None]
    facts: FactsCache = field(default_factory=FactsCache)
    seen: DocumentCache = field(default_factory=DocumentCache)

    @property
    def compartments(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """Compartment type -> resource type -> reference parameters that link to it."""
        return self.registry.compartments

    @property
    def canonical(self) -> str:
        """Namespace of the artefacts that this project defines."""
        return self.settings.canonical_base

    def forget(self, writes: Iterable[Write]) -> None:
        """Drop cached decisions that these writes may have changed."""
        patients: set[str] = set()
        for write in writes:
            if write.type == "Patient":
                patients.add(f"Patient/{write.id}")
            elif write.type == "Consent":
                if write.terms.patient is None:
                    self.facts.clear()
                    return
                patients.add(write.terms.patient)
            elif write.type in ("Practitioner", "PractitionerRole", "Organization", "CareTeam", "RelatedPerson"):
                self.facts.clear()
                return
        if patients:
            self.facts.forget(patients)
