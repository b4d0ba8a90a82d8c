"""What the R4 definitions say beyond the structure: constraints, bindings, short descriptions, and whole elements.

The facts come from profiles/r4/definitions.json, which scripts/derive-definitions makes; the structure itself is
`fhir_dmp.fhir.structure`. Elements are given as ElementDefinitions, the material of snapshots.
https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Element, Structures

#: Where the table lies, for `fhir_dmp.definitions.load_json`.
DEFINITIONS = "profiles/r4/definitions.json"
CORE = "http://hl7.org/fhir/StructureDefinition/"
VALUE_SETS = "http://hl7.org/fhir/ValueSet/"
_STRING = "http://hl7.org/fhirpath/System.String"
_FHIR_TYPE = f"{CORE}structuredefinition-fhir-type"
_MODIFIER_REASON = "The meaning of what holds this element depends on its value."


@dataclass(frozen=True, slots=True)
class Constraint:
    """One rule in FHIRPath. severity: error or warning; profile: where it was written."""

    key: str
    severity: str
    expression: str
    human: str
    profile: str

    @classmethod
    def read(cls, given: Json, profile: str) -> Constraint | None:
        """Return the constraint of an ElementDefinition, None when it has no expression."""
        expression = given.get("expression")
        if not isinstance(expression, str):
            return None
        source = str(given.get("source") or profile)
        return cls(str(given.get("key")), str(given.get("severity")), expression, str(given.get("human", "")), source)


class Base:
    """The R4 definitions: structures and what stands beside them. Safe to share between threads."""

    def __init__(self, structures: Structures, table: Mapping[str, Any]) -> None:
        self.structures = structures
        self._constraints: Mapping[str, list[list[str]]] = table["constraints"]
        self._bindings: Mapping[str, list[str]] = table["bindings"]
        self._shorts: Mapping[str, str] = table["shorts"]
        self._profiles: Mapping[str, Mapping[str, str]] = table["profiles"]
        self._codes: Mapping[str, Mapping[str, list[str]]] = table["codes"]
        self.keys = frozenset(row[0] for rows in self._constraints.values() for row in rows) | {"ele-1", "ext-1"}

    def constraints(self, path: str) -> tuple[Constraint, ...]:
        """Return the constraints of a type (`Bundle`, `Bundle.entry`) or of an element (`Organization.telecom`)."""
        profile = CORE + path.partition(".")[0]
        rows = self._constraints.get(path, ())
        return tuple(Constraint(key, severity, text, human, profile) for key, severity, text, human in rows)

    def binding(self, path: str) -> tuple[str, str] | None:
        """Return (strength, value set) of an element, by the path where it is defined."""
        found = self._bindings.get(path)
        return None if found is None else (found[0], found[1])

    def codes(self, value_set: str) -> Mapping[str, list[str]] | None:
        """Return system -> codes of a value set of R4 that can be listed, None for the others."""
        listed = self._codes.get(value_set)
        if listed is None and value_set.startswith(VALUE_SETS):
            try:
                listed = self.structures.codes(value_set.removeprefix(VALUE_SETS))
            except KeyError:
                return None
        return listed

    def owner(self, type_: str, name: str) -> str:
        """Return the path where an element of a type is defined: (`Patient`, `id`) is `Resource.id`."""
        at = type_
        while f"{at}.{name}" not in self._shorts:
            above = self.structures.get(at)
            following = self.structures.base(at) if above is not None else ""
            if not following:
                return f"{type_}.{name}"
            at = following
        return f"{at}.{name}"

    def children(self, type_: str, prefix: str) -> Iterator[Json]:
        """Yield the ElementDefinitions of the direct elements of a type, with ids and paths under a prefix."""
        structure = self.structures.get(type_)
        for element in structure.elements if structure is not None else ():
            yield self._definition(type_, element, prefix)

    def root(self, type_: str) -> Json:
        """Return the ElementDefinition of a type as a whole."""
        short = self._shorts.get(type_, type_)
        definition: Json = {"id": type_, "path": type_, "short": short, "definition": short, "min": 0, "max": "*"}
        definition["base"] = {"path": type_, "min": 0, "max": "*"}
        rules = self._rules(type_)
        structure = self.structures.get(type_)
        if structure is not None and structure.is_resource and type_ not in ("Bundle", "Binary", "Parameters"):
            rules = [*self._rules("DomainResource"), *rules]
        if rules:
            definition["constraint"] = rules
        return definition

    def _definition(self, type_: str, element: Element, prefix: str) -> Json:
        owner = self.owner(type_, element.name)
        short = self._shorts.get(owner, element.name)
        top = "*" if element.max is None else str(element.max)
        path = f"{prefix}.{element.name}"
        made: Json = {"id": path, "path": path, "short": short, "definition": short, "min": element.min, "max": top}
        made["base"] = {"path": owner, "min": element.min, "max": top}
        inner = element.types[0]
        if element.types == (inner,) and "." in inner and inner != owner:
            made["contentReference"] = f"#{inner}"
        else:
            made["type"] = [self._type(owner, type_, element, each) for each in element.types]
        rules = [*self._rules(owner), *(self._rules(inner) if "." in inner and inner != owner else ())]
        if rules and "contentReference" not in made:
            made["constraint"] = rules
        if element.modifier:
            made["isModifier"] = True
            made["isModifierReason"] = _MODIFIER_REASON
        if element.summary:
            made["isSummary"] = True
        binding = self.binding(owner)
        if binding is not None:
            made["binding"] = {"strength": binding[0], "valueSet": binding[1]}
        return made

    def _type(self, owner: str, holder: str, element: Element, code: str) -> Json:
        if element.attribute or (element.name == "id" and code in ("id", "string")):
            said = [{"url": _FHIR_TYPE, "valueUrl": "uri" if element.name == "url" else "string"}]
            return {"extension": said, "code": _STRING}
        if "." in code:
            found = self.structures.get(code)
            structure = self.structures.base(code) if found is not None else "BackboneElement"
            return {"code": structure}
        made: Json = {"code": code}
        profile = self._profiles.get(owner, {}).get(code)
        if profile is not None:
            made["profile"] = [profile]
        if code in ("Reference", "canonical") and element.targets:
            made["targetProfile"] = [CORE + target for target in element.targets]
        return made

    def _rules(self, path: str) -> list[Json]:
        return [
            {
                "key": rule.key,
                "severity": rule.severity,
                "human": rule.human,
                "expression": rule.expression,
                "source": rule.profile,
            }
            for rule in self.constraints(path)
        ]
