"""Every extension of a resource, judged by its own definition where that is at hand.

Its value and cardinalities, whether it stands where its context allows, and whether it changes the meaning
(modifierExtension) as it says. https://hl7.org/fhir/R4/defining-extensions.html#context
"""

from __future__ import annotations

from collections.abc import Iterator
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


def extensions(resource: Json, path: str, structures: Structures) -> Iterator[tuple[Json, str, str, Holder]]:
    """Yield (extension, place, key, what holds it) of every extension of a resource, those of contained ones too."""
    type_ = resource.get("resourceType")
    yield from _inside(resource, path, str(type_), (str(type_), ""), "", structures)


def _inside(
    node: Json, path: str, type_: str, defined: tuple[str, str], around: str, structures: Structures
) -> Iterator[tuple[Json, str, str, Holder]]:
    structure = structures.get(type_)
    for key, value in node.items():
        if key in _KEYS:
            holder = Holder(*defined, _kinds(type_, structures), around)
            for index, each in enumerate(value if isinstance(value, list) else ()):
                if isinstance(each, dict):
                    place = f"{path}.{key}[{index}]"
                    yield each, place, key, holder
                    yield from _inside(
                        each, place, "Extension", ("Extension", ""), str(each.get("url", "")), structures
                    )
        elif value.__class__ in (dict, list):
            yield from _below(key, value, path, type_, defined, around, structure is not None, structures)


def _below(
    key: str,
    value: Any,
    path: str,
    type_: str,
    defined: tuple[str, str],
    around: str,
    known: bool,
    structures: Structures,
) -> Iterator[tuple[Json, str, str, Holder]]:
    name = key.removeprefix("_")
    found = structures.resolve(type_, name) if known else None
    stem, inner = (found[0].stem, found[1]) if found is not None else (name, "")
    said = found[0].name if found is not None else name
    outer = (f"{defined[0]}.{said}", f"{type_}.{said}")
    listed = value if isinstance(value, list) else [value]
    for index, each in enumerate(listed):
        if not isinstance(each, dict):
            continue
        place = f"{path}.{stem}[{index}]" if isinstance(value, list) else f"{path}.{stem}"
        if "resourceType" in each:
            if key == "contained":
                yield from extensions(each, place, structures)
        else:
            yield from _inside(each, place, inner, outer, around, structures)


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
