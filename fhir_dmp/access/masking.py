"""What becomes of references from a visible resource to hidden ones: an id alone tells that something exists. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any

from fhir_dmp.access.parties import local
from fhir_dmp.fhir.resource import Json, references

DATA_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_MASKED: Json = {"extension": [{"url": DATA_ABSENT, "valueCode": "masked"}]}


def references_to_check(resource: Json) -> tuple[str, ...]:
    """Return the documents and lists (`DocumentReference/x`, `Binary/x`...) that a resource refers to."""
    return tuple(dict.fromkeys(place for place in _places(resource) if place.split("/", 1)[0] in _HIDEABLE))


_HIDEABLE = frozenset({"DocumentReference", "Binary", "Bundle", "List"})


def _places(resource: Json) -> Iterator[str]:
    for reference, _ in references(resource):
        place = local(reference)
        if place is not None:
            yield _relative(place)


def _relative(place: str) -> str:
    """Return the last two segments of an absolute URL, the place itself when it is relative."""
    return "/".join(place.rsplit("/", 2)[-2:]) if "://" in place else place


def mask_references(resource: Json, hidden: Set[str]) -> Json:
    """Return the resource with every reference to a hidden `Type/id` replaced by its data-absent form.

    Identifier and display go too: they describe what is hidden. The resource itself is returned when nothing changes.
    """
    masked = _masked(resource, hidden)
    return masked if isinstance(masked, dict) else resource


def _masked(value: Any, hidden: Set[str]) -> Any:
    if isinstance(value, dict):
        place = local(value)
        if place is not None and _relative(place) in hidden:
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
