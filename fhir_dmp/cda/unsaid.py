"""Which elements of a resource no rule of its mapping writes: they are reported, one by one. [cda 6.2, 6.4]"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from fhir_dmp.cda.knowledge import Mapping_, Part
from fhir_dmp.cda.places import EXTENSIONS, Place, place, url_of
from fhir_dmp.fhir.resource import Json

#: Of the exchange rather than of the patient, or said in the section: no statement of CDA is about it.
_BESIDE = frozenset({"resourceType", "id", "meta", "implicitRules", "language", "text", "contained"})
#: One step of a covered path: name ("+url" for an extension), whether it is a choice, whether only the first is meant.
_Step = tuple[str, str]
_Path = tuple[_Step, ...]


def unsaid(resource: Json, mapping: Mapping_, beside: frozenset[str] = frozenset()) -> list[str]:
    """Return the places (`dosage[1]`, `component`) of a resource that its mapping has no rule for.

    beside: elements that something else than the mapping writes.
    """
    said = {key: value for key, value in resource.items() if key not in _BESIDE and key not in beside}
    return list(_walk(said, _covered(mapping), ""))


@cache
def _covered(mapping: Mapping_) -> list[_Path]:
    found = [path for rule in mapping.rules for path in _of_part(rule.part)]
    for rule in mapping.rules:
        found += [(*_steps(rule.part.to), *_steps(place(where))) for where in rule.part.options.get("fixed", {})]
        holder = _steps(Place(rule.part.to.steps)) if rule.many else ()
        found += [(*holder, *_steps(place(where))) for where in rule.part.options.get("implies", {})]
    found += [_steps(link.to) for link in mapping.links]
    found += [_steps(place(where)) for where in (*mapping.fixed, *mapping.when)]
    found += [_steps(place(where)) for fixed in mapping.templates.values() for where in fixed]
    if mapping.patient:
        found.append(_steps(place(mapping.patient)))
    return found


def _of_part(part: Part) -> Iterator[_Path]:
    here = _steps(part.to)
    for name in part.options.get("owns", ()):
        yield (*here, *_steps(place(name)))
    if part.parts:
        for one in part.parts:
            for path in _of_part(one):
                yield (*here, *path)
    elif here:
        yield here


@cache
def _steps(where: Place) -> _Path:
    found = tuple((f"+{url_of(name)}" if name.startswith("+") else name, kind) for name, kind in where.steps)
    return (*found, *_steps(where.inner)) if where.inner is not None else found


def _walk(value: Json, paths: Sequence[_Path], where: str) -> Iterator[str]:
    for key, one in value.items():
        name = key.removeprefix("_")
        if name in ("extension", "modifierExtension"):
            yield from _extensions(one, paths, f"{where}{key}")
            continue
        rests = [(path[0][1], path[1:]) for path in paths if path and _meets(path[0], name)]
        yield from _below(one, rests, f"{where}{key}")


def _meets(step: _Step, name: str) -> bool:
    if step[1] == "[x]":
        return name.startswith(step[0]) and name[len(step[0]) :][:1].isupper()
    return step[0].removeprefix("_") == name


def _below(value: Any, rests: Sequence[tuple[str, _Path]], where: str) -> Iterator[str]:
    if not rests:
        yield where
        return
    items = value if isinstance(value, list) else [value]
    for number, one in enumerate(items):
        here = f"{where}[{number}]" if isinstance(value, list) else where
        open_ = [rest for kind, rest in rests if kind != "[0]" or number == 0]
        if not open_:
            yield here
        elif all(rest for rest in open_) and isinstance(one, dict):
            yield from _walk(one, open_, f"{here}.")


def _extensions(value: Any, paths: Sequence[_Path], where: str) -> Iterator[str]:
    known = {path[0][0][1:] for path in paths if path and path[0][0].startswith("+")}
    for number, one in enumerate(value if isinstance(value, list) else ()):
        url = str(one.get("url")) if isinstance(one, dict) else ""
        if not url.startswith(EXTENSIONS) and url not in known:
            yield f"{where}[{number}]"
