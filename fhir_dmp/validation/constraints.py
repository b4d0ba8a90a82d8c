"""Constraints as compiled FHIRPath, and the walk that applies those of base R4 to every element of a resource.

What `validation.structure` judges by hand (ele-1, ref-1, the narrative...) is not asked twice. An expression that gives
nothing leaves the question open: only `false` breaks a constraint. https://hl7.org/fhir/R4/conformance-rules.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_dmp.errors import Issue
from fhir_dmp.fhir.path import PathError, PathSyntaxError, compile_path
from fhir_dmp.fhir.path_values import Item, truth
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Element
from fhir_dmp.validation.base import CORE, Base, Constraint
from fhir_dmp.validation.questions import Answers, Asked
from fhir_dmp.validation.run import Judge, Rule, Run, occurrences
from fhir_dmp.validation.values import codes_of, together

#: Judged by `validation.structure`, or (dom-6: a narrative is good practice) no statement about validity.
_BY_HAND = ("ele-1", "ext-1", "txt-1", "txt-2", "ref-1", "per-1", "att-1", "qty-3", "cpt-2")
ELSEWHERE = frozenset((*_BY_HAND, "dom-2", "dom-3", "dom-4", "dom-5", "dom-6"))
#: Bound to a value set of R4 that forgets what R4 itself writes there (`http://hl7.org/fhirpath/System.String`).
_UNLISTED = frozenset(("ElementDefinition.type.code",))


def holds(constraint: Constraint, element: str, answers: Answers, type_: str | None = None) -> Judge:
    """Return the judge of one constraint on the occurrences of an element. answers: what `conformsTo` is told by."""
    severity = "error" if constraint.severity == "error" else "warning"
    rule = Rule(constraint.profile, element, constraint.key, "invariant", constraint.human, severity)
    try:
        path = compile_path(constraint.expression, questions=True)
    except PathSyntaxError as error:
        return _unread(rule, str(error))

    asks = "conformsTo" in constraint.expression or "memberOf" in constraint.expression

    def judge(value: Any, extra: Any, place: str, run: Run) -> None:
        node = Item(value, type_ if value.__class__ is not dict else None, extra if isinstance(extra, dict) else None)
        environment = run.environment(node)
        if asks:
            environment.questions = Asked(answers, run, place)
        try:
            verdict = truth(path.on(node, environment))
        except PathError as error:
            _open(rule, place, str(error), run)
            return
        if verdict is False:
            run.add(rule, place)

    return judge


def _unread(rule: Rule, reason: str) -> Judge:
    return lambda value, extra, place, run: _open(rule, place, reason, run)


def _open(rule: Rule, place: str, reason: str, run: Run) -> None:
    if not run.first:
        text = f"The constraint {rule.name} of {rule.profile} was not judged: {reason}."
        run.note(Issue("not-supported", text, "information", (place,)))


def _extended(codes: Mapping[str, list[str]], rule: Rule) -> Judge:
    """Warn of a code that claims a system of an extensible value set and is not there; other systems extend it."""
    known = {system: frozenset(listed) for system, listed in codes.items()}

    def judge(value: Any, extra: Any, path: str, run: Run) -> None:
        for system, code in codes_of(value):
            listed = known.get(system or "")
            if listed is not None and code not in listed:
                run.add(rule, path)
                return

    return judge


#: One JSON property that has rules: the stem of its element, (name, type), what judges it.
_Part = tuple[str, tuple[tuple[str, str], ...], Judge]


class BaseRules:
    """The constraints and extensible bindings of base R4, type by type. Safe to share between threads."""

    def __init__(self, base: Base, answers: Answers) -> None:
        self._base = base
        self._answers = answers
        self._judges: dict[str, Judge | None] = {}

    def of(self, type_: str) -> Judge | None:
        """Return the judge of a type, None when R4 has no rule anywhere in it."""
        if type_ not in self._judges:
            self._judges[type_] = self._compiled(type_) if self._has_rules(type_, set()) else None
        return self._judges[type_]

    def in_extension(self, extension: Json, place: str, run: Run) -> None:
        """Judge the value of an extension; a type does not lead there, because an extension may have any."""
        for name, value in extension.items():
            if value.__class__ is dict and name.startswith("value"):
                found = self._base.structures.resolve("Extension", name)
                judge = self.of(found[1]) if found is not None else None
                if judge is not None:
                    judge(value, None, f"{place}.value", run)

    def _has_rules(self, type_: str, seen: set[str]) -> bool:
        structure = self._base.structures.get(type_)
        if structure is None or type_ in seen:
            return False
        seen.add(type_)
        if self._on_type(type_):
            return True
        return any(
            self._on_element(type_, element) or any(self._has_rules(each, seen) for each in element.types)
            for element in structure.elements
            if element.name not in ("extension", "modifierExtension")
        )

    def _on_type(self, type_: str) -> list[Judge]:
        return [
            holds(each, type_, self._answers) for each in self._base.constraints(type_) if each.key not in ELSEWHERE
        ]

    def _on_element(self, type_: str, element: Element) -> list[Judge]:
        owner = self._base.owner(type_, element.name)
        found: list[Judge] = []
        if owner not in element.types:  # the rules of an inner type are those of the type
            stated = (each for each in self._base.constraints(owner) if each.key not in ELSEWHERE)
            found += [holds(each, owner, self._answers) for each in stated]
        binding = self._base.binding(owner)
        if binding is not None and binding[0] == "extensible" and owner not in _UNLISTED:
            codes = self._base.codes(binding[1])
            if codes is not None:
                text = f"The code is not one of its system in the extensible value set {binding[1]}."
                rule = Rule(f"{CORE}{owner.partition('.')[0]}", owner, "binding", "code-invalid", text, "warning")
                found.append(_extended(codes, rule))
        return found

    def _compiled(self, type_: str) -> Judge:
        """Return the judge; the elements are looked at when it is first used, because types are recursive."""
        own = tuple(self._on_type(type_))
        ruled: dict[str, int] | None = None
        parts: tuple[_Part, ...] = ()

        def judge(value: Any, extra: Any, path: str, run: Run) -> None:
            nonlocal ruled, parts
            if value.__class__ is not dict:
                return
            if ruled is None:
                parts, ruled = self._parts(type_)
            met = [at for key in value if (at := ruled.get(key)) is not None]
            if len(met) > 1:  # in the order of the definition; a property and its twin are one
                met = sorted(set(met))
            for at in met:
                stem, properties, inner = parts[at]
                for one, twin, place, _ in occurrences(value, properties, path, stem):
                    inner(one, twin, place, run)
            for each in own:
                each(value, extra, path, run)

        return judge

    def _parts(self, type_: str) -> tuple[tuple[_Part, ...], dict[str, int]]:
        """Return the properties that have rules, in the order of the definition, and their numbers by JSON name."""
        structure = self._base.structures.get(type_)
        parts: list[_Part] = []
        numbers: dict[str, int] = {}
        for element in structure.elements if structure is not None else ():
            if element.name in ("extension", "modifierExtension", "contained") or element.types == ("Resource",):
                continue
            own = self._on_element(type_, element)
            for name, of in element.property_names():
                inner = self.of(of)
                judge = together([*own, *((inner,) if inner is not None else ())])
                if judge is not None:
                    numbers[name] = numbers[f"_{name}"] = len(parts)
                    parts.append((element.stem, ((name, of),), judge))
        return tuple(parts), numbers
