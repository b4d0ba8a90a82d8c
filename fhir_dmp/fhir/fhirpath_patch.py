"""FHIRPath Patch: Parameters with operations add, insert, delete, replace and move, on paths of FHIRPath.

https://hl7.org/fhir/R4/fhirpatch.html. Whether an element repeats and which types it may have comes from the R4
structures, not from what happens to be in the resource. The order of the parts does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.patch import MAX_OPERATIONS, copied, prune, refuse_depth, refuse_untouchable
from fhir_dmp.fhir.patch_values import PatchFailed, Value, insert, list_at, place, put, read_value, take
from fhir_dmp.fhir.path import Location, PathError, compile_list, compile_path
from fhir_dmp.fhir.path_values import Environment, Item
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Element, Structures


@dataclass(frozen=True, slots=True)
class Operation:
    """One `operation` parameter. index, source and destination are positions from 0."""

    type: str
    path: str
    name: str | None = None
    value: Value | None = None
    index: int | None = None
    source: int | None = None
    destination: int | None = None


_NEEDS = {
    "add": ("name", "value"),
    "insert": ("index", "value"),
    "delete": (),
    "replace": ("value",),
    "move": ("source", "destination"),
}


def read_fhirpath_patch(parameters: Json) -> list[Operation]:
    """Read the operations of a Parameters resource.

    Raises:
        Unprocessable: it is no FHIRPath Patch; the diagnostics name the parameter and what is missing.
    """
    if parameters.get("resourceType") != "Parameters":
        raise Unprocessable("A FHIRPath Patch is a Parameters resource.", code="processing")
    rows = parameters.get("parameter", [])
    if not isinstance(rows, list):
        raise Unprocessable("Parameters.parameter is no array.", code="processing")
    if len(rows) > MAX_OPERATIONS:
        raise Unprocessable(f"A patch may hold {MAX_OPERATIONS} operations at most.", code="too-costly")
    return [_operation(index, row) for index, row in enumerate(rows)]


def _operation(index: int, row: Any) -> Operation:
    if not isinstance(row, dict) or row.get("name") != "operation" or not isinstance(row.get("part"), list):
        _refuse(index, "is no 'operation' with parts")
    found: dict[str, Any] = {}
    for part in row["part"]:
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str) or name not in _READERS:
            _refuse(index, "has a part that FHIRPath Patch does not know")
        if name in found:
            _refuse(index, f"has the part '{name}' twice")
        found[name] = _READERS[name](part)
        if found[name] is None:
            _refuse(index, f"has a part '{name}' without a proper value")
    type_ = found.get("type")
    if type_ not in _NEEDS:
        _refuse(index, "has no type of add, insert, delete, replace, move")
    for name in ("path", *_NEEDS[type_]):
        if name not in found:
            _refuse(index, f"({type_}) needs the part '{name}'")
    return Operation(**found)


def _refuse(index: int, why: str) -> NoReturn:
    raise Unprocessable(
        f"Operation {index} of the patch {why}.", code="processing", expression=f"Parameters.parameter[{index}]"
    )


def _text(part: Json) -> str | None:
    value = read_value(part)
    return value.value if value is not None and isinstance(value.value, str) and value.value else None


def _position(part: Json) -> int | None:
    value = read_value(part)
    number = value.value if value is not None else None
    return number if isinstance(number, int) and not isinstance(number, bool) and number >= 0 else None


_READERS: dict[str, Callable[[Json], Any]] = {
    "type": _text,
    "path": _text,
    "name": _text,
    "value": read_value,
    "index": _position,
    "source": _position,
    "destination": _position,
}


def apply_fhirpath_patch(resource: Json, operations: Sequence[Operation], structures: Structures) -> Json:
    """Return the patched copy of a resource. Arrays and objects that the patch empties are removed.

    Raises:
        Unprocessable: an operation cannot be applied, or the patch changes what belongs to the server. The
            diagnostics name the operation by its index.
    """
    work = _Work(copied(resource), structures)
    for index, operation in enumerate(operations):
        try:
            _OPERATIONS[operation.type](work, operation)
        except (PatchFailed, PathError) as error:
            raise Unprocessable(
                f"Operation {index} ({operation.type}) of the patch failed: {error}.",
                code="processing",
                expression=f"Parameters.parameter[{index}]",
            ) from error
    refuse_untouchable(resource, work.resource)
    prune(work.resource, work.emptied)
    refuse_depth(work.resource)
    return work.resource


class _Work:
    """The copy in the making, and what all operations together may spend on paths."""

    def __init__(self, resource: Json, structures: Structures) -> None:
        self.resource = resource
        self.structures = structures
        self.emptied: list[Any] = []
        self.environment = Environment(Item(resource), None)

    def one(self, path: str) -> Location:
        """Return the place of the single match of a path."""
        found = self.matches(path)
        if len(found) != 1:
            raise PatchFailed(f"the path must match one element, and matches {len(found)}")
        return found[0]

    def matches(self, path: str) -> list[Location]:
        return compile_path(path, regex=False).locate(self.resource, environment=self.environment)

    def listed(self, path: str) -> tuple[Json, Element]:
        """Return the object that holds the list which a path names, and the element."""
        holder_path, name = compile_list(path)
        found = holder_path.locate(self.resource, environment=self.environment)
        if len(found) != 1:
            raise PatchFailed(f"the path must name one list, and its parent matches {len(found)}")
        holder = self.holder_of(found[0], name)
        element = self.element(holder, name)
        if not element.is_list:
            raise PatchFailed(f"'{element.stem}' is no list")
        return holder, element

    def holder_of(self, location: Location, name: str) -> Json:
        """Return the object in which elements of the match stand; a primitive has one for id and extension."""
        if isinstance(location.value, dict):
            return location.value
        if name not in ("id", "extension") or location.holder is None:
            raise PatchFailed("the path matches a primitive value, which has no such element")
        return _twin_of(location.holder, location)

    def element(self, holder: Json, name: str) -> Element:
        """Return the element of that name in the R4 type of an object of the resource."""
        type_ = _type_of(holder, self.resource, str(self.resource.get("resourceType")), self.structures)
        element = self.structures.element(type_, name) if type_ else None
        if element is None:
            raise PatchFailed(f"{type_ or 'the element'} has no element '{name[:60]}'")
        return element


def _twin_of(holder: Json, location: Location) -> Json:
    """Return the object of extensions beside a primitive, made when it is absent."""
    under = "_" + location.key
    if location.index is None:
        twin: Json = holder.setdefault(under, {})
        return twin
    values = list_at(holder, location.key)
    twins = list(holder.get(under, ()))
    twins += [None] * (len(values) - len(twins))
    twins[location.index] = twins[location.index] or {}
    holder[under] = twins
    found: Json = twins[location.index]
    return found


def _type_of(wanted: Json, node: Json, type_: str, structures: Structures) -> str | None:
    """Return the R4 type of an object inside a node of the given type, found by identity."""
    if node is wanted:
        return type_
    for key, part in node.items():
        resolved = structures.resolve(type_, key)
        inner = resolved[1] if resolved else "Element"
        for one in part if isinstance(part, list) else (part,):
            if isinstance(one, dict):
                named = one.get("resourceType") if inner == "Resource" else inner
                found = _type_of(wanted, one, str(named), structures)
                if found is not None:
                    return found
    return None


def _required(value: Value | None) -> Value:
    assert value is not None  # _operation has checked what each type needs
    return value


def _add(work: _Work, operation: Operation) -> None:
    name = operation.name or ""
    holder = work.holder_of(work.one(operation.path), name)
    element = work.element(holder, name)
    put(holder, element, place(element, _required(operation.value), work.structures))


def _insert(work: _Work, operation: Operation) -> None:
    holder, element = work.listed(operation.path)
    length, index = len(list_at(holder, element.name)), operation.index or 0
    if index > length:
        raise PatchFailed(f"index {index} is beyond the end of the list, which has {length} elements")
    insert(holder, place(element, _required(operation.value), work.structures), index)


def _delete(work: _Work, operation: Operation) -> None:
    found = work.matches(operation.path)
    if len(found) > 1:
        raise PatchFailed(f"the path must match at most one element, and matches {len(found)}")
    for location in found:
        _remove(work, location)


def _remove(work: _Work, location: Location) -> None:
    holder = location.holder
    if holder is None:
        raise PatchFailed("the whole resource cannot be deleted by a patch")
    if location.index is None:
        holder.pop(location.key, None)
        holder.pop("_" + location.key, None)
    else:
        take(holder, location.key, location.index)
        work.emptied.append(holder[location.key])
    work.emptied.append(holder)


def _replace(work: _Work, operation: Operation) -> None:
    location = work.one(operation.path)
    holder = location.holder
    if holder is None:
        raise PatchFailed("the whole resource cannot be replaced by a patch")
    element = work.element(holder, location.key)
    placed = place(element, _required(operation.value), work.structures)
    if location.index is not None:
        values = list_at(holder, location.key)
        take(holder, location.key, location.index)
        insert(holder, placed, min(location.index, len(values)))
        return
    kept = list(holder.items())
    holder.clear()
    for key, part in kept:
        if key.removeprefix("_") != location.key:
            holder[key] = part
        elif placed.key not in holder and "_" + placed.key not in holder:  # where the old one stood
            holder.update({placed.key: placed.value} if placed.value is not None else {})
            holder.update({"_" + placed.key: placed.twin} if placed.twin else {})


def _move(work: _Work, operation: Operation) -> None:
    holder, element = work.listed(operation.path)
    length = len(list_at(holder, element.name))
    source, destination = operation.source or 0, operation.destination or 0
    if max(source, destination) >= length:
        raise PatchFailed(f"source and destination must lie in the list, which has {length} elements")
    insert(holder, take(holder, element.name, source), destination)


_OPERATIONS: dict[str, Callable[[_Work, Operation], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}
