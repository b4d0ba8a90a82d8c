"""Places in a resource, as `mappings/` writes them: read, set, list. [docs/cda.md]

`a.b` an element; `a[0].b` the first of a list; `a[].b` every one of a list; `value[x]` the element of a choice, as
{type: value}; `+name` an extension of this project, `+name[]` every such extension.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from fhir_dmp.fhir.resource import Json

EXTENSIONS = "https://dmp-fhir.example/ig/StructureDefinition"
_HL7 = "http://hl7.org/fhir/StructureDefinition"
_STEP = re.compile(r"(\+?[\w\-]+)(\[0\]|\[\]|\[x\])?")


@dataclass(frozen=True, slots=True)
class Place:
    """One place: steps to its holder, and whether it is a list whose items have the place `inner`."""

    steps: tuple[tuple[str, str], ...]
    inner: Place | None = None

    @property
    def many(self) -> bool:
        """Say whether the place holds several values."""
        return self.inner is not None


@cache
def place(text: str) -> Place:
    """Return the place that a text names.

    Raises:
        ValueError: no place is written so.
    """
    head, mark, tail = text.partition("[]")
    steps = []
    for part in head.split(".") if head else ():
        match = _STEP.fullmatch(part)
        if match is None:
            raise ValueError(f"'{text}' is no place")
        steps.append((match[1], match[2] or ""))
    return Place(tuple(steps), place(tail.lstrip(".")) if mark else None)


def url_of(name: str) -> str:
    """Return the URL of an extension: `+cda-act` is of this project, `+hl7-x` is x of HL7."""
    bare = name.lstrip("+")
    return f"{_HL7}/{bare[4:]}" if bare.startswith("hl7-") else f"{EXTENSIONS}/{bare}"


def get(resource: Any, where: Place) -> Any:
    """Return what stands at a place: a list for a place of many, None when nothing is there."""
    current = resource
    for number, (name, kind) in enumerate(where.steps):
        last = number == len(where.steps) - 1
        if not isinstance(current, dict):
            return [] if where.many else None
        if name.startswith("+"):
            found = [part for part in current.get("extension", ()) if part.get("url") == url_of(name)]
            if last and where.inner is not None:
                return [value for part in found if (value := _of_extension(part, where.inner)) is not None]
            current = found[0] if found else None
            if last:
                return _choice(current, "value") if current else None
        elif kind == "[x]":
            return _choice(current, name)
        elif kind == "[0]":
            items = current.get(name)
            current = items[0] if isinstance(items, list) and items else None
        else:
            current = current.get(name)
            if last and where.inner is not None:
                items = current if isinstance(current, list) else []
                found = [value for part in items if (value := _inside(part, where.inner)) is not None]
                return [one for part in found for one in part] if where.inner.many else found
    return current


def _inside(part: Any, inner: Place) -> Any:
    return get(part, inner) if inner.steps else part


def _of_extension(part: Json, inner: Place) -> Any:
    return get(part, inner) if inner.steps else _choice(part, "value")


def _choice(holder: Any, name: str) -> Json | None:
    if not isinstance(holder, dict):
        return None
    found = {key[len(name) :]: value for key, value in holder.items() if _is_choice(key, name)}
    return found or None


def _is_choice(key: str, name: str) -> bool:
    return key.startswith(name) and key[len(name) : len(name) + 1].isupper()


def put(resource: Json, where: Place, value: Any) -> None:
    """Set a place; a value for a place of many is appended to what is there."""
    current: Json = resource
    for number, (name, kind) in enumerate(where.steps):
        last = number == len(where.steps) - 1
        if name.startswith("+"):
            current = _extension(current, name, fresh=last and where.many)
            if last:
                inner = where.inner
                if inner is not None and inner.steps:
                    put(current, inner, value)
                else:
                    current.update({f"value{type_}": part for type_, part in value.items()})
                return
        elif kind == "[x]":
            current.update({f"{name}{type_}": part for type_, part in value.items()})
            return
        elif last and where.inner is not None:
            item: Any = value
            if where.inner.steps:
                item = {}
                put(item, where.inner, value)
            current.setdefault(name, []).append(item)
            return
        elif last:
            _set(current, name, kind, value)
            return
        elif kind == "[0]":
            items = current.setdefault(name, [])
            if not items:
                items.append({})
            current = items[0]
        else:
            current = current.setdefault(name, {})
    if not where.steps and isinstance(value, dict):
        extensions = [*resource.get("extension", []), *value.get("extension", [])]
        resource.update(value)
        if extensions:
            resource["extension"] = extensions


def _set(holder: Json, name: str, kind: str, value: Any) -> None:
    if kind == "[0]":
        items = holder.setdefault(name, [])
        items[:1] = [value]
    elif isinstance(value, dict) and isinstance(holder.get(name), dict):
        holder[name].update(value)
    else:
        holder[name] = value


def _extension(holder: Json, name: str, *, fresh: bool) -> Json:
    url = url_of(name)
    extensions = holder.setdefault("extension", [])
    found = None if fresh else next((part for part in extensions if part.get("url") == url), None)
    if found is None:
        found = {"url": url}
        extensions.append(found)
    result: Json = found
    return result
