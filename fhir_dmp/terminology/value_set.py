"""What is in a ValueSet, asked of one code (`contains`); listing.py lists all of them from the same definition.

https://hl7.org/fhir/R4/valueset.html#compositions. Only what is loaded counts: where a code system is not here, or only
in part, the answer is open (None) rather than no. Systems are compared in their preferred spelling (aliases.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.code_system import CodeSystem, NotComputable, Predicate
from fhir_dmp.terminology.word_index import WordIndex

#: (preferred spelling of the system, code)
Pair = tuple[str, str]
#: Value sets that include each other are followed so far.
DEPTH = 20


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

    def tests(self, loaded: CodeSystem, *, of_many: bool = False) -> list[Predicate]:
        """Return what a concept must pass; of_many: every concept will be asked.

        Raises:
            NotComputable: a filter that is not known.
        """
        return [
            loaded.predicate(
                str(each.get("property")), str(each.get("op")), str(each.get("value", "")), of_many=of_many
            )
            for each in self.filters
        ]

    def listed_with(self, word: str) -> set[str]:
        """Return the enumerated codes with a word that begins so, in what the value set itself says of them."""
        return {self._codes[number] for number in self._index.hits(word)}

    @cached_property
    def _codes(self) -> Sequence[str]:
        return tuple(self.listed)

    @cached_property
    def _index(self) -> WordIndex:
        return WordIndex(names_of(code, given) for code, given in self.listed.items())


def names_of(code: str, given: Json) -> list[str]:
    """Return what a value set itself says of a code that it enumerates."""
    designations = (str(each.get("value", "")) for each in objects_of(given.get("designation")))
    return [code, str(given.get("display", "")), *designations]


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

#: What was said of a code by a value set that several others may include; None while it is being asked.
_Said = dict[tuple[str, str, str], bool | None]


def contains(value_set: ValueSet, system: str | None, code: str, source: Source) -> bool | None:
    """Say whether a code is in a value set. system None: in whatever system. None: nobody here can tell."""
    if system is not None or value_set.include is None:
        return _contains(value_set, system, code, source, DEPTH, {})
    said: _Said = {}
    systems = _systems(value_set, source, DEPTH, set())
    return any_of(_contains(value_set, each, code, source, DEPTH, said) for each in systems)


def part_has(part: Part, system: str, code: str, source: Source) -> bool | None:
    """Say whether an include or exclude has the code: in its system and in every value set that it names."""
    return _part_has(part, system, code, source, DEPTH, {})


def _contains(
    value_set: ValueSet, system: str | None, code: str, source: Source, depth: int, said: _Said
) -> bool | None:
    if value_set.include is None:
        return _is_listed(value_set, system, code)
    if depth == 0 or system is None:
        return None
    inside = any_of(_part_has(part, system, code, source, depth, said) for part in value_set.include)
    if inside is False or (value_set.skip_inactive and _is_inactive(system, code, source)):
        return False
    out = any_of(_part_has(part, system, code, source, depth, said) for part in value_set.exclude)
    return False if out else None if out is None else inside


def _systems(value_set: ValueSet, source: Source, depth: int, seen: set[str]) -> dict[str, None]:
    """Return the systems whose codes the value set may have."""
    found = dict.fromkeys(system for system, _ in value_set.listed or ()) if value_set.include is None else {}
    for part in value_set.include or ():
        if part.system is not None:
            found[part.system] = None
            continue
        for url in part.sets if depth else ():
            other = source.value_set(*split_canonical(url)) if url not in seen else None
            seen.add(url)
            found |= {} if other is None else _systems(other, source, depth - 1, seen)
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


def _part_has(part: Part, system: str, code: str, source: Source, depth: int, said: _Said) -> bool | None:
    answers: list[bool | None] = []
    if part.system is not None:
        answers.append(_system_has(part, part.system, system, code, source))
    for url in part.sets if False not in answers else ():
        asked = (url, system, code)
        if asked not in said:
            said[asked] = None
            other = source.value_set(*split_canonical(url))
            said[asked] = None if other is None else _contains(other, system, code, source, depth - 1, said)
        answers.append(said[asked])
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
