"""Export of one patient's whole record: FHIR resources, contents, consents and the history of accesses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fhir_dmp.audit.event import audit_event
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.fhir.resource import dump, parse_stored
from fhir_dmp.identity.caller import Actor
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import AuditQuery, Key, Version
from fhir_dmp.search.query import AnyTerm, Everything, Search, SortKey, both

PAGE = 200


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the export: its name, and its bytes in chunks."""

    name: str
    chunks: Iterator[bytes]


def parts(patient: str, services: Services) -> Iterator[Part]:
    """Yield the files of `Patient/id`'s record: NDJSON by type, each content under its id, the accesses."""
    holder = services.store.read(Key(*patient.split("/", 1)))
    if holder is not None and not holder.deleted:
        yield Part("Patient.ndjson", iter((holder.body + b"\n",)))
    for type_ in sorted(services.compartments["Patient"]):
        if type_ in ("Patient", "AuditEvent"):
            continue
        versions = list(_of_type(type_, patient, services))
        if versions:
            yield Part(f"{type_}.ndjson", (version.body + b"\n" for version in versions))
        if type_ == "DocumentReference":
            yield from _contents(versions, services)
    yield Part("AuditEvent.ndjson", _accesses(patient, services))


def note(patient: str, services: Services) -> None:
    """Leave a trace of the export before anything of it is written."""
    services.trail(
        (
            AuditRecord(
                id=services.ids.resource(patient),
                kind="export",
                recorded_ms=services.clock.now_ms(),
                patient=patient,
                what=(patient,),
                actor=Actor.ADMIN.value,
                subject="operator",
                client="fhir-dmp",
            ),
        )
    )


def _of_type(type_: str, patient: str, services: Services) -> Iterator[Version]:
    codes = services.compartments["Patient"].get(type_, ())
    node = both(AnyTerm(tuple(f"{code}=r:{patient}" for code in codes)), Everything())
    position, bound = None, None
    while codes:
        page = services.store.search(
            Search((type_,), node, (SortKey("_lastUpdated"),), PAGE, after=position, bound=bound)
        )
        yield from page.versions
        position, bound = page.next, page.bound
        if position is None:
            return


def _contents(documents: list[Version], services: Services) -> Iterator[Part]:
    """Yield the Binary and Bundle resources behind the documents, and the bytes of each Binary."""
    seen: set[Key] = set()
    for document in documents:
        for content in parse_stored(document.body).get("content", ()):
            type_, _, id_ = str(content.get("attachment", {}).get("url", "")).partition("/")
            key = Key(type_, id_)
            if type_ not in ("Binary", "Bundle") or key in seen:
                continue
            seen.add(key)
            version = services.store.read(key)
            if version is None or version.deleted:
                continue
            yield Part(f"{type_}/{id_}.json", iter((version.body,)))
            if version.blob is not None:
                yield Part(f"contents/{id_}", services.store.blobs.read(version.blob))


def _accesses(patient: str, services: Services) -> Iterator[bytes]:
    before = None
    while True:
        page = services.store.audit(AuditQuery(patient=patient, before=before, count=PAGE))
        for _, entry in page.records:
            yield dump(audit_event(entry, services.events, services.site)) + b"\n"
        before = page.next
        if before is None:
            return
