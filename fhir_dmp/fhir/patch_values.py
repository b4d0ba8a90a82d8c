"""The values of a FHIRPath Patch: from Parameters parts to JSON, typed by the element that will hold them.

https://hl7.org/fhir/R4/fhirpatch.html. A value is either typed (`valueCode`), a resource, or built from nested parts
that are named after the elements of an anonymous type (`Patient.contact`) or of a data type (`Extension`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fhir_dmp.fhir.patch import copied
from fhir_dmp.fhir.path_types import SUFFIXES
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Element, Structures


class PatchFailed(Exception):
    """Why an operation of a patch cannot be applied; never holds a value of the resource."""


@dataclass(frozen=True, slots=True)
class Value:
    """The content of one part: a typed value with its `_value` twin, or nested parts."""

    type: str = ""
    value: Any = None
    twin: Json | None = None
    parts: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """A value under the JSON name that it gets, with the content of its `_name` twin."""

    key: str
    value: Any
    twin: Json | None


def read_value(part: Json) -> Value | None:
    """Return what a part holds, None when it holds nothing."""
    if isinstance(part.get("resource"), dict):
        return Value("Resource", part["resource"])
    for key in part:
        stem = key.removeprefix("_")
        type_ = SUFFIXES.get(stem[5:]) if stem.startswith("value") else None
        if type_ is not None:
            value, twin = part.get(stem), part.get("_" + stem)
            twin = twin if isinstance(twin, dict) else None
            return None if value is None and not twin else Value(type_, value, twin)
    nested = part.get("part")
    if isinstance(nested, list) and nested and all(isinstance(one, dict) for one in nested):
        return Value(parts=tuple(nested))
    return None


def place(element: Element, value: Value, structures: Structures) -> Placed:
    """Return the value as JSON of the element; a choice gets the name that goes with the value's type.

    Raises:
        PatchFailed: the value is of a type that the element cannot have, or names an element that does not exist.
    """
    if value.parts:
        if element.is_choice or structures.is_primitive(element.types[0]):
            raise PatchFailed(f"'{element.stem}' needs a typed value, not parts")
        return Placed(element.name, _built(element.types[0], value.parts, structures), None)
    if element.is_choice:
        if value.type not in element.types:
            raise PatchFailed(f"'{element.stem}' cannot be a {value.type}")
        key = element.stem + value.type[0].upper() + value.type[1:]
    else:
        key = element.name
        if not _fits(element.types[0], value, structures):
            raise PatchFailed(f"'{element.stem}' is a {element.types[0]}, not a {value.type}")
    return Placed(key, copied(value.value), copied(value.twin))


def _built(type_: str, parts: tuple[Json, ...], structures: Structures) -> Json:
    built: Json = {}
    for part in parts:
        name = part.get("name")
        element = structures.element(type_, name) if isinstance(name, str) else None
        value = read_value(part)
        if element is None or value is None:
            raise PatchFailed(f"a part of the value is no element of {type_}, or is empty")
        put(built, element, place(element, value, structures))
    return built


def put(holder: Json, element: Element, placed: Placed) -> None:
    """Set the element, or append to it when it repeats.

    Raises:
        PatchFailed: it does not repeat and is there already, in whatever type.
    """
    if element.is_list:
        insert(holder, placed, len(list_at(holder, placed.key)))
        return
    if any(key in holder or "_" + key in holder for key, _ in element.property_names()):
        raise PatchFailed(f"'{element.stem}' is present and does not repeat")
    if placed.value is not None:
        holder[placed.key] = placed.value
    if placed.twin:
        holder["_" + placed.key] = placed.twin


def list_at(holder: Json, key: str) -> list[Any]:
    """Return the array of an element, counting entries that have only extensions; empty when absent."""
    values, twins = holder.get(key), holder.get("_" + key)
    values = values if isinstance(values, list) else []
    twins = twins if isinstance(twins, list) else []
    return values + [None] * (len(twins) - len(values))


def insert(holder: Json, placed: Placed, index: int) -> None:
    """Insert into an array, and keep the `_name` array beside it in step."""
    values, twins = list_at(holder, placed.key), _twins(holder, placed.key)
    values.insert(index, placed.value)
    twins.insert(index, placed.twin)
    store(holder, placed.key, values, twins)


def take(holder: Json, key: str, index: int) -> Placed:
    """Remove an entry from an array, with its twin; an array that gets empty stays for `prune`."""
    values, twins = list_at(holder, key), _twins(holder, key)
    taken = Placed(key, values.pop(index), twins.pop(index))
    store(holder, key, values, twins)
    return taken


def store(holder: Json, key: str, values: list[Any], twins: list[Any]) -> None:
    """Write an array and its twin back; the twin goes when it holds nothing."""
    holder[key] = values
    if any(twins):
        holder["_" + key] = twins
    else:
        holder.pop("_" + key, None)


def _twins(holder: Json, key: str) -> list[Any]:
    twins = holder.get("_" + key)
    twins = list(twins) if isinstance(twins, list) else []
    return twins + [None] * (len(list_at(holder, key)) - len(twins))


_WHOLE = frozenset(("integer", "positiveInt", "unsignedInt"))


def _fits(wanted: str, value: Value, structures: Structures) -> bool:
    """Say whether a typed value can stand where R4 wants a type; the exact form is left to the validation."""
    if not structures.is_primitive(wanted):
        return value.type == wanted or structures.base(value.type) == wanted or structures.base(wanted) == value.type
    content = value.value
    if content is None:
        return structures.is_primitive(value.type)
    if wanted == "boolean":
        return isinstance(content, bool)
    if wanted in _WHOLE:
        return isinstance(content, int) and not isinstance(content, bool)
    if wanted == "decimal":
        return isinstance(content, (int, Decimal)) and not isinstance(content, bool)
    return isinstance(content, str)
