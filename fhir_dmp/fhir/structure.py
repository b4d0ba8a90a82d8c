"""What R4 says about each type: its elements in order, their types, cardinality, flags, codes and reference targets.

https://hl7.org/fhir/R4/structuredefinition.html. The facts come from profiles/r4/structures.json, which
scripts/derive-structures makes; this module only reads the parsed table, one type at a time, when it is first asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

#: Where the table lies, for `fhir_dmp.definitions.load_json`.
TABLE = "profiles/r4/structures.json"


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type, as R4 defines it.

    name: `status` or `value[x]`. types: in the order of the definition; an inner type is named by its path
    (`Patient.contact`), also where the definition refers to another element. max: None for many. codes: the required
    value set, empty when none is bound or it cannot be listed. targets: what a Reference may point to, empty for any.
    attribute: an attribute in XML.
    """

    name: str
    types: tuple[str, ...]
    min: int
    max: int | None
    summary: bool
    modifier: bool
    attribute: bool
    codes: str
    targets: tuple[str, ...]

    @property
    def is_choice(self) -> bool:
        """Whether the type is part of the property name (`valueQuantity`)."""
        return self.name.endswith("[x]")

    @property
    def is_list(self) -> bool:
        """Whether JSON holds it in an array."""
        return self.max is None or self.max > 1

    @property
    def stem(self) -> str:
        """The name without `[x]`."""
        return self.name.removesuffix("[x]")

    def property_names(self) -> tuple[tuple[str, str], ...]:
        """Return (JSON property, type) pairs: one, or one for each type of a choice."""
        if not self.is_choice:
            return ((self.name, self.types[0]),)
        return tuple((self.stem + type_[0].upper() + type_[1:], type_) for type_ in self.types)


@dataclass(frozen=True)
class Structure:
    """One type: a resource, a data type, or an inner type such as `Patient.contact`."""

    name: str
    kind: str
    elements: tuple[Element, ...]

    @property
    def is_resource(self) -> bool:
        """Whether instances carry a resourceType."""
        return self.kind == "resource"

    @cached_property
    def properties(self) -> dict[str, tuple[Element, str]]:
        """JSON property -> (element, type), choices resolved, without the `_name` twins."""
        return {name: (element, type_) for element in self.elements for name, type_ in element.property_names()}

    @cached_property
    def positions(self) -> dict[str, int]:
        """JSON property -> place of its element in the order of the definition, which is the order in XML."""
        return {name: place for place, each in enumerate(self.elements) for name, _ in each.property_names()}

    @cached_property
    def by_name(self) -> dict[str, Element]:
        """Element name -> element; choices are found as `value[x]` and as `value`."""
        found = {element.stem: element for element in self.elements}
        return {**found, **{element.name: element for element in self.elements}}

    @cached_property
    def mandatory(self) -> frozenset[str]:
        """The JSON properties of elements that must be present."""
        return frozenset(name for name, (element, _) in self.properties.items() if element.min > 0)

    @cached_property
    def modifiers(self) -> frozenset[str]:
        """The JSON properties of elements that change the meaning of others."""
        return frozenset(name for name, (element, _) in self.properties.items() if element.modifier)

    @cached_property
    def summary(self) -> frozenset[str]:
        """The JSON properties that a summary shows."""
        return frozenset(name for name, (element, _) in self.properties.items() if element.summary)


class Structures:
    """The R4 structures, read lazily from the parsed table. Safe to share between threads."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._types: Mapping[str, Any] = table["types"]
        self._codes: Mapping[str, Mapping[str, list[str]]] = table["codes"]
        self._primitives: Mapping[str, Mapping[str, str]] = table["primitives"]
        self._known: dict[str, Structure] = {}
        self.version: str = table["provenance"]["fhir"]
        self.resource_types: tuple[str, ...] = tuple(
            sorted(name for name, row in self._types.items() if row["kind"] == "resource" and not row.get("abstract"))
        )
        self.narrative_elements: frozenset[str] = frozenset(table["narrative"]["elements"])
        self.narrative_attributes: frozenset[str] = frozenset(table["narrative"]["attributes"])

    def is_primitive(self, type_: str) -> bool:
        """Say whether instances of the type are JSON values, not objects."""
        return type_ in self._primitives

    def is_resource(self, type_: str) -> bool:
        """Say whether this is the name of a resource type of R4 that can have instances."""
        row = self._types.get(type_)
        return row is not None and row["kind"] == "resource" and not row.get("abstract")

    def base(self, type_: str) -> str:
        """Return the type that this one specialises (`code` -> `string`), empty at the root."""
        row = self._primitives.get(type_) or self._types.get(type_)
        return str(row["base"]) if row else ""

    def pattern(self, primitive: str) -> str:
        """Return the published regular expression of a primitive type, empty when there is none."""
        return self._primitives.get(primitive, {}).get("regex", "")

    def codes(self, value_set: str) -> Mapping[str, list[str]]:
        """Return system -> codes of a required value set, by the name that `Element.codes` gives."""
        return self._codes[value_set]

    def get(self, type_: str) -> Structure | None:
        """Return the structure of a resource, data type or inner type, None when R4 has no such type."""
        known = self._known.get(type_)
        if known is None and type_ in self._types:
            known = self._known[type_] = self._read(type_)
        return known

    def element(self, type_: str, name: str) -> Element | None:
        """Return an element by its name: `status`, `value[x]`, `value`, or a resolved choice `valueQuantity`."""
        structure = self.get(type_)
        if structure is None:
            return None
        found = structure.properties.get(name)
        return found[0] if found else structure.by_name.get(name)

    def resolve(self, type_: str, name: str) -> tuple[Element, str] | None:
        """Return the element and the type behind a JSON property: `valueQuantity` -> (value[x], `Quantity`)."""
        structure = self.get(type_)
        return structure.properties.get(name) if structure else None

    def _read(self, type_: str) -> Structure:
        row = self._types[type_]
        elements: dict[str, Element] = {}
        if row["base"] in self._types:
            base = self.get(row["base"])
            elements = {element.name: element for element in base.elements} if base else {}
        for fields in row["elements"]:
            element = _element(fields)
            elements[element.name] = element
        return Structure(type_, row["kind"], tuple(elements.values()))


def _element(fields: list[Any]) -> Element:
    name, types, low, high, flags, codes, targets = [*fields, "", "", ""][:7]
    return Element(
        name=name,
        types=tuple(type_.lstrip("#") for type_ in types.split()),
        min=low,
        max=None if high == "*" else high,
        summary="s" in flags,
        modifier="m" in flags,
        attribute="a" in flags,
        codes=codes,
        targets=tuple(targets.split()),
    )
