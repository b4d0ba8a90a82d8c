"""The entries of a provide-document bundle (ITI-65), recognised by resource type and method. [dmp-fhir 3.2.2, 4.5]

Slicing is closed: whatever fits no slice is refused. Profiles named in `meta.profile` never decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from fhir_dmp.documents.metadata import claims_pdsm, list_kind
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.elements import object_of, text_of
from fhir_dmp.fhir.resource import Json


class Slice(StrEnum):
    """What an entry is for."""

    SUBMISSION_SET = "submission set"
    DOCUMENT = "document"
    CONTENT = "content"
    FHIR_DOCUMENT = "FHIR document"
    PATCH = "patch"
    OLD_REPLACEMENT = "replaced document"
    NEW_FOLDER = "new folder"
    FOLDER_UPDATE = "folder update"
    PATIENT = "patient"


#: Slices whose resource is created under a new id.
CREATED = frozenset((Slice.SUBMISSION_SET, Slice.DOCUMENT, Slice.CONTENT, Slice.FHIR_DOCUMENT, Slice.NEW_FOLDER))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the bundle, with its position. url: request.url as sent.

    root: where a resource stands that was sent alone (ITI-105).
    """

    index: int
    slice: Slice
    resource: Json
    method: str
    url: str
    full_url: str | None = None
    if_none_exist: str | None = None
    if_match: str | None = None
    root: str | None = None

    @property
    def place(self) -> str:
        """FHIRPath of the resource in the bundle, or its type when it is no bundle's entry."""
        return self.root or f"Bundle.entry[{self.index}].resource"


def is_submission(bundle: Json) -> bool:
    """Say whether a transaction follows the rules of ITI-65 instead of the generic ones.

    It does when it claims an MHD or PDSm profile, creates a DocumentReference, or holds a submission set.
    """
    if bundle.get("type") != "transaction":
        return False
    if claims_pdsm(bundle):
        return True
    for _, entry in _raw_entries(bundle):
        resource = object_of(entry.get("resource"))
        kind = resource.get("resourceType")
        if kind == "DocumentReference" and object_of(entry.get("request")).get("method") == "POST":
            return True
        if kind == "List" and list_kind(resource) == "submissionset":
            return True
    return False


def _raw_entries(bundle: Json) -> Iterator[tuple[int, Json]]:
    entries = bundle.get("entry")
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        yield index, object_of(entry)


def entries_of(bundle: Json) -> tuple[list[Entry], list[Issue]]:
    """Return the recognised entries, and an error for each entry that fits no slice. [3.2.3 row 2]"""
    found: list[Entry] = []
    issues: list[Issue] = []
    for index, raw in _raw_entries(bundle):
        request = object_of(raw.get("request"))
        resource = object_of(raw.get("resource"))
        method, url = text_of(request.get("method")) or "", text_of(request.get("url")) or ""
        slice_ = _slice(resource, method, url)
        if isinstance(slice_, str) and not isinstance(slice_, Slice):
            issues.append(Issue("business-rule", slice_, expression=(f"Bundle.entry[{index}]",)))
            continue
        found.append(
            Entry(
                index,
                slice_,
                resource,
                method,
                url,
                text_of(raw.get("fullUrl")),
                text_of(request.get("ifNoneExist")),
                text_of(request.get("ifMatch")),
            )
        )
    return found, issues


_POSTED = {
    "DocumentReference": Slice.DOCUMENT,
    "Binary": Slice.CONTENT,
    "Bundle": Slice.FHIR_DOCUMENT,
}


def _slice(resource: Json, method: str, url: str) -> Slice | str:
    """Return the slice, or what is wrong with the entry."""
    kind = resource.get("resourceType")
    if not method or not url:
        return "An entry needs request.method and request.url."
    if method == "GET" and url.partition("?")[0].partition("/")[0] == "Patient":
        return Slice.PATIENT
    if not isinstance(kind, str):
        return "An entry needs a resource with a resourceType."
    if kind == "Patient":
        return "A submission may read a Patient, never write one; open the dossier with Patient/$dmp-ouvrir."
    if kind == "List":
        return _list_slice(resource, method, url)
    if method == "PATCH" and kind == "Parameters":
        return Slice.PATCH if _on(url, "DocumentReference") else "A patch of a submission is on a DocumentReference."
    if method == "PUT" and kind == "DocumentReference":
        return Slice.OLD_REPLACEMENT
    if method == "POST" and kind in _POSTED:
        return _POSTED[kind] if url == kind else f"request.url must be '{kind}'."
    return f"{method} of {kind[:64]} has no place in a submission."


def _on(url: str, kind: str) -> bool:
    return url.startswith((f"{kind}/", f"{kind}?"))


def _list_slice(resource: Json, method: str, url: str) -> Slice | str:
    kind = list_kind(resource)
    if kind is None:
        return "List.code must be submissionset or folder of the MHD list types."
    if method == "POST":
        if url != "List":
            return "request.url must be 'List'."
        return Slice.SUBMISSION_SET if kind == "submissionset" else Slice.NEW_FOLDER
    if method == "PUT" and kind == "folder" and url.startswith("List/"):
        return Slice.FOLDER_UPDATE
    return f"A {kind} cannot be the object of {method} here."
