"""Translation by a ConceptMap, forward and backward. https://hl7.org/fhir/R4/conceptmap.html"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import canonical_system

#: What the relation of R4 is called seen from the other side.
_REVERSED = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}
#: Equivalences that say that there is no translation.
_NONE = frozenset(("unmatched", "disjoint"))
#: Maps that refer to another for what they leave out are followed so far.
_DEPTH = 10

#: What is known beside a code: URI of a property -> its (system, code) pairs.
Dependencies = Mapping[str, frozenset[tuple[str | None, str]]]
_NOTHING: Dependencies = {}


@dataclass(frozen=True, slots=True)
class Match:
    """One translation. source: canonical URL of the map that says it; products: what else the translation states, as
    (property, Coding).
    """

    equivalence: str
    system: str
    code: str
    display: str
    source: str
    products: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()

    @property
    def is_translation(self) -> bool:
        """Say whether it leads to a code that stands for the one given."""
        return self.equivalence not in _NONE


@dataclass(frozen=True, eq=False)
class _Group:
    """One group of a map, its lines by code."""

    source: str
    target: str
    versions: tuple[str | None, str | None]
    elements: Mapping[str, list[Json]]
    given: Json
    spelled: tuple[str, str]
    backward: dict[str, list[tuple[Json, Json]]] = field(default_factory=dict)

    @classmethod
    def read(cls, given: Json) -> _Group:
        source, target = str(given.get("source", "")), str(given.get("target", ""))
        elements: dict[str, list[Json]] = {}
        backward: dict[str, list[tuple[Json, Json]]] = {}
        for element in objects_of(given.get("element")):
            elements.setdefault(str(element.get("code", "")), []).append(element)
            for into in objects_of(element.get("target")):
                backward.setdefault(str(into.get("code", "")), []).append((element, into))
        return cls(
            canonical_system(source),
            canonical_system(target),
            (given.get("sourceVersion"), given.get("targetVersion")),
            elements,
            given,
            (source, target),
            backward,
        )


@dataclass(frozen=True, eq=False)
class ConceptMap:
    """A ConceptMap, read once. Safe to share between threads."""

    resource: Json

    @classmethod
    def read(cls, resource: Json) -> ConceptMap:
        """Read a ConceptMap resource."""
        return cls(resource)

    @property
    def url(self) -> str:
        """Its canonical URL, empty when it has none."""
        return str(self.resource.get("url", ""))

    def end(self, name: str) -> str | None:
        """Return the value set at an end of the map, `source` or `target`; None when it states none."""
        found = self.resource.get(f"{name}Canonical") or self.resource.get(f"{name}Uri")
        return found if isinstance(found, str) else None

    @cached_property
    def _groups(self) -> tuple[_Group, ...]:
        return tuple(_Group.read(each) for each in objects_of(self.resource.get("group")))

    def translations(
        self,
        system: str,
        code: str,
        version: str | None = None,
        known: Dependencies = _NOTHING,
        other: Callable[[str], ConceptMap | None] = lambda url: None,
        depth: int = _DEPTH,
    ) -> Iterator[Match]:
        """Yield what the map says of a code.

        version: of the code's system, which counts where groups tell versions apart. known: what is said beside the
        code; a line that depends on more says nothing. other: finds the map that one refers to for what it leaves out.
        """
        for group in self._groups:
            if group.source != canonical_system(system) or _differ(version, group.versions[0]):
                continue
            elements = group.elements.get(code, ())
            for element in elements:
                for into in objects_of(element.get("target")):
                    if _holds(into, known):
                        equivalence = str(into.get("equivalence", "relatedto"))
                        yield _match(equivalence, group.spelled[1], into, self.url, into)
            if not elements:
                yield from self._unmapped(group, (system, code, version), known, other, depth)

    def reversals(
        self, system: str, code: str, version: str | None = None, known: Dependencies = _NOTHING
    ) -> Iterator[Match]:
        """Yield the codes that the map translates into this one."""
        for group in self._groups:
            if group.target != canonical_system(system) or _differ(version, group.versions[1]):
                continue
            for element, into in group.backward.get(code, ()):
                said = str(into.get("equivalence", "relatedto"))
                if said not in _NONE and _holds(into, known):
                    yield _match(_REVERSED.get(said, said), group.spelled[0], element, self.url, {})

    def _unmapped(
        self,
        group: _Group,
        asked: tuple[str, str, str | None],
        known: Dependencies,
        other: Callable[[str], ConceptMap | None],
        depth: int,
    ) -> Iterator[Match]:
        said = group.given.get("unmapped")
        if not isinstance(said, dict):
            return
        if said.get("mode") == "provided":
            yield Match("equal", group.spelled[1], asked[1], "", self.url)
        elif said.get("mode") == "fixed" and isinstance(said.get("code"), str):
            yield _match("inexact", group.spelled[1], said, self.url, {})
        elif said.get("mode") == "other-map" and isinstance(said.get("url"), str) and depth:
            further = other(said["url"])
            if further is not None:
                yield from further.translations(*asked, known, other, depth - 1)


def _differ(one: str | None, other: object) -> bool:
    """Say whether two versions, both stated, are not the same."""
    return one is not None and isinstance(other, str) and one != other


def _holds(into: Json, known: Dependencies) -> bool:
    """Say whether everything that a line depends on is known."""
    for each in objects_of(into.get("dependsOn")):
        said = known.get(str(each.get("property")), frozenset())
        system, value = each.get("system"), str(each.get("value"))
        if not any(code == value and (system is None or at in (None, system)) for at, code in said):
            return False
    return True


def _match(equivalence: str, system: str, given: Json, url: str, into: Json) -> Match:
    products = []
    for each in objects_of(into.get("product")):
        coding = (("system", each.get("system")), ("code", each.get("value")), ("display", each.get("display")))
        stated = tuple((name, value) for name, value in coding if isinstance(value, str))
        products.append((str(each.get("property", "")), stated))
    return Match(equivalence, system, str(given.get("code", "")), str(given.get("display", "")), url, tuple(products))
