"""Is this code in this value set: from the R4 tables, and from the ValueSets and CodeSystems that are loaded.

Only what can be listed is answered; a filter, or a code system that is not here (LOINC, SNOMED CT), leaves the answer
open for the codes of that system. Systems are compared in their preferred spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.validation.base import Base

_DEPTH = 5
#: (value set, system, code) -> whether it is in, None when that is open.
Asked = Callable[[str, str | None, str], bool | None]


@dataclass(slots=True)
class Members:
    """A value set: the codes that are listed, the systems of which every code may be in, and what nobody can tell."""

    codes: set[tuple[str, str]] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    open: bool = False

    def has(self, system: str | None, code: str) -> bool | None:
        """Say whether a code is in; None when that is open."""
        if system is None:
            if any(known == code for _, known in self.codes):
                return True
            return None if self.open or self.whole else False
        pair = (canonical_system(system), code)
        if pair in self.codes:
            return True
        return None if self.open or pair[0] in self.whole else False


class LoadedValueSets:
    """The value sets at hand, listed when one is first asked. Safe to share between threads.

    others: asked about value sets that are neither among the resources nor in the tables of R4.
    """

    def __init__(self, base: Base, resources: Iterable[Json], others: Asked | None = None) -> None:
        self._base = base
        self._others = others
        self._sets: dict[str, Json] = {}
        self._systems: dict[str, Json] = {}
        for each in resources:
            kind, url = each.get("resourceType"), each.get("url")
            if isinstance(url, str) and kind == "ValueSet":
                self._sets[url] = each
            elif isinstance(url, str) and kind == "CodeSystem":
                self._systems[url] = each
        self._members: dict[str, Members | None] = {}

    def contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Say whether a code is in a value set; system None: in any system. None when nobody here can tell."""
        url = value_set.partition("|")[0]
        members = self._listed(url)
        if members is None:
            return self._others(url, system, code) if self._others is not None else None
        return members.has(system, code)

    def _listed(self, url: str) -> Members | None:
        if url not in self._members:
            self._members[url] = self._read(url, _DEPTH)
        return self._members[url]

    def _read(self, url: str, depth: int) -> Members | None:
        given = self._sets.get(url)
        if given is None:
            known = self._base.codes(url)
            return (
                None
                if known is None
                else Members({(canonical_system(s), c) for s, codes in known.items() for c in codes})
            )
        members = Members()
        compose = given.get("compose")
        if isinstance(compose, dict):
            for part in objects_of(compose.get("include")):
                self._include(part, members, depth)
            for part in objects_of(compose.get("exclude")):
                removed = Members()
                self._include(part, removed, depth)
                members.codes -= removed.codes
        else:
            for system, code in _contained(objects_of((given.get("expansion") or {}).get("contains"))):
                members.codes.add((canonical_system(system), code))
        return members

    def _include(self, part: Json, members: Members, depth: int) -> None:
        sets = [
            self._read(str(url).partition("|")[0], depth - 1) if depth else None for url in part.get("valueSet", ())
        ]
        if "system" in part:
            self._of_system(part, members)
            return
        for each in sets:
            if each is None:
                members.open = True
            else:
                members.codes |= each.codes
                members.whole |= each.whole
                members.open = members.open or each.open

    def _of_system(self, part: Json, members: Members) -> None:
        system = str(part["system"])
        name = canonical_system(system)
        listed = objects_of(part.get("concept"))
        if listed:
            members.codes |= {(name, str(each.get("code"))) for each in listed}
        elif part.get("filter"):
            members.whole.add(name)
        else:
            loaded = self._systems.get(system)
            if loaded is None or loaded.get("content") != "complete":
                members.whole.add(name)
            else:
                members.codes |= {(name, code) for code in _concepts(objects_of(loaded.get("concept")))}


def _concepts(concepts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for each in concepts:
        yield str(each.get("code"))
        yield from _concepts(objects_of(each.get("concept")))


def _contained(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for each in entries:
        if isinstance(each.get("code"), str):
            yield str(each.get("system", "")), each["code"]
        yield from _contained(objects_of(each.get("contains")))
