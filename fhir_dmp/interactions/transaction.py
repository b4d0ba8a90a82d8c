"""batch and transaction: `POST [base]` with a Bundle. https://hl7.org/fhir/R4/http.html#transaction

A transaction is planned as a whole on the state before it, and committed once; a batch is a row of lone interactions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from fhir_dmp.documents.submission import is_submission
from fhir_dmp.errors import BadRequest, DmpError, Gone, NotFound
from fhir_dmp.fhir.bundle import Entry, bundle
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions import authorise, changes, masks, patching, provide, record, scoping
from fhir_dmp.interactions.bundle_entries import (
    BundleEntry,
    answered,
    lone,
    payload_of,
    preferred,
    raw_entries,
    read_entry,
    refused,
    written,
)
from fhir_dmp.interactions.changes import Change
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.folders import left_behind
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.targets import Targets, check_deletions, placed, resolved, targets_of
from fhir_dmp.interactions.write import Plan, commit
from fhir_dmp.ports import Key, Version

#: Order in which R4 processes the entries of a transaction.
ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2}

Handle = Callable[[Call], Answer]


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


def _batch(call: Call, body: Json, staged: Mapping[str, Blob], services: Services, handle: Handle) -> Answer:
    raw = raw_entries(body, services)
    results = [_alone(call, index, each, staged, handle) for index, each in enumerate(raw)]
    return _response("batch-response", results, services)


def _alone(call: Call, index: int, raw: object, staged: Mapping[str, Blob], handle: Handle) -> Entry:
    """Answer one entry of a batch, whatever becomes of the others."""
    entry = None
    try:
        entry = read_entry(index, raw, call.info.base)
        if not entry.path and entry.method == "POST":
            raise BadRequest("A batch cannot hold a batch or transaction.", code="not-supported")
        return _fetched(call, entry, staged, handle)
    except DmpError as error:
        return refused(entry, error)


def _fetched(call: Call, entry: BundleEntry, staged: Mapping[str, Blob], handle: Handle) -> Entry:
    return answered(entry, _embeddable(handle(lone(call, entry, staged))), call.info)


def _embeddable(answer: Answer) -> Answer:
    """Return an answer whose body can stand in a Bundle: a Binary's stream is joined."""
    if answer.stream is None:
        return answer
    return replace(answer, body=b"".join(answer.stream), stream=None)


def _response(kind: str, entries: list[Entry], services: Services) -> Answer:
    now = instant(services.clock.now_ms())
    return Answer(body=bundle(kind, entries, id_=services.ids.resource(), updated=now))


def _transaction(call: Call, body: Json, staged: Mapping[str, Blob], services: Services, handle: Handle) -> Answer:
    entries = [read_entry(index, raw, call.info.base) for index, raw in enumerate(raw_entries(body, services))]
    for entry in entries:
        if entry.reads:
            placed(entry, partial(_may_read, call, entry, services))
    targets = targets_of(call, entries, services)
    rewritten = resolved(call, entries, targets, services)
    planned = _planned(call, rewritten, targets, staged, services)
    versions = _commit(call, planned, services)
    results = [
        _result(call, planned[entry.index], versions, services)
        if entry.index in planned
        else _looked_up(call, entry, staged, handle)
        for entry in rewritten
    ]
    return _response("transaction-response", results, services)


def _may_read(call: Call, entry: BundleEntry, services: Services) -> None:
    """Judge a read before anything is written: a refusal of one entry refuses the transaction."""
    type_ = entry.path[0] if entry.path else ""
    if entry.path[-1:] == ("_history",) and len(entry.path) < 3:
        scoping.to_browse_history(call, type_ if len(entry.path) == 2 else None, services)
    if not services.is_offered(type_):
        return
    authorise.need(call.caller, "r" if len(entry.path) > 1 else "s", type_, services)
    stored = services.store.read(Key(type_, entry.path[1])) if len(entry.path) == 2 else None
    if stored is not None and not stored.deleted:
        with suppress(NotFound, Gone):  # hidden or unknown: its own entry says so
            authorise.to_read(call, stored, services)


def _looked_up(call: Call, entry: BundleEntry, staged: Mapping[str, Blob], handle: Handle) -> Entry:
    """Answer a read on the state after the writes. They are done: what it does not find is said in its own entry."""
    try:
        return _fetched(call, entry, staged, handle)
    except DmpError as error:
        return refused(entry, error)


def _planned(
    call: Call, entries: Sequence[BundleEntry], targets: Targets, staged: Mapping[str, Blob], services: Services
) -> dict[int, Change]:
    """Decide every write on the state before the transaction, in the order of R4."""
    leaving = frozenset(
        str(targets[entry.index].key) for entry in entries if entry.method in ("DELETE", "PUT", "PATCH")
    )
    writes = sorted((entry for entry in entries if not entry.reads), key=lambda each: ORDER[each.method])
    planned = {
        entry.index: placed(entry, partial(_plan, call, entry, targets, staged, leaving, services)) for entry in writes
    }
    check_deletions(
        [change.deletion.key for change in planned.values() if change.deletion],
        [(index, change.draft.resource) for index, change in planned.items() if change.draft],
    )
    return planned


def _plan(
    call: Call,
    entry: BundleEntry,
    targets: Targets,
    staged: Mapping[str, Blob],
    leaving: frozenset[str],
    services: Services,
) -> Change:
    target = targets[entry.index]
    key, payload = target.key, payload_of(entry.resource, staged)
    if entry.method == "DELETE":
        return changes.delete(call, key, services, entry.conditions, leaving=leaving)
    if entry.method == "PATCH":
        return changes.patch(call, key, patching.unwrapped(payload, services), services, entry.conditions)
    if entry.method == "POST":
        if target.match is not None:
            return Change("create", 200, unchanged=target.match, key=key, patient=target.match.patient)
        made = changes.create(
            call, key.type, payload, services, replace(entry.conditions, if_none_exist=None), id_=key.id
        )
    else:
        if entry.resource is not None and len(entry.path) != 2 and "id" not in entry.resource:
            payload = replace(payload, resource={**entry.resource, "id": key.id})
        made = changes.update(call, key, payload, services, entry.conditions)
    return replace(made, claims=(*made.claims, target.claim)) if target.claim else made


def _commit(call: Call, planned: Mapping[int, Change], services: Services) -> dict[Key, Version]:
    previous = {change.previous.key: change.previous for change in planned.values() if change.previous}
    written = {Key(change.draft.type, change.draft.id) for change in planned.values() if change.draft}
    folders, before = left_behind(planned.values(), written, services)
    plan = Plan(
        drafts=(*(change.draft for change in planned.values() if change.draft), *folders),
        previous={**previous, **before},
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
    return commit(plan, audit, services, creator=call.caller)


def _result(call: Call, change: Change, versions: Mapping[Key, Version], services: Services) -> Entry:
    version = (versions.get(change.key) if change.key else None) or change.unchanged
    if version is not None and preferred(call.info) == "representation":
        version = replace(version, body=masks.body_of(call.caller, version, services))
    return written(version, change.status, change.issues, call.info)
