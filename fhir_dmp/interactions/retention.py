"""Destruction of closed dossiers whose time is over: every version, index row and content, and a trace of it.

The Patient goes last, so that an interrupted run is found again by the next one. A dossier that is due cannot be
reopened (patients.closing), so nobody writes to it meanwhile. docs/adr/0025.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.fhir.dates import local_date
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.identity.caller import Actor
from fhir_dmp.interactions import gather
from fhir_dmp.interactions.remembered import mark_of
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.retention import closed_on, due_on, kept_since
from fhir_dmp.ports import MARK, Claim, Commit, HistoryQuery, Key, Version
from fhir_dmp.search.query import AnyTerm, Node, Search, SortKey, Term

PAGE = 200
KIND = "purge"
_CONTENT = re.compile(rb'"(?:[^"]*/)?(Binary|Bundle)/([A-Za-z0-9.-]{1,64})"')


@dataclass(frozen=True, slots=True)
class Due:
    """A dossier that is due. reference: `Patient/id`."""

    reference: str
    closed: date


def due(services: Services) -> Iterator[Due]:
    """Yield the dossiers whose content is to be destroyed now."""
    today = date.fromisoformat(local_date(services.clock.now_ms(), services.zone))
    years = services.settings.documents.retention_years
    for version in _all("Patient", Term("active=c:false"), services):
        closed = closed_on(parse_stored(version.body))
        if closed is None or due_on(closed, years) > today:
            continue  # most of them, without a look at their Consents
        stored = gather.record_of(str(version.key), services.clock.now_ms(), services)
        if stored is None:
            continue
        consents = [consent.resource for consent in stored.consents]
        since = kept_since(stored.patient.resource, consents, services.canonical)
        if since is not None and due_on(since, years) <= today:
            yield Due(str(version.key), since)


def extent(found: Due, services: Services) -> int:
    """Return how many resources would be destroyed."""
    return sum(len(keys) for keys in _batches(found.reference, services)) + 1


def destroy(found: Due, services: Services) -> int:
    """Destroy a dossier; return how many resources there were. Asked again after an interruption, it goes on."""
    _note(found, services, "begun")
    count = 0
    for keys in _batches(found.reference, services):
        count += services.store.erase(keys)
    _note(found, services, "done", count + 1)
    count += services.store.erase([Key("Patient", found.reference.partition("/")[2])])
    services.facts.forget()
    return count


def _batches(patient: str, services: Services) -> Iterator[list[Key]]:
    """Yield what belongs to a patient, contents before what names them, but for the Patient itself."""
    for type_ in sorted(services.store.types()):
        node = _about(type_, patient, services)
        for page in _pages(type_, node, services) if node else ():
            own = [version for version in page if version.patient in (patient, None)]
            yield from _with_contents([version.key for version in own], patient, services)
    yield from _with_contents(services.store.deleted(patient), patient, services)


def _about(type_: str, patient: str, services: Services) -> Node | None:
    """Return what finds the resources about a patient; None for a type that is about nobody, and for the Patient."""
    if type_ in ("Patient", "AuditEvent"):
        return None
    if services.compartments["Patient"].get(type_):
        return Term(f"_compartment=r:{patient}")
    # Task and others are about a patient without being in the compartment.
    named = [code for code in ("patient", "subject") if services.registry.get(type_, code)]
    return AnyTerm(tuple(f"{code}=r:{patient}" for code in named)) if named else None


def _with_contents(keys: list[Key], patient: str, services: Services) -> Iterator[list[Key]]:
    contents = dict.fromkeys(content for key in keys for content in _contents(key, services))
    own = [key for key in contents if _belongs(key, patient, services)]
    if own:
        yield own
    if keys:
        yield keys


def _contents(key: Key, services: Services) -> Iterator[Key]:
    """Yield the contents that any version of a resource names."""
    below: int | None = None
    while True:
        page = services.store.history(HistoryQuery(key.type, key.id, PAGE, before_seq=below))
        for version in page.versions:
            for type_, id_ in _CONTENT.findall(version.body):
                yield Key(type_.decode(), id_.decode())
        below = page.next_seq
        if below is None:
            return


def _belongs(content: Key, patient: str, services: Services) -> bool:
    """Say whether a content is there, and no document of another record names it."""
    if services.store.read(content) is None:
        return False
    documents = gather.documents_of_content(content.type, content.id, services)
    return all(version.patient == patient for version in documents)


def _all(type_: str, node: Node, services: Services) -> Iterator[Version]:
    for page in _pages(type_, node, services):
        yield from page


def _pages(type_: str, node: Node, services: Services) -> Iterator[tuple[Version, ...]]:
    """Yield what satisfies the node, oldest change first; what is destroyed meanwhile disturbs nothing."""
    position, bound = None, None
    while True:
        search = Search((type_,), node, (SortKey("_lastUpdated"),), PAGE, after=position, bound=bound)
        page = services.store.search(search)
        yield page.versions
        position, bound = page.next, page.bound
        if position is None:
            return


def _note(found: Due, services: Services, state: str, count: int | None = None) -> None:
    """Leave a trace, and make every process forget what it knows of the dossier."""
    details = (("state", state), ("closed", found.closed.isoformat()))
    entry = AuditRecord(
        id=services.ids.resource(found.reference),
        kind=KIND,
        recorded_ms=services.clock.now_ms(),
        patient=found.reference,
        what=(found.reference,),
        actor=Actor.ADMIN.value,
        subject="operator",
        client="fhir-dmp",
        details=details if count is None else (*details, ("resources", str(count))),
    )
    services.store.commit(Commit(audit=(entry,), claims=(Claim(mark_of(found.reference), MARK),)))
