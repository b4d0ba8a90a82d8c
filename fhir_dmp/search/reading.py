"""Where the values of a search parameter stand: expressions compiled to readers that share work within one resource.

Three shortcuts over plain FHIRPath, all exact (a test holds them against it): element paths walk the JSON, an
expression whose first element is absent is not run at all, and the contained resources behind `x.resolve()` are looked
up once for all the contained chains that pass through `x`. They make extraction some three times faster.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fhir_dmp.fhir.path import compile_path
from fhir_dmp.fhir.path_types import CHOICES, SUFFIXES, is_kind_of, type_of_reference
from fhir_dmp.fhir.resource import Json
from fhir_dmp.search.parameters import union_parts

_HEAD = re.compile(r"\(?[A-Z][A-Za-z]*\.([a-z]\w*)(?=$|\.|\)| as )")
_COMPUTED = re.compile(r"exists\(|empty\(|count\(|all\(|not\(|iif\(|[=<>] |\band\b|\bor\b")
_REFERS = re.compile(r"(.+)\.where\(resolve\(\) is ([A-Z][A-Za-z]*)\)")
_CAST = re.compile(r"\(([A-Za-z.]+) as ([A-Za-z]+)\)")
_STEP = re.compile(
    r"(?:where\((?P<field>[a-z]\w*) ?= ?'(?P<value>[^'\\]*)'\)"
    r"|(?P<choice>[a-z]\w*)\.(?:ofType|as)\((?P<type>[A-Za-z]+)\)"
    r"|(?P<name>[a-z]\w*))(?:\.(?=.)|$)"
)
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


def first_elements(expression: str) -> frozenset[str] | None:
    """Return the JSON names of which a resource must have one for an expression to find anything; None: no such names.

    >>> sorted(first_elements("List.encounter.resolve().type | List.title"))
    ['encounter', 'title']
    >>> first_elements("Observation") is None
    True
    """
    found: set[str] = set()
    for part in union_parts(expression):
        head = _HEAD.match(_CAST.sub(r"\1.ofType(\2)", part))
        if head is None or _COMPUTED.search(_without_conditions(part)):
            return None
        found.add(head[1])
        if head[1] in CHOICES:
            found.update(head[1] + suffix for suffix in SUFFIXES)
    return frozenset(found)


def _part(part: str) -> Reader:
    refers = _REFERS.fullmatch(part)
    if refers is not None and (walk := _walker(refers[1])) is not None:
        target = refers[2]
        return lambda source: [value for value in walk(source.resource) if _refers_to(value, target, source)]
    plain = _walker(part)
    if plain is not None:
        return lambda source: plain(source.resource)
    if _RESOLVE + "." in part:
        return _chain(part)
    find = compile_path(part).values
    head = _HEAD.match(part)
    if head is None or head[1] in CHOICES or _COMPUTED.search(_without_conditions(part)):
        return lambda source: find(source.resource)
    name = head[1]
    return lambda source: find(source.resource) if name in source.resource else []


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


#: An element name, or what adds to the values found in a holder.
_Step = str | Callable[[Json, list[Any]], None]


def _walker(part: str) -> _Find | None:
    """Return what walks a path of elements, choices cast to a type and `where(name = 'text')`; None for other paths."""
    path = re.sub(r"^[A-Z][A-Za-z]*\.", "", _CAST.sub(r"\1.ofType(\2)", part))
    steps: list[_Step] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        step = None if match is None else _step(match)
        if match is None or step is None:
            return None
        steps.append(step)
        position = match.end()
    return partial(_walk, tuple(steps)) if steps else None


def _walk(steps: tuple[_Step, ...], resource: Json) -> list[Any]:
    values: list[Any] = [resource]
    for step in steps:
        found: list[Any] = []
        for holder in values:
            if not isinstance(holder, dict):
                continue
            if isinstance(step, str):  # nearly always: kept inside the loop, because calls cost more than the work
                held = holder.get(step)
                if isinstance(held, list):
                    found += held
                elif held is not None:
                    found.append(held)
            else:
                step(holder, found)
        if not found:
            return found
        values = found
    return [value for value in values if value is not None] if None in values else values


def _step(match: re.Match[str]) -> _Step | None:
    if match["field"] is not None:
        return partial(_where, match["field"], match["value"])
    name = match["name"] or match["choice"]
    if name not in CHOICES:
        return match["name"]
    suffixes = [key for key, type_ in SUFFIXES.items() if match["name"] or is_kind_of(type_, match["type"])]
    return partial(_choice, match["name"], frozenset(name + suffix for suffix in suffixes))


def _choice(name: str | None, keys: frozenset[str], holder: Json, found: list[Any]) -> None:
    """Find a choice element: `valueQuantity` for `value`; the plain name first, where an element really has it."""
    if name is not None and name in holder:
        held = holder[name]
        found += held if isinstance(held, list) else [held]
        return
    found += [holder[key] for key in holder if key in keys and not isinstance(holder[key], list)]


def _where(field_: str, value: str, holder: Json, found: list[Any]) -> None:
    if holder.get(field_) == value:
        found.append(holder)


def _finder(part: str) -> _Find:
    """Return the function that finds the values of one part of a union in a resource."""
    return _walker(part) or compile_path(part).values


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
