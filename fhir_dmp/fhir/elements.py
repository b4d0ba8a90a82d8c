"""Reading elements of a resource whose shape nobody has checked yet: what is not of the expected kind reads as absent.

The rooms that decide run with every validation mode, so a wrong shape must end in an issue, never in a crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_dmp.fhir.resource import Json

#: How deep the elements of a narrative may stand in each other; deeper ones are no text for people.
MAX_NARRATIVE_DEPTH = 100


def text_of(value: Any) -> str | None:
    """Return a non-empty string, or None."""
    return value if isinstance(value, str) and value.strip() else None


def object_of(value: Any) -> Json:
    """Return a JSON object, or an empty one."""
    return value if isinstance(value, dict) else {}


def objects_of(value: Any) -> list[Json]:
    """Return the JSON objects of a list; a single object counts as a list of one."""
    if isinstance(value, list):
        return [part for part in value if isinstance(part, dict)]
    return [value] if isinstance(value, dict) else []


def texts_of(value: Any) -> list[str]:
    """Return the non-empty strings of a list."""
    return [part for part in value if text_of(part)] if isinstance(value, list) else []


def codings_of(concepts: Any) -> Iterator[tuple[str | None, str]]:
    """Yield (system, code) of every coding of a CodeableConcept, of a list of them, or of a Coding."""
    for concept in objects_of(concepts):
        for coding in objects_of(concept.get("coding")) if "coding" in concept else [concept]:
            code = text_of(coding.get("code"))
            if code is not None:
                yield text_of(coding.get("system")), code


def has_code(concepts: Any, system: str, code: str) -> bool:
    """Say whether one of the codings is this code of this system, spelled exactly so."""
    return (system, code) in codings_of(concepts)


def extensions_of(element: Any, url: str) -> list[Json]:
    """Return the extensions of an element that have this URL."""
    return [part for part in objects_of(object_of(element).get("extension")) if part.get("url") == url]


def contained_of(resource: Json) -> dict[str, Json]:
    """Return the contained resources by their local id (without `#`); the first one wins."""
    found: dict[str, Json] = {}
    for part in objects_of(resource.get("contained")):
        local = text_of(part.get("id"))
        if local is not None:
            found.setdefault(local.removeprefix("#"), part)
    return found
