"""Provide document bundle (ITI-65) as a pure plan: a submission and what was gathered -> drafts and answers.

All or nothing, checks in the order of [dmp-fhir 3.2.3]: slices, shape, submission set, items, subject, dossier,
uniqueId, relations, content, author, codes. The access decision (oppositions, blocks) is made elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fhir_dmp.documents import assemble
from fhir_dmp.documents.case import Case, open_case, refuse
from fhir_dmp.documents.checks import (
    author_issues,
    check_duplicates,
    check_patches,
    conditional_links,
    content_issues,
    document_code_issues,
    item_patient_issues,
    unresolved_issues,
)
from fhir_dmp.documents.links import conditional, literal
from fhir_dmp.documents.plans import Plan, Reply, Submitter
from fhir_dmp.documents.replace import REPLACES, relation_issues, relations
from fhir_dmp.documents.rules import Rules
from fhir_dmp.documents.shape import item_issues, shape_issues
from fhir_dmp.documents.slices import CREATED, Slice, entries_of, is_submission
from fhir_dmp.documents.subjects import Named, Subject, identity_issues, resolve_subject
from fhir_dmp.documents.survey import Gathered, Needs, survey, survey_targets
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.elements import object_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.dossier import NewId

__all__ = ["Gathered", "Needs", "Plan", "Reply", "Submitter", "is_submission", "plan", "survey", "survey_targets"]

_ENTRY = re.compile(r"Bundle\.entry\[(\d+)\]")


def plan(bundle: Json, gathered: Gathered, rules: Rules, submitter: Submitter) -> Plan:
    """Decide a submission.

    Raises:
        Unprocessable, Conflict, Forbidden, PreconditionFailed: with the issues of the first check that fails.
    """
    entries, faults = entries_of(bundle)
    refuse(faults)
    case = open_case(entries, gathered, rules, submitter.caller, submitter.now_ms)
    issues = refuse(shape_issues(bundle, case))
    refuse(item_issues(case))
    subject = _subject(case)
    issues += refuse([*_identity(case, subject), *item_patient_issues(case, subject)])
    check_duplicates(case)
    found = relations(case.created(Slice.DOCUMENT), case.own, gathered, rules)
    issues += relation_issues(found, subject, case.caller, gathered, rules)
    replaced = {one.target.id: one.target for one in found if one.code == REPLACES and one.target}
    patches = check_patches(case, replaced)
    issues += refuse(content_issues(case))
    issues += author_issues(case, subject)
    issues += refuse(document_code_issues(case, subject))
    links = {**conditional_links(case, subject), **_new_links(case, subject, submitter.new_id)}
    refuse(unresolved_issues(case, links))
    built = assemble.build(case, subject, found, patches, links)
    return _answer(case, subject, built, [*issues, *built.issues])


def _subject(case: Case) -> Subject:
    """Find the dossier: every list and every new document names the same patient."""
    rules = case.rules
    links = {}
    for entry in case.of(Slice.PATIENT):
        pair = literal(entry.url, rules.fhir_base)
        if entry.full_url and (pair or conditional(entry.url, rules.fhir_base)):
            links[entry.full_url] = entry.url
    named = [
        Named(entry.place, object_of(entry.resource.get("subject")), entry.resource)
        for entry in case.of(Slice.SUBMISSION_SET, Slice.DOCUMENT, Slice.NEW_FOLDER, Slice.FOLDER_UPDATE)
    ]
    named += [Named(entry.place, {"reference": entry.url}, {}) for entry in case.of(Slice.PATIENT)]
    return resolve_subject(named, case.gathered, rules, links)


def _identity(case: Case, subject: Subject) -> Iterable[Issue]:
    for entry in case.created(Slice.DOCUMENT):
        yield from identity_issues(entry.resource, subject, case.rules, entry.place)


def _new_links(case: Case, subject: Subject, new_id: NewId) -> dict[str, str]:
    """Return the literal reference behind each fullUrl, and behind `entry:<index>` for entries without one."""
    found: dict[str, str] = {}
    for entry in case.entries:
        if entry.index in case.existing:
            target = case.existing[entry.index].reference
        elif entry.slice in CREATED:
            target = f"{entry.resource['resourceType']}/{new_id(subject.reference)}"
        elif entry.slice is Slice.PATIENT:
            target = subject.reference
        else:
            target = entry.url.partition("?")[0] if "?" not in entry.url else ""
        if target:
            found[f"entry:{entry.index}"] = target
            if entry.full_url:
                found[entry.full_url] = target
    return found


def _answer(case: Case, subject: Subject, built: assemble.Built, issues: Iterable[Issue]) -> Plan:
    by_entry: dict[int, list[Issue]] = {}
    general = []
    for issue in issues:
        match = _ENTRY.match(issue.expression[0]) if issue.expression else None
        if match:
            by_entry.setdefault(int(match[1]), []).append(issue)
        else:
            general.append(issue)
    replies = []
    positions = {draft.entry: position for position, draft in enumerate(built.drafts) if draft.entry is not None}
    for entry in case.entries:
        own = tuple(by_entry.get(entry.index, ()))
        position = positions.get(entry.index)
        if position is not None:
            draft = built.drafts[position]
            status = 200 if draft.current else 201
            replies.append(Reply(entry.index, status, draft.type, draft.id, position, issues=own))
        else:
            stored = built.stored[entry.index]
            replies.append(Reply(entry.index, 200, stored.type, stored.id, version=stored.version, issues=own))
    return Plan(built.drafts, tuple(replies), tuple(general), subject.reference, (subject.held,))
