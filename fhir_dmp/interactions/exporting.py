"""Export of one patient's whole record: FHIR resources, contents, consents, the directory behind them, the accesses.

The parts and their names are the format that `import` reads (docs/operator.md). Memory stays flat: pages, not lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, pairwise

from fhir_dmp import __version__
from fhir_dmp.audit.event import audit_event
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.resource import Json, dump, parse_stored, references
from fhir_dmp.identity.caller import Actor
from fhir_dmp.interactions.import_events import with_record
from fhir_dmp.interactions.inspection import release
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import AuditPage, AuditQuery, Key, Version
from fhir_dmp.search.query import AnyTerm, Everything, Search, SortKey, both

PAGE = 200
#: What an archive says of itself; a higher number means a form that older releases cannot read.
FORMAT, FORMAT_VERSION = "fhir-dmp-export", 1
MANIFEST, EVENTS = "manifest.json", "AuditEvent.ndjson"
DIRECTORY, CONTENTS = "directory/", "contents/"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the export: its name, and its bytes in chunks."""

    name: str
    chunks: Iterator[bytes]


@dataclass(slots=True)
class _Seen:
    """What the resources written so far point to: contents of documents, and the directory."""

    contents: dict[Key, None] = field(default_factory=dict)
    others: dict[Key, None] = field(default_factory=dict)


def parts(patient: str, services: Services) -> Iterator[Part]:
    """Yield the files of `Patient/id`'s record, each to be read before the next is asked for."""
    yield Part(MANIFEST, iter((dump(_manifest(patient, services)),)))
    seen = _Seen()
    holder = services.store.read(Key(*patient.split("/", 1)))
    if holder is not None and not holder.deleted:
        yield Part("Patient.ndjson", _lines(iter((holder,)), seen, services))
    for type_ in sorted(services.compartments["Patient"]):
        if type_ not in ("Patient", "AuditEvent"):
            yield from _part(f"{type_}.ndjson", _of_type(type_, patient, services), seen, services)
    yield from _contents(seen, services)
    yield from _directory(seen, services)
    yield Part(EVENTS, (_event(entry, services) for entry in _accesses(patient, services)))


def _manifest(patient: str, services: Services) -> Json:
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "patient": patient,
        "exported": instant(services.clock.now_ms()),
        "server": services.base,
        "software": f"fhir-dmp {__version__}",
    }


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


def _part(name: str, versions: Iterator[Version], seen: _Seen, services: Services) -> Iterator[Part]:
    """Yield the file of these versions, none when there are none."""
    first = next(versions, None)
    if first is not None:
        yield Part(name, _lines(chain((first,), versions), seen, services))


def _lines(versions: Iterator[Version], seen: _Seen, services: Services) -> Iterator[bytes]:
    for version in versions:
        resource = parse_stored(version.body)
        if version.type == "DocumentReference":
            seen.contents.update(dict.fromkeys(_content_keys(resource)))
        seen.others.update(dict.fromkeys(_directory_keys(resource, services)))
        yield version.body + b"\n"


def _content_keys(document: Json) -> Iterator[Key]:
    for content in document.get("content", ()):
        type_, _, id_ = str(content.get("attachment", {}).get("url", "")).partition("/")
        if type_ in ("Binary", "Bundle"):
            yield Key(type_, id_)


def _directory_keys(resource: Json, services: Services) -> Iterator[Key]:
    """Yield what belongs to no patient and is named by the record: professionals, structures, devices."""
    patients = services.compartments["Patient"]
    for holder, _ in references(resource):
        type_, _, id_ = holder["reference"].partition("/")
        if services.structures.is_resource(type_) and type_ not in patients and "/" not in id_:
            yield Key(type_, id_)


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


def _contents(seen: _Seen, services: Services) -> Iterator[Part]:
    """Yield the Binary and Bundle resources behind the documents, and the bytes of each Binary."""
    for key in seen.contents:
        version = services.store.read(key)
        if version is None or version.deleted:
            continue
        yield Part(f"{key.type}/{key.id}.json", iter((version.body,)))
        if version.blob is not None:
            release(version.blob, services)
            yield Part(f"{CONTENTS}{key.id}", services.store.blobs.read(version.blob))


def _directory(seen: _Seen, services: Services) -> Iterator[Part]:
    """Yield the directory entries that the record names, and what these name in turn."""
    found: dict[Key, Version] = {}
    wanted = [key for key in seen.others if key not in seen.contents]
    while wanted:
        read = services.store.read_many(wanted)
        fresh = {key: version for key, version in read.items() if key not in found and not version.deleted}
        found.update(fresh)
        wanted = [
            key
            for version in fresh.values()
            for key in _directory_keys(parse_stored(version.body), services)
            if key not in found
        ]
    for type_ in sorted({key.type for key in found}):
        chosen = (version.body + b"\n" for key, version in sorted(found.items(), key=str) if key.type == type_)
        yield Part(f"{DIRECTORY}{type_}.ndjson", chosen)


def _accesses(patient: str, services: Services) -> Iterator[AuditRecord]:
    """Yield the audit records of a patient, oldest first, so that an import keeps them in their order."""
    newest = services.store.audit(AuditQuery(patient=patient, count=1)).records
    starts = [newest[0][0] + 1] if newest else []
    while starts and (below := _page(patient, starts[-1], services).next) is not None:
        starts.append(below)
    for high, low in reversed(list(pairwise([*starts, 0]))):
        yield from reversed(_between(patient, low, high, services))


def _between(patient: str, low: int, high: int, services: Services) -> list[AuditRecord]:
    """Return the records at positions [low, high), newest first."""
    found: list[AuditRecord] = []
    before: int | None = high
    while before is not None and before > low:
        page = _page(patient, before, services)
        found += [entry for position, entry in page.records if position >= low]
        before = page.next
    return found


def _page(patient: str, before: int, services: Services) -> AuditPage:
    return services.store.audit(AuditQuery(patient=patient, before=before, count=PAGE))


def _event(entry: AuditRecord, services: Services) -> bytes:
    """Return the AuditEvent as this server tells it, with the record that it is told from."""
    event = audit_event(entry, services.events, services.site)
    return dump(with_record(event, entry, services.canonical)) + b"\n"
