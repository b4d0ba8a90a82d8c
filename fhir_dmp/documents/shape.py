"""The shape of a submission: entries, mandatory elements, and the items of its lists. [dmp-fhir 3.2.3 rows 1 to 4]

Every issue names its place as `Bundle.entry[i]...`.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_dmp.documents.case import Case
from fhir_dmp.documents.elements import document_issues, folder_issues, set_issues
from fhir_dmp.documents.links import literal, resolver
from fhir_dmp.documents.metadata import claims_pdsm, list_kind
from fhir_dmp.documents.replace import find_document, is_superseding_patch
from fhir_dmp.documents.slices import Entry, Slice
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.elements import object_of, objects_of, text_of
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json

LISTS = (Slice.SUBMISSION_SET, Slice.NEW_FOLDER, Slice.FOLDER_UPDATE)


def shape_issues(bundle: Json, case: Case) -> list[Issue]:
    """Check that there is one submission set, at least one document, and that each has its elements. [rows 1, 3]"""
    found = []
    if not claims_pdsm(bundle):
        text = "The bundle claims no provide-document profile; it was recognised by its entries."
        found.append(Issue("informational", text, severity="warning", expression=("Bundle.meta.profile",)))
    sets, documents = case.of(Slice.SUBMISSION_SET), case.of(Slice.DOCUMENT)
    if len(sets) != 1:
        text = f"A submission has exactly one submission set (List of code submissionset); this one has {len(sets)}."
        places = tuple(f"Bundle.entry[{entry.index}]" for entry in sets) or ("Bundle.entry",)
        found.append(Issue("invariant", text, expression=places))
    if not documents:
        text = "A submission creates at least one DocumentReference."
        found.append(Issue("invariant", text, expression=("Bundle.entry",)))
    found.extend(_full_url_issues(case))
    for entry in case.entries:
        found.extend(_entry_shape(entry, case))
    return found


def _full_url_issues(case: Case) -> Iterator[Issue]:
    seen: set[str] = set()
    for entry in case.entries:
        if entry.full_url in seen:
            place = f"Bundle.entry[{entry.index}].fullUrl"
            yield Issue("invariant", "Two entries have the same fullUrl.", expression=(place,))
        if entry.full_url:
            seen.add(entry.full_url)


def _entry_shape(entry: Entry, case: Case) -> list[Issue]:
    place = entry.place
    match entry.slice:
        case Slice.SUBMISSION_SET:
            return set_issues(entry.resource, place, case.now_ms, case.rules)
        case Slice.NEW_FOLDER | Slice.FOLDER_UPDATE:
            return folder_issues(entry.resource, place)
        case Slice.DOCUMENT:
            content = case.content_of(entry)
            fhir_document = content is not None and content.is_fhir_document
            return document_issues(entry.resource, place, case.rules, fhir_document=fhir_document)
        case Slice.FHIR_DOCUMENT:
            return _fhir_document_issues(entry, case)
        case Slice.PATCH if not is_superseding_patch(entry.resource):
            return [unmodifiable(entry, case)]
        case _:
            return []


def unmodifiable(entry: Entry, case: Case) -> Issue:
    """Return the refusal of a patch that is not the one of a replacement."""
    return Issue(
        "business-rule",
        "In a submission a document is only patched to replace DocumentReference.status by superseded.",
        expression=(entry.place,),
        details=case.rules.erreur("metadonnee-non-modifiable"),
    )


def _fhir_document_issues(entry: Entry, case: Case) -> list[Issue]:
    if not case.rules.fhir_documents:
        text, details = "Native FHIR documents are not accepted.", case.rules.erreur("document-fhir-non-supporte")
        return [Issue("not-supported", text, expression=(entry.place,), details=details)]
    if entry.resource.get("type") != "document":
        return [
            Issue("invariant", "A Bundle in a submission is of type document.", expression=(f"{entry.place}.type",))
        ]
    first = next(iter(objects_of(entry.resource.get("entry"))), {})
    if object_of(first.get("resource")).get("resourceType") != "Composition":
        text = "A FHIR document starts with a Composition."
        return [Issue("invariant", text, expression=(f"{entry.place}.entry[0]",))]
    return []


def item_issues(case: Case) -> list[Issue]:
    """Check that every item of the lists resolves, and that the submission set lists every document. [row 4]"""
    found = []
    listed: set[int] = set()
    for entry in case.of(*LISTS):
        resolve = resolver(case.own, case.rules.fhir_base, entry.full_url)
        for position, item in enumerate(objects_of(entry.resource.get("entry"))):
            text = text_of(object_of(item.get("item")).get("reference"))
            target = case.entry_at(text, entry, resolve)
            if target is not None and target.slice in (Slice.DOCUMENT, Slice.NEW_FOLDER, Slice.FOLDER_UPDATE):
                if entry.slice is Slice.SUBMISSION_SET:
                    listed.add(target.index)
            elif text is None or stored_item(text, case) is None:
                place = f"{entry.place}.entry[{position}].item"
                text_ = "This item is neither an entry of the submission nor a document known here."
                found.append(Issue("not-found", text_, expression=(place,)))
    for document in case.of(Slice.DOCUMENT):
        if document.index not in listed:
            text_ = "The submission set does not list this document."
            found.append(Issue("invariant", text_, expression=(f"Bundle.entry[{document.index}]",)))
    return found


def stored_item(text: str, case: Case) -> Held | None:
    """Return the stored document or folder that a list item refers to."""
    pair = literal(text, case.rules.fhir_base)
    if pair is not None and pair[0] == "List":
        held = case.gathered.held.get(f"List/{pair[1]}")
        return held if held is not None and list_kind(held.resource) == "folder" else None
    return find_document(text, case.gathered, case.rules)
