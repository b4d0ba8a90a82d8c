"""What is in a ValueSet: one code asked for (`contains`), or all of them (`members`), from the same definition.

https://hl7.org/fhir/R4/valueset.html#compositions. Only what is loaded counts: where a code system is not here, or only
in part, the answer is open (None) rather than no. Systems are compared in their preferred spelling (aliases.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.code_system import CodeSystem, Concept, NotComputable, Predicate

#: (preferred spelling of the system, code)
Pair = tuple[str, str]
#: Value sets that include each other are followed so far.
_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Member:
    """A code of a value set. system: as the value set spells it; display: the value set's own, or the concept's."""

    system: str
    code: str
    display: str = ""
    version: str = ""
    abstract: bool = False
    inactive: bool = False
    designations: tuple[Json, ...] = ()

    @property
    def pair(self) -> Pair:
        """The code with the preferred spelling of its system."""
        return canonical_system(self.system), self.code


@dataclass(frozen=True, eq=False)
class Part:
    """An include or exclude. listed: the codes that it enumerates, as given; sets: canonical URLs of value sets."""

    system: str | None
    version: str | None
    listed: Mapping[str, Json]
    filters: tuple[Json, ...]
    sets: tuple[str, ...]

    @classmethod
    def read(cls, given: Json) -> Part:
        """Read an element of compose."""
        system, version = given.get("system"), given.get("version")
        return cls(
            system=system if isinstance(system, str) else None,
            version=version if isinstance(version, str) else None,
            listed={e["code"]: e for e in objects_of(given.get("concept")) if isinstance(e.get("code"), str)},
            filters=tuple(objects_of(given.get("filter"))),
            sets=tuple(str(url) for url in given.get("valueSet") or ()),
        )

    def tests(self, loaded: CodeSystem) -> list[Predicate]:
        """Return what a concept must pass.

        Raises:
            NotComputable: a filter that is not known.
        """
        return [
            loaded.predicate(str(each.get("property")), str(each.get("op")), str(each.get("value", "")))
            for each in self.filters
        ]


@dataclass(frozen=True, eq=False)
class ValueSet:
    """A definition, read once. include: None when it brings nothing but an expansion; listed: that expansion."""

    resource: Json
    include: tuple[Part, ...] | None
    exclude: tuple[Part, ...]
    skip_inactive: bool
    listed: Mapping[Pair, Member] | None

    @classmethod
    def read(cls, resource: Json) -> ValueSet:
        """Read a ValueSet resource."""
        compose, expansion = resource.get("compose"), resource.get("expansion")
        composed = compose if isinstance(compose, dict) else {}
        return cls(
            resource=resource,
            include=tuple(map(Part.read, objects_of(composed.get("include")))) if composed else None,
            exclude=tuple(map(Part.read, objects_of(composed.get("exclude")))),
            skip_inactive=composed.get("inactive") is False,
            listed={each.pair: each for each in _expanded(expansion)} if isinstance(expansion, dict) else None,
        )

    @property
    def url(self) -> str:
        """Its canonical URL, empty when it has none."""
        return str(self.resource.get("url", ""))


class Source(Protocol):
    """Where definitions come from. A version of None is the newest."""

    def code_system(self, url: str, version: str | None = None) -> CodeSystem | None:
        """Return the code system with this canonical URL."""

    def value_set(self, url: str, version: str | None = None) -> ValueSet | None:
        """Return the ValueSet with this canonical URL."""


def split_canonical(url: str) -> tuple[str, str | None]:
    """Return URL and version of a canonical reference.

    >>> split_canonical("http://example.org/vs|2.0"), split_canonical("http://example.org/vs")
    (('http://example.org/vs', '2.0'), ('http://example.org/vs', None))
    """
    start, bar, version = url.partition("|")
    return start, version if bar and version else None


# --- one code --------------------------------------------------------------------------------------------------------


def contains(value_set: ValueSet, system: str | None, code: str, source: Source, depth: int = _DEPTH) -> bool | None:
    """Say whether a code is in a value set. system None: in whatever system. None: nobody here can tell."""
    if value_set.include is None:
        return _is_listed(value_set, system, code)
    if depth == 0:
        return None
    if system is None:
        return any_of(contains(value_set, each, code, source, depth) for each in _systems(value_set, source, depth))
    said = any_of(_part_has(part, system, code, source, depth) for part in value_set.include)
    if said is False or (value_set.skip_inactive and _is_inactive(system, code, source)):
        return False
    out = any_of(_part_has(part, system, code, source, depth) for part in value_set.exclude)
    return False if out else None if out is None else said


def _systems(value_set: ValueSet, source: Source, depth: int) -> dict[str, None]:
    """Return the systems whose codes the value set may have."""
    found = dict.fromkeys(system for system, _ in value_set.listed or ()) if value_set.include is None else {}
    for part in value_set.include or ():
        if part.system is not None:
            found[part.system] = None
            continue
        for url in part.sets if depth else ():
            other = source.value_set(*split_canonical(url))
            found |= {} if other is None else _systems(other, source, depth - 1)
    return found


def any_of(answers: Iterable[bool | None]) -> bool | None:
    """Return True when one is, None when one is open, else False."""
    said: bool | None = False
    for each in answers:
        if each:
            return True
        said = None if each is None else said
    return said


def _is_listed(value_set: ValueSet, system: str | None, code: str) -> bool | None:
    if value_set.listed is None:
        return None
    if system is not None:
        return (canonical_system(system), code) in value_set.listed
    return any(known == code for _, known in value_set.listed)


def _part_has(part: Part, system: str, code: str, source: Source, depth: int) -> bool | None:
    """Say whether an include or exclude has the code: in its system and in every value set that it names."""
    answers: list[bool | None] = []
    if part.system is not None:
        answers.append(_system_has(part, part.system, system, code, source))
    for url in part.sets:
        other = source.value_set(*split_canonical(url))
        answers.append(None if other is None else contains(other, system, code, source, depth - 1))
    if False in answers or not answers:
        return False
    return None if None in answers else True


def _system_has(part: Part, own: str, system: str, code: str, source: Source) -> bool | None:
    if canonical_system(system) != canonical_system(own):
        return False
    if part.listed:
        return code in part.listed
    loaded = source.code_system(own, part.version)
    concept = loaded.find(code) if loaded is not None else None
    if concept is None or loaded is None:
        return False if loaded is not None and loaded.complete else None
    try:
        return all(test(concept) for test in part.tests(loaded))
    except NotComputable:
        return None


def _is_inactive(system: str, code: str, source: Source) -> bool:
    loaded = source.code_system(system)
    concept = loaded.find(code) if loaded is not None else None
    return concept is not None and concept.inactive


# --- all of them -----------------------------------------------------------------------------------------------------


def members(value_set: ValueSet, source: Source, *, active_only: bool = False) -> list[Member]:
    """Return every code once, in the order of the definition.

    Raises:
        NotComputable: it cannot be listed from what is loaded; when it brings an expansion, that one is returned.
    """
    try:
        found = _members(value_set, source, ())
    except NotComputable:
        if value_set.listed is None:
            raise
        found = value_set.listed
    return [member for member in found.values() if not (active_only and member.inactive)]


def _members(value_set: ValueSet, source: Source, within: tuple[str, ...]) -> Mapping[Pair, Member]:
    name = value_set.url
    if name and name in within:
        raise NotComputable(f"The value set {name} includes itself.")
    if len(within) >= _DEPTH:
        raise NotComputable(f"More than {_DEPTH} value sets include each other.")
    if value_set.include is None:
        if value_set.listed is None:
            raise NotComputable(f"The value set {name} says nothing of its content.")
        return value_set.listed
    inside = (*within, name)
    found: dict[Pair, Member] = {}
    for part in value_set.include:
        for pair, member in _of_part(part, source, inside).items():
            if not (value_set.skip_inactive and member.inactive):
                found.setdefault(pair, member)
    for part in value_set.exclude:
        for pair in _of_part(part, source, inside):
            found.pop(pair, None)
    return found


def _of_part(part: Part, source: Source, within: tuple[str, ...]) -> Mapping[Pair, Member]:
    sets = [_named(url, source, within) for url in part.sets]
    own = _of_system(part, part.system, source) if part.system is not None else sets.pop(0) if sets else {}
    return {pair: member for pair, member in own.items() if all(pair in each for each in sets)}


def _named(url: str, source: Source, within: tuple[str, ...]) -> Mapping[Pair, Member]:
    found = source.value_set(*split_canonical(url))
    if found is None:
        raise NotComputable(f"The value set {url} is not loaded.")
    return _members(found, source, within)


def _of_system(part: Part, system: str, source: Source) -> dict[Pair, Member]:
    loaded = source.code_system(system, part.version)
    if part.listed:
        found = [_of_listed(system, code, each, loaded) for code, each in part.listed.items()]
        return {member.pair: member for member in found}
    if loaded is None:
        raise NotComputable(f"The code system {system} is not loaded.")
    if not loaded.complete:
        raise NotComputable(f"The code system {system} is loaded only in part.")
    tests = part.tests(loaded)
    kept = (each for each in loaded.concepts.values() if all(test(each) for test in tests))
    return {member.pair: member for member in (_of_concept(system, each, loaded) for each in kept)}


def _of_listed(system: str, code: str, given: Json, loaded: CodeSystem | None) -> Member:
    concept = (loaded.find(code) if loaded is not None else None) or Concept(code)
    return Member(
        system=system,
        code=code,
        display=str(given.get("display") or concept.display),
        version=loaded.version if loaded is not None else "",
        abstract=concept.abstract,
        inactive=concept.inactive,
        designations=(*objects_of(given.get("designation")), *concept.designations),
    )


def _of_concept(system: str, concept: Concept, loaded: CodeSystem) -> Member:
    return Member(
        system=system,
        code=concept.code,
        display=concept.display,
        version=loaded.version,
        abstract=concept.abstract,
        inactive=concept.inactive,
        designations=concept.designations,
    )


def _expanded(expansion: Json) -> Iterator[Member]:
    waiting = list(reversed(objects_of(expansion.get("contains"))))
    while waiting:
        each = waiting.pop()
        if isinstance(each.get("code"), str) and each.get("abstract") is not True:
            yield Member(
                system=str(each.get("system", "")),
                code=each["code"],
                display=str(each.get("display", "")),
                version=str(each.get("version", "")),
                inactive=each.get("inactive") is True,
                designations=tuple(objects_of(each.get("designation"))),
            )
        waiting += reversed(objects_of(each.get("contains")))
