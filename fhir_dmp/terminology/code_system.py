"""A CodeSystem, read once: its concepts by code, what is above and below each, and the filters of its properties.

https://hl7.org/fhir/R4/codesystem.html, https://hl7.org/fhir/R4/codesystem-filter-operator.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import re2

from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json

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
    """Concepts by code, in the order of the definition. complete: what is not here does not exist."""

    url: str
    concepts: Mapping[str, Concept]
    version: str = ""
    name: str = ""
    complete: bool = False
    case_sensitive: bool = True
    properties: Mapping[str, str] = field(default_factory=dict)

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
            return self._folded.get(code.casefold())
        return found

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
            waiting = [each for at in waiting for each in following(at) if each not in found]
            found.update(dict.fromkeys(waiting))
        return found

    def relation(self, one: str, other: str) -> str:
        """Return `equivalent`, `subsumes`, `subsumed-by` or `not-subsumed`, as $subsumes words it."""
        if one == other:
            return "equivalent"
        if one in self.above(other):
            return "subsumes"
        return "subsumed-by" if other in self.above(one) else "not-subsumed"

    def predicate(self, name: str, op: str, value: str) -> Predicate:
        """Return the function that says whether a concept passes a filter of a value set.

        Raises:
            NotComputable: an operator or property that is not known here, or a pattern that cannot be used.
        """
        if op in _TREES:
            if name not in ("concept", "code"):
                raise NotComputable(f"The filter {op} works on `concept`, not on `{name[:40]}`.")
            return _TREES[op](self, value)
        if op in ("in", "not-in"):
            wanted = {part.strip() for part in value.split(",")}
            return lambda concept: (not wanted.isdisjoint(self._texts(concept, name))) is (op == "in")
        if op == "=":
            return lambda concept: value in self._texts(concept, name)
        if op == "exists":
            return lambda concept: bool(self._texts(concept, name)) is (value == "true")
        if op == "regex":
            matches = _pattern(value)
            return lambda concept: any(matches(text) for text in self._texts(concept, name))
        raise NotComputable(f"The filter operator `{op[:40]}` is not known.")

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


def _is_a(system: CodeSystem, value: str) -> Predicate:
    return lambda concept: value in system.above(concept.code)


def _descendant(system: CodeSystem, value: str) -> Predicate:
    return lambda concept: concept.code != value and value in system.above(concept.code)


def _is_not_a(system: CodeSystem, value: str) -> Predicate:
    return lambda concept: value not in system.above(concept.code)


def _generalizes(system: CodeSystem, value: str) -> Predicate:
    above = system.above(value)
    return lambda concept: concept.code in above


_TREES: Mapping[str, Callable[[CodeSystem, str], Predicate]] = {
    "is-a": _is_a,
    "descendent-of": _descendant,
    "is-not-a": _is_not_a,
    "generalizes": _generalizes,
}


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
