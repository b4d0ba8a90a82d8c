"""Deriving resources from the CDA documents of a submission, in its commit (`documents.extract`).

A document that cannot be read, or a statement that gives no valid resource, keeps nothing from being stored: the
document is what counts, and the answer says what was not derived.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fhir_dmp.cda.to_fhir import statements
from fhir_dmp.cda.xml import clinical_document, parse
from fhir_dmp.documents.derived import derive
from fhir_dmp.documents.plans import Plan
from fhir_dmp.errors import DmpError, Issue
from fhir_dmp.fhir.draft import Blob, Draft
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions import words
from fhir_dmp.interactions.services import Services

_XML = ("application/xml", "text/xml")


def completed(plan: Plan, services: Services) -> Plan:
    """Return the plan with what its new CDA documents say."""
    if not services.settings.documents.extract:
        return plan
    contents = {
        f"{draft.type}/{draft.id}": draft.blob for draft in plan.drafts if draft.type == "Binary" and draft.blob
    }
    drafts: list[Draft] = []
    issues: list[Issue] = []
    for draft in plan.drafts:
        if draft.type != "DocumentReference" or draft.current or draft.resource.get("status") != "current":
            continue
        for blob, media_type in _cda_contents(draft.resource, contents):
            found, problems = _derived(blob, media_type, draft, plan.patient, services)
            drafts += found
            issues += problems
    return replace(plan, drafts=(*plan.drafts, *drafts), issues=(*plan.issues, *issues)) if drafts or issues else plan


def _cda_contents(document: Json, contents: dict[str, Blob]) -> Iterator[tuple[Blob, str]]:
    for content in objects_of(document.get("content")):
        attachment = object_of(content.get("attachment"))
        stated = str(attachment.get("contentType") or "")
        media = stated.partition(";")[0].strip().lower()
        blob = contents.get("/".join(str(attachment.get("url") or "").split("/")[-2:]))
        if blob is not None and media in _XML:
            yield blob, stated


def _derived(
    blob: Blob, media_type: str, document: Draft, patient: str, services: Services
) -> tuple[list[Draft], list[Issue]]:
    data = blob.data if blob.data is not None else b"".join(services.store.blobs.read(blob.sha256))
    try:
        clinical = clinical_document(parse(data))
        words.remember(blob, media_type, clinical, services)
        bundle = statements(clinical, services.cda(), services.zone)
    except DmpError as error:
        return [], [_warning(f"Nothing was derived from the document: {error}")]
    name = f"DocumentReference/{document.id}"
    drafts, issues = [], []
    for draft in derive(bundle, name, patient, services.ids.resource):
        if any(issue.severity in ("error", "fatal") for issue in services.validate(draft.resource)):
            issues.append(_warning(f"A {draft.type} of the document is not valid and was not derived."))
        else:
            drafts.append(draft)
    return drafts, issues


def _warning(text: str) -> Issue:
    return Issue("informational", text, severity="warning")
