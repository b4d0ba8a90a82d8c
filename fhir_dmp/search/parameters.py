"""Search parameters: what can be asked of each resource type, from the official R4 table and from our own definitions.

The table profiles/r4/search-parameters.json (scripts/derive-search-parameters) and the SearchParameter resources of
profiles/search-parameters are read by `fhir_dmp.definitions`; here they become one immutable registry.

A code with dots (`author.given`) is a *contained chain*: it indexes what a chain would find in contained resources and
logical references, which have no index entries of their own. Searches join it with the real chain.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from fhir_dmp.fhir.resource import Json


class ParameterType(StrEnum):
    """http://hl7.org/fhir/search-param-type"""

    NUMBER = "number"
    DATE = "date"
    STRING = "string"
    TOKEN = "token"  # noqa: S105
    REFERENCE = "reference"
    COMPOSITE = "composite"
    QUANTITY = "quantity"
    URI = "uri"
    SPECIAL = "special"


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a composite: what it means, and where it stands in the element of the composite."""

    parameter: SearchParameter
    expression: str


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One search parameter as one resource type offers it.

    base: the resource type. expression: only the parts for that type. targets: types that a reference may point to.
    kinds: data types that the expression yields, as far as known. system: the code system that a plain code implies.
    order: codes in the order in which they sort, where that is not the alphabet's.
    """

    code: str
    type: ParameterType
    base: str
    url: str
    expression: str = ""
    targets: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    kinds: tuple[str, ...] = ()
    system: str | None = None
    order: tuple[str, ...] = ()

    @property
    def is_contained_chain(self) -> bool:
        """Say whether this indexes contained resources under a dotted code."""
        return "." in self.code

    @property
    def keeps_case(self) -> bool:
        """Say whether all values are identifiers, ids or addresses, whose case means something."""
        return bool(self.kinds) and _CASED.issuperset(self.kinds)

    @property
    def folds_case(self) -> bool:
        """Say whether all values are codes, whose case is not significant."""
        return _CASED.isdisjoint(self.kinds)


_CASED = frozenset({"Identifier", "id", "uri", "url", "canonical", "oid", "uuid"})
_CASTS = {"DateTime": "dateTime", "String": "string", "Date": "date"}

#: Codes under which a parameter answers too: (type or *, alias) -> code.
_ALIASES = {
    ("DocumentReference", "relatesTo"): "relatesto",
    ("*", "subject.identifier"): "patient.identifier",
}

Compartments = Mapping[str, Mapping[str, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Registry:
    """All search parameters by type and code, and the compartments. Immutable; `memo` only caches what derives from it.

    compartments: compartment type -> resource type -> parameters that link to it.
    """

    types: tuple[str, ...]
    parameters: Mapping[str, Mapping[str, SearchParameter]]
    compartments: Compartments
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def get(self, type_: str, code: str) -> SearchParameter | None:
        """Return the parameter of that exact code (or alias) on a type, None when there is none."""
        known = self.parameters.get(type_)
        if known is None:
            return None
        found = known.get(code)
        if found is None:
            alias = _ALIASES.get((type_, code)) or _ALIASES.get(("*", code))
            found = known.get(alias) if alias else None
        return found

    def of(self, type_: str) -> tuple[SearchParameter, ...]:
        """Return all parameters of a type, in alphabetical order."""
        return tuple(self.parameters.get(type_, {}).values())

    def without(self, gone: Collection[str]) -> Registry:
        """Return a registry that does not know these resource types: neither their searches nor steps to them."""
        if not gone:
            return self
        types = tuple(type_ for type_ in self.types if type_ not in gone)
        kept = frozenset(types)
        parameters = {
            type_: {code: replace(p, targets=tuple(t for t in p.targets if t in kept)) for code, p in known.items()}
            for type_, known in self.parameters.items()
            if type_ in kept
        }
        compartments = {
            name: {type_: codes for type_, codes in members.items() if type_ in kept}
            for name, members in self.compartments.items()
            if name in kept
        }
        return Registry(types, _frozen(parameters), compartments)

    def extended(self, resources: Iterable[Json]) -> Registry:
        """Return a registry that also knows these SearchParameter resources; a later definition of a code wins."""
        made = {type_: dict(known) for type_, known in self.parameters.items()}
        by_url = {part.url: part for known in made.values() for part in known.values()}
        rows = [row for row in resources if row.get("code") and row.get("type") in set(ParameterType)]
        _add(made, rows, self.types, by_url)
        return Registry(self.types, _frozen(made), self.compartments)


def build_registry(table: Json, own: Iterable[Json] = (), compartments: Json | None = None) -> Registry:
    """Return the registry of the official table, our own SearchParameter resources and the compartments. Pure."""
    types = tuple(table["types"])
    made: dict[str, dict[str, SearchParameter]] = {type_: {} for type_ in types}
    by_url: dict[str, SearchParameter] = {}
    _add(made, [*table["parameters"], *_COMMON, *own], types, by_url)
    links = {
        compartment: {type_: tuple(codes) for type_, codes in members.items()}
        for compartment, members in (compartments or {}).get("compartments", {}).items()
    }
    return Registry(types, _frozen(made), links)


#: Parameters of every type that have no official definition with an expression.
_COMMON: tuple[Json, ...] = (
    {
        "code": "_list",
        "type": "special",
        "base": ["Resource"],
        "url": "http://hl7.org/fhir/SearchParameter/Resource-list",
    },
    {
        "code": "_has",
        "type": "special",
        "base": ["Resource"],
        "url": "http://hl7.org/fhir/SearchParameter/Resource-has",
    },
)
_SPECIAL = frozenset({"_text", "_content", "_list", "_has"})
_NOT_OFFERED = frozenset({"_query", "_filter", "_type"})


def _frozen(made: dict[str, dict[str, SearchParameter]]) -> Mapping[str, Mapping[str, SearchParameter]]:
    return MappingProxyType({type_: MappingProxyType(dict(sorted(known.items()))) for type_, known in made.items()})


def _add(
    made: dict[str, dict[str, SearchParameter]],
    rows: Iterable[Json],
    types: tuple[str, ...],
    by_url: dict[str, SearchParameter],
) -> None:
    """Add rows of the table or SearchParameter resources; composites last, because they refer to the others."""
    composites = []
    for row in rows:
        if row["code"] in _NOT_OFFERED:
            continue
        if row["type"] == ParameterType.COMPOSITE:
            composites.append(row)
            continue
        for base in _bases(row, types):
            parameter = _parameter(row, base, types)
            made[base][row["code"]] = parameter
            by_url[parameter.url] = parameter
    for row in composites:
        for base in _bases(row, types):
            components = _components(row, made[base], by_url)
            if components:
                made[base][row["code"]] = _parameter(row, base, types, components)


def _bases(row: Json, types: tuple[str, ...]) -> tuple[str, ...]:
    bases = row.get("base", [])
    if "Resource" in bases or "DomainResource" in bases:
        return types
    return tuple(base for base in bases if base in types)


def _parameter(row: Json, base: str, types: tuple[str, ...], components: tuple[Component, ...] = ()) -> SearchParameter:
    expression = expression_on(base, row.get("expression", ""))
    kind = ParameterType.SPECIAL if row["code"] in _SPECIAL else ParameterType(row["type"])
    targets = row.get("target", [])
    return SearchParameter(
        code=row["code"],
        type=kind,
        base=base,
        url=row.get("url", ""),
        expression=expression,
        targets=types if "Any" in targets else tuple(target for target in targets if target in types),
        components=components,
        kinds=tuple(row.get("kinds") or _kinds_of(expression)),
        system=row.get("systems", {}).get(base),
        order=tuple(str(part.get("valueCode")) for part in row.get("extension", ()) if _orders(part)),
    )


def _orders(extension: Json) -> bool:
    return str(extension.get("url")).endswith("/StructureDefinition/sort-order")


def _kinds_of(expression: str) -> list[str]:
    """Guess the data types of a definition that does not say them: by its casts, and by a last element `identifier`.

    >>> _kinds_of("List.source.resolve().identifier | List.source.identifier")
    ['Identifier']
    """
    found = []
    for part in union_parts(expression):
        cast = re.search(r"(?:ofType|as)\((\w+)\)$|\bas (\w+)\)$", part)
        if cast:
            found.append(cast[1] or cast[2])
        elif part.endswith(".identifier"):
            found.append("Identifier")
        elif part.endswith("exists()"):
            found.append("boolean")
        else:
            found.append("")
    return sorted(set(found)) if all(found) else []


def _components(
    row: Json, siblings: Mapping[str, SearchParameter], by_url: Mapping[str, SearchParameter]
) -> tuple[Component, ...]:
    """Return the parts of a composite; none when one is unknown or two are ranges, which no term holds."""
    found = []
    for part in row.get("component", []):
        parameter = next((known for known in siblings.values() if known.url == part["definition"]), None)
        parameter = parameter or by_url.get(part["definition"])
        if parameter is None:
            return ()
        found.append(Component(parameter, _corrected(part["expression"])))
    ranges = [part for part in found if part.parameter.type not in EXACT_TYPES]
    return tuple(found) if len(ranges) < 2 else ()


#: Types whose values are exact terms, so that several of them fit in one composite term.
EXACT_TYPES = frozenset({ParameterType.TOKEN, ParameterType.REFERENCE, ParameterType.URI})


def expression_on(base: str, expression: str) -> str:
    """Return the parts of a union that concern a resource type.

    >>> expression_on("List", "List.date | Patient.birthDate | (List.x as Period)")
    'List.date | (List.x as Period)'
    >>> expression_on("List", "Resource.meta.tag"), expression_on("List", "extension.value")
    ('Resource.meta.tag', 'extension.value')
    """
    kept = []
    for part in union_parts(expression):
        first = re.match(r"\(*\s*([A-Za-z]+)", part)
        if first and (first[1] in (base, "Resource", "DomainResource") or first[1][0].islower()):
            kept.append(_corrected(part))
    return " | ".join(kept)


def _corrected(expression: str) -> str:
    """Repair type names that the official definitions write with a wrong capital (`as(DateTime)`)."""
    return re.sub(r"\b(as|ofType)\((DateTime|String|Date)\)", lambda cast: f"{cast[1]}({_CASTS[cast[2]]})", expression)


def union_parts(expression: str) -> list[str]:
    """Split an expression at the `|` of its top level.

    >>> union_parts("A.b | (A.c as x) | A.d.where(url = 'a|b')")
    ['A.b', '(A.c as x)', "A.d.where(url = 'a|b')"]
    """
    found, depth, start, quoted = [], 0, 0, False
    for index, char in enumerate(expression):
        if char == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == "|" and depth == 0:
            found.append(expression[start:index].strip())
            start = index + 1
    last = expression[start:].strip()
    return [*found, last] if last else found
