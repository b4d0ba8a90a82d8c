"""What a validation run has found so far, and what it must remember on its way through the resource."""

from __future__ import annotations

import re
from typing import Any

from fhir_dmp.errors import Coding, Issue
from fhir_dmp.fhir.resource import Json
from fhir_dmp.validation.primitives import Fault

MAX_ISSUES = 100
_index = re.compile(r"\[\d+\]")
_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class Enough(Exception):
    """So many issues that nobody reads more."""


class Findings:
    """The issues of one run.

    contained: id -> type of the contained resources of the resource being walked. around: where that resource stands,
    and its type.
    """

    __slots__ = ("around", "contained", "issues")

    def __init__(self) -> None:
        self.issues: list[Issue] = []
        self.contained: dict[str, str] = {}
        self.around = ("", "Resource")

    def add(self, fault: Fault, path: str, severity: str = "error") -> None:
        """Note a fault at a place.

        Raises:
            Enough: the run should stop here.
        """
        if len(self.issues) >= MAX_ISSUES:
            text = f"There are more than {MAX_ISSUES} issues; the rest is not listed."
            self.issues.append(Issue(code="too-costly", diagnostics=text, severity="information"))
            raise Enough
        place, type_ = self.around
        element = type_ + _index.sub("", path[len(place) :]) if place else type_
        rule = Coding(f"http://hl7.org/fhir/StructureDefinition/{type_}", f"{element}#{fault.named}")
        self.issues.append(Issue(fault.code, fault.text, severity, (path,), (rule,)))

    def unknown(self, name: str, path: str, type_: str) -> None:
        """Note a property that the type does not have. Its name is quoted only when it looks like one."""
        if _name.fullmatch(name):
            self.add(Fault("structure", f"{type_} has no element '{name}'.", "element"), f"{path}.{name}")
        else:
            self.add(Fault("structure", f"{type_} has no element of such a name.", "element"), path)


def contained_types(resource: Json) -> dict[str, str]:
    """Return id -> type of the contained resources, as far as they are well formed."""
    contained = resource.get("contained")
    if not isinstance(contained, list):
        return {}
    return {
        part["id"]: str(part.get("resourceType", ""))
        for part in contained
        if isinstance(part, dict) and isinstance(part.get("id"), str)
    }


def local_references(value: Any) -> set[str]:
    """Return every string that begins with `#`, wherever it stands: references and links into the same resource."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, str) and part[:1] == "#":
            found.add(part)
    return found
