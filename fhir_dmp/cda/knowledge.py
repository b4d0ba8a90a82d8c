"""What `mappings/` says, as values: how each CDA element and each FHIR resource mean each other. [docs/cda.md]

Both directions read the same rules; the two engines (acts, document) know none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fhir_dmp.cda.bindings import Binding, binding
from fhir_dmp.cda.elements import framed, local_type
from fhir_dmp.cda.places import Place, get, place
from fhir_dmp.cda.xml import Element
from fhir_dmp.terminology.aliases import SYSTEMS
from fhir_dmp.terminology.codes import Codes

CI_SIS_ENTRY = "1.2.250.1.213.1.1.3."


@dataclass(frozen=True, slots=True)
class Part:
    """One value: where it stands in the element, where in the resource, and as what data type.

    path: names below the element; attribute: of the element that the path leads to. parts: a value made of values.
    """

    path: tuple[str, ...]
    attribute: str | None
    to: Place
    codec: str
    options: Mapping[str, Any]
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """What child elements of one kind are in the resource.

    at: their name. holds: template roots, one of which the element or its act must have. attributes: what it must
    say (`None`: anything). frame: the element as it is written for a resource that comes from elsewhere, without its
    values. default: the value of a mandatory element that the CDA lacks.
    """

    key: str
    at: str
    part: Part
    holds: frozenset[str] = frozenset()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    inside: str | None = None
    frame: str | None = None
    default: Any = None
    when: Mapping[str, Any] = field(default_factory=dict)
    kept: bool = False

    @property
    def many(self) -> bool:
        """Say whether each element is a value of its own."""
        return self.part.to.many

    def matches(self, element: Element, templates: Callable[[Element], frozenset[str]]) -> bool:
        """Say whether the rule is about an element of its name."""
        for attribute, values in self.attributes.items():
            said = local_type(element) if attribute == "xsi:type" else element.get(attribute)
            if (said or "") not in values:
                return False
        if self.inside is not None and not any(str(child.tag).endswith("}" + self.inside) for child in element):
            return False
        return not self.holds or not self.holds.isdisjoint(templates(element))


@dataclass(frozen=True, slots=True)
class Link:
    """Where a resource refers to the resource of an act inside its own: by type of the latter and kind of relation."""

    to: Place
    types: frozenset[str]
    relations: frozenset[str]
    relation: str


@dataclass(frozen=True, slots=True, eq=False)
class Mapping_:
    """One kind of element and one kind of resource.

    templates: root -> what is fixed in the resource for that template. acts: `observation EVN`, for acts that no
    template names. frame: the element as it is written for a resource from elsewhere. negation: what @negationInd
    does. patient: the place of the patient. wraps: the act only groups others, which become entries themselves.
    """

    name: str
    resource: str
    rules: tuple[Rule, ...]
    templates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    acts: tuple[str, ...] = ()
    frame: str | None = None
    negation: str = "modifier"
    patient: str | None = None
    wraps: bool = False
    links: tuple[Link, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    when: Mapping[str, Any] = field(default_factory=dict)
    wrapper: str | None = None
    moods: tuple[str, ...] = ()


class Knowledge:
    """Everything that `mappings/` says about CDA, and the codes."""

    def __init__(
        self,
        codes: Codes,
        mappings: Iterable[Mapping[str, Any]],
        tables: Mapping[str, Any],
        value_sets: Mapping[str, Any],
    ) -> None:
        self.codes = codes
        self._value_sets = value_sets
        self._equivalents: Mapping[str, Mapping[str, str]] = tables["equivalents"]
        self._bindings: dict[str, Binding] = {}
        self.mappings = {one.name: one for one in map(_mapping, mappings)}
        self.tables: Mapping[str, Mapping[str, str]] = tables["tables"]
        self.order: Mapping[str, tuple[str, ...]] = {name: tuple(value) for name, value in tables["order"].items()}
        self.allowed: Mapping[str, frozenset[str]] = {
            name: frozenset(values) for name, values in tables["allowed"].items()
        }
        self.units = frozenset(tables["units"])
        self.words: Mapping[str, Any] = tables["words"]
        self.by_template = {root: one for one in self.mappings.values() for root in one.templates}
        self.by_act = {act: one for one in self.mappings.values() for act in one.acts}

    def binding(self, name: str) -> Binding:
        """Return a value set by the name of its table in mappings/codes.

        Raises:
            KeyError: there is none.
        """
        found = self._bindings.get(name)
        if found is None:
            found = self._bindings[name] = binding(self._value_sets[name], self._equivalents.get(name, {}))
        return found

    @cached_property
    def oids(self) -> Mapping[str, str]:
        """FHIR system -> OID, every known spelling included."""
        found = {system: alias.removeprefix("urn:oid:") for alias, system in SYSTEMS.items() if "urn:oid:" in alias}
        return {**{system: oid for oid, system in self.codes.systems.items()}, **found, **self._preferred()}

    def _preferred(self) -> Mapping[str, str]:
        return self.tables.get("preferred-oids", {})

    def oid_of(self, system: str | None) -> str | None:
        """Return the OID of a FHIR code system, None when nobody knows one."""
        if system is None:
            return None
        if system.startswith("urn:oid:"):
            return system[8:]
        return self.oids.get(system)

    def for_resource(self, resource: Mapping[str, Any]) -> Mapping_ | None:
        """Return how a resource from elsewhere is written: the first mapping of its type whose conditions hold."""
        for one in self.mappings.values():
            if (
                one.resource == resource.get("resourceType")
                and one.frame
                and not one.wraps
                and holds(resource, one.when)
            ):
                return one
        return None


def holds(value: Any, when: Mapping[str, Any]) -> bool:
    """Say whether a JSON value has what the conditions name: a value at a place, or anything there (true)."""
    for where, wanted in when.items():
        found = get(value, place(where))
        if wanted is True and not found:
            return False
        if wanted is False and found:
            return False
        if not isinstance(wanted, bool) and wanted != found and not (isinstance(found, list) and wanted in found):
            return False
    return True


def _mapping(content: Mapping[str, Any]) -> Mapping_:
    templates = content.get("templates", {})
    if isinstance(templates, list):
        templates = {root: {} for root in templates}
    return Mapping_(
        name=content["name"],
        resource=content.get("resource", ""),
        rules=tuple(_rule(one, number) for number, one in enumerate(content.get("rules", ()))),
        templates={_root(root): fixed for root, fixed in templates.items()},
        acts=tuple(content.get("acts", ())),
        frame=content.get("frame"),
        negation=content.get("negation", "modifier"),
        patient=content.get("patient"),
        wraps=content.get("wraps", False),
        links=tuple(_link(one) for one in content.get("links", ())),
        fixed=content.get("fixed", {}),
        when=content.get("when", {}),
        wrapper=content.get("wrapper"),
        moods=tuple(content.get("moods", ())),
    )


def _root(text: str) -> str:
    """Return a template root; `E48.16` is short for an entry of the CI-SIS."""
    return CI_SIS_ENTRY + text[1:] if text.startswith("E") else text


def _rule(content: Mapping[str, Any], number: int) -> Rule:
    at, _, rest = content["at"].partition("/")
    attribute = rest[1:] if rest.startswith("@") else None
    attributes = {
        name: (value,) if isinstance(value, str) else tuple(value) for name, value in content.get("if", {}).items()
    }
    part = _part(
        {
            **content,
            "in": "" if attribute is None else f"@{attribute}",
            **({"in": content["in"]} if "in" in content else {}),
        }
    )
    return Rule(
        key=content.get("key") or f"{at}-{number}",
        at=at,
        part=part,
        holds=frozenset(_root(root) for root in content.get("holds", ())),
        attributes=attributes,
        inside=content.get("has"),
        frame=content.get("frame"),
        default=content.get("default"),
        when=content.get("when", {}),
        kept=content.get("kept", False),
    )


_KNOWN = {"at", "in", "to", "as", "parts", "holds", "if", "frame", "default", "when", "kept", "key", "has"}


def _part(content: Mapping[str, Any]) -> Part:
    path, _, attribute = content.get("in", "").partition("@")
    return Part(
        path=tuple(step for step in path.split("/") if step),
        attribute=attribute or None,
        to=place(content.get("to", "")),
        codec=content.get("as", "parts" if "parts" in content else "attribute" if attribute else "text"),
        options={key: value for key, value in content.items() if key not in _KNOWN},
        parts=tuple(_part(one) for one in content.get("parts", ())),
    )


def _link(content: Mapping[str, Any]) -> Link:
    return Link(
        to=place(content["to"]),
        types=frozenset(content.get("types", ())),
        relations=frozenset(content.get("relations", ())),
        relation=content.get("relation", "COMP"),
    )


def load(codes: Codes, mappings: Iterable[Any], tables: Any, value_sets: Mapping[str, Any]) -> Knowledge:
    """Return the knowledge of the mapping files; checks that frames are well-formed and value sets exist.

    value_sets: name of the table -> content.

    Raises:
        ValueError: a place or frame that nobody can read. KeyError: a value set that no table is.
    """
    known = Knowledge(codes, mappings, tables, value_sets)
    for name in tables["equivalents"]:
        known.binding(name)
    for one in known.mappings.values():
        for frame in (one.frame, *(rule.frame for rule in one.rules)):
            if frame:
                framed(frame)
        for rule in one.rules:
            for part in (rule.part, *rule.part.parts):
                if "set" in part.options:
                    known.binding(part.options["set"])
    return known
