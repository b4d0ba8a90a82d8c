"""batch and transaction: `POST [base]` with a Bundle. https://hl7.org/fhir/R4/http.html#transaction

A transaction is planned as a whole on the state before it, and committed once; a batch is a row of lone interactions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from fhir_dmp.documents.submission import is_submission
from fhir_dmp.errors import BadRequest, DmpError, PreconditionFailed
from fhir_dmp.fhir.bundle import Entry, bundle
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import Json, dump, is_id, references
from fhir_dmp.fhir.rewrite import rewrite
from fhir_dmp.interactions import changes, patching, provide, record
from fhir_dmp.interactions.bundle_entries import BundleEntry, answered, at, entries_of, payload_of, written
from fhir_dmp.interactions.changes import Change
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import Plan, commit
from fhir_dmp.ports import Key, Version

#: Order in which R4 processes the entries of a transaction.
ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}

Handle = Callable[[Call], Answer]
T = TypeVar("T")


def process(call: Call, services: Services, handle: Handle) -> Answer:
    """Carry out a batch or transaction Bundle; `handle` answers one lone call.

    Raises:
        BadRequest: the Bundle is of another type.
    """
    payload = call.payload
    body = changes.of_type(payload.resource if payload else None, "Bundle")
    assert payload is not None
    kind = body.get("type")
    if kind == "batch":
        return _batch(call, body, payload.staged, services, handle)
    if kind != "transaction":
        raise BadRequest(
            "The base takes bundles of type batch or transaction; POST to /Bundle to store another one.",
            code="invalid",
            expression="Bundle.type",
        )
    if is_submission(body):
        return provide.provide(call, body, payload.staged, services)
    return _transaction(call, body, payload.staged, services, handle)


def _lone(call: Call, entry: BundleEntry, staged: Mapping[str, Blob]) -> Call:
    info = replace(
        call.info,
        if_match=entry.conditions.if_match,
        if_match_any=entry.conditions.if_match_any,
        if_none_match_any=entry.conditions.if_none_match_any,
        if_none_exist=entry.conditions.if_none_exist,
        raw=f"{entry.method} {'/'.join(entry.path)}{'?' + entry.query if entry.query else ''}",
    )
    method = "GET" if entry.method == "HEAD" else entry.method
    payload = payload_of(entry.resource, staged) if entry.resource is not None else None
    return Call(method, entry.path, call.caller, info, entry.pairs, payload)


def _batch(call: Call, body: Json, staged: Mapping[str, Blob], services: Services, handle: Handle) -> Answer:
    results = []
    for entry in entries_of(body, services):
        try:
            if not entry.path and entry.method == "POST":
                raise BadRequest("A batch cannot hold a batch or transaction.", code="not-supported")
            results.append(answered(_embeddable(handle(_lone(call, entry, staged)))))
        except DmpError as error:
            issues = tuple(at(entry, issue) for issue in error.issues)
            results.append(Entry(status=str(error.status), outcome=dump(operation_outcome(issues))))
    return _response("batch-response", results, services)


def _fetched(call: Call, entry: BundleEntry, staged: Mapping[str, Blob], handle: Handle) -> Entry:
    """Answer a GET entry on the state after the writes."""
    return answered(_embeddable(handle(_lone(call, entry, staged))))


def _embeddable(answer: Answer) -> Answer:
    """Return an answer whose body can stand in a Bundle: a Binary's stream is joined."""
    if answer.stream is None:
        return answer
    return replace(answer, body=b"".join(answer.stream), stream=None)


def _response(kind: str, entries: list[Entry], services: Services) -> Answer:
    now = instant(services.clock.now_ms())
    return Answer(body=bundle(kind, entries, id_=services.ids.resource(), updated=now))


def _transaction(call: Call, body: Json, staged: Mapping[str, Blob], services: Services, handle: Handle) -> Answer:
    entries = entries_of(body, services)
    _distinct(entries)
    targets = _targets(call, entries, services)
    _check_overlap(entries, targets)
    rewritten = [_rewritten(call, entry, entries, targets, services) for entry in entries]
    planned: dict[int, Change] = {}
    for entry in sorted(rewritten, key=lambda each: ORDER[each.method]):
        if entry.method not in ("GET", "HEAD"):
            planned[entry.index] = _placed(entry, partial(_plan, call, entry, targets, staged, services))
    versions = _commit(call, planned, services)
    results: list[Entry] = []
    for entry in rewritten:
        if entry.index in planned:
            results.append(_result(call, planned[entry.index], versions, services))
        else:
            results.append(_placed(entry, partial(_fetched, call, entry, staged, handle)))
    return _response("transaction-response", results, services)


def _placed(entry: BundleEntry, work: Callable[[], T]) -> T:
    """Run one entry's work; an error names the entry, for the whole transaction fails by it."""
    try:
        return work()
    except DmpError as error:
        error.issues = tuple(at(entry, issue) for issue in error.issues)
        raise


def _distinct(entries: list[BundleEntry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.full_url is None:
            continue
        if entry.full_url in seen:
            raise BadRequest(
                "Two entries have the same fullUrl.", code="invalid", expression=f"Bundle.entry[{entry.index}].fullUrl"
            )
        seen.add(entry.full_url)


def _targets(call: Call, entries: list[BundleEntry], services: Services) -> dict[int, Key | Version]:
    """Say which resource each write is about: a new id, the URL's id, or the match of its criteria (a Version)."""
    return {
        entry.index: target
        for entry in entries
        if (target := _placed(entry, partial(_target, call, entry, services))) is not None
    }


def _target(call: Call, entry: BundleEntry, services: Services) -> Key | Version | None:
    if entry.method in ("GET", "HEAD"):
        return None
    if not entry.path or not services.structures.is_resource(entry.path[0]):
        raise BadRequest("request.url names no resource type.", code="invalid")
    type_ = entry.path[0]
    if entry.method == "POST":
        if len(entry.path) != 1:
            raise BadRequest("A POST entry goes to a type; operations cannot stand in a transaction.", code="invalid")
        if entry.conditions.if_none_exist is not None:
            match = changes.conditional(call, type_, entry.conditions.if_none_exist, services)
            return match or Key(type_, services.ids.resource())
        return Key(type_, services.ids.resource())
    if len(entry.path) == 2:
        if not is_id(entry.path[1]):
            raise BadRequest("request.url holds no valid id.", code="value")
        return Key(type_, entry.path[1])
    if len(entry.path) == 1 and entry.query:
        match = changes.conditional(call, type_, entry.query, services)
        if match is not None:
            return match
        body_id = entry.resource.get("id") if entry.resource and entry.method == "PUT" else None
        return Key(type_, body_id if isinstance(body_id, str) and is_id(body_id) else services.ids.resource())
    raise BadRequest("request.url must be a type, an instance or criteria.", code="invalid")


def _key(target: Key | Version) -> Key:
    return target.key if isinstance(target, Version) else target


def _check_overlap(entries: list[BundleEntry], targets: Mapping[int, Key | Version]) -> None:
    seen: dict[Key, int] = {}
    for entry in entries:
        target = targets.get(entry.index)
        if target is None or (entry.method == "POST" and isinstance(target, Version)):
            continue
        if _key(target) in seen:
            raise BadRequest(
                f"Entries {seen[_key(target)]} and {entry.index} touch the same resource.",
                code="invalid",
                expression=f"Bundle.entry[{entry.index}]",
            )
        seen[_key(target)] = entry.index


def _rewritten(
    call: Call, entry: BundleEntry, entries: list[BundleEntry], targets: Mapping[int, Key | Version], services: Services
) -> BundleEntry:
    """Replace every reference to an entry by the id it gets; conditional references by their one match."""
    if entry.resource is None:
        return entry
    known = {e.full_url: str(_key(targets[e.index])) for e in entries if e.full_url and e.index in targets}
    resource = rewrite(entry.resource, known, services.structures, full_url=entry.full_url)
    for holder, path in references(resource):
        where = f"Bundle.entry[{entry.index}].resource.{path}"
        text = holder["reference"]
        if text.startswith(("urn:uuid:", "urn:oid:")):
            raise BadRequest(
                "The reference names no entry of the bundle.", code="invalid", expression=f"{where}.reference"
            )
        type_, mark, criteria = text.partition("?")
        if mark and services.structures.is_resource(type_):
            holder["reference"] = str(_referred(call, type_, criteria, where, services))
    return replace(entry, resource=resource)


def _referred(call: Call, type_: str, criteria: str, where: str, services: Services) -> Key:
    match = changes.conditional(call, type_, criteria, services)
    if match is None:
        raise PreconditionFailed("The conditional reference matches nothing.", code="not-found", expression=where)
    return match.key


def _plan(
    call: Call, entry: BundleEntry, targets: Mapping[int, Key | Version], staged: Mapping[str, Blob], services: Services
) -> Change:
    target = targets[entry.index]
    key = _key(target)
    payload = payload_of(entry.resource, staged)
    if entry.method == "POST":
        if isinstance(target, Version):
            return Change("create", 200, unchanged=target, key=key, patient=target.patient)
        return changes.create(call, key.type, payload, services, entry.conditions, id_=key.id)
    if entry.method == "PUT":
        if entry.resource is not None and len(entry.path) != 2 and "id" not in entry.resource:
            payload = replace(payload, resource={**entry.resource, "id": key.id})
        return changes.update(call, key, payload, services, entry.conditions)
    if entry.method == "PATCH":
        return changes.patch(call, key, patching.unwrapped(payload, services), services, entry.conditions)
    return changes.delete(call, key, services, entry.conditions)


def _commit(call: Call, planned: Mapping[int, Change], services: Services) -> dict[Key, Version]:
    previous = {change.previous.key: change.previous for change in planned.values() if change.previous}
    plan = Plan(
        drafts=tuple(change.draft for change in planned.values() if change.draft),
        previous=previous,
        deletions=tuple(change.deletion for change in planned.values() if change.deletion),
        claims=tuple(claim for change in planned.values() for claim in change.claims),
    )
    patients = {change.patient for change in planned.values()}
    audit = [record.record(call, "transaction", services, patient=patients.pop() if len(patients) == 1 else None)]
    audit += [
        record.record(
            call, change.kind, services, patient=change.patient, what=[str(change.key)], details=change.details
        )
        for change in planned.values()
        if change.key
    ]
    return commit(plan, audit, services)


def _result(call: Call, change: Change, versions: Mapping[Key, Version], services: Services) -> Entry:
    version = versions.get(change.key) if change.key else None
    version = version or change.unchanged
    if version is None:
        return Entry(status="204 No Content")
    return written(version, change.status, call.info.prefer_return, change.issues, services)
