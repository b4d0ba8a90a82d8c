"""Base R4 validity: a validator generated from the structure table, as closures, one type at a time.

https://hl7.org/fhir/R4/validation.html (structure, cardinality, value domains, required bindings) and
https://hl7.org/fhir/R4/json.html. It judges a parsed JSON tree and never changes it. Profiles, terminologies that
cannot be listed and the constraints of resources are not its subject.

Two kinds of closures: a `Rule` judges one JSON property of an object (it needs the object for the `_name` twin), a
`Walk` judges one object. Types are compiled when a resource first uses them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fhir_dmp.fhir.structure import Element, Structure, Structures
from fhir_dmp.validation import narrative
from fhir_dmp.validation.findings import Findings, contained_types, local_references
from fhir_dmp.validation.invariants import INVARIANTS
from fhir_dmp.validation.primitives import CHECKS, Check, Fault

Node = dict[str, Any]
Walk = Callable[[Any, str, Findings], None]
Rule = Callable[[Any, Node, str, Findings], None]
After = Callable[[Node, str, Findings], None]

_NULL = Fault("structure", "null is not allowed here; leave the element out instead.")
_NOT_OBJECT = Fault("structure", "A JSON object was expected here.")
_NOT_LIST = Fault("structure", "This element repeats: a JSON array was expected here.")
_NO_LIST = Fault("structure", "This element does not repeat: a JSON array is not allowed here.")
_EMPTY_OBJECT = Fault("structure", "An object must not be empty; leave the element out instead (ele-1).")
_EMPTY_LIST = Fault("structure", "An array must not be empty; leave the element out instead.")
_NO_CONTENT = Fault("invariant", "ele-1: an element must have a value or content beside its id.")
_NO_VALUE = Fault("invariant", "ele-1: this null has no extension at the same index of the `_` array, or no value.")
_REQUIRED = Fault("required", "This element is mandatory and absent.")
_TWO_CHOICES = Fault("structure", "Only one of the types of this element may be used at a time.")
_NO_TYPE = Fault("structure", "A resource must say its type in resourceType.")
_UNKNOWN_TYPE = Fault("structure", "The resourceType is not a resource of FHIR R4.")
_NESTED = Fault("invariant", "dom-2: a contained resource must not contain resources itself.")
_NO_ID = Fault("required", "A contained resource needs an id, by which the container refers to it.")
_SAME_ID = Fault("invariant", "Two contained resources have the same id.")
_UNREFERENCED = Fault("invariant", "dom-3: nothing in the resource refers to this contained resource (#id).")
_VERSIONED = Fault("invariant", "dom-4: a contained resource must not have meta.versionId or meta.lastUpdated.")
_LABELLED = Fault("invariant", "dom-5: a contained resource must not have a security label.")
_DANGLING = Fault("invariant", "ref-1: the resource contains no resource with this id.")

_target_type = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)[/?][^/]+(?:/_history/[^/]+)?")


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
            _check_contained(node, path, findings)
        findings.contained = outer

    def _resource(self, node: Any, path: str, findings: Findings) -> None:
        if node.__class__ is not dict:
            findings.add(_NULL if node is None else _NOT_OBJECT, path)
            return
        type_ = node.get("resourceType")
        if type_.__class__ is not str:
            findings.add(_NO_TYPE, path)
        elif not self._structures.is_resource(type_):
            findings.add(_UNKNOWN_TYPE, path)
        else:
            self._walk(type_)(node, path, findings)

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
        rules: dict[str, Rule] = {}
        required: tuple[str, ...] = ()
        afters: tuple[After, ...] = ()

        def walk(node: Any, path: str, findings: Findings) -> None:
            nonlocal rules, required, afters
            if node.__class__ is not dict:
                findings.add(_NULL if node is None else _NOT_OBJECT, path)
                return
            if not node:
                findings.add(_EMPTY_OBJECT, path)
                return
            if not rules:
                required, afters = self._required(structure), self._afters(structure)
                rules = self._rules(structure)
            for name, value in node.items():
                rule = rules.get(name)
                if rule is None:
                    findings.unknown(name, path, structure.name)
                else:
                    rule(value, node, path, findings)
            for name in required:
                if name not in node and f"_{name}" not in node:
                    findings.add(_REQUIRED, f"{path}.{name}")
            for after in afters:
                after(node, path, findings)

        return walk

    def _rules(self, structure: Structure) -> dict[str, Rule]:
        rules: dict[str, Rule] = {}
        for name, (element, type_) in structure.properties.items():
            if not self._structures.is_primitive(type_):
                rules[name] = self._complex(element, type_, structure)
                continue
            check = self._check(element, type_)
            rules[name] = _primitives(name, check) if element.is_list else _primitive(element.stem, check)
            if not element.attribute and type_ != "xhtml":
                walk = self._walk("Element")
                twin = _twins if element.is_list else _twin
                rules[f"_{name}"] = twin(name, element.stem, walk)
        if structure.is_resource:
            rules["resourceType"] = _accepted
        return rules

    def _required(self, structure: Structure) -> tuple[str, ...]:
        return tuple(element.name for element in structure.elements if element.min > 0 and not element.is_choice)

    def _afters(self, structure: Structure) -> tuple[After, ...]:
        afters: list[After] = [_one_of(element) for element in structure.elements if element.is_choice]
        afters += [_holds(invariant) for invariant in INVARIANTS.get(structure.name, ())]
        if structure.kind != "resource" and structure.name != "Element":  # Element is the twin of a primitive
            afters.append(_has_content)
        return tuple(afters)

    def _check(self, element: Element, type_: str) -> Check:
        check = self._checks[type_]
        if not element.codes or type_ != "code":
            return check
        allowed = {code for codes in self._structures.codes(element.codes).values() for code in codes}
        return _bound(check, frozenset(allowed), element.codes)

    def _complex(self, element: Element, type_: str, structure: Structure) -> Rule:
        walk: Walk
        if element.name == "contained" and structure.is_resource:
            walk = self._contained
        elif type_ == "Resource":
            walk = self.resource
        else:
            walk = self._complete(element, type_)
        return _objects(element.stem, walk) if element.is_list else _object(element.stem, walk)

    def _complete(self, element: Element, type_: str) -> Walk:
        """Add to the judge of a type what the element says: a required binding, the targets of a reference."""
        walk = self._walk(type_)
        if type_ == "Reference":
            return _followed(walk, element, self._structures)
        if element.codes and type_ in ("Coding", "CodeableConcept"):
            return _coded(walk, type_, element.codes, self._structures)
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


def _accepted(value: Any, node: Node, path: str, findings: Findings) -> None:
    """Accept: resourceType was judged before its type was chosen."""


def _primitive(stem: str, check: Check) -> Rule:
    def rule(value: Any, node: Node, path: str, findings: Findings) -> None:
        fault = check(value)
        if fault is not None:
            if value is None:
                fault = _NULL
            elif value.__class__ is list:
                fault = _NO_LIST
            findings.add(fault, f"{path}.{stem}")

    return rule


def _primitives(name: str, check: Check) -> Rule:
    twin_name = f"_{name}"

    def rule(value: Any, node: Node, path: str, findings: Findings) -> None:
        if value.__class__ is not list or not value:
            findings.add(_EMPTY_LIST if value == [] else _NULL if value is None else _NOT_LIST, f"{path}.{name}")
            return
        for index, part in enumerate(value):
            if part is None:
                if not _has_extension(node.get(twin_name), index):
                    findings.add(_NO_VALUE, f"{path}.{name}[{index}]")
            elif (fault := check(part)) is not None:
                findings.add(fault, f"{path}.{name}[{index}]")

    return rule


def _has_extension(twins: Any, index: int) -> bool:
    if twins.__class__ is not list or index >= len(twins) or twins[index].__class__ is not dict:
        return False
    return "extension" in twins[index]


def _twin(name: str, stem: str, walk: Walk) -> Rule:
    def rule(value: Any, node: Node, path: str, findings: Findings) -> None:
        walk(value, f"{path}.{stem}", findings)
        if name not in node and value.__class__ is dict and value and "extension" not in value:
            findings.add(_NO_CONTENT, f"{path}.{stem}")

    return rule


def _twins(name: str, stem: str, walk: Walk) -> Rule:
    def rule(value: Any, node: Node, path: str, findings: Findings) -> None:
        if value.__class__ is not list or not value:
            findings.add(_EMPTY_LIST if value == [] else _NULL if value is None else _NOT_LIST, f"{path}.{stem}")
            return
        values = node.get(name)
        count = len(values) if values.__class__ is list else 0
        for index, part in enumerate(value):
            if part is not None:
                walk(part, f"{path}.{stem}[{index}]", findings)
            if index < count and values[index] is not None:
                continue
            if not _has_extension(value, index) and (index >= count or part is not None):
                findings.add(_NO_VALUE, f"{path}.{stem}[{index}]")

    return rule


def _object(stem: str, walk: Walk) -> Rule:
    def rule(value: Any, node: Node, path: str, findings: Findings) -> None:
        if value.__class__ is list:
            findings.add(_NO_LIST, f"{path}.{stem}")
        else:
            walk(value, f"{path}.{stem}", findings)

    return rule


def _objects(stem: str, walk: Walk) -> Rule:
    def rule(value: Any, node: Node, path: str, findings: Findings) -> None:
        if value.__class__ is not list or not value:
            findings.add(_EMPTY_LIST if value == [] else _NULL if value is None else _NOT_LIST, f"{path}.{stem}")
            return
        for index, part in enumerate(value):
            walk(part, f"{path}.{stem}[{index}]", findings)

    return rule


def _one_of(element: Element) -> After:
    """Allow one type of a choice at a time, and demand one when the element is mandatory."""
    names = frozenset(name for name, _ in element.property_names())
    both = names | {f"_{name}" for name in names}

    def after(node: Node, path: str, findings: Findings) -> None:
        used = both & node.keys()
        if len(used) > 1 and len({name.lstrip("_") for name in used}) > 1:
            findings.add(_TWO_CHOICES, f"{path}.{element.stem}")
        elif not used and element.min:
            findings.add(_REQUIRED, f"{path}.{element.stem}")

    return after


def _holds(invariant: Callable[[Node], Fault | None]) -> After:
    def after(node: Node, path: str, findings: Findings) -> None:
        fault = invariant(node)
        if fault is not None:
            findings.add(fault, path)

    return after


def _has_content(node: Node, path: str, findings: Findings) -> None:
    if len(node) == 1 and "id" in node:
        findings.add(_NO_CONTENT, path)


def _bound(check: Check, allowed: frozenset[str], value_set: str) -> Check:
    fault = Fault("code-invalid", f"The code is not in the required value set {value_set}.")

    def bound(value: Any) -> Fault | None:
        if value.__class__ is str and value in allowed:
            return None
        return check(value) or fault

    return bound


def _coded(walk: Walk, type_: str, value_set: str, structures: Structures) -> Walk:
    """Demand a coding out of the required value set."""
    allowed = {(system, code) for system, codes in structures.codes(value_set).items() for code in codes}
    fault = Fault("code-invalid", f"No coding is in the required value set {value_set}.")

    def judge(node: Any, path: str, findings: Findings) -> None:
        walk(node, path, findings)
        if node.__class__ is not dict or not node.keys() - {"id", "extension"}:
            return
        codings = [node] if type_ == "Coding" else node.get("coding", ())
        if codings.__class__ is list or codings == ():
            pairs = ((coding.get("system"), coding.get("code")) for coding in codings if coding.__class__ is dict)
            if not any(pair in allowed for pair in pairs if pair[1].__class__ is str and pair[0].__class__ is str):
                findings.add(fault, path)

    return judge


def _followed(walk: Walk, element: Element, structures: Structures) -> Walk:
    """Judge where a reference points: into the resource (ref-1), and to a type that the element allows.

    Another type than R4 foresees is a warning: the French profiles themselves need some of them.
    """
    targets = frozenset(element.targets)
    fault = Fault("value", f"R4 expects a reference to {' or '.join(element.targets)} here.")

    def judge(node: Any, path: str, findings: Findings) -> None:
        walk(node, path, findings)
        reference = node.get("reference") if node.__class__ is dict else None
        if reference.__class__ is not str:
            return
        if reference[:1] == "#":
            type_ = findings.contained.get(reference[1:])
            if type_ is None and reference != "#":
                findings.add(_DANGLING, f"{path}.reference")
        else:
            found = _target_type.fullmatch(reference) if targets else None
            type_ = found[1] if found else None
        if type_ and targets and type_ not in targets and structures.is_resource(type_):
            findings.add(fault, f"{path}.reference", "warning")

    return judge
