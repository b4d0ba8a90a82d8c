"""Where the values of a search parameter stand: expressions compiled to readers that share work within one resource.

Three shortcuts over plain FHIRPath, all exact (a test holds them against it): plain element paths walk the JSON, an
expression whose first element is absent is not run at all, and the contained resources behind `x.resolve()` are looked
up once for all the contained chains that pass through `x`. They make extraction some three times faster.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fhir_dmp.fhir.path import compile_path
from fhir_dmp.fhir.path_types import CHOICES, SUFFIXES, type_of_reference
from fhir_dmp.fhir.resource import Json
from fhir_dmp.search.parameters import union_parts

_HEAD = re.compile(r"\(?[A-Z][A-Za-z]*\.([a-z]\w*)(?=$|\.|\)| as )")
_COMPUTED = re.compile(r"exists\(|empty\(|count\(|all\(|not\(|iif\(|[=<>] |\band\b|\bor\b")
_PLAIN = re.compile(r"(?:[A-Z][A-Za-z]*\.)?([a-z]\w*(?:\.[a-z]\w*)*)(?:\.where\(resolve\(\) is ([A-Z][A-Za-z]*)\))?")
_RESOLVE = ".resolve()"


@dataclass(slots=True)
class Opened:
    """One resource while it is read: its contained resources by id, and what has been resolved so far."""

    resource: Json
    contained: dict[str, Json]
    resolved: dict[str, list[Json]] = field(default_factory=dict)


Reader = Callable[[Opened], list[Any]]
_Find = Callable[[Json], list[Any]]


def opened(resource: Json) -> Opened:
    """Return a resource ready to be read."""
    contained = resource.get("contained")
    if not isinstance(contained, list):
        return Opened(resource, {})
    parts = (part for part in contained if isinstance(part, dict) and isinstance(part.get("resourceType"), str))
    return Opened(resource, {part["id"]: part for part in parts if isinstance(part.get("id"), str)})


def reader_of(expression: str) -> Reader:
    """Return the reader of an expression.

    >>> read = reader_of("List.source.resolve().name.family | List.title")
    >>> read(opened({"resourceType": "List", "title": "T", "source": {"reference": "#a"},
    ...              "contained": [{"resourceType": "Practitioner", "id": "a", "name": [{"family": "Exemple"}]}]}))
    ['Exemple', 'T']
    """
    readers = [_part(part) for part in union_parts(expression)]
    if len(readers) == 1:
        return readers[0]
    return lambda source: [value for read in readers for value in read(source)]


def _part(part: str) -> Reader:
    match = _PLAIN.fullmatch(part)
    if match is not None:
        return _walking(part, match[2])
    if _RESOLVE + "." in part:
        return _chain(part)
    find = compile_path(part).values
    head = _HEAD.match(part)
    if head is None or head[1] in CHOICES or _COMPUTED.search(_without_conditions(part)):
        return lambda source: find(source.resource)
    name = head[1]
    return lambda source: find(source.resource) if name in source.resource else []


def _walking(part: str, target: str | None) -> Reader:
    find = _finder(part.partition(".where(")[0])
    if target is None:
        return lambda source: find(source.resource)
    return lambda source: [value for value in find(source.resource) if _refers_to(value, target, source)]


def _refers_to(value: Any, target: str, source: Opened) -> bool:
    """Say whether a reference is to a resource type: `where(resolve() is Type)`."""
    reference = value.get("reference") if isinstance(value, dict) else value
    if isinstance(reference, str):
        if reference.startswith("#"):
            contained = source.contained.get(reference[1:])
            return contained is not None and contained["resourceType"] == target
        named = type_of_reference(reference)
        if named is not None:
            return named == target
    stated = value.get("type") if isinstance(value, dict) else None
    return isinstance(stated, str) and stated.rpartition("/")[2] == target


def _finder(part: str) -> _Find:
    """Return the function that finds the values of one part of a union in a resource."""
    match = _PLAIN.fullmatch(part)
    if match is None or match[2] is not None:
        return compile_path(part).values
    steps = tuple((name, name in CHOICES) for name in match[1].split("."))

    def walk(resource: Json) -> list[Any]:
        values: list[Any] = [resource]
        for name, choice in steps:
            found: list[Any] = []
            for holder in values:
                if isinstance(holder, dict):
                    held = holder.get(name)
                    if isinstance(held, list):
                        found += held
                    elif held is not None:
                        found.append(held)
                    elif choice:
                        found += _chosen(holder, name)
            values = found
        return [value for value in values if value is not None] if None in values else values

    return walk


def _chosen(holder: Json, name: str) -> list[Any]:
    """Return the value of a choice element: `valueQuantity` for `value`."""
    return [
        part
        for key, part in holder.items()
        if key.startswith(name) and key[len(name) :] in SUFFIXES and part is not None and not isinstance(part, list)
    ]


def _without_conditions(part: str) -> str:
    """Return an expression without its filters: `where(...)` only ever takes values away."""
    return re.sub(r"\.where\((?:[^()]|\([^()]*\))*\)", "", part)


def _chain(part: str) -> Reader:
    *roots, last = part.split(_RESOLVE)
    find = _finder(last.lstrip("."))
    steps = [_finder(root.lstrip(".")) for root in roots]
    names = [_RESOLVE.join(roots[: index + 1]) for index in range(len(roots))]

    def read(source: Opened) -> list[Any]:
        if not source.contained:
            return []
        found = [source.resource]
        for name, step in zip(names, steps, strict=True):
            found = _resolved(source, name, step, found)
            if not found:
                return []
        return [value for resource in found for value in find(resource)]

    return read


def _resolved(source: Opened, name: str, step: _Find, holders: list[Json]) -> list[Json]:
    """Return the contained resources that one step refers to; remembered under its expression."""
    known = source.resolved.get(name)
    if known is None:
        known = []
        for holder in holders:
            for value in step(holder):
                reference = value.get("reference") if isinstance(value, dict) else None
                if isinstance(reference, str) and reference.startswith("#") and reference[1:] in source.contained:
                    known.append(source.contained[reference[1:]])
        source.resolved[name] = known
    return known
