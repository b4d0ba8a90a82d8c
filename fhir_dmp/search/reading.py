"""Where the values of a search parameter stand: expressions compiled to readers that share work within one resource.

Two shortcuts over plain FHIRPath, both exact: an expression whose first element is absent is not run at all, and the
contained resources behind `x.resolve()` are looked up once for all the contained chains that pass through `x`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fhir_dmp.fhir.path import compile_path
from fhir_dmp.fhir.path_types import CHOICES
from fhir_dmp.fhir.resource import Json
from fhir_dmp.search.parameters import union_parts

_HEAD = re.compile(r"\(?[A-Z][A-Za-z]*\.([a-z]\w*)(?=$|\.|\)| as )")
_COMPUTED = re.compile(r"exists\(|empty\(|count\(|all\(|not\(|iif\(|[=<>] |\band\b|\bor\b")
_RESOLVE = ".resolve()"


@dataclass(slots=True)
class Opened:
    """One resource while it is read: its contained resources by id, and what has been resolved so far."""

    resource: Json
    contained: dict[str, Json]
    resolved: dict[str, list[Json]] = field(default_factory=dict)


Reader = Callable[[Opened], list[Any]]


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
    ['T', 'Exemple']
    """
    plain, chains = [], []
    for part in union_parts(expression):
        if _RESOLVE + "." in re.sub(r"\([^()]*\(\)[^()]*\)", "", part):
            chains.append(_chain(part))
        else:
            plain.append(part)
    readers = ([_plain(plain)] if plain else []) + chains
    if len(readers) == 1:
        return readers[0]
    return lambda source: [value for read in readers for value in read(source)]


def _plain(parts: list[str]) -> Reader:
    find = compile_path(" | ".join(parts)).values
    heads = [_HEAD.match(part) for part in parts]
    names = frozenset(head[1] for head in heads if head is not None)
    if None in heads or names & CHOICES or any(_COMPUTED.search(_without_conditions(part)) for part in parts):
        return lambda source: find(source.resource)
    if len(names) == 1:
        (name,) = names
        return lambda source: find(source.resource) if name in source.resource else []
    return lambda source: [] if names.isdisjoint(source.resource) else find(source.resource)


def _without_conditions(part: str) -> str:
    """Return an expression without its filters: `where(...)` only ever takes values away."""
    return re.sub(r"\.where\((?:[^()]|\([^()]*\))*\)", "", part)


def _chain(part: str) -> Reader:
    *roots, last = part.split(_RESOLVE)
    find = compile_path(last.lstrip(".")).values
    steps = [compile_path(root.lstrip(".")).values for root in roots]
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


def _resolved(source: Opened, name: str, step: Callable[[Json], list[Any]], holders: list[Json]) -> list[Json]:
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
