"""Provide document bundle (ITI-65): a submission arrives, is decided as a whole, and is committed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhir_dmp.documents.submission import Plan, Reply, Submitter, plan, survey
from fhir_dmp.errors import BadRequest, Issue, TooLarge
from fhir_dmp.fhir.bundle import Entry, bundle
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.interactions import authorise, record, submit
from fhir_dmp.interactions.bundle_entries import STATUS_TEXT
from fhir_dmp.interactions.contents import judged, stage
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import Plan as WritePlan
from fhir_dmp.interactions.write import checked, commit
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
    found = submit.gathered(call, needs, blobs, services)
    submitter = Submitter(call.caller, services.clock.now_ms(), services.ids.resource)
    decided = plan(submission, found, services.documents, submitter)
    submit.may_feed(call, decided.patient, services)
    submit.may_deposit(call, decided.patient, decided.drafts, services)
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
            what=[f"{draft.type}/{draft.id}" for draft in decided.drafts],
        )
    ]
    write = WritePlan(
        drafts=decided.drafts,
        previous=submit.all_versions(decided.drafts, services),
        requires=tuple(Require(Key(held.type, held.id), held.version) for held in decided.relied),
    )
    return commit(write, audit, services, creator=call.caller)


def _answer(call: Call, decided: Plan, versions: Mapping[Key, Version], services: Services) -> Answer:
    entries = [_entry(call, reply, versions, services) for reply in decided.replies]
    if decided.issues and entries:
        entries[0] = _with_issues(entries[0], (*decided.replies[0].issues, *decided.issues))
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
    number = version.version if version else reply.version
    entry = Entry(
        status=STATUS_TEXT[reply.status],
        location=f"{key}/_history/{number}" if number else str(key),
        etag=f'W/"{number}"' if number else None,
        modified=instant(version.updated_ms) if version else None,
    )
    return _with_issues(entry, reply.issues)


def _with_issues(entry: Entry, issues: Sequence[Issue]) -> Entry:
    if not issues:
        return entry
    return Entry(
        status=entry.status,
        location=entry.location,
        etag=entry.etag,
        modified=entry.modified,
        outcome=dump(operation_outcome(tuple(issues))),
    )
