"""What `_summary` and `_elements` leave of a resource. https://hl7.org/fhir/R4/search.html#summary

A subset always says that it is one (tag SUBSETTED), so that nobody stores it as the whole. Contained resources stay as
long as something that stays refers to them. Counting (`_summary=count`) concerns the bundle, not the resource.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Structure, Structures

SUBSETTED_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
SUBSETTED = "SUBSETTED"
SUMMARIES = ("true", "text", "data", "count", "false")

_ALWAYS = frozenset({"resourceType", "id", "meta"})
Keep = Callable[[str], bool]


def project(
    resource: Json, structures: Structures, *, summary: str | None = None, elements: Sequence[str] = ()
) -> Json:
    """Return the asked part of a resource; the resource itself when everything is asked.

    elements: names of top-level elements, alone or after a type (`Patient.name`); names of other types are ignored.

    Raises:
        BadRequest: an unknown `_summary`, or both controls at once.
    """
    check_controls(summary, elements)
    structure = structures.get(str(resource.get("resourceType")))
    if structure is None:
        return resource
    if summary == "true":
        return _tagged(_with_contained(_summarised(resource, structure, structures), resource))
    if summary == "text":  # by the letter: no modifier elements beside the narrative that tells them
        return _tagged(
            _with_contained(_kept(resource, lambda name: name == "text" or name in structure.mandatory), resource)
        )
    if summary == "data":
        return _tagged(_kept(resource, lambda name: name != "text"))
    if summary is None and elements:
        wanted = _wanted(elements, structure) | structure.mandatory | structure.modifiers
        return _tagged(_with_contained(_kept(resource, wanted.__contains__), resource))
    return resource


def check_controls(summary: str | None, elements: Sequence[str]) -> None:
    """Refuse an unknown `_summary`, and `_summary` together with `_elements`, before anything is searched.

    Raises:
        BadRequest: with the reason.
    """
    if summary is not None and summary not in SUMMARIES:
        raise BadRequest(f"_summary is one of {', '.join(SUMMARIES)}.", code="value")
    if summary not in (None, "false") and elements:
        raise BadRequest("_summary and _elements cannot be combined.", code="invalid")


def is_subset(resource: Json) -> bool:
    """Say whether the resource is marked as a part of a whole, which must not be stored."""
    meta = resource.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    if not isinstance(tags, list):
        return False
    return any(
        isinstance(tag, dict) and tag.get("code") == SUBSETTED and tag.get("system") == SUBSETTED_SYSTEM for tag in tags
    )


def _wanted(elements: Sequence[str], structure: Structure) -> frozenset[str]:
    """Return the JSON properties behind names as clients write them (`value`, `value[x]`, `Observation.value`)."""
    names = {name.removeprefix(f"{structure.name}.") for name in elements if name}
    stems = {name.removesuffix("[x]") for name in names}
    return frozenset(
        name for name, (element, _) in structure.properties.items() if name in names or element.stem in stems
    )


def _kept(node: Json, keep: Keep) -> Json:
    """Return the properties to keep, each with its `_name` twin."""
    return {name: value for name, value in node.items() if name in _ALWAYS or keep(name.removeprefix("_"))}


def _summarised(node: Json, structure: Structure, structures: Structures) -> Json:
    """Return the summary elements, the mandatory and the modifying ones, at every level."""
    shown = structure.summary | structure.mandatory | structure.modifiers
    kept: Json = {}
    for name, value in node.items():
        bare = name.removeprefix("_")
        if name in _ALWAYS or (bare in shown and bare != name):
            kept[name] = value
        elif bare in shown:
            part = _part(value, structure.properties[bare][1], structures)
            if part is not None or bare in structure.mandatory:  # mandatory, and nothing but extensions: whole
                kept[name] = value if part is None else part
    return kept


def _part(value: Any, type_: str, structures: Structures) -> Any:
    """Summarise a value of a type; None when nothing of it belongs to a summary."""
    if structures.is_primitive(type_) or type_ in ("Resource", "Extension", "Meta"):
        return value
    structure = structures.get(type_)
    if structure is None:
        return value
    if isinstance(value, list):
        parts = [_part(each, type_, structures) for each in value]
        return [part for part in parts if part is not None] or None
    if not isinstance(value, dict):
        return value
    part = _summarised(value, structure, structures)
    return part if part.keys() - {"id"} else None


def _with_contained(part: Json, whole: Json) -> Json:
    """Put back the contained resources that the part refers to, directly or through each other."""
    contained = whole.get("contained")
    if "contained" in part or not isinstance(contained, list):
        return part
    by_id = {each.get("id"): each for each in contained if isinstance(each, dict)}
    reached: set[str] = set()
    waiting = _local(part)
    while waiting:
        id_ = waiting.pop()
        if id_ in by_id and id_ not in reached:
            reached.add(id_)
            waiting |= _local(by_id[id_])
    needed = [each for each in contained if isinstance(each, dict) and each.get("id") in reached]
    return {**part, "contained": needed} if needed else part


def _local(value: Any) -> set[str]:
    """Return the ids of contained resources that a value refers to."""
    if isinstance(value, str):
        return {value[1:]} if value[:1] == "#" else set()
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(_local, parts))


def _tagged(resource: Json) -> Json:
    """Return the resource with the tag SUBSETTED; the given one stays as it is."""
    if is_subset(resource):
        return resource
    meta = resource.get("meta", {})
    tagged = {**meta, "tag": [*meta.get("tag", ()), {"system": SUBSETTED_SYSTEM, "code": SUBSETTED}]}
    if "meta" in resource:
        return {**resource, "meta": tagged}
    head: Json = {name: resource[name] for name in ("resourceType", "id") if name in resource}
    return {**head, "meta": tagged, **resource}
