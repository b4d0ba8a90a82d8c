"""Lone changes: one decided change, one commit, one answer."""

from __future__ import annotations

from dataclasses import replace

from fhir_dmp.errors import BadRequest, Issue, NotFound
from fhir_dmp.fhir.links import on_the_wire
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import dump
from fhir_dmp.interactions import changes, masks, patching, publish, record
from fhir_dmp.interactions.changes import Change, Preconditions
from fhir_dmp.interactions.exchange import Answer, Call, Payload
from fhir_dmp.interactions.folders import left_behind
from fhir_dmp.interactions.read import key_of
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.unapplied import REPRESENTATION
from fhir_dmp.interactions.write import Plan, commit
from fhir_dmp.ports import Key, Version


def preconditions(call: Call) -> Preconditions:
    """Return the preconditions that the headers carry."""
    info = call.info
    return Preconditions(info.if_match, info.if_match_any, info.if_none_match_any, info.if_none_exist)


def payload(call: Call) -> Payload:
    """Return the request body.

    Raises:
        BadRequest: there is none.
    """
    if call.payload is None:
        raise BadRequest("This request needs a body.", code="required")
    return call.payload


def create(call: Call, services: Services) -> Answer:
    """`POST [type]`; a DocumentReference is published (ITI-105).

    Raises:
        BadRequest: criteria in the URL. Some clients mean a conditional create by them; ignored, they make duplicates.
    """
    misplaced = [name for name, _ in call.query if name not in REPRESENTATION]
    if misplaced:
        raise BadRequest(
            "A create takes no parameters; the criteria of a conditional create go into If-None-Exist.",
            code="not-supported",
            expression=f"http.{misplaced[0][:60]}",
        )
    if call.path[0] == "DocumentReference":
        return publish.publish(call, payload(call), services)
    return finish(call, changes.create(call, call.path[0], payload(call), services, preconditions(call)), services)


def update(call: Call, services: Services) -> Answer:
    """`PUT [type]/[id]`."""
    return finish(call, changes.update(call, key_of(call.path), payload(call), services, preconditions(call)), services)


def patch(call: Call, services: Services) -> Answer:
    """`PATCH [type]/[id]`."""
    return _patched(call, key_of(call.path), services)


def _patched(call: Call, key: Key, services: Services) -> Answer:
    body = patching.unwrapped(payload(call), services)
    patched = finish(call, changes.patch(call, key, body, services, preconditions(call)), services)
    return replace(patched, headers=(*patched.headers, *patching.warnings(key.type, body)))


def delete(call: Call, services: Services) -> Answer:
    """`DELETE [type]/[id]`."""
    return finish(call, changes.delete(call, key_of(call.path), services, preconditions(call)), services)


def conditional_update(call: Call, services: Services) -> Answer:
    """`PUT [type]?criteria`."""
    change = changes.conditional_update(
        call, call.path[0], criteria(call), payload(call), services, preconditions(call)
    )
    return finish(call, change, services)


def conditional_patch(call: Call, services: Services) -> Answer:
    """`PATCH [type]?criteria`: 404 when nothing matches, 412 when several do."""
    match = changes.conditional(call, call.path[0], criteria(call), services)
    if match is None:
        raise NotFound(f"No {call.path[0]} matches the criteria.")
    return _patched(call, match.key, services)


def conditional_delete(call: Call, services: Services) -> Answer:
    """`DELETE [type]?criteria`: at most one match."""
    match = changes.conditional(call, call.path[0], criteria(call), services)
    if match is None:
        return finish(call, Change("delete", 204), services)
    return finish(call, changes.delete(call, match.key, services, preconditions(call)), services)


def criteria(call: Call) -> str:
    """Return the criteria of a conditional request as a query string."""
    from urllib.parse import urlencode

    return urlencode(call.query)


def finish(call: Call, change: Change, services: Services) -> Answer:
    """Commit one change with its audit record, and answer as the client prefers."""
    folders, before = left_behind([change], (), services)
    what = [str(key) for key in (change.key, *before) if key]
    entry = record.record(call, change.kind, services, patient=change.patient, what=what, details=change.details)
    if change.draft is None and change.deletion is None:
        record.keep(services, entry)
        version = change.unchanged
    else:
        plan = Plan(
            drafts=((change.draft,) if change.draft else ()) + folders,
            previous={change.previous.key: change.previous, **before} if change.previous else {},
            deletions=(change.deletion,) if change.deletion else (),
            claims=change.claims,
        )
        versions = commit(plan, [entry], services, creator=call.caller)
        version = versions[change.key] if change.key else None
    return answer(call, change.status, version, change.issues, services)


def answer(call: Call, status: int, version: Version | None, issues: tuple[Issue, ...], services: Services) -> Answer:
    """Return what a write answers: the resource, an outcome or nothing, with its version and place."""
    prefer = call.info.prefer_return
    if version is None or version.deleted:
        if prefer == "OperationOutcome":
            return Answer(200, body=dump(operation_outcome((*issues, *done("deleted")))))
        return Answer(status, version=version.version if version else None)
    base = Answer(
        status,
        version=version.version,
        updated_ms=version.updated_ms,
        location=f"{version.type}/{version.id}/_history/{version.version}",
        issues=issues,
    )
    if prefer == "minimal":
        return base
    if prefer == "OperationOutcome":
        return replace(base, body=dump(operation_outcome((*issues, *done("stored")))))
    shown = masks.body_of(call.caller, version, services)
    return replace(base, body=on_the_wire(version.type, shown, call.info.base))


def done(what: str) -> tuple[Issue, ...]:
    """Return what an outcome says of a write that went well: `stored` or `deleted`."""
    return (Issue("informational", f"The resource was {what}.", severity="information"),)
