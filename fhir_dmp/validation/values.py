"""Judges of one value: fixed and pattern values, lengths and bounds, bindings, types of choices, reference targets.

Each function returns a `Judge` for a `Rule`. https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Protocol

from fhir_dmp.errors import Issue
from fhir_dmp.fhir.path_values import Item, order_of
from fhir_dmp.validation.run import Judge, Rule, Run


class ValueSets(Protocol):
    """The one question that validation asks of terminology."""

    def contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Say whether a code is in a value set; system None: in any system. None when nobody here can tell."""


def same(one: Any, other: Any) -> bool:
    """Say whether two JSON values are equal: numbers by value, keys in any order."""
    if one.__class__ is bool or other.__class__ is bool:
        return one is other
    if isinstance(one, (int, float, Decimal)) and isinstance(other, (int, float, Decimal)):
        return Decimal(str(one)) == Decimal(str(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(part, other[key]) for key, part in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def matches(value: Any, pattern: Any) -> bool:
    """Say whether a value has at least what a pattern says."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            key in value and matches(value[key], part) for key, part in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(matches(each, part) for each in value) for part in pattern)
    return same(value, pattern)


def fixed(wanted: Any, rule: Rule) -> Judge:
    def judge(value: Any, extra: Any, path: str, run: Run) -> None:
        if not same(value, wanted):
            run.add(rule, path)

    return judge


def pattern(wanted: Any, rule: Rule) -> Judge:
    def judge(value: Any, extra: Any, path: str, run: Run) -> None:
        if not matches(value, wanted):
            run.add(rule, path)

    return judge


def longest(length: int, rule: Rule) -> Judge:
    def judge(value: Any, extra: Any, path: str, run: Run) -> None:
        if isinstance(value, str) and len(value) > length:
            run.add(rule, path)

    return judge


def bounded(bound: Any, refused: int, rule: Rule) -> Judge:
    """Refuse what lies beyond a bound. refused: 1 for what is greater, -1 for what is less."""
    limit = Item(Decimal(str(bound)) if isinstance(bound, float) else bound)

    def judge(value: Any, extra: Any, path: str, run: Run) -> None:
        if value is not None and order_of(Item(value), limit) == refused:
            run.add(rule, path)

    return judge


def codes_of(value: Any) -> Iterator[tuple[str | None, str]]:
    """Yield (system, code) of a code, Coding, CodeableConcept or Quantity; a bare code has any system."""
    if isinstance(value, str):
        yield None, value
    elif isinstance(value, dict):
        codings = value.get("coding")
        for each in codings if isinstance(codings, list) else [value]:
            if isinstance(each, dict) and isinstance(each.get("code"), str):
                system = each.get("system")
                yield (system if isinstance(system, str) else ""), each["code"]


def bound(value_set: str, sets: ValueSets, rule: Rule) -> Judge:
    """Want a code of a value set; for an extensible binding, text alone is allowed."""
    required = rule.severity == "error"

    def judge(value: Any, extra: Any, path: str, run: Run) -> None:
        if value is None:
            return
        known = False
        for system, code in codes_of(value):
            found = sets.contains(value_set, system, code)
            if found:
                return
            if found is None:
                untold(value_set, path, run)
                return
            known = True
        if known or (required and value):
            run.add(rule, path)

    return judge


def untold(value_set: str, path: str, run: Run) -> None:
    """Say that a value set could not be asked."""
    if not run.first:
        text = f"The value set {value_set} is not loaded (or cannot be listed): the code was not judged."
        run.note(Issue("not-supported", text, "information", (path,)))


def typed(allowed: frozenset[str], rule: Rule) -> Judge:
    """Want a resource of one of these types."""

    def judge(value: Any, extra: Any, path: str, run: Run) -> None:
        if isinstance(value, dict) and value.get("resourceType") not in allowed:
            run.add(rule, path)

    return judge


def aggregated(modes: frozenset[str], rule: Rule) -> Judge:
    """Want a reference into the resource (contained), into the bundle (bundled), or elsewhere (referenced)."""

    def judge(value: Any, extra: Any, path: str, run: Run) -> None:
        literal = value.get("reference") if isinstance(value, dict) else None
        if isinstance(literal, str):
            mode = "contained" if literal[:1] == "#" else "bundled" if literal in run.at_hand else "referenced"
            if mode not in modes and not (mode == "bundled" and "referenced" in modes):
                run.add(rule, path)

    return judge


def together(judges: list[Judge]) -> Judge | None:
    """Return one judge for several, None for none."""
    if len(judges) < 2:
        return judges[0] if judges else None
    listed = tuple(judges)

    def judge(value: Any, extra: Any, path: str, run: Run) -> None:
        for each in listed:
            each(value, extra, path, run)

    return judge
