"""What each write of a transaction is about, decided on the state before it, and the references that follow from it.

https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from fhir_dmp.errors import BadRequest, Conflict, DmpError, PreconditionFailed
from fhir_dmp.fhir.resource import Json, is_id, references
from fhir_dmp.fhir.rewrite import rewrite
from fhir_dmp.interactions import changes, criteria
from fhir_dmp.interactions.bundle_entries import BundleEntry, at
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Claim, Key, Version

T = TypeVar("T")
_TEMPORARY = ("urn:uuid:", "urn:oid:")


@dataclass(frozen=True, slots=True)
class Target:
    """The resource of one write. match: what its criteria found; claim: what keeps "found nothing" true."""

    key: Key
    match: Version | None = None
    claim: Claim | None = None


Targets = Mapping[int, Target]


def placed(entry: BundleEntry, work: Callable[[], T]) -> T:
    """Run one entry's work; an error names the entry, for the whole transaction fails by it."""
    try:
        return work()
    except DmpError as error:
        error.issues = tuple(at(entry, issue) for issue in error.issues)
        raise


def targets_of(call: Call, entries: Sequence[BundleEntry], services: Services) -> Targets:
    """Say which resource each write is about: a new id, the URL's id, or the match of its criteria.

    Raises:
        BadRequest: two entries have one fullUrl or touch one resource. PreconditionFailed: criteria match several.
    """
    _distinct(entries)
    seen = services.store.sequence()
    found = {
        entry.index: placed(entry, partial(_target, call, entry, seen, services))
        for entry in entries
        if not entry.reads
    }
    _check_overlap(entries, found)
    return found


def _distinct(entries: Iterable[BundleEntry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.full_url is None:
            continue
        if entry.full_url in seen:
            raise BadRequest("Two entries have the same fullUrl.", expression=f"Bundle.entry[{entry.index}].fullUrl")
        seen.add(entry.full_url)


def _target(call: Call, entry: BundleEntry, seen: int, services: Services) -> Target:
    where = f"Bundle.entry[{entry.index}].request.url"
    if not entry.path or not services.is_offered(entry.path[0]):
        raise BadRequest("request.url names no resource type.", expression=where)
    type_ = entry.path[0]
    if entry.method == "POST":
        if len(entry.path) != 1:
            raise BadRequest("A POST entry goes to a type; operations cannot stand here.", expression=where)
        return _made(call, entry, type_, seen, services)
    if len(entry.path) == 2:
        if not is_id(entry.path[1]):
            raise BadRequest("request.url holds no valid id.", code="value", expression=where)
        return Target(Key(type_, entry.path[1]))
    if len(entry.path) == 1 and entry.query:
        return _matched(call, entry, type_, seen, services)
    raise BadRequest("request.url must be a type, an instance or criteria.", expression=where)


def _made(call: Call, entry: BundleEntry, type_: str, seen: int, services: Services) -> Target:
    query = entry.conditions.if_none_exist
    if query is None:
        return Target(Key(type_, services.ids.resource()))
    match = changes.conditional(call, type_, query, services)
    if match is not None:
        return Target(match.key, match)
    return Target(Key(type_, services.ids.resource()), claim=Claim(criteria.claim_key(type_, query), seen))


def _matched(call: Call, entry: BundleEntry, type_: str, seen: int, services: Services) -> Target:
    match = changes.conditional(call, type_, entry.query, services)
    if match is not None:
        return Target(match.key, match)
    body_id = entry.resource.get("id") if entry.resource and entry.method == "PUT" else None
    claim = Claim(criteria.claim_key(type_, entry.query), seen) if entry.method == "PUT" else None
    if body_id is None:
        return Target(Key(type_, services.ids.resource()), claim=claim)
    if not (isinstance(body_id, str) and is_id(body_id)):
        raise BadRequest("The id in the body is not a FHIR id.", code="value", expression=f"{type_}.id")
    changes.free(Key(type_, body_id), services)
    return Target(Key(type_, body_id), claim=claim)


def _check_overlap(entries: Iterable[BundleEntry], targets: Targets) -> None:
    """Refuse two writes of one resource, and two creates under one criterion: each would make what the other found."""
    touched: dict[object, int] = {}
    for entry in entries:
        target = targets.get(entry.index)
        if target is None or (entry.method == "POST" and target.match is not None):
            continue
        for what in (target.key, target.claim.key if target.claim else None):
            if what is None:
                continue
            if what in touched:
                raise BadRequest(
                    f"Entries {touched[what]} and {entry.index} touch the same resource.",
                    expression=f"Bundle.entry[{entry.index}]",
                )
            touched[what] = entry.index


def resolved(call: Call, entries: Sequence[BundleEntry], targets: Targets, services: Services) -> list[BundleEntry]:
    """Replace every reference to an entry by the id it gets; conditional references by their one match.

    Raises:
        BadRequest: a temporary name that is no entry's. PreconditionFailed: a conditional reference without one match.
    """
    known = {entry.full_url: str(targets[entry.index].key) for entry in entries if entry.full_url and not entry.reads}
    matches: dict[str, str] = {}
    return [_resolved(call, entry, known, matches, services) for entry in entries]


def _resolved(
    call: Call, entry: BundleEntry, known: Mapping[str, str], matches: dict[str, str], services: Services
) -> BundleEntry:
    if entry.resource is None:
        return entry
    resource = rewrite(entry.resource, known, services.structures, full_url=entry.full_url)
    for holder, path in references(resource):
        where = f"Bundle.entry[{entry.index}].resource.{path}.reference"
        text = holder["reference"]
        if text.startswith(_TEMPORARY):
            raise BadRequest("The reference names no entry of the bundle.", expression=where)
        type_, mark, query = text.partition("?")
        if mark and services.is_offered(type_):
            if text not in matches:
                matches[text] = str(_referred(call, type_, query, where, services))
            holder["reference"] = matches[text]
    return replace(entry, resource=resource)


def _referred(call: Call, type_: str, query: str, where: str, services: Services) -> Key:
    try:
        match = changes.conditional(call, type_, query, services)
    except DmpError as error:
        error.issues = tuple(replace(issue, expression=(where,)) for issue in error.issues)
        raise
    if match is None:
        raise PreconditionFailed("The conditional reference matches nothing.", code="not-found", expression=where)
    return match.key


def check_deletions(deleted: Iterable[Key], kept: Iterable[tuple[int, Json]]) -> None:
    """Refuse a transaction in which something written refers to something deleted.

    Raises:
        Conflict: naming the reference.
    """
    names = {str(key) for key in deleted}
    for index, resource in kept if names else ():
        for holder, path in references(resource):
            if holder["reference"] in names:
                raise Conflict(
                    "The entry refers to what another entry deletes.",
                    expression=f"Bundle.entry[{index}].resource.{path}.reference",
                )
