"""A CodeSystem, read once: its concepts by code, what is above and below each, and the filters of its properties.

https://hl7.org/fhir/R4/codesystem.html, https://hl7.org/fhir/R4/codesystem-filter-operator.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import re2

from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.word_index import WordIndex

#: Longest pattern that the filter `regex` takes; the matcher needs time in proportion to text and pattern.
MAX_PATTERN = 500
_PARENT = "http://hl7.org/fhir/concept-properties#parent"
_CHILD = "http://hl7.org/fhir/concept-properties#child"
_TRUE = ("true", True)


class NotComputable(Exception):
    """What is asked cannot be told from what is loaded; the message says why."""


@dataclass(frozen=True, slots=True)
class Concept:
    """One concept. parents: codes directly above. properties, designations: as FHIR gives them."""

    code: str
    display: str = ""
    definition: str = ""
    parents: tuple[str, ...] = ()
    abstract: bool = False
    inactive: bool = False
    designations: tuple[Json, ...] = ()
    properties: tuple[Json, ...] = ()

    @property
    def names(self) -> list[str]:
        """Return what a text search looks at: the code, its display and the designations."""
        return [self.code, self.display, *(str(each.get("value", "")) for each in self.designations)]

    def values(self, name: str) -> list[str]:
        """Return the values of a property as text; `display` and `definition` count as properties, too."""
        if name == "display":
            return [self.display] if self.display else []
        if name == "definition":
            return [self.definition] if self.definition else []
        found = (value_of(each) for each in self.properties if each.get("code") == name)
        return [text_of(value) for value in found if value is not None]


Predicate = Callable[[Concept], bool]


def value_of(choice: Json) -> Any:
    """Return the `value[x]` of an element, None when it has none."""
    return next((value for key, value in choice.items() if key.startswith("value") and key != "value"), None)


def text_of(value: Any) -> str:
    """Return a property's value as a filter compares it: a Coding by its code, a boolean as `true` or `false`."""
    if isinstance(value, dict):
        return str(value.get("code", ""))
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, eq=False)
class CodeSystem:
    """Concepts by code, in the order of the definition. complete: what is not here does not exist.

    grammar: says which further codes there are, where a code system has rules instead of a list.
    """

    url: str
    concepts: Mapping[str, Concept]
    version: str = ""
    name: str = ""
    complete: bool = False
    case_sensitive: bool = True
    properties: Mapping[str, str] = field(default_factory=dict)
    grammar: Callable[[str], bool] | None = None

    @classmethod
    def read(cls, resource: Json) -> CodeSystem:
        """Read a CodeSystem resource; hierarchy comes from nesting and from the properties for parents and children."""
        declared = {str(each.get("code")): each for each in objects_of(resource.get("property"))}
        uris = {code: str(each.get("uri", "")) for code, each in declared.items()}
        above = {code for code, uri in uris.items() if uri == _PARENT} | {"parent"}
        below = {code for code, uri in uris.items() if uri == _CHILD} | {"child"}
        parents: dict[str, list[str]] = {}
        given: dict[str, Json] = {}
        for concept, over in _walk(resource):
            code = concept["code"]
            given.setdefault(code, concept)
            into = parents.setdefault(code, [])
            into += [over] if over is not None else []
            for each in objects_of(concept.get("property")):
                if each.get("code") in above:
                    into.append(text_of(value_of(each)))
                elif each.get("code") in below:
                    parents.setdefault(text_of(value_of(each)), []).append(code)
        return cls(
            url=str(resource.get("url", "")),
            concepts={code: _concept(each, parents[code]) for code, each in given.items()},
            version=str(resource.get("version", "")),
            name=str(resource.get("name") or resource.get("title") or resource.get("url", "")),
            complete=resource.get("content") == "complete",
            case_sensitive=resource.get("caseSensitive") is not False,
            properties={code: str(each.get("type", "code")) for code, each in declared.items()},
        )

    def find(self, code: str) -> Concept | None:
        """Return a concept by its code, in any case where the code system does not mind case."""
        found = self.concepts.get(code)
        if found is None and not self.case_sensitive:
            found = self._folded.get(code.casefold())
        if found is None and self.grammar is not None and self.grammar(code):
            return Concept(code, display=code)
        return found

    def matching(self, words: Sequence[str]) -> list[Concept]:
        """Return the concepts of which every folded word begins a word of a name, in the order of the definition."""
        found = self._index.find(words)
        return [self.listed[number] for number in found]

    def matching_codes(self, word: str) -> set[str]:
        """Return the codes of the concepts with a word that begins so."""
        return {self.listed[number].code for number in self._index.hits(word)}

    @cached_property
    def listed(self) -> Sequence[Concept]:
        """The concepts in the order of the definition."""
        return tuple(self.concepts.values())

    @cached_property
    def _index(self) -> WordIndex:
        return WordIndex(concept.names for concept in self.listed)

    @cached_property
    def _folded(self) -> Mapping[str, Concept]:
        return {code.casefold(): concept for code, concept in self.concepts.items()}

    @cached_property
    def _children(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for concept in self.concepts.values():
            for parent in concept.parents:
                found.setdefault(parent, []).append(concept.code)
        return found

    @property
    def has_hierarchy(self) -> bool:
        """Say whether any concept stands below another."""
        return bool(self._children)

    def children(self, code: str) -> list[str]:
        """Return the codes directly below."""
        return list(self._children.get(code, ()))

    def above(self, code: str) -> dict[str, None]:
        """Return a code and all above it, nearest first."""
        return self._line(code, lambda at: self.concepts[at].parents if at in self.concepts else ())

    def below(self, code: str) -> dict[str, None]:
        """Return a code and all below it, nearest first."""
        return self._line(code, lambda at: self._children.get(at, ()))

    @staticmethod
    def _line(code: str, following: Callable[[str], Any]) -> dict[str, None]:
        found: dict[str, None] = {code: None}
        waiting = [code]
        while waiting:
            # Once each: in a hierarchy with several ways to one code, the ways may be more than anybody can walk.
            waiting = list(dict.fromkeys(each for at in waiting for each in following(at) if each not in found))
            found.update(dict.fromkeys(waiting))
        return found

    def relation(self, one: str, other: str) -> str:
        """Return `equivalent`, `subsumes`, `subsumed-by` or `not-subsumed`, as $subsumes words it."""
        if one == other:
            return "equivalent"
        if one in self.above(other):
            return "subsumes"
        return "subsumed-by" if other in self.above(one) else "not-subsumed"

    def predicate(self, name: str, op: str, value: str, *, of_many: bool = False) -> Predicate:
        """Return the function that says whether a concept passes a filter of a value set.

        of_many: it will be asked of every concept, so that work beforehand is worth it.

        Raises:
            NotComputable: an operator or property that is not known here, or a value that means nothing.
        """
        if op in _TREES:
            if name not in ("concept", "code"):
                raise NotComputable(f"The filter {op} works on `concept`, not on `{name[:40]}`.")
            return _TREES[op](self, value, of_many)
        if op not in _ON_VALUES:
            raise NotComputable(f"The filter operator `{op[:40]}` is not known.")
        if name not in self._filterable:
            raise NotComputable(f"The code system {self.url} has no property `{name[:40]}` here.")
        return _ON_VALUES[op](lambda concept: self._texts(concept, name), value)

    @cached_property
    def _filterable(self) -> frozenset[str]:
        """The properties that are declared or used, and those that every code system has."""
        used = {str(each.get("code")) for concept in self.concepts.values() for each in concept.properties}
        return _EVERYWHERE | self.properties.keys() | used

    def _texts(self, concept: Concept, name: str) -> list[str]:
        if name in ("code", "concept"):
            return [concept.code]
        if name == "parent":
            return list(concept.parents)
        if name == "child":
            return self.children(concept.code)
        if name in ("inactive", "notSelectable") and not concept.values(name):
            return [str(concept.inactive if name == "inactive" else concept.abstract).lower()]
        return concept.values(name)


def _under(system: CodeSystem, value: str, of_many: bool) -> Predicate:
    """Say whether a concept is the value or below it: once from above, or of each from below."""
    if of_many:
        below = system.below(value)
        return lambda concept: concept.code in below
    return lambda concept: value in system.above(concept.code)


def _descendant(system: CodeSystem, value: str, of_many: bool) -> Predicate:
    under = _under(system, value, of_many)
    return lambda concept: concept.code != value and under(concept)


def _is_not_a(system: CodeSystem, value: str, of_many: bool) -> Predicate:
    under = _under(system, value, of_many)
    return lambda concept: not under(concept)


def _generalizes(system: CodeSystem, value: str, of_many: bool) -> Predicate:
    above = system.above(value)
    return lambda concept: concept.code in above


_TREES: Mapping[str, Callable[[CodeSystem, str, bool], Predicate]] = {
    "is-a": _under,
    "descendent-of": _descendant,
    "is-not-a": _is_not_a,
    "generalizes": _generalizes,
}

Texts = Callable[[Concept], list[str]]


def _in(texts: Texts, value: str) -> Predicate:
    wanted = {part.strip() for part in value.split(",")}
    return lambda concept: not wanted.isdisjoint(texts(concept))


def _not_in(texts: Texts, value: str) -> Predicate:
    inside = _in(texts, value)
    return lambda concept: not inside(concept)


def _equal(texts: Texts, value: str) -> Predicate:
    return lambda concept: value in texts(concept)


def _exists(texts: Texts, value: str) -> Predicate:
    if value not in ("true", "false"):
        raise NotComputable("The filter exists has the value true or false.")
    return lambda concept: bool(texts(concept)) is (value == "true")


def _regex(texts: Texts, value: str) -> Predicate:
    matches = _pattern(value)
    return lambda concept: any(matches(text) for text in texts(concept))


_ON_VALUES: Mapping[str, Callable[[Texts, str], Predicate]] = {
    "=": _equal,
    "in": _in,
    "not-in": _not_in,
    "exists": _exists,
    "regex": _regex,
}
#: Properties that every concept has, and those that R4 defines for all code systems.
_EVERYWHERE = frozenset(
    ("code", "concept", "display", "definition", "parent", "child", "inactive", "notSelectable", "deprecated", "status")
)


def _pattern(value: str) -> Callable[[str], bool]:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        if len(value) > MAX_PATTERN:
            raise NotComputable(f"A pattern has at most {MAX_PATTERN} characters.")
        compiled = re2.compile(value, options)
    except re2.error as error:
        raise NotComputable("The pattern of a filter `regex` cannot be used.") from error
    return lambda text: compiled.fullmatch(text) is not None


def _walk(resource: Json) -> Iterator[tuple[Json, str | None]]:
    """Yield each concept with the code that it is nested in, in the order of the definition."""
    waiting: list[tuple[Json, str | None]] = [(each, None) for each in reversed(objects_of(resource.get("concept")))]
    while waiting:
        concept, over = waiting.pop()
        if not isinstance(concept.get("code"), str):
            continue
        yield concept, over
        waiting += [(each, concept["code"]) for each in reversed(objects_of(concept.get("concept")))]


def _concept(given: Json, parents: list[str]) -> Concept:
    properties = tuple(objects_of(given.get("property")))
    flags = {str(each.get("code")): value_of(each) for each in properties}
    return Concept(
        code=given["code"],
        display=str(given.get("display", "")),
        definition=str(given.get("definition", "")),
        parents=tuple(dict.fromkeys(parents)),
        abstract=flags.get("notSelectable") in _TRUE,
        inactive=flags.get("inactive") in _TRUE or flags.get("status") in ("retired", "inactive"),
        designations=tuple(objects_of(given.get("designation"))),
        properties=properties,
    )
