"""Simplified publish (ITI-105): `POST DocumentReference` with its content inside."""

from __future__ import annotations

from fhir_dmp.documents.derived import is_derived
from fhir_dmp.documents.metadata import attachment_of
from fhir_dmp.documents.plans import Submitter
from fhir_dmp.documents.publish import plan
from fhir_dmp.documents.survey import survey_document
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions import authorise, derive, record, single, submit
from fhir_dmp.interactions.changes import of_type
from fhir_dmp.interactions.contents import judged, stage
from fhir_dmp.interactions.exchange import Answer, Call, Payload
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import Plan as WritePlan
from fhir_dmp.interactions.write import checked, commit, conforming, refuse_subset
from fhir_dmp.ports import Key, Require


def publish(call: Call, payload: Payload, services: Services) -> Answer:
    """Store a document given as one DocumentReference: its content, the document, and a submission set.

    Raises:
        Unprocessable, Conflict, Forbidden: nothing is stored.
    """
    authorise.need(call.caller, "c", "DocumentReference", services)
    document = of_type(payload.resource, "DocumentReference")
    refuse_subset(document)
    warnings = checked(judged(document), services)
    blob = _content(document, payload, services)
    criteria = call.info.if_none_exist
    needs = survey_document(document, criteria, fhir_base=services.base)
    blobs = {0: blob} if blob else {}
    found = submit.gathered(call, needs, blobs, {0: attachment_of(document).get("contentType")}, services)
    submitter = Submitter(call.caller, services.clock.now_ms(), services.ids.resource)
    decided = plan(document, criteria, found, services.documents, submitter)
    submit.within_scopes(call, decided.drafts, services)
    submit.may_feed(call, decided.patient, services)
    submit.may_deposit(call, decided.patient, decided.drafts, services)
    conforming(decided.drafts, services)
    decided = derive.completed(decided, services)
    reply = decided.replies[0]
    issues = (*warnings, *reply.issues, *decided.issues)
    key = Key(reply.type, reply.id)
    entry = record.record(
        call,
        "iti-105",
        services,
        patient=decided.patient,
        what=[f"{draft.type}/{draft.id}" for draft in decided.drafts if not is_derived(draft)] or [str(key)],
    )
    if not decided.drafts:
        record.keep(services, entry)
        return single.answer(call, 200, services.store.read(key), issues, services)
    write = WritePlan(
        drafts=decided.drafts,
        previous=submit.all_versions(decided.drafts, services),
        requires=tuple(Require(Key(held.type, held.id), held.version) for held in decided.relied),
    )
    versions = commit(write, [entry], services, creator=call.caller)
    return single.answer(call, reply.status, versions[key], issues, services)


def _content(document: Json, payload: Payload, services: Services) -> Blob | None:
    """Return the content of the first attachment; what is missing is named by the plan."""
    contents = document.get("content")
    first = contents[0] if isinstance(contents, list) and contents and isinstance(contents[0], dict) else {}
    attachment = first.get("attachment")
    if not isinstance(attachment, dict) or "data" not in attachment:
        return None
    where = "DocumentReference.content[0].attachment.data"
    return stage(attachment["data"], payload.staged, services, where=where)
