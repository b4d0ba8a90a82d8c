"""The value sets of the CI-SIS that a written element holds codes of, and what stands for other codes. [cda 6.2]

A code of the value set comes first; a known equivalent of another code comes before it; else the element says only
that its code is from elsewhere (nullFlavor OTH), and the code is a translation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import canonical_system


@dataclass(frozen=True, slots=True)
class Binding:
    """One value set: labels by (canonical system, code), and what codes from elsewhere are in it (equivalents)."""

    name: str
    displays: Mapping[tuple[str, str], str]
    systems: Mapping[str, str]
    equivalents: Mapping[tuple[str, str], str]

    def holds(self, coding: Json) -> bool:
        """Say whether a coding is of the value set."""
        return (canonical_system(str(coding.get("system") or "")), str(coding.get("code"))) in self.displays

    def coding(self, code: str) -> Json | None:
        """Return a code of the value set with its label, None when it has none of this name."""
        system = self.systems.get(code)
        if system is None:
            return None
        return {"system": system, "code": code, "display": self.displays[canonical_system(system), code]}

    def first_of(self, codes: Iterable[str]) -> Json | None:
        """Return the first of these codes that the value set has."""
        return next((found for code in codes if (found := self.coding(code)) is not None), None)

    def arranged(self, codings: Sequence[Json]) -> tuple[list[Json], bool]:
        """Return the codings, one of the value set first (with its label), and whether there is one."""
        for position, one in enumerate(codings):
            if self.holds(one):
                label = self.displays[canonical_system(str(one["system"])), str(one["code"])]
                others = [*codings[:position], *codings[position + 1 :]]
                return [{**one, "display": one.get("display") or label}, *others], True
        for one in codings:
            key = (canonical_system(str(one.get("system") or "")), str(one.get("code")))
            known = self.coding(self.equivalents.get(key, ""))
            if known is not None:
                return [known, *codings], True
        return list(codings), False


def binding(table: Mapping[str, Any], equivalents: Mapping[str, str]) -> Binding:
    """Return the binding of a table of mappings/codes. equivalents: `system|code` -> code of the value set."""
    concepts = {**table["concepts"], **table.get("also", {})}
    known = {}
    for text, code in equivalents.items():
        system, _, other = text.partition("|")
        known[canonical_system(system), other] = code
    return Binding(
        name=str(table["name"]),
        displays={
            (canonical_system(system), code): label
            for system, codes in concepts.items()
            for code, label in codes.items()
        },
        systems={code: system for system, codes in reversed(concepts.items()) for code in codes},
        equivalents=known,
    )
