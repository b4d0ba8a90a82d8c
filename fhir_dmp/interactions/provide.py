"""Provide document bundle (ITI-65): a submission arrives, is decided as a whole, and is committed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fhir_dmp.documents.derived import is_derived
from fhir_dmp.documents.submission import Plan, Reply, Submitter, plan, survey
from fhir_dmp.errors import BadRequest, TooLarge
from fhir_dmp.fhir.bundle import Entry, bundle
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions import authorise, derive, masks, record, submit
from fhir_dmp.interactions.bundle_entries import preferred, written
from fhir_dmp.interactions.contents import judged, stage
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import Plan as WritePlan
from fhir_dmp.interactions.write import checked, commit, conforming
from fhir_dmp.ports import Key, Require, Version

_SHAPES = ("DocumentReference", "List", "Binary", "Bundle")


def provide(call: Call, submission: Json, staged: Mapping[str, Blob], services: Services) -> Answer:
    """Store a submission, or refuse it whole.

    Raises:
        Unprocessable, Conflict, Forbidden: with the issues of the first check that fails; nothing is stored.
    """
    limit = services.settings.server.max_bundle_entries
    if len(submission.get("entry", ())) > limit:
        raise TooLarge(f"This server takes {limit} entries at once.", code="too-costly", expression="Bundle.entry")
    _scopes(call, submission, services)
    checked(judged(submission), services)
    blobs = _contents(submission, staged, services)
    needs = survey(submission, fhir_base=services.base)
    types = {index: submission["entry"][index]["resource"].get("contentType") for index in blobs}
    found = submit.gathered(call, needs, blobs, types, services)
    submitter = Submitter(call.caller, services.clock.now_ms(), services.ids.resource)
    decided = plan(submission, found, services.documents, submitter)
    submit.within_scopes(call, decided.drafts, services)
    submit.may_feed(call, decided.patient, services)
    submit.may_deposit(call, decided.patient, decided.drafts, services)
    conforming(decided.drafts, services)
    decided = derive.completed(decided, services)
    versions = _commit(call, decided, services)
    return _answer(call, decided, versions, services)


def _scopes(call: Call, submission: Json, services: Services) -> None:
    for type_ in ("List", "DocumentReference"):
        authorise.need(call.caller, "c", type_, services)


def _contents(submission: Json, staged: Mapping[str, Blob], services: Services) -> dict[int, Blob]:
    """Return the content of each Binary entry, by entry index."""
    blobs: dict[int, Blob] = {}
    entries = submission.get("entry", ())
    if not isinstance(entries, list):
        raise BadRequest("Bundle.entry must be an array.", code="structure", expression="Bundle.entry")
    for index, entry in enumerate(entries):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "Binary" and "data" in resource:
            where = f"Bundle.entry[{index}].resource.data"
            blobs[index] = stage(resource["data"], staged, services, where=where)
    return blobs


def _commit(call: Call, decided: Plan, services: Services) -> dict[Key, Version]:
    audit = [
        record.record(
            call,
            "iti-65",
            services,
            patient=decided.patient,
            what=[f"{draft.type}/{draft.id}" for draft in decided.drafts if not is_derived(draft)],
        )
    ]
    write = WritePlan(
        drafts=decided.drafts,
        previous=submit.all_versions(decided.drafts, services),
        requires=tuple(Require(Key(held.type, held.id), held.version) for held in decided.relied),
    )
    return commit(write, audit, services, creator=call.caller)


def _answer(call: Call, decided: Plan, versions: Mapping[Key, Version], services: Services) -> Answer:
    # What concerns no entry by itself is told with the first one.
    first, *others = decided.replies
    replies = [replace(first, issues=(*first.issues, *decided.issues)), *others]
    entries = [_entry(call, reply, versions, services) for reply in replies]
    body = bundle(
        "transaction-response",
        entries,
        id_=services.ids.resource(decided.patient),
        updated=instant(services.clock.now_ms()),
    )
    return Answer(body=body)


def _entry(call: Call, reply: Reply, versions: Mapping[Key, Version], services: Services) -> Entry:
    key = Key(reply.type, reply.id)
    version = versions.get(key) or services.store.read(key)
    if reply.type == "Patient":  # named only: feeding a record is no right to read who it is
        return written(version, reply.status, reply.issues, replace(call.info, prefer_stated=False))
    if version is not None and preferred(call.info) == "representation":
        version = replace(version, body=masks.body_of(call.caller, version, services))
    return written(version, reply.status, reply.issues, call.info)
