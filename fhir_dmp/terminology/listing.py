"""All codes of a ValueSet, or those with certain words: what `contains` says of each, in the order of the definition.

Rows are made for every code, members only for those that are shown. With words, only what may match is looked at: to
find a few names among many costs little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, overload

from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.code_system import CodeSystem, Concept, NotComputable
from fhir_dmp.terminology.value_set import (
    DEPTH,
    Member,
    Pair,
    Part,
    Source,
    ValueSet,
    contains,
    part_has,
    split_canonical,
)
from fhir_dmp.terminology.word_index import has_words

#: Enumerations of at most so many codes are read through; longer ones have an index.
_SHORT = 200


class Row(NamedTuple):
    """A code of a value set. given: what the value set says of it; known: a member of an expansion that it brings."""

    system: str
    code: str
    concept: Concept | None
    version: str = ""
    given: Json | None = None
    known: Member | None = None

    @property
    def pair(self) -> Pair:
        """The code with the preferred spelling of its system."""
        return canonical_system(self.system), self.code

    @property
    def inactive(self) -> bool:
        """Whether the code is retired."""
        if self.known is not None:
            return self.known.inactive
        return self.concept is not None and self.concept.inactive

    @property
    def abstract(self) -> bool:
        """Whether the code only groups others."""
        return self.concept is not None and self.concept.abstract

    def names(self) -> list[str]:
        """Return what a text search looks at."""
        member = self.member()
        return [member.code, member.display, *(str(each.get("value", "")) for each in member.designations)]

    def member(self) -> Member:
        """Return all that is known of the code."""
        if self.known is not None:
            return self.known
        concept, given = self.concept or Concept(self.code), self.given or {}
        return Member(
            system=self.system,
            code=self.code,
            display=str(given.get("display") or concept.display),
            version=self.version,
            abstract=concept.abstract,
            inactive=concept.inactive,
            designations=(*objects_of(given.get("designation")), *concept.designations),
        )


def members(value_set: ValueSet, source: Source, *, active_only: bool = False) -> list[Member]:
    """Return every code once, in the order of the definition.

    Raises:
        NotComputable: it cannot be listed from what is loaded; when it brings an expansion, that one is returned.
    """
    return [row.member() for row in rows(value_set, source, active_only=active_only)]


class _Whole(Sequence[Row]):
    """All concepts of a code system; rows are made of those that are looked at."""

    def __init__(self, system: str, loaded: CodeSystem) -> None:
        self._system, self._loaded = system, loaded

    def __len__(self) -> int:
        return len(self._loaded.concepts)

    @overload
    def __getitem__(self, at: int) -> Row: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Row]: ...

    def __getitem__(self, at: int | slice) -> Row | Sequence[Row]:
        found = self._loaded.listed[at]
        if isinstance(found, Concept):
            return Row(self._system, found.code, found, self._loaded.version)
        return [Row(self._system, each.code, each, self._loaded.version) for each in found]


def rows(value_set: ValueSet, source: Source, *, words: Sequence[str] = (), active_only: bool = False) -> Sequence[Row]:
    """Return every code once, in the order of the definition. words: folded; only codes with names of such words.

    Raises:
        NotComputable: it cannot be listed from what is loaded; when it brings an expansion, that one is returned.
    """
    found: Iterable[Row]
    try:
        found = _Listing(source, words).all(value_set)
    except NotComputable:
        if value_set.listed is None:
            raise
        found = _brought(value_set.listed, words).values()
    if active_only:
        return [row for row in found if not row.inactive]
    return found if isinstance(found, _Whole) else list(found)


Rows = Mapping[Pair, Row]


def _brought(listed: Mapping[Pair, Member], words: Sequence[str]) -> Rows:
    """Return the rows of an expansion that a value set brings."""
    found = {pair: Row(each.system, each.code, None, known=each) for pair, each in listed.items()}
    return {pair: row for pair, row in found.items() if has_words(row.names(), words)} if words else found


class _Listing:
    """One listing: each value set that others include is listed once."""

    def __init__(self, source: Source, words: Sequence[str]) -> None:
        self._source = source
        self._words = words
        self._known: dict[str, Rows] = {}
        self._within: list[str] = []

    def all(self, value_set: ValueSet) -> Iterable[Row]:
        """Return the rows of the value set that is asked for."""
        include = value_set.include
        if include is None or len(include) != 1 or include[0].sets or value_set.exclude:
            return self.of(value_set).values()
        # One code system, as most large value sets are: nothing can come twice, so nothing has to be looked up.
        found = self._of_system(include[0], include[0].system) if include[0].system is not None else ()
        return [row for row in found if not row.inactive] if value_set.skip_inactive else found

    def of(self, value_set: ValueSet) -> Rows:
        name = value_set.url
        if name and name in self._within:
            raise NotComputable(f"The value set {name} includes itself.")
        if len(self._within) >= DEPTH:
            raise NotComputable(f"More than {DEPTH} value sets include each other.")
        if value_set.include is None:
            if value_set.listed is None:
                raise NotComputable(f"The value set {name} says nothing of its content.")
            return _brought(value_set.listed, self._words)
        self._within.append(name)
        found = self._composed(value_set, value_set.include)
        self._within.pop()
        return found

    def _composed(self, value_set: ValueSet, include: Sequence[Part]) -> Rows:
        found: dict[Pair, Row] = {}
        for index, part in enumerate(include):
            for pair, row in self._of_part(part).items():
                if pair in found or (value_set.skip_inactive and row.inactive):
                    continue
                # A code has the name of the first include that has it; there it did not have the words.
                if self._words and index and self._is_in(include[:index], row):
                    continue
                found[pair] = row
        for part in value_set.exclude:
            if self._words:
                found = {pair: row for pair, row in found.items() if not self._is_in((part,), row)}
                continue
            for pair in self._of_part(part):
                found.pop(pair, None)
        return found

    def _is_in(self, parts: Iterable[Part], row: Row) -> bool:
        said = [part_has(part, row.system, row.code, self._source) for part in parts]
        if None in said and True not in said:
            raise NotComputable("What a part of the value set holds cannot be told from what is loaded.")
        return True in said

    def _of_part(self, part: Part) -> Rows:
        sets = list(part.sets)
        if part.system is not None:
            own: Rows = {row.pair: row for row in self._of_system(part, part.system)}
        elif sets:
            own = self._named(sets.pop(0))
        else:
            return {}
        if not self._words:
            others = [self._named(url) for url in sets]
            return {pair: row for pair, row in own.items() if all(pair in each for each in others)} if others else own
        for url in sets:
            own = {pair: row for pair, row in own.items() if self._has(url, row)}
        return own

    def _has(self, url: str, row: Row) -> bool:
        said = contains(self._set(url), row.system, row.code, self._source)
        if said is None:
            raise NotComputable(f"What the value set {url} holds cannot be told from what is loaded.")
        return said

    def _named(self, url: str) -> Rows:
        if url not in self._known:
            self._known[url] = self.of(self._set(url))
        return self._known[url]

    def _set(self, url: str) -> ValueSet:
        found = self._source.value_set(*split_canonical(url))
        if found is None:
            raise NotComputable(f"The value set {url} is not loaded.")
        return found

    def _of_system(self, part: Part, system: str) -> Iterable[Row]:
        loaded = self._source.code_system(system, part.version)
        if part.listed:
            return self._of_listed(part, system, loaded)
        if loaded is None:
            raise NotComputable(f"The code system {system} is not loaded.")
        if loaded.grammar is not None:
            raise NotComputable(f"The codes of {system} are without number: its grammar makes them.")
        if not loaded.complete:
            raise NotComputable(f"The code system {system} is loaded only in part.")
        tests = part.tests(loaded, of_many=True)
        if not tests and not self._words:
            return _Whole(system, loaded)
        concepts = loaded.matching(self._words) if self._words else loaded.listed
        kept = (each for each in concepts if all(test(each) for test in tests)) if tests else concepts
        version = loaded.version
        return (Row(system, each.code, each, version) for each in kept)

    def _of_listed(self, part: Part, system: str, loaded: CodeSystem | None) -> Iterable[Row]:
        version = loaded.version if loaded is not None else ""
        found = (
            Row(system, code, loaded.find(code) if loaded is not None else None, version, part.listed[code])
            for code in self._candidates(part, loaded)
        )
        return (row for row in found if has_words(row.names(), self._words)) if self._words else found

    def _candidates(self, part: Part, loaded: CodeSystem | None) -> Iterable[str]:
        """Return the enumerated codes that may have the words: in the value set's own names or in the concept's."""
        if not self._words or len(part.listed) <= _SHORT:
            return part.listed
        hits = [
            part.listed_with(word) | (loaded.matching_codes(word) if loaded is not None else set())
            for word in self._words
        ]
        both = set.intersection(*hits)
        return [code for code in part.listed if code in both]
