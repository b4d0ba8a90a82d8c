"""What a stored ValueSet or CodeSystem says, for the modifiers :in, :not-in, :above and :below. fhir-rest 6.8

Only what is listed counts: an expansion, listed concepts, other value sets, whole code systems that are stored. A value
set with filters, or of a code system that is not here, cannot be resolved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json, is_id, parse_stored
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key
from fhir_dmp.search.query import Search, SortKey, Term
from fhir_dmp.search.rules import MAX_MEMBERS

Code = tuple[str | None, str]
#: Value sets that include each other are followed so far.
_DEPTH = 5


class Unresolvable(Exception):
    """The value set cannot be listed here."""


class Terminology:
    """The stored value sets and code systems, read when a search asks for one."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def members(self, name: str) -> Iterable[Code] | None:
        """Return the (system, code) pairs of a value set given by URL or as `ValueSet/id`, None when it has none here.

        At most one more than a search takes is listed.
        """
        try:
            found: dict[Code, None] = {}
            for member in self._members(name, _DEPTH):
                found[member] = None
                if len(found) > MAX_MEMBERS:
                    break
            return tuple(found)
        except Unresolvable:
            return None

    def relatives(self, system: str, code: str, direction: str) -> Iterable[str] | None:
        """Return a code and what is above or below it in a stored code system, None when the system is not here."""
        concepts = self._read("CodeSystem", system)
        if concepts is None or not objects_of(concepts.get("concept")):
            return None
        parents = dict(_parents(objects_of(concepts.get("concept")), None))
        if direction == "below":
            return [each for each in parents if code in _line(each, parents)]
        return list(_line(code, parents))

    def _members(self, name: str, depth: int) -> Iterator[Code]:
        value_set = self._read("ValueSet", name)
        if value_set is None or depth == 0:
            raise Unresolvable(name)
        expansion = value_set.get("expansion")
        if isinstance(expansion, dict) and expansion.get("contains"):
            yield from _contained(objects_of(expansion["contains"]))
            return
        compose = value_set.get("compose")
        if not isinstance(compose, dict):
            raise Unresolvable(name)
        excluded = {member for part in objects_of(compose.get("exclude")) for member in self._part(part, depth)}
        for part in objects_of(compose.get("include")):
            yield from (member for member in self._part(part, depth) if member not in excluded)

    def _part(self, part: Json, depth: int) -> Iterator[Code]:
        """Return the codes of one include: those of its system that are also in each of its value sets."""
        if part.get("filter"):
            raise Unresolvable
        sets = [set(self._members(url, depth - 1)) for url in part.get("valueSet", ())]
        own = list(self._of_system(part)) if "system" in part else sorted(set.union(*sets), key=str) if sets else []
        return (member for member in own if all(member in each for each in sets))

    def _of_system(self, part: Json) -> Iterator[Code]:
        system = str(part["system"])
        listed = objects_of(part.get("concept"))
        if listed:
            yield from ((system, str(each.get("code"))) for each in listed)
            return
        concepts = self._read("CodeSystem", system)
        if concepts is None or concepts.get("content") != "complete":
            raise Unresolvable
        for code, _ in _parents(objects_of(concepts.get("concept")), None):
            yield (system, code)

    def _read(self, type_: str, name: str) -> Json | None:
        """Return the newest stored resource with this canonical URL (a version after `|` must be its own), or by id."""
        start, _, id_ = name.partition("/")
        if start == type_ and is_id(id_):
            version = self._services.store.read(Key(type_, id_))
            return None if version is None or version.deleted else parse_stored(version.body)
        url, _, wanted = name.partition("|")
        newest = (SortKey("_lastUpdated", descending=True),)
        page = self._services.store.search(Search((type_,), Term(f"url=u:{url}"), sort=newest, count=20))
        resources = (parse_stored(version.body) for version in page.versions)
        return next((each for each in resources if not wanted or each.get("version") == wanted), None)


def _contained(entries: Iterable[Json]) -> Iterator[Code]:
    for entry in entries:
        if isinstance(entry.get("code"), str) and entry.get("abstract") is not True:
            yield (entry.get("system"), entry["code"])
        yield from _contained(objects_of(entry.get("contains")))


def _parents(concepts: Iterable[Json], parent: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield (code, code above it) of a code system's tree."""
    for concept in concepts:
        code = str(concept.get("code"))
        yield code, parent
        yield from _parents(objects_of(concept.get("concept")), code)


def _line(code: str, parents: dict[str, str | None]) -> Iterator[str]:
    """Yield a code and all above it."""
    at: str | None = code
    seen: set[str] = set()
    while at is not None and at not in seen:
        seen.add(at)
        yield at
        at = parents.get(at)
