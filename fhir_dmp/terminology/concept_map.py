"""Translation by a ConceptMap, forward and backward. https://hl7.org/fhir/R4/conceptmap.html"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import canonical_system

#: What the relation of R4 is called seen from the other side.
_REVERSED = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}
#: Equivalences that say that there is no translation.
_NONE = frozenset(("unmatched", "disjoint"))


@dataclass(frozen=True, slots=True)
class Match:
    """One translation. source: canonical URL of the map that says it."""

    equivalence: str
    system: str
    code: str
    display: str
    source: str

    @property
    def is_translation(self) -> bool:
        """Say whether it leads to a code that stands for the one given."""
        return self.equivalence not in _NONE


def translations(concept_map: Json, system: str, code: str) -> Iterator[Match]:
    """Yield what a map says of a code."""
    wanted, url = canonical_system(system), str(concept_map.get("url", ""))
    for group in objects_of(concept_map.get("group")):
        if canonical_system(str(group.get("source", ""))) != wanted:
            continue
        into = str(group.get("target", ""))
        elements = [each for each in objects_of(group.get("element")) if each.get("code") == code]
        for each in elements:
            for target in objects_of(each.get("target")):
                yield _match(str(target.get("equivalence", "relatedto")), into, target, url)
        if not elements:
            yield from _unmapped(group, into, code, url)


def reversals(concept_map: Json, system: str, code: str) -> Iterator[Match]:
    """Yield the codes that a map translates into this one."""
    wanted, url = canonical_system(system), str(concept_map.get("url", ""))
    for group in objects_of(concept_map.get("group")):
        if canonical_system(str(group.get("target", ""))) != wanted:
            continue
        for each in objects_of(group.get("element")):
            for target in objects_of(each.get("target")):
                said = str(target.get("equivalence", "relatedto"))
                if target.get("code") == code and said not in _NONE:
                    yield _match(_REVERSED.get(said, said), str(group.get("source", "")), each, url)


def _unmapped(group: Json, into: str, code: str, url: str) -> Iterator[Match]:
    said = group.get("unmapped")
    if not isinstance(said, dict):
        return
    if said.get("mode") == "provided":
        yield Match("equal", into, code, "", url)
    elif said.get("mode") == "fixed" and isinstance(said.get("code"), str):
        yield _match("inexact", into, said, url)


def _match(equivalence: str, system: str, given: Json, url: str) -> Match:
    return Match(equivalence, system, str(given.get("code", "")), str(given.get("display", "")), url)
