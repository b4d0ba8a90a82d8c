"""Import: resources and bundles that come from files, written under the rules of the API.

The importer acts as administrator: no author check. Importing again changes nothing: what has no id gets one made of
its own words, what is there already counts as unchanged, another content under a known uniqueId is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fhir_dmp.errors import (
    BadRequest,
    ClaimLost,
    Conflict,
    DmpError,
    StoreUnavailable,
    Unprocessable,
    VersionConflict,
)
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.resource import Json, is_id, parse_stored, references, same_content
from fhir_dmp.interactions import changes, import_events, record
from fhir_dmp.interactions.bundle_entries import payload_of
from fhir_dmp.interactions.changes import Change, Preconditions
from fhir_dmp.interactions.contents import split
from fhir_dmp.interactions.exchange import Payload
from fhir_dmp.interactions.import_bundles import import_bundle
from fhir_dmp.interactions.import_outcome import Importer, Outcome, derived_id, made, refused
from fhir_dmp.interactions.write import Plan, commit
from fhir_dmp.ports import Key, Version

#: Resources written in one commit.
BATCH = 200
#: How often a resource that somebody else changes at the same time is decided again.
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to import. name: where it stands in the input. error: why it could not be read.

    staged: contents behind markers in `data`. keep: leave what the store has under this id as it is.
    """

    name: str
    resource: Json = field(default_factory=dict)
    error: DmpError | None = None
    staged: Mapping[str, Blob] = field(default_factory=dict)
    keep: bool = False

    @property
    def key(self) -> Key:
        """Where it is written: under its own id, or under one made of its words.

        Raises:
            BadRequest: an id that is no FHIR id.
        """
        type_ = str(self.resource.get("resourceType"))
        if "id" not in self.resource:
            return Key(type_, derived_id(self.resource))
        id_ = self.resource["id"]
        if not (isinstance(id_, str) and is_id(id_)):
            raise BadRequest("The id is not a FHIR id.", code="value", expression=f"{type_}.id")
        return Key(type_, id_)


def resources(importer: Importer, items: Iterable[Item]) -> Iterator[Outcome]:
    """Write resources; BATCH of them share a commit. Bundles and documents to publish go their own ways.

    Raises:
        StoreUnavailable: nothing after the last outcome was written.
    """
    size = BATCH if importer.services.store.transactional else 1
    batch: dict[Key, Item] = {}
    for item in items:
        try:
            key = _plain(item, importer)
        except StoreUnavailable:
            raise
        except DmpError as error:
            yield refused(item.name, error)
            continue
        if key is None or key in batch or len(batch) >= size:
            yield from _flush(batch, importer)
            batch = {}
        if key is None:
            yield from _apart(item, importer)
        else:
            batch[key] = item
    yield from _flush(batch, importer)


def _plain(item: Item, importer: Importer) -> Key | None:
    """Return the key of a resource that is written as it is, None for what goes through an interaction of its own.

    Raises:
        DmpError: it could not be read, or is no resource.
    """
    if item.error is not None:
        raise item.error
    type_ = item.resource.get("resourceType")
    if not isinstance(type_, str) or not importer.services.structures.is_resource(type_):
        raise BadRequest("This is no FHIR R4 resource: resourceType is missing or unknown.", code="structure")
    if not importer.services.is_offered(type_):
        raise BadRequest("This server does not offer this resource type (server.types_off).", code="not-supported")
    if type_ == "Bundle":
        return item.key if item.resource.get("type") == "document" else None
    if type_ == "AuditEvent" or (type_ == "DocumentReference" and "id" not in item.resource):
        return None
    return item.key


def _apart(item: Item, importer: Importer) -> Iterator[Outcome]:
    """Import what is not written as it is: an AuditEvent, a document to publish (ITI-105), a Bundle."""
    type_ = item.resource["resourceType"]
    try:
        if type_ == "AuditEvent":
            yield import_events.one(importer, item.name, item.resource)
        elif type_ == "DocumentReference":
            yield _published(item, importer)
        elif item.resource.get("type") in ("transaction", "batch"):
            yield from import_bundle(importer, item.name, item.resource)
        elif item.resource.get("type") in ("searchset", "collection"):
            yield from resources(importer, _entries(item))
        else:
            raise BadRequest(
                "Bundles are imported when their type is transaction, batch, searchset, collection or document.",
                code="not-supported",
                expression="Bundle.type",
            )
    except StoreUnavailable:
        raise
    except DmpError as error:
        yield made(item.name, error)


def _published(item: Item, importer: Importer) -> Outcome:
    payload = payload_of(item.resource, item.staged)
    answer = importer.handle(replace(importer.call, path=("DocumentReference",), payload=payload))
    return Outcome(item.name, "stored", answer.location or "")


def _entries(item: Item) -> Iterator[Item]:
    entries = item.resource.get("entry", ())
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        name = f"{item.name}#entry[{index}]"
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict):
            yield Item(name, error=BadRequest("The entry holds no resource.", code="required"))
        elif not _is_comment(entry):
            yield Item(name, resource, keep=item.keep)


def _is_comment(entry: Json) -> bool:
    """A searchset may hold what the server said about the search."""
    search = entry.get("search")
    return isinstance(search, dict) and search.get("mode") == "outcome"


def _flush(batch: Mapping[Key, Item], importer: Importer) -> Iterator[Outcome]:
    if not batch:
        return
    known = importer.services.store.read_many(list(batch))
    planned: dict[Key, Change] = {}
    outcomes: dict[Key, Outcome] = {}
    for key, item in batch.items():
        decided = _decided(key, item, known.get(key), importer)
        if isinstance(decided, Outcome):
            outcomes[key] = decided
        else:
            planned[key] = decided
    outcomes.update(_committed({key: batch[key] for key in planned}, planned, importer))
    yield from (outcomes[key] for key in batch)


def _decided(key: Key, item: Item, current: Version | None, importer: Importer) -> Change | Outcome:
    """Return what to write, or the outcome when nothing is."""
    try:
        payload, same = _compared(key, item, current, importer)
        if same or (item.keep and current is not None):
            return Outcome(item.name, "unchanged", str(key))
        change = changes.update(importer.call, key, payload, importer.services, Preconditions(waived=True))
    except StoreUnavailable:
        raise
    except DmpError as error:
        return refused(item.name, error)
    return Outcome(item.name, "unchanged", str(key)) if change.draft is None else change


def _compared(key: Key, item: Item, current: Version | None, importer: Importer) -> tuple[Payload, bool]:
    """Return what would be written, and whether the store holds just that already."""
    resource = _resolved({**item.resource, "id": key.id}, importer)
    here = current is not None and not current.deleted
    if key.type != "Binary" or "data" not in resource:
        same = here and current is not None and same_content(parse_stored(current.body), resource)
        return payload_of(resource, item.staged), same
    bare, blob = split(resource, item.staged, importer.services)
    assert blob is not None  # it has data
    same = here and current is not None and current.blob == blob.sha256
    same = same and current is not None and same_content(parse_stored(current.body), bare)
    return payload_of({**bare, "data": blob.sha256}, {blob.sha256: blob}), same


def _resolved(resource: Json, importer: Importer) -> Json:
    """Replace conditional references (`Patient?identifier=...`) by the one resource that each means.

    Raises:
        Unprocessable: it means none, or several.
    """
    for holder, place in references(resource):
        type_, mark, query = holder["reference"].partition("?")
        if mark and importer.services.structures.is_resource(type_):
            found = changes.conditional(importer.call, type_, query, importer.services)
            if found is None:
                where = f"{resource['resourceType']}.{place}"
                raise Unprocessable(
                    "The conditional reference matches nothing here.", code="not-found", expression=where
                )
            holder["reference"] = str(found.key)
    return resource


def _committed(
    items: Mapping[Key, Item], planned: Mapping[Key, Change], importer: Importer
) -> Iterator[tuple[Key, Outcome]]:
    """Write a batch in one commit; when one of them spoils it, write them one by one to find which."""
    if not planned:
        return
    try:
        _write(list(planned.values()), importer)
    except (Conflict, VersionConflict) as error:
        for key, item in items.items():
            yield key, refused(item.name, error) if _is_final(error, items) else _alone(key, item, importer)
    else:
        for key, item in items.items():
            yield key, Outcome(item.name, "stored", str(key))


def _is_final(error: DmpError, items: Mapping[Key, Item]) -> bool:
    return len(items) == 1 and not isinstance(error, (VersionConflict, ClaimLost))


def _alone(key: Key, item: Item, importer: Importer) -> Outcome:
    """Write one resource on the state that is there now, again when somebody else was faster."""
    for _ in range(_ATTEMPTS):
        decided = _decided(key, item, importer.services.store.read(key), importer)
        if isinstance(decided, Outcome):
            return decided
        try:
            _write([decided], importer)
        except (VersionConflict, ClaimLost):
            continue
        except Conflict as error:
            return refused(item.name, error)
        return Outcome(item.name, "stored", str(key))
    return refused(item.name, Conflict("Others keep changing this resource; import it again.", code="lock-error"))


def _write(planned: Sequence[Change], importer: Importer) -> None:
    what = [str(change.key) for change in planned]
    patients = {change.patient for change in planned}
    patient = patients.pop() if len(patients) == 1 else None
    entry = record.record(importer.call, "import", importer.services, what=what, patient=patient)
    previous = {change.previous.key: change.previous for change in planned if change.previous}
    plan = Plan(drafts=tuple(change.draft for change in planned if change.draft), previous=previous)
    commit(plan, [entry], importer.services)
