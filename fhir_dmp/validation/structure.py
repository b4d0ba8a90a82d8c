"""Base R4 validity: a validator generated from the structure table, as closures, one type at a time.

https://hl7.org/fhir/R4/validation.html (structure, cardinality, value domains, required bindings) and
https://hl7.org/fhir/R4/json.html. It judges a parsed JSON tree and never changes it. Profiles, terminologies that
cannot be listed and the constraints of resources are not its subject.
The closures are made in `validation.rules`; a type is compiled when a resource first uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_dmp.fhir.structure import Element, Structure, Structures
from fhir_dmp.validation import narrative, rules
from fhir_dmp.validation.findings import Findings, contained_types, local_references
from fhir_dmp.validation.invariants import INVARIANTS
from fhir_dmp.validation.primitives import CHECKS, Check, Fault
from fhir_dmp.validation.rules import NULL, REQUIRED, After, Node, Rule, Walk

_NOT_OBJECT = Fault("structure", "A JSON object was expected here.")
_EMPTY_OBJECT = Fault("structure", "An object must not be empty; leave the element out instead (ele-1).", "ele-1")
_NO_TYPE = Fault("structure", "A resource must say its type in resourceType.")
_UNKNOWN_TYPE = Fault("structure", "The resourceType is not a resource of FHIR R4.")
_NESTED = Fault("invariant", "dom-2: a contained resource must not contain resources itself.")
_NO_ID = Fault("required", "A contained resource needs an id, by which the container refers to it.")
_SAME_ID = Fault("invariant", "Two contained resources have the same id.", "id")
_UNREFERENCED = Fault("invariant", "dom-3: nothing in the resource refers to this contained resource (#id).")
_VERSIONED = Fault("invariant", "dom-4: a contained resource must not have meta.versionId or meta.lastUpdated.")
_LABELLED = Fault("invariant", "dom-5: a contained resource must not have a security label.")


class Validator:
    """Compiled rules of the R4 structures. Safe to share between threads: compiling twice is harmless."""

    def __init__(self, structures: Structures) -> None:
        self._structures = structures
        self._walks: dict[str, Walk] = {}
        checks = dict(CHECKS)
        checks["xhtml"] = narrative.checker(structures.narrative_elements, structures.narrative_attributes)
        self._checks: Mapping[str, Check] = checks

    def resource(self, node: Any, path: str, findings: Findings) -> None:
        """Judge a resource that stands on its own: the root, an entry of a bundle, a parameter."""
        outer = findings.contained
        findings.contained = contained_types(node) if node.__class__ is dict and "contained" in node else {}
        self._resource(node, path, findings)
        if node.__class__ is dict and node.get("contained").__class__ is list:
            around, findings.around = findings.around, (path, self._named(node))
            _check_contained(node, path, findings)
            findings.around = around
        findings.contained = outer

    def _named(self, node: Node) -> str:
        """Return the type of a resource; one that R4 does not have is never quoted."""
        type_ = node.get("resourceType")
        return type_ if isinstance(type_, str) and self._structures.is_resource(type_) else "Resource"

    def _resource(self, node: Any, path: str, findings: Findings) -> None:
        if node.__class__ is not dict:
            findings.add(NULL if node is None else _NOT_OBJECT, path)
            return
        type_ = node.get("resourceType")
        if type_.__class__ is not str:
            findings.add(_NO_TYPE, path)
        elif not self._structures.is_resource(type_):
            findings.add(_UNKNOWN_TYPE, path)
        else:
            around, findings.around = findings.around, (path, type_)
            self._walk(type_)(node, path, findings)
            findings.around = around

    def _walk(self, type_: str) -> Walk:
        """Return the judge of a complex type; its rules are made when it is first used, since types are recursive."""
        known = self._walks.get(type_)
        if known is None:
            structure = self._structures.get(type_)
            if structure is None:
                raise KeyError(type_)
            known = self._walks[type_] = self._compiled(structure)
        return known

    def _compiled(self, structure: Structure) -> Walk:
        judges: dict[str, Rule] = {}
        required: tuple[str, ...] = ()
        afters: tuple[After, ...] = ()

        def walk(node: Any, path: str, findings: Findings) -> None:
            nonlocal judges, required, afters
            if node.__class__ is not dict:
                findings.add(NULL if node is None else _NOT_OBJECT, path)
                return
            if not node:
                findings.add(_EMPTY_OBJECT, path)
                return
            if not judges:
                required, afters = self._required(structure), self._afters(structure)
                judges = self._rules(structure)
            for name, value in node.items():
                rule = judges.get(name)
                if rule is None:
                    findings.unknown(name, path, structure.name)
                else:
                    rule(value, node, path, findings)
            for name in required:
                if name not in node and f"_{name}" not in node:
                    findings.add(REQUIRED, f"{path}.{name}")
            for after in afters:
                after(node, path, findings)

        return walk

    def _rules(self, structure: Structure) -> dict[str, Rule]:
        judges: dict[str, Rule] = {}
        for name, (element, type_) in structure.properties.items():
            if not self._structures.is_primitive(type_):
                judges[name] = self._complex(element, type_, structure)
                continue
            check = self._check(element, type_)
            judges[name] = rules.primitives(name, check) if element.is_list else rules.primitive(element.stem, check)
            if not element.attribute and type_ != "xhtml":
                walk = self._walk("Element")
                twin = rules.twins if element.is_list else rules.twin
                judges[f"_{name}"] = twin(name, element.stem, walk)
        if structure.is_resource:
            judges["resourceType"] = rules.accepted
        return judges

    def _required(self, structure: Structure) -> tuple[str, ...]:
        return tuple(element.name for element in structure.elements if element.min > 0 and not element.is_choice)

    def _afters(self, structure: Structure) -> tuple[After, ...]:
        afters: list[After] = [rules.one_of(element) for element in structure.elements if element.is_choice]
        afters += [rules.holds(invariant) for invariant in INVARIANTS.get(structure.name, ())]
        if structure.kind != "resource" and structure.name != "Element":  # Element is the twin of a primitive
            afters.append(rules.has_content)
        return tuple(afters)

    def _check(self, element: Element, type_: str) -> Check:
        check = self._checks[type_]
        if not element.codes or type_ != "code":
            return check
        allowed = {code for codes in self._structures.codes(element.codes).values() for code in codes}
        return rules.bound(check, frozenset(allowed), element.codes)

    def _complex(self, element: Element, type_: str, structure: Structure) -> Rule:
        walk: Walk
        if element.name == "contained" and structure.is_resource:
            walk = self._contained
        elif type_ == "Resource":
            walk = self.resource
        else:
            walk = self._complete(element, type_)
        return rules.complex_many(element.stem, walk) if element.is_list else rules.complex_one(element.stem, walk)

    def _complete(self, element: Element, type_: str) -> Walk:
        """Add to the judge of a type what the element says: a required binding, the targets of a reference."""
        walk = self._walk(type_)
        if type_ == "Reference":
            return rules.followed(walk, element, self._structures)
        if element.codes and type_ in ("Coding", "CodeableConcept"):
            return rules.coded(walk, type_, element.codes, self._structures)
        return walk

    def _contained(self, node: Any, path: str, findings: Findings) -> None:
        self._resource(node, path, findings)
        if node.__class__ is not dict:
            return
        if "id" not in node:
            findings.add(_NO_ID, f"{path}.id")
        if "contained" in node:
            findings.add(_NESTED, f"{path}.contained")
        meta = node.get("meta")
        if meta.__class__ is dict:
            if "versionId" in meta or "lastUpdated" in meta:
                findings.add(_VERSIONED, f"{path}.meta")
            if "security" in meta:
                findings.add(_LABELLED, f"{path}.meta.security")


def _check_contained(node: Node, path: str, findings: Findings) -> None:
    """Judge what the contained resources are to their container (dom-3, and ids that are told apart)."""
    used = local_references(node)
    seen: set[str] = set()
    for index, part in enumerate(node["contained"]):
        id_ = part.get("id") if part.__class__ is dict else None
        if id_.__class__ is not str:
            continue
        if id_ in seen:
            findings.add(_SAME_ID, f"{path}.contained[{index}].id")
        seen.add(id_)
        if f"#{id_}" not in used and "#" not in local_references(part):
            findings.add(_UNREFERENCED, f"{path}.contained[{index}]")
