"""What must be true of a record after its server was killed: everything acknowledged, nothing half-written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from fhir_dmp.bootstrap import Wired
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.ports import AuditQuery, HistoryQuery, Key, Version
from fhir_dmp.search.query import Everything, Search, SortKey
from fhir_dmp.store.sqlite import SqliteStore

from .writers import Acknowledged

_EVERYTHING = 1_000_000


def problems(services: Wired, known: Acknowledged) -> Iterator[str]:
    """Yield what is wrong, as sentences."""
    yield from _acknowledged(services, known)
    yield from _whole(services, known)
    yield from _histories(services, known)
    store = services.store
    assert isinstance(store, SqliteStore)
    yield from store.verify(services.terms)


def _current(services: Wired, type_: str) -> tuple[Version, ...]:
    search = Search(types=(type_,), node=Everything(), sort=(SortKey("_id"),), count=_EVERYTHING)
    return services.store.search(search).versions


def _key(place: str) -> Key:
    return Key(*place.split("/")[:2])


def _acknowledged(services: Wired, known: Acknowledged) -> Iterator[str]:
    """Everything that was answered is there, with its content and its audit record."""
    audited = {what for record in _trail(services) for what in record}
    for unique, (places, digest) in known.submissions.items():
        for place in places:
            if services.store.read(_key(place)) is None:
                yield f"{place} was acknowledged and is not stored"
            if place not in audited:
                yield f"{place} has no audit record"
        binary = services.store.read(_key(places[2]))
        content = b"".join(services.store.blobs.read(binary.blob)) if binary and binary.blob else b""
        if hashlib.sha256(content).digest() != digest:
            yield f"the content of {unique} is not what was sent"


def _trail(services: Wired) -> Iterator[tuple[str, ...]]:
    page = services.store.audit(AuditQuery(count=_EVERYTHING))
    for _, record in page.records:
        yield record.what


def _whole(services: Wired, known: Acknowledged) -> Iterator[str]:
    """A submission is there as a whole or not at all, acknowledged or not."""
    documents = {str(version.key): version for version in _current(services, "DocumentReference")}
    binaries = {str(version.key): version for version in _current(services, "Binary")}
    lists = _current(services, "List")
    listed = [entry["item"]["reference"] for each in lists for entry in parse_stored(each.body)["entry"]]
    if sorted(listed) != sorted(documents):
        yield f"{len(documents)} documents, {len(listed)} listed in submission sets"
    urls = [parse_stored(each.body)["content"][0]["attachment"]["url"] for each in documents.values()]
    if sorted(urls) != sorted(binaries):
        yield f"{len(binaries)} contents, {len(urls)} referred to by documents"
    sent = {f"urn:oid:{unique}" for unique in known.started}
    for document in documents.values():
        if parse_stored(document.body)["masterIdentifier"]["value"] not in sent:
            yield f"{document.key} was never sent"
    for binary in binaries.values():
        if binary.blob is None or services.store.blobs.size(binary.blob) is None:
            yield f"{binary.key} has no content"


def _histories(services: Wired, known: Acknowledged) -> Iterator[str]:
    """Versions follow each other without a gap, up to the last acknowledged one or one more."""
    for id_, highest in known.organisations.items():
        page = services.store.history(HistoryQuery(type="Organization", id=id_, count=_EVERYTHING))
        numbers = [version.version for version in page.versions]
        if numbers != list(range(len(numbers), 0, -1)):
            yield f"Organization/{id_}: its history has a gap"
        if not numbers or numbers[0] < highest:
            yield f"Organization/{id_}: version {highest} was acknowledged and is not stored"
