"""The closures that a validator is made of: judges of one JSON property, and of one object as a whole.

A `Rule` judges one JSON property (it gets the object for the `_name` twin), a `Walk` one object, an `After` an object
whose properties were judged. Messages are made once: on the hot path nothing is formatted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fhir_dmp.fhir.structure import Element, Structures
from fhir_dmp.validation.findings import Findings
from fhir_dmp.validation.invariants import Invariant
from fhir_dmp.validation.primitives import Check, Fault

Node = dict[str, Any]
Walk = Callable[[Any, str, Findings], None]
Rule = Callable[[Any, Node, str, Findings], None]
After = Callable[[Node, str, Findings], None]

NULL = Fault("structure", "null is not allowed here; leave the element out instead.")
_NO_LIST = Fault("structure", "This element does not repeat: a JSON array is not allowed here.", "max")
_NOT_LIST = Fault("structure", "This element repeats: a JSON array was expected here.")
_EMPTY_LIST = Fault("structure", "An array must not be empty; leave the element out instead.")
_NO_CONTENT = Fault("invariant", "ele-1: an element must have a value or content beside its id.")
_NO_VALUE = Fault("invariant", "ele-1: this null has no extension at the same index of the `_` array, or no value.")
REQUIRED = Fault("required", "This element is mandatory and absent.")
_TWO_CHOICES = Fault("structure", "Only one of the types of this element may be used at a time.", "max")
_DANGLING = Fault("invariant", "ref-1: the resource contains no resource with this id.")

_target_type = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)[/?][^/]+(?:/_history/[^/]+)?")


def accepted(value: Any, node: Node, path: str, findings: Findings) -> None:
    """Accept: resourceType was judged before its type was chosen."""


def primitive(stem: str, check: Check) -> Rule:
    def rule(value: Any, node: Node, path: str, findings: Findings) -> None:
        fault = check(value)
        if fault is not None:
            if value is None:
                fault = NULL
            elif value.__class__ is list:
                fault = _NO_LIST
            findings.add(fault, f"{path}.{stem}")

    return rule


def primitives(name: str, check: Check) -> Rule:
    twin_name = f"_{name}"

    def rule(value: Any, node: Node, path: str, findings: Findings) -> None:
        if value.__class__ is not list or not value:
            findings.add(_EMPTY_LIST if value == [] else NULL if value is None else _NOT_LIST, f"{path}.{name}")
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


def twin(name: str, stem: str, walk: Walk) -> Rule:
    def rule(value: Any, node: Node, path: str, findings: Findings) -> None:
        walk(value, f"{path}.{stem}", findings)
        if name not in node and value.__class__ is dict and value and "extension" not in value:
            findings.add(_NO_CONTENT, f"{path}.{stem}")

    return rule


def twins(name: str, stem: str, walk: Walk) -> Rule:
    def rule(value: Any, node: Node, path: str, findings: Findings) -> None:
        if value.__class__ is not list or not value:
            findings.add(_EMPTY_LIST if value == [] else NULL if value is None else _NOT_LIST, f"{path}.{stem}")
            return
        found = node.get(name)
        count = len(found) if isinstance(found, list) else 0
        for index, part in enumerate(value):
            if part is not None:
                walk(part, f"{path}.{stem}[{index}]", findings)
            if index >= count and not _has_extension(value, index):  # the rule of the values sees the other nulls
                findings.add(_NO_VALUE, f"{path}.{stem}[{index}]")

    return rule


def complex_one(stem: str, walk: Walk) -> Rule:
    def rule(value: Any, node: Node, path: str, findings: Findings) -> None:
        if value.__class__ is list:
            findings.add(_NO_LIST, f"{path}.{stem}")
        else:
            walk(value, f"{path}.{stem}", findings)

    return rule


def complex_many(stem: str, walk: Walk) -> Rule:
    def rule(value: Any, node: Node, path: str, findings: Findings) -> None:
        if value.__class__ is not list or not value:
            findings.add(_EMPTY_LIST if value == [] else NULL if value is None else _NOT_LIST, f"{path}.{stem}")
            return
        for index, part in enumerate(value):
            walk(part, f"{path}.{stem}[{index}]", findings)

    return rule


def one_of(element: Element) -> After:
    """Allow one type of a choice at a time, and demand one when the element is mandatory."""
    names = frozenset(name for name, _ in element.property_names())
    both = names | {f"_{name}" for name in names}

    def after(node: Node, path: str, findings: Findings) -> None:
        used = [name for name in node if name in both]
        if len(used) > 1 and len({name.lstrip("_") for name in used}) > 1:
            findings.add(_TWO_CHOICES, f"{path}.{element.stem}")
        elif not used and element.min:
            findings.add(REQUIRED, f"{path}.{element.stem}")

    return after


def holds(invariant: Invariant) -> After:
    def after(node: Node, path: str, findings: Findings) -> None:
        fault = invariant(node)
        if fault is not None:
            findings.add(fault, path)

    return after


def has_content(node: Node, path: str, findings: Findings) -> None:
    if len(node) == 1 and "id" in node:
        findings.add(_NO_CONTENT, path)


def bound(check: Check, allowed: frozenset[str], value_set: str) -> Check:
    fault = Fault("code-invalid", f"The code is not in the required value set {value_set}.")

    def bound(value: Any) -> Fault | None:
        if value.__class__ is str and value in allowed:
            return None
        return check(value) or fault

    return bound


def coded(walk: Walk, type_: str, value_set: str, structures: Structures) -> Walk:
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


def followed(walk: Walk, element: Element, structures: Structures) -> Walk:
    """Judge where a reference points: into the resource (ref-1), and to a type that the element allows.

    Another type than R4 foresees is a warning: the French profiles themselves need some of them.
    """
    targets = frozenset(element.targets)
    fault = Fault("value", f"R4 expects a reference to {' or '.join(element.targets)} here.", "targetProfile")

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
