"""The checks of a submission against the record. [dmp-fhir 3.2.3 rows 5 to 12]

Every issue names its place as `Bundle.entry[i]...`. Whose documents these are: documents/subjects.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fhir_dmp.documents.authors import check_author, number_warnings
from fhir_dmp.documents.case import Case
from fhir_dmp.documents.codes import code_warnings
from fhir_dmp.documents.contents import described, duplicate, repeated
from fhir_dmp.documents.labels import LabelContext
from fhir_dmp.documents.labels import set_issues as label_issues
from fhir_dmp.documents.links import conditional, identifier_query, link_values, literal, resolver
from fhir_dmp.documents.metadata import hash_of, list_kind, unique_key, uniques
from fhir_dmp.documents.of_cda import cda_issues
from fhir_dmp.documents.replace import REPLACES, find_document, is_superseding_update
from fhir_dmp.documents.shape import LISTS, stored_item, unmodifiable
from fhir_dmp.documents.slices import CREATED, Entry, Slice
from fhir_dmp.documents.subjects import Subject
from fhir_dmp.errors import Issue, PreconditionFailed, Unprocessable
from fhir_dmp.fhir.ages import full_years
from fhir_dmp.fhir.elements import object_of, objects_of, text_of
from fhir_dmp.fhir.held import Held

_ETAG = re.compile(r'(?:W/)?"([A-Za-z0-9\-.]{1,64})"')


def item_patient_issues(case: Case, subject: Subject) -> list[Issue]:
    """Check that stored items and updated folders are of the same patient. [rows 4, 5]"""
    found = []
    for entry in case.of(*LISTS):
        for position, item in enumerate(objects_of(entry.resource.get("entry"))):
            held = stored_item(text_of(object_of(item.get("item")).get("reference")) or "", case)
            if held is not None and not _is_of(held, subject):
                found.append(_other_patient(f"{entry.place}.entry[{position}].item", case))
        if entry.slice is Slice.FOLDER_UPDATE:
            held = updated_folder(entry, case)
            if not _is_of(held, subject):
                found.append(_other_patient(f"{entry.place}.subject", case))
    return found


def _is_of(held: Held, subject: Subject) -> bool:
    return object_of(held.resource.get("subject")).get("reference") == subject.reference


def _other_patient(place: str, case: Case) -> Issue:
    details = case.rules.erreur("patient-discordant", "XDSPatientIdDoesNotMatch")
    return Issue("invariant", "This belongs to another patient.", expression=(place,), details=details)


def updated_folder(entry: Entry, case: Case) -> Held:
    """Return the folder that an entry updates.

    Raises:
        Unprocessable: it does not exist, or is no folder.
        PreconditionFailed: ifMatch names another version.
    """
    pair = literal(entry.url, case.rules.fhir_base)
    held = case.gathered.held.get(f"{pair[0]}/{pair[1]}") if pair else None
    if held is None or list_kind(held.resource) != "folder":
        raise Unprocessable(
            "PUT updates a folder that exists; create a new one with POST.",
            code="not-found",
            expression=f"Bundle.entry[{entry.index}].request.url",
        )
    check_if_match(entry, held)
    return held


def check_if_match(entry: Entry, held: Held) -> None:
    """Check request.ifMatch against the current version."""
    if entry.if_match is None:
        return
    versions = _ETAG.findall(entry.if_match)
    if entry.if_match.strip() != "*" and str(held.version) not in versions:
        raise PreconditionFailed(
            "The resource has changed since the version that this entry relies on.",
            expression=f"Bundle.entry[{entry.index}].request.ifMatch",
        )


def check_duplicates(case: Case) -> None:
    """Check that every uniqueId is new on the server and in the bundle. [row 7]

    Raises:
        Conflict: doublon-uniqueid or hash-different.
    """
    seen: set[str] = set()
    for entry in case.created(Slice.DOCUMENT, Slice.SUBMISSION_SET, Slice.NEW_FOLDER):
        content = case.content_of(entry) if entry.slice is Slice.DOCUMENT else None
        known = hash_of(content.blob) if content is not None and content.blob is not None else None
        fault = duplicate(entry.resource, known, case.gathered, case.rules, entry.place)
        keys = uniques(entry.resource)
        if fault is None and not seen.isdisjoint(keys):
            fault = repeated(entry.resource, case.rules, entry.place)
        if fault is not None:
            raise fault
        seen.update(keys)


def check_patches(case: Case, replaced: Mapping[str, Held]) -> dict[str, Entry]:
    """Match the entries that supersede a document with the replacements; return them by the document's id.

    Raises:
        Unprocessable: a patch whose document no new document replaces, or an update of anything but the status.
        PreconditionFailed: ifMatch names another version.
    """
    found: dict[str, Entry] = {}
    for entry in case.of(Slice.PATCH, Slice.OLD_REPLACEMENT):
        held = find_document(entry.url, case.gathered, case.rules)
        if held is not None and held.id in _replaced_before(case):
            continue
        if held is None or held.id not in replaced:
            raise Unprocessable(
                "No document of this submission replaces (relatesTo) the document that this entry supersedes.",
                code="invariant" if held else "not-found",
                expression=f"Bundle.entry[{entry.index}]",
                details=case.rules.erreur("transition-interdite" if held else "cible-inconnue"),
            )
        if held.id in found:
            raise Unprocessable("Two entries change the same document.", expression=f"Bundle.entry[{entry.index}]")
        updates = entry.slice is Slice.OLD_REPLACEMENT
        if updates and not is_superseding_update(entry.resource, held, case.rules.fhir_base):
            raise Unprocessable(issues=[unmodifiable(entry, case)])
        check_if_match(entry, held)
        found[held.id] = entry
    return found


def _replaced_before(case: Case) -> set[str]:
    """Return the documents that a replayed submission (ifNoneExist) has replaced already."""
    return {
        str(object_of(relation.get("target")).get("reference")).removeprefix("DocumentReference/")
        for entry in case.of(Slice.DOCUMENT)
        if entry.index in case.existing
        for relation in objects_of(case.existing[entry.index].resource.get("relatesTo"))
        if relation.get("code") == REPLACES
    }


def content_issues(case: Case) -> list[Issue]:
    """Check that each attachment is an entry of the bundle, and describes it. [rows 8 to 10]"""
    found = []
    used: set[int] = set()
    for entry in case.of(Slice.DOCUMENT):
        content = case.content_of(entry)
        if content is not None:
            used.add(content.entry.index)
        if entry.index in case.existing:
            continue
        if content is None:
            text = "attachment.url must be the fullUrl of a Binary or document Bundle of this submission."
            found.append(Issue("not-found", text, expression=(f"{entry.place}.content[0].attachment.url",)))
            continue
        if content.entry.slice is Slice.CONTENT and content.blob is None:
            place = f"{content.entry.place}.data"
            found.append(Issue("required", "The Binary has no data.", expression=(place,)))
        found.extend(described(entry.resource, content, case.rules, entry.place))
    for entry in case.of(Slice.CONTENT, Slice.FHIR_DOCUMENT):
        if entry.index not in used:
            text = "No document of this submission refers to this content."
            place = f"Bundle.entry[{entry.index}]"
            found.append(Issue("informational", text, severity="warning", expression=(place,)))
    return found


def author_issues(case: Case, subject: Subject) -> list[Issue]:
    """Check that the caller is an author of each new document. [row 11]"""
    known = case.gathered.known()
    return [
        issue
        for entry in case.created(Slice.DOCUMENT)
        if (issue := check_author(case.caller, entry.resource, case.rules, entry.place, subject.every, known))
    ]


def document_code_issues(case: Case, subject: Subject) -> list[Issue]:
    """Check labels, and what a CDA's header decides; warn of unlisted codes and of mistyped numbers. [row 12]"""
    context = LabelContext(case.rules, is_minor(subject, case))
    found = []
    for entry in case.created(Slice.DOCUMENT):
        found.extend(label_issues(entry.resource, context, entry.place))
        header = case.cda_of(entry)
        if header is not None:
            found.extend(cda_issues(entry.resource, header, case.rules, entry.place))
        found.extend(code_warnings(entry.resource, case.rules.codes, entry.place))
        found.extend(number_warnings(entry.resource, entry.place))
    return found


def is_minor(subject: Subject, case: Case) -> bool | None:
    """Say whether the patient is under age, None when the birth date is not known."""
    age = full_years(subject.birth_date, case.now_ms, case.rules.zone)
    return None if age is None else age < case.rules.age_of_majority


def conditional_links(case: Case, subject: Subject) -> dict[str, str]:
    """Return what the conditional references of the new resources stand for, as literal references.

    Raises:
        PreconditionFailed: one finds no resource, or several.
    """
    found: dict[str, str] = {}
    for entry in case.created(Slice.DOCUMENT, *LISTS):
        for text, path in link_values(entry.resource, entry.place):
            query = conditional(text, case.rules.fhir_base)
            if query is None or ".subject." in path or ".relatesTo[" in path or text in found:
                continue
            found[text] = _only_match(query, path, case).reference
    found.setdefault(subject.reference, subject.reference)
    return found


def _only_match(query: tuple[str, str], path: str, case: Case) -> Held:
    identifier = identifier_query(query[1])
    matches: tuple[Held, ...] = case.gathered.found.get(f"{query[0]}?{query[1]}", ())
    if identifier is not None and not matches:
        holder = case.gathered.holder(unique_key(query[0], identifier))
        matches = (holder,) if holder else ()
    if len(matches) != 1:
        raise PreconditionFailed(
            f"This conditional reference finds {'no resource' if not matches else 'several resources'}.",
            code="not-found" if not matches else "multiple-matches",
            expression=path,
        )
    return matches[0]


def unresolved_issues(case: Case, links: Mapping[str, str]) -> list[Issue]:
    """Return an error for each `urn:` reference that no entry of the bundle answers (contained ones are kept)."""
    found = []
    for entry in case.entries:
        if entry.slice is Slice.FHIR_DOCUMENT or entry.slice not in (*CREATED, Slice.FOLDER_UPDATE):
            continue
        resolve = resolver(links, case.rules.fhir_base, entry.full_url)
        for text, path in link_values(entry.resource, entry.place):
            if text.startswith("urn:") and ".contained[" not in path and resolve(text) is None:
                issue = Issue("not-found", "No entry of this bundle has this fullUrl.", expression=(path,))
                found.append(issue)
    return found
