"""$document: a Composition and all that it refers to, as one self-contained FHIR document.

https://hl7.org/fhir/R4/composition-operation-document.html. The identifier is made of the content: the same Composition
with the same parts, as the same caller may see them, is the same document, today and tomorrow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from fhir_dmp.access.masking import mask_references
from fhir_dmp.access.types import Kind, type_access
from fhir_dmp.errors import BadRequest, Gone, MethodNotAllowed, Unprocessable
from fhir_dmp.fhir.bundle import Entry, entry_bytes
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.links import on_the_wire
from fhir_dmp.fhir.resource import Json, dump, parse_stored, references
from fhir_dmp.interactions import authorise, changes, include, masks, record, single
from fhir_dmp.interactions.changes import Preconditions
from fhir_dmp.interactions.exchange import Answer, Call, Payload
from fhir_dmp.interactions.operations.primitives import given
from fhir_dmp.interactions.read import current
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version

DECLARED = {"persist": ("boolean",), "graph": ("uri", "canonical")}
#: A document of more resources than this is refused: nobody reads it.
MOST = 1000
#: Contents: a document names them, it does not hold their bytes.
_CONTENTS = frozenset({"Binary", "Bundle"})


@dataclass(frozen=True, slots=True)
class _Parts:
    """The resources of a document with their bodies as the caller may see them, the Composition first."""

    versions: tuple[Version, ...]
    bodies: tuple[Json, ...]


def document(call: Call, services: Services) -> Answer:
    """Return the document, and keep it as a Bundle when `persist` says so.

    Raises:
        NotFound, Forbidden: the Composition is not for this caller. BadRequest: `graph`, which is not offered.
        MethodNotAllowed: `persist` with GET. Unprocessable: too many resources.
    """
    read = given(call, DECLARED)
    if read.one("graph") is not None:
        raise BadRequest(
            "graph is not offered: a document holds all that its Composition refers to.",
            code="not-supported",
            expression="graph",
        )
    persist = read.flag("persist")
    if persist and call.method != "POST":
        raise MethodNotAllowed("persist stores the document; call it by POST.", headers={"Allow": "POST"})
    composition = current(call, services)
    allowed = authorise.to_read(call, composition, services)
    if composition.deleted:
        raise Gone("This Composition was deleted.", headers={"ETag": f'W/"{composition.version}"'})
    parts = _gathered(call, composition, services)
    what = [authorise.reference(version) for version in parts.versions]
    entry = record.record(call, "operation", services, patient=allowed.patient, what=what, details=allowed.details)
    record.keep(services, entry)
    id_, body = _assembled(call, parts, services)
    return _kept(call, id_, body, services) if persist else Answer(body=body)


def _gathered(call: Call, composition: Version, services: Services) -> _Parts:
    """Read what the Composition refers to, and what that refers to; leave out what does not exist for the caller."""
    found: dict[Key, Version] = {composition.key: composition}
    gone: set[str] = set()
    fresh: Sequence[Version] = (composition,)
    while fresh:
        named = dict.fromkeys(key for version in fresh for key in _named(parse_stored(version.body), services))
        wanted = [key for key in named if key not in found and str(key) not in gone]
        held = services.store.read_many(wanted) if wanted else {}
        fresh = [
            held[key] for key in wanted if key in held and _belongs(call, held[key], composition.patient, services)
        ]
        found.update((version.key, version) for version in fresh)
        gone.update(str(key) for key in wanted if key not in found)
        if len(found) > MOST:
            raise Unprocessable(f"The document would hold more than {MOST} resources.", code="too-costly")
    versions = tuple(found.values())
    bodies = masks.shown(call.caller, versions, services)
    return _Parts(versions, tuple(mask_references(parse_stored(body), gone) for body in bodies))


def _named(resource: Json, services: Services) -> list[Key]:
    """Return the resources of this server that a resource refers to, contents left out."""
    keys = []
    for holding, _ in references(resource):
        type_, _, rest = holding["reference"].removeprefix(f"{services.base}/").partition("/")
        if rest and services.structures.is_resource(type_) and type_ not in _CONTENTS:
            keys.append(Key(type_, rest.partition("/")[0]))
    return keys


def _belongs(call: Call, version: Version, patient: str | None, services: Services) -> bool:
    """Say whether a resource may stand in the document: of the same record or of none, and visible to the caller."""
    if version.deleted:
        return False
    own = f"Patient/{version.id}" if version.type == "Patient" else version.patient
    open_ = type_access(version.type).kind in (Kind.DIRECTORY, Kind.CONFORMANCE)
    if not open_ and own != patient:
        return False
    return include.may_be_shown(call.caller, version, (patient,) if patient else (), services)


def _assembled(call: Call, parts: _Parts, services: Services) -> tuple[str, bytes]:
    """Return the document with the id that its content gives it."""
    base = call.info.base
    entries = [
        entry_bytes(Entry(f"{base}/{version.key}", on_the_wire(version.type, dump(_local(body, base, services)), base)))
        for version, body in zip(parts.versions, parts.bodies, strict=True)
    ]
    listed = b",".join(entries)
    id_ = str(UUID(bytes=hashlib.sha256(listed).digest()[:16], version=5))
    made = instant(max(version.updated_ms for version in parts.versions))
    head = {
        "resourceType": "Bundle",
        "id": id_,
        "meta": {"lastUpdated": made},
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{id_}"},
        "type": "document",
        "timestamp": made,
    }
    return id_, dump(head)[:-1] + b',"entry":[' + listed + b"]}"


def _local(body: Json, base: str, services: Services) -> Json:
    """Make absolute references to this server relative, in place: they resolve against the fullUrl of their entry."""
    for holding, _ in references(body):
        for own in (base, services.base):
            holding["reference"] = holding["reference"].removeprefix(f"{own}/")
    return body


def _kept(call: Call, id_: str, body: bytes, services: Services) -> Answer:
    """Store the document under its own id; the same document is stored once."""
    authorise.need(call.caller, "c", "Bundle", services)
    key = Key("Bundle", id_)
    stored = services.store.read(key)
    if stored is not None and not stored.deleted:
        return single.answer(call, 200, stored, (), services)
    payload = Payload("application/fhir+json", resource=parse_stored(body))
    change = changes.create(call, "Bundle", payload, services, Preconditions(), id_=id_)
    if stored is not None and change.draft is not None:
        change = replace(change, draft=replace(change.draft, current=stored.version), previous=stored)
    return single.finish(call, change, services)
