"""All terminology of a process: what was loaded (profiles/, added packages), then the packaged tables."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.code_system import CodeSystem
from fhir_dmp.terminology.concept_map import ConceptMap
from fhir_dmp.terminology.packaged import Packaged
from fhir_dmp.terminology.value_set import ValueSet, contains, split_canonical


class Loaded:
    """A Source of definitions, each read when first asked; of two with one URL the later counts. Thread safe.

    A definition that is marked as a mere `not-present` or `example` of its code system gives way to the tables.
    """

    def __init__(self, resources: Iterable[Json], packaged: Packaged) -> None:
        self._packaged = packaged
        self._given: dict[tuple[str, str], Json] = {}
        for each in resources:
            kind, url = str(each.get("resourceType")), each.get("url")
            if isinstance(url, str) and kind in ("ValueSet", "CodeSystem", "ConceptMap"):
                self._given[kind, canonical_system(url) if kind == "CodeSystem" else url] = each
        self._systems: dict[str, CodeSystem] = {}
        self._sets: dict[str, ValueSet] = {}

    def code_system(self, url: str, version: str | None = None) -> CodeSystem | None:
        """Return a code system by canonical URL, in any of its spellings."""
        name = canonical_system(url)
        if name not in self._systems:
            given = self._given.get(("CodeSystem", name))
            if given is None or (given.get("content") in ("not-present", "example") and not given.get("concept")):
                return self._packaged.code_system(url, version)
            self._systems[name] = CodeSystem.read(given)
        found = self._systems[name]
        return found if version in (None, found.version) else None

    def value_set(self, url: str, version: str | None = None) -> ValueSet | None:
        """Return a value set by canonical URL, or by `urn:oid:` and its OID."""
        if url not in self._sets:
            given = self._given.get(("ValueSet", url))
            if given is None:
                return self._packaged.value_set(url, version)
            self._sets[url] = ValueSet.read(given)
        found = self._sets[url]
        return found if version in (None, found.resource.get("version")) else None

    @cached_property
    def concept_maps(self) -> tuple[ConceptMap, ...]:
        """All maps."""
        own = [ConceptMap.read(each) for (kind, _), each in self._given.items() if kind == "ConceptMap"]
        urls = {each.url for each in own}
        return (*own, *(each for each in self._packaged.concept_maps if each.url not in urls))

    def national(self) -> Iterable[Json]:
        """Return the packaged national value sets, code systems and maps as resources with an id."""
        return self._packaged.national()

    @property
    def code_system_urls(self) -> list[str]:
        """The canonical URL of every code system that has concepts here."""
        given = [str(each["url"]) for (kind, _), each in self._given.items() if kind == "CodeSystem"]
        names = {canonical_system(url) for url in given}
        others = (each.url for each in self._packaged.code_systems if canonical_system(each.url) not in names)
        return [*given, *others]

    def contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Say whether a code is in a value set; system None: in any system. None when nobody here can tell."""
        found = self.value_set(*split_canonical(value_set)) or self.value_set(value_set.partition("|")[0])
        return None if found is None else contains(found, system, code, self)
