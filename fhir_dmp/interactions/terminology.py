"""Terminology as one request sees it: stored CodeSystems, ValueSets and ConceptMaps first, then what is loaded.

What was found is remembered as long as no commit touched a definition (remembered.py), and each version is read once: a
change counts from the next request of every worker. fhir-rest 6.8 (:in, :not-in, :above, :below), 12 (operations).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from fhir_dmp.fhir.resource import Json, is_id, parse_stored
from fhir_dmp.interactions.remembered import MAX_AGE_MS, TERMINOLOGY
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.query import Everything, Search, SortKey, Term
from fhir_dmp.search.rules import MAX_MEMBERS
from fhir_dmp.terminology.code_system import CodeSystem, NotComputable
from fhir_dmp.terminology.concept_map import ConceptMap
from fhir_dmp.terminology.listing import rows
from fhir_dmp.terminology.value_set import ValueSet, contains, split_canonical

_READ = TypeVar("_READ")
_FOUND = TypeVar("_FOUND")
_NEWEST = (SortKey("_lastUpdated", descending=True),)
#: How many stored resources with one canonical URL are looked at for the version that was asked for.
_LOOKED_AT = 20
#: How many stored ConceptMaps are asked when none is named.
_EVERY = 1000
#: Longer URLs are looked up without being remembered.
_LONGEST = 300


class Terminology:
    """The definitions at hand. One request sees one state of each."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def code_system(self, url: str, version: str | None = None) -> CodeSystem | None:
        """Return a code system by canonical URL."""
        packaged = self._services.terminology.code_system
        return self._find("CodeSystem", url, version, CodeSystem.read, packaged)

    def value_set(self, url: str, version: str | None = None) -> ValueSet | None:
        """Return a value set by canonical URL."""
        return self._find("ValueSet", url, version, ValueSet.read, self._services.terminology.value_set)

    def concept_maps(self, url: str | None, version: str | None = None) -> list[ConceptMap]:
        """Return the maps with this canonical URL, or all of them: stored ones before packaged ones."""

        def load() -> list[ConceptMap]:
            return [self._read(each, ConceptMap.read) for each in self._stored("ConceptMap", url, version)]

        stored = self._remembered("ConceptMap", url, version, load)
        own = {each.url for each in stored}
        packaged = [each for each in self._services.terminology.concept_maps if each.url not in own]
        return stored + [
            each for each in packaged if url in (None, each.url) and version in (None, each.resource.get("version"))
        ]

    def contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Say whether a code is in a value set; system None: in any system. None when nobody here can tell."""
        found = self.value_set(*split_canonical(value_set))
        return None if found is None else contains(found, system, code, self)

    def members(self, name: str) -> Iterable[tuple[str | None, str]] | None:
        """Return the (system, code) pairs of a value set given by URL or as `ValueSet/id`, None when it has none here.

        At most one more than a search takes is listed.
        """
        found = self._named(name)
        try:
            listed = [] if found is None else rows(found, self)
        except NotComputable:
            return None
        return None if found is None else [(each.system or None, each.code) for each in listed[: MAX_MEMBERS + 1]]

    def relatives(self, system: str, code: str, direction: str) -> Iterable[str] | None:
        """Return a code and what is above or below it, None where the code system is not here or has no concepts."""
        found = self.code_system(system)
        if found is None or not found.concepts:
            return None
        return list(found.below(code) if direction == "below" else found.above(code))

    def _named(self, name: str) -> ValueSet | None:
        type_, _, id_ = name.partition("/")
        if type_ != "ValueSet" or not is_id(id_):
            return self.value_set(*split_canonical(name))
        version = self._services.store.read(Key(type_, id_))
        return None if version is None or version.deleted else self._read(version, ValueSet.read)

    def _find(
        self,
        type_: str,
        url: str,
        version: str | None,
        read: Callable[[Json], _READ],
        packaged: Callable[[str, str | None], _READ | None],
    ) -> _READ | None:

        def load() -> _READ | None:
            stored = next(iter(self._stored(type_, url, version)), None)
            return None if stored is None else self._read(stored, read)

        found = self._remembered(type_, url, version, load)
        return packaged(url, version) if found is None else found

    def _remembered(self, type_: str, url: str | None, version: str | None, load: Callable[[], _FOUND]) -> _FOUND:
        """Return what is stored, looked up anew when a definition was written meanwhile."""
        if len(url or "") + len(version or "") > _LONGEST:
            return load()
        services, now_ms = self._services, self._services.clock.now_ms()
        key = f"terminology:{type_}|{url or ''}|{version or ''}"
        return services.facts.get(key, (TERMINOLOGY,), services.store, now_ms, lambda: (load(), now_ms + MAX_AGE_MS))

    def _stored(self, type_: str, url: str | None, version: str | None) -> list[Version]:
        """Return the stored resources with this URL, newest first; a version that was asked for must be its own."""
        node = Everything() if url is None else Term(f"url=u:{url}")
        count = _EVERY if url is None else _LOOKED_AT
        page = self._services.store.search(Search((type_,), node, sort=_NEWEST, count=count))
        return [each for each in page.versions if version is None or parse_stored(each.body).get("version") == version]

    def _read(self, version: Version, read: Callable[[Json], _READ]) -> _READ:
        return self._services.definitions.read(version, read)
