"""Every extension of a resource, judged by its own definition where that is at hand.

Its value and cardinalities, whether it stands where its context allows, and whether it changes the meaning
(modifierExtension) as it says. https://hl7.org/fhir/R4/defining-extensions.html#context
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Structures
from fhir_dmp.validation.base import CORE
from fhir_dmp.validation.run import Judge, Rule, Run

_KEYS = ("extension", "modifierExtension")


@dataclass(frozen=True, slots=True)
class Extension:
    """A compiled extension. contexts: where it may stand, empty for anywhere."""

    url: str
    judge: Judge
    contexts: tuple[tuple[str, str], ...]
    modifier: bool

    @classmethod
    def read(cls, definition: Json, judge: Judge) -> Extension:
        """Return the extension of a StructureDefinition."""
        contexts = tuple((str(each.get("type")), str(each.get("expression"))) for each in definition.get("context", ()))
        elements = (definition.get("snapshot") or definition.get("differential") or {}).get("element", ())
        modifier = bool(elements and elements[0].get("isModifier"))
        return cls(str(definition["url"]), judge, contexts, modifier)

    def __call__(self, value: Json, path: str, holder: Holder, key: str, run: Run) -> None:
        """Judge one use of the extension."""
        if not holder.allows(self.contexts):
            wanted = ", ".join(expression for _, expression in self.contexts)
            text = f"It may stand on {wanted} only."
            run.add(Rule(self.url, "Extension", "context", "extension", text, self._severity()), path)
        if self.modifier is not (key == "modifierExtension"):
            where = "modifierExtension" if self.modifier else "extension"
            run.add(Rule(self.url, "Extension", "modifier", "extension", f"It belongs into {where}."), path)
        self.judge(value, None, path, run)

    def _severity(self) -> str:
        """HL7's own R4 definitions break the contexts that HL7's extensions state: there it is a warning."""
        return "warning" if self.url.startswith(CORE) else "error"


@dataclass(frozen=True, slots=True)
class Holder:
    """What an extension stands on: the element's path from its resource, its types, the extension around it.

    element: the path where the element is defined (`HumanName.family`), which may be in a data type.
    """

    path: str
    element: str
    types: tuple[str, ...]
    extension: str

    def allows(self, contexts: tuple[tuple[str, str], ...]) -> bool:
        """Say whether one of the contexts is here; a context in FHIRPath is taken as given."""
        if not contexts:
            return True
        return any(
            kind == "fhirpath"
            or (kind == "extension" and self.extension == expression)
            or (kind == "element" and self._is(expression))
            for kind, expression in contexts
        )

    def _is(self, expression: str) -> bool:
        wanted = expression.rpartition("#")[2] if expression.startswith("http") else expression
        return "/" in wanted or wanted in (self.path, self.element) or wanted in self.types


#: Where something stands: the place around it, the element's name, and its index in an array. The root is a text.
_Place = tuple[Any, str, int | None] | str
#: Which element it is: the element around it, its name, and the type that defines it. The root has two parts.
_Defined = tuple[Any, str, str] | tuple[str, str]


def extensions(resource: Json, path: str, structures: Structures) -> list[tuple[Json, str, str, Holder]]:
    """Return (extension, place, key, what holds it) of every extension of a resource, those of contained ones too.

    Every object of a resource is looked at, and few have extensions: paths are put together only where one is found.
    """
    found: list[tuple[Json, str, str, Holder]] = []
    _resource(resource, path, structures, found)
    return found


def _resource(
    resource: Json, place: _Place, structures: Structures, found: list[tuple[Json, str, str, Holder]]
) -> None:
    type_ = str(resource.get("resourceType"))
    _inside(resource, place, type_, (type_, ""), "", structures, found)


def _inside(
    node: Json,
    place: _Place,
    type_: str,
    defined: _Defined,
    around: str,
    structures: Structures,
    found: list[tuple[Json, str, str, Holder]],
) -> None:
    structure = structures.get(type_)
    for key, value in node.items():
        kind = value.__class__
        if kind is not dict and kind is not list:
            continue
        if key in _KEYS:
            if kind is list:
                holder = Holder(*_names(defined), _kinds(type_, structures), around)
                for index, each in enumerate(value):
                    if isinstance(each, dict):
                        where = (place, key, index)
                        found.append((each, _path(where), key, holder))
                        url = str(each.get("url", ""))
                        _inside(each, where, "Extension", ("Extension", ""), url, structures, found)
            continue
        name = key.removeprefix("_")
        known = structure.properties.get(name) if structure is not None else None
        stem, inner, said = (known[0].stem, known[1], known[0].name) if known is not None else (name, "", name)
        outer = (defined, said, type_)
        if kind is dict:
            if "resourceType" not in value:
                _inside(value, (place, stem, None), inner, outer, around, structures, found)
            elif key == "contained":
                _resource(value, (place, stem, None), structures, found)
            continue
        for index, each in enumerate(value):
            if not isinstance(each, dict):
                continue
            if "resourceType" not in each:
                _inside(each, (place, stem, index), inner, outer, around, structures, found)
            elif key == "contained":
                _resource(each, (place, stem, index), structures, found)


def _path(place: _Place) -> str:
    steps: list[str] = []
    while not isinstance(place, str):
        place, stem, index = place
        steps.append(stem if index is None else f"{stem}[{index}]")
    return ".".join((place, *reversed(steps)))


def _names(defined: _Defined) -> tuple[str, str]:
    """Return the path of an element from its resource, and the path where it is defined."""
    if len(defined) == 2:
        return defined
    outer, said, type_ = defined
    return f"{_names(outer)[0]}.{said}", f"{type_}.{said}"


def _kinds(type_: str, structures: Structures) -> tuple[str, ...]:
    """Return a type and what it specialises; a type without resource is an Element."""
    found = [type_] if type_ else []
    at = structures.base(type_) if type_ else ""
    while at:
        found.append(at)
        at = structures.base(at)
    structure = structures.get(type_) if type_ else None
    if structure is not None and structure.is_resource:
        return (*found, "DomainResource", "Resource", "Element")
    return (*found, "Element")
