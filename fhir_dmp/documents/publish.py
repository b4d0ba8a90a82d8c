"""Simplified publish (ITI-105) as a pure plan: a DocumentReference with its data -> document, content, submission set.

[dmp-fhir 3.2.1, 3.2.4, 4.2]. The content was taken out of `attachment.data` by the caller: gathered.blobs[0].
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from fhir_dmp.documents import of_cda
from fhir_dmp.documents.assemble import join_folders
from fhir_dmp.documents.case import Case, open_case, refuse
from fhir_dmp.documents.checks import (
    author_issues,
    conditional_links,
    document_code_issues,
    unresolved_issues,
)
from fhir_dmp.documents.contents import duplicate, fingerprint_issues
from fhir_dmp.documents.elements import (
    CONTENT_PROFILE,
    DOCUMENT_FORBIDDEN,
    DOCUMENT_PROFILE,
    DOCUMENT_VITAL,
    PUBLISH_VITAL,
    common_document_issues,
    forbidden,
    missing,
)
from fhir_dmp.documents.links import link_values, resolver, rewrite
from fhir_dmp.documents.metadata import (
    attachment_of,
    hash_of,
    is_entry_uuid,
    with_entry_uuid,
)
from fhir_dmp.documents.plans import Plan, Reply, Submitter
from fhir_dmp.documents.replace import REPLACES, Relation, inherited_labels, relation_issues, relations, superseded
from fhir_dmp.documents.rules import Rules
from fhir_dmp.documents.slices import Entry, Slice
from fhir_dmp.documents.subjects import Named, Subject, identity_issues, resolve_subject
from fhir_dmp.documents.survey import Gathered
from fhir_dmp.documents.written import finished, with_attachment, with_custodian, with_subject
from fhir_dmp.errors import Issue, Unprocessable
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.draft import Blob, Draft
from fhir_dmp.fhir.elements import codings_of, contained_of, object_of, objects_of, texts_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import MHD_LIST_TYPES, TRE_A11_FORMAT, TRE_R02_SECTOR, canonical_system
from fhir_dmp.terminology.national import RFC_3986
from fhir_dmp.terminology.sharing import (
    COMPREHENSIVE,
    DESIGNATION_TYPE,
    MHD_IDENTIFIER_TYPE,
    SIMPLIFIED,
    SOURCE_ID,
    SUBMISSION_SET,
)

_DEFAULT_FORMAT = {"system": TRE_A11_FORMAT, "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient"}
_UNDEFINED_SECTOR = "SA43"
PLACE = "DocumentReference"


def plan(docref: Json, if_none_exist: str | None, gathered: Gathered, rules: Rules, submitter: Submitter) -> Plan:
    """Decide a publication.

    Raises:
        Unprocessable, Conflict, Forbidden, PreconditionFailed: with the issues of the first check that fails.
    """
    entry = Entry(0, Slice.DOCUMENT, docref, "POST", PLACE, None, if_none_exist, root=PLACE)
    case = open_case([entry], gathered, rules, submitter.caller, submitter.now_ms)
    issues = refuse(_shape_issues(docref))
    named = Named(PLACE, object_of(docref.get("subject")), docref)
    subject = resolve_subject([named], gathered, rules, {})
    issues += refuse(identity_issues(docref, subject, rules, PLACE))
    if case.existing:
        held = case.existing[0]
        reply = Reply(0, 200, held.type, held.id, version=held.version, issues=tuple(issues))
        return Plan((), (reply,), (), subject.reference, (subject.held,))
    blob = gathered.blobs.get(0)
    if blob is None:
        raise Unprocessable(
            "attachment.data is missing.", code="required", expression=f"{PLACE}.content[0].attachment.data"
        )
    found, more = _decided(case, entry, subject, blob)
    return _built(case, entry, subject, found, [*issues, *more], blob, submitter)


def _shape_issues(docref: Json) -> list[Issue]:
    found = [*missing(docref, PUBLISH_VITAL, PLACE), *forbidden(docref, DOCUMENT_FORBIDDEN, PLACE)]
    if "url" in attachment_of(docref):
        text = "attachment.url is set by the server; send the content in attachment.data."
        found.append(Issue("business-rule", text, expression=(f"{PLACE}.content[0].attachment.url",)))
    for index, identifier in enumerate(objects_of(docref.get("identifier"))):
        if is_entry_uuid(identifier):
            text = "The entryUUID is assigned by the server; leave it out."
            found.append(Issue("business-rule", text, expression=(f"{PLACE}.identifier[{index}]",)))
    return found + common_document_issues(docref, PLACE)


def _decided(case: Case, entry: Entry, subject: Subject, blob: Blob) -> tuple[list[Relation], list[Issue]]:
    """Run rows 7 to 12 of the submission's checks on a single document."""
    fault = duplicate(entry.resource, hash_of(blob), case.gathered, case.rules, PLACE)
    if fault is not None:
        raise fault
    found = relations([entry], {}, case.gathered, case.rules)
    issues = relation_issues(found, subject, case.caller, case.gathered, case.rules)
    where = f"{PLACE}.content[0].attachment"
    issues += refuse(fingerprint_issues(attachment_of(entry.resource), blob, case.rules, where))
    issues += author_issues(case, subject)
    issues += refuse(document_code_issues(case, subject))
    refuse(unresolved_issues(case, {}))
    return found, issues


def _built(
    case: Case,
    entry: Entry,
    subject: Subject,
    found: Sequence[Relation],
    issues: list[Issue],
    blob: Blob,
    submitter: Submitter,
) -> Plan:
    rules = case.rules
    id_, binary_id, list_id = (submitter.new_id(subject.reference) for _ in range(3))
    resolve = resolver(conditional_links(case, subject), rules.fhir_base, None)
    told = of_cda.completed(rewrite(entry.resource, resolve), case.cda_of(entry), rules.codes)
    resource, filled = with_custodian(with_subject(told, subject), rules, PLACE)
    inherited: list[Json] = []
    for one in found:
        if one.code == REPLACES and one.target is not None:
            inherited, warned = inherited_labels(resource, one.target, PLACE)
            issues += warned
    complete = finished(_with_defaults(resource, f"Binary/{binary_id}"), id_, blob, inherited, found, rules)
    document = _with_profiles(complete)
    content_type = attachment_of(document).get("contentType")
    binary = {
        "resourceType": "Binary",
        "contentType": content_type,
        "securityContext": {"reference": f"DocumentReference/{id_}"},
    }
    drafts = [
        Draft("DocumentReference", id_, document, entry=0),
        Draft("Binary", binary_id, binary, blob=blob),
        Draft("List", list_id, submission_set(document, f"DocumentReference/{id_}", list_id, rules, case.now_ms)),
    ]
    _supersede(found, f"DocumentReference/{id_}", case, drafts)
    reply = Reply(0, 201, "DocumentReference", id_, 0, issues=(*issues, *filled))
    return Plan(tuple(drafts), (reply,), (), subject.reference, (subject.held,))


def _supersede(found: Sequence[Relation], successor: str, case: Case, drafts: list[Draft]) -> None:
    for one in found:
        if one.code == REPLACES and one.target is not None:
            held = one.target
            drafts.append(Draft(held.type, held.id, superseded(held), held.version, "PATCH"))
            join_folders(held, successor, case, drafts)


def _with_defaults(resource: Json, url: str) -> Json:
    """Return the document with the values of 4.2 where nothing was sent, and its content's address."""
    attachment = {**attachment_of(resource), "url": url}
    attachment.setdefault("language", "fr-FR")
    attachment.setdefault("creation", resource["date"])
    complete = with_attachment(resource, attachment)
    first, *others = objects_of(complete["content"])
    return {**complete, "content": [{**first, "format": first.get("format", _DEFAULT_FORMAT)}, *others]}


def _with_profiles(document: Json) -> Json:
    """A document that is complete claims the comprehensive profile too; another one claims only what it satisfies."""
    wanted = (*DOCUMENT_VITAL, *DOCUMENT_PROFILE, *CONTENT_PROFILE)
    complete = not list(missing(document, wanted, PLACE))
    meta = object_of(document.get("meta"))
    # Comprehensive is spelled differently by PDSm and by MHD.
    claimed = [one for one in texts_of(meta.get("profile")) if "comprehensive" not in one.lower()]
    profiles = [*claimed, SIMPLIFIED, *((COMPREHENSIVE,) if complete else ())]
    return {**document, "meta": {**meta, "profile": list(dict.fromkeys(profiles))}}


def submission_set(document: Json, reference: str, list_id: str, rules: Rules, now_ms: int) -> Json:
    """Return the submission set that the server makes of a single document. [3.2.4]"""
    source, contained = _source(document)
    number = uuid.UUID(list_id).int
    made: Json = {
        "resourceType": "List",
        "meta": {"profile": [SUBMISSION_SET]},
        **({"contained": contained} if contained else {}),
        "extension": [
            {"url": DESIGNATION_TYPE, "valueCodeableConcept": {"coding": [_designation(document)]}},
            {
                "url": SOURCE_ID,
                "valueIdentifier": {"system": RFC_3986, "value": f"urn:oid:{rules.operator_oid}"},
            },
        ],
        "identifier": [
            {
                "use": "usual",
                "type": {"coding": [{"system": MHD_IDENTIFIER_TYPE, "code": "uniqueId"}]},
                "system": RFC_3986,
                "value": f"urn:oid:2.25.{number}",
            }
        ],
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"system": MHD_LIST_TYPES, "code": "submissionset"}]},
        "subject": document["subject"],
        "date": instant(now_ms),
        "source": source,
        "entry": [{"item": {"reference": reference}}],
    }
    return with_entry_uuid(made, list_id)


def _designation(document: Json) -> Json:
    for system, code in codings_of(object_of(document.get("context")).get("facilityType")):
        if canonical_system(system or "") == TRE_R02_SECTOR:
            return {"system": TRE_R02_SECTOR, "code": code}
    return {"system": TRE_R02_SECTOR, "code": _UNDEFINED_SECTOR}


def _source(document: Json) -> tuple[Json, list[Json]]:
    """Return the first author as source, and the contained resources that it needs."""
    source = objects_of(document.get("author"))[0]
    inside = contained_of(document)
    needed: dict[str, Json] = {}
    pending: list[Json] = [source]
    while pending:
        for text, _ in link_values(pending.pop(), ""):
            local = text[1:]
            if text.startswith("#") and local in inside and local not in needed:
                needed[local] = inside[local]
                pending.append(inside[local])
    return source, list(needed.values())
