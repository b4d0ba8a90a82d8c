"""What becomes of references from a visible resource to hidden ones: an id alone tells that something exists. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import Any

from fhir_dmp.access.parties import local
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.visibility import HIDEABLE

DATA_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_NAMES = "|".join(sorted(HIDEABLE)).encode()
#: A stored body without it refers to nothing that may be hidden, and needs no parsing.
_SUSPECT = re.compile(rb'"reference":"[^"]{0,2048}?(?:%s)/' % _NAMES)
#: Attachments too, but for those of a document itself: who sees the document sees its contents.
_ATTACHED = re.compile(rb'"url":"[^"]{0,2048}?(?:Binary|Bundle)/')
_MASKED: Json = {"extension": [{"url": DATA_ABSENT, "valueCode": "masked"}]}


def may_name_hidden(type_: str, body: bytes) -> bool:
    """Say whether a stored body may refer to, or attach, something that is hidden from some callers."""
    if type_ == "Bundle":
        return False  # a document as it was signed: what it says belongs to it
    if _SUSPECT.search(body) is not None:
        return True
    return type_ != "DocumentReference" and _ATTACHED.search(body) is not None


def references_to_check(resource: Json) -> tuple[str, ...]:
    """Return the documents, contents and lists (`DocumentReference/x`...) that a resource refers to or attaches.

    But for the contents of a document itself: who sees the document sees them.
    """
    outside = {key: part for key, part in resource.items() if key != "content"} if _is_document(resource) else resource
    return tuple(dict.fromkeys(place for place in _places(outside) if place.split("/", 1)[0] in HIDEABLE))


def _is_document(resource: Json) -> bool:
    return resource.get("resourceType") == "DocumentReference"


def _places(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        place = _place(value)
        if place is not None:
            yield place
        for part in value.values():
            yield from _places(part)
    elif isinstance(value, list):
        for part in value:
            yield from _places(part)


def _place(value: Json) -> str | None:
    """Return the `Type/id` that a Reference or an Attachment points at, None when it is neither."""
    place = local(value)
    url = value.get("url")
    if place is None and isinstance(url, str):
        place = url.split("/_history/", 1)[0]
    return None if place is None else _relative(place)


def _relative(place: str) -> str:
    """Return the last two segments of an absolute URL, the place itself when it is relative."""
    return "/".join(place.rsplit("/", 2)[-2:]) if "://" in place else place


def mask_references(resource: Json, hidden: Set[str]) -> Json:
    """Return the resource with references to, and attachments of, a hidden `Type/id` in their data-absent form.

    Identifier, display, title go too: they describe what is hidden. Without any, the resource itself is returned.
    """
    masked = _masked(resource, hidden)
    return masked if isinstance(masked, dict) else resource


def _masked(value: Any, hidden: Set[str]) -> Any:
    if isinstance(value, dict):
        if _place(value) in hidden:
            return _MASKED
        parts = {key: _masked(part, hidden) for key, part in value.items()}
        return parts if any(parts[key] is not value[key] for key in parts) else value
    if isinstance(value, list):
        items = [_masked(part, hidden) for part in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def is_emptied(resource: Json, hidden: Set[str]) -> bool:
    """Say whether every document that a list refers to is hidden: showing the list would tell that they exist."""
    items = [place for place in references_to_check(resource) if place.startswith("DocumentReference/")]
    return bool(items) and all(place in hidden for place in items)
