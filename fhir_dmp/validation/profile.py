"""One StructureDefinition -> a judge of what it says beyond the base: made once, run on every resource.

What the base says in the same words is left to the base. Every issue names the element, the rule and the profile.
https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

from typing import Any, Protocol

from fhir_dmp.errors import Issue
from fhir_dmp.fhir.structure import Element
from fhir_dmp.validation import values
from fhir_dmp.validation.base import CORE, Base, Constraint
from fhir_dmp.validation.constraints import ELSEWHERE, holds
from fhir_dmp.validation.run import Judge, Rule, Run, occurrences
from fhir_dmp.validation.slicing import Slicer, slicer
from fhir_dmp.validation.tree import Node

Properties = tuple[tuple[str, str], ...]


class Library(Protocol):
    """The profiles and value sets at hand."""

    base: Base

    def profile(self, url: str) -> Judge | None:
        """Return the judge of a profile, None when it is not at hand."""

    def tree(self, url: str) -> Node | None:
        """Return the elements of a profile, None when it is not at hand."""

    def type_of(self, url: str) -> str | None:
        """Return the type that a profile (or a base definition) is about."""

    def contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Say whether a code is in a value set."""


class Compiler:
    """Compiles the elements of one profile. Also what `slicing` needs of it."""

    def __init__(self, root: Node, url: str, library: Library) -> None:
        self._root = root
        self._url = url
        self._library = library
        self._base = library.base
        self._made: dict[int, Judge | None] = {}

    def whole(self) -> Judge | None:
        """Return the judge of the profile."""
        return self.judge(self._root)

    def tree(self, url: str) -> Node | None:
        """Return the elements of another profile."""
        return self._library.tree(url)

    def profile(self, url: str) -> Judge | None:
        """Return the judge of another profile."""
        return self._library.profile(url)

    def type_of(self, url: str) -> str | None:
        """Return the type that a profile is about."""
        return self._library.type_of(url)

    def member(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Say whether a code is in a value set."""
        return self._library.contains(value_set, system, code)

    def judge(self, node: Node) -> Judge | None:
        """Return what one occurrence of an element (or slice) must obey, None when that is nothing."""
        key = id(node)
        if key not in self._made:
            self._made[key] = lambda value, extra, path, run: self._later(key, value, extra, path, run)
            self._made[key] = values.together(
                [*self._own(node), *self._constraints(node), *self._types(node), *self._children(node)]
            )
        return self._made[key]

    def _later(self, key: int, value: Any, extra: Any, path: str, run: Run) -> None:
        made = self._made[key]
        if made is not None:
            made(value, extra, path, run)

    def _rule(self, node: Node, name: str, code: str, text: str, severity: str = "error") -> Rule:
        return Rule(self._url, node.id, name, code, text, severity)

    def _own(self, node: Node) -> list[Judge]:
        """Fixed and pattern values, lengths, bounds and the binding of an element."""
        made: list[Judge] = []
        given = node.definition
        fixed, pattern = node.value("fixed"), node.value("pattern")
        if fixed is not None:
            made.append(values.fixed(fixed, self._rule(node, "fixed", "value", f"The value must be {_said(fixed)}.")))
        if pattern is not None:
            text = f"The value must contain {_said(pattern)}."
            made.append(values.pattern(pattern, self._rule(node, "pattern", "value", text)))
        if "maxLength" in given:
            text = f"At most {given['maxLength']} characters are allowed."
            made.append(values.longest(int(given["maxLength"]), self._rule(node, "maxLength", "value", text)))
        for name, refused, word in (("minValue", -1, "least"), ("maxValue", 1, "most")):
            bound = node.value(name)
            if bound is not None:
                rule = self._rule(node, name, "value", f"The value must be at {word} {_said(bound)}.")
                made.append(values.bounded(bound, refused, rule))
        binding = given.get("binding") or {}
        strength, url = binding.get("strength"), str(binding.get("valueSet", "")).partition("|")[0]
        if strength in ("required", "extensible") and url and not self._is_base_binding(node, strength, url):
            severity = "error" if strength == "required" else "warning"
            text = f"No code is in the {strength} value set {url}."
            rule = self._rule(node, "binding", "code-invalid", text, severity)
            made.append(values.bound(url, self._library, rule))
        return made

    def _is_base_binding(self, node: Node, strength: str, url: str) -> bool:
        """Say whether the base binds the element in the same way, and is able to judge it."""
        owner = str((node.definition.get("base") or {}).get("path", ""))
        return self._base.binding(owner) == (strength, url) and (
            self._base.codes(url) is not None or self._library.contains(url, None, "x") is None
        )

    def _constraints(self, node: Node) -> list[Judge]:
        type_ = node.codes[0] if len(node.codes) == 1 else None
        made = []
        for each in node.definition.get("constraint", ()):
            constraint = Constraint.read(each, self._url)
            if constraint is None or constraint.key in ELSEWHERE or self._is_base_rule(constraint):
                continue
            stated = Constraint(constraint.key, constraint.severity, constraint.expression, constraint.human, self._url)
            made.append(holds(stated, node.id, self._library, type_))
        return made

    def _is_base_rule(self, constraint: Constraint) -> bool:
        if constraint.key not in self._base.keys:
            return False
        return constraint.profile == self._url or constraint.profile.startswith(CORE)

    def _types(self, node: Node) -> list[Judge]:
        """The profiles of the types of an element, and what a reference may point to."""
        made: list[Judge] = []
        for code in node.codes:
            if code == "Extension":
                continue  # every extension is judged by its own definition, see extensions.py
            if code == "Reference":
                made += self._reference(node)
                continue
            urls = tuple(url for url in node.profiles(code) if url != CORE + code)
            if urls and not (len(urls) == 1 and urls[0].startswith(CORE)):
                made.append(self._profiled(node, code, urls))
        resources = [code for code in node.codes if code != "Resource" and self._base.structures.is_resource(code)]
        if resources and node is not self._root:
            text = f"A resource of type {' or '.join(resources)} is wanted here."
            made.append(values.typed(frozenset(resources), self._rule(node, "type", "structure", text)))
        return made

    def _profiled(self, node: Node, code: str, urls: tuple[str, ...]) -> Judge:
        """Want one of several profiles; with one profile, its own issues are told."""
        rule = self._rule(node, "profile", "structure", f"This conforms to none of {', '.join(urls)}.")
        resource = self._base.structures.is_resource(code) or code == "Resource"

        def judge(value: Any, extra: Any, path: str, run: Run) -> None:
            if value.__class__ is not dict or (resource and code not in ("Resource", value.get("resourceType"))):
                return
            known = [found for url in urls if (found := self._library.profile(url)) is not None]
            if len(known) < len(urls):
                return  # one that is not at hand might be the one
            if len(known) == 1:
                known[0](value, extra, path, run)
            elif not any(run.conforms(each, value, path) for each in known):
                run.add(rule, path)

        return judge

    def _reference(self, node: Node) -> list[Judge]:
        made: list[Judge] = []
        given: list[str] = []
        for each in node.definition.get("type", ()):
            if each.get("code") == "Reference":
                given += [str(url).partition("|")[0] for url in each.get("targetProfile", ())]
                modes = frozenset(each.get("aggregation", ()))
                if modes:
                    text = f"The reference must be {' or '.join(sorted(modes))}."
                    made.append(values.aggregated(modes, self._rule(node, "aggregation", "structure", text)))
        if given and not self._is_base_target(node, given):
            made.append(self._target(node, tuple(given)))
        return made

    def _is_base_target(self, node: Node, urls: list[str]) -> bool:
        """Say whether the base has the same targets: it warns about them itself."""
        owner = str((node.definition.get("base") or {}).get("path", ""))
        holder, _, name = owner.rpartition(".")
        element = self._base.structures.element(holder, name) if holder else None
        return element is not None and {CORE + target for target in element.targets} == set(urls)

    def _target(self, node: Node, urls: tuple[str, ...]) -> Judge:
        types = {url: self._library.type_of(url) for url in urls}
        allowed = frozenset(type_ for type_ in types.values() if type_)
        open_ = None in types.values() or "Resource" in allowed
        text = f"A reference to {' or '.join(sorted(allowed))} is wanted here."
        kind = self._rule(node, "targetProfile", "structure", text)
        rule = self._rule(node, "targetProfile", "structure", f"The target conforms to none of {', '.join(urls)}.")

        def judge(value: Any, extra: Any, path: str, run: Run) -> None:
            type_, resource = run.target(value)
            if not type_ or open_:
                return
            if type_ not in allowed:
                run.add(kind, f"{path}.reference")
            elif resource is not None:
                self._conforming(resource, type_, types, rule, path, run)

        return judge

    def _conforming(
        self, resource: Any, type_: str, types: dict[str, str | None], rule: Rule, path: str, run: Run
    ) -> None:
        """Want that a target at hand is as one of the profiles of its type says; what it claims, it is told itself."""
        urls = [url for url, of in types.items() if of == type_]
        meta = resource.get("meta")
        claimed = meta.get("profile") if isinstance(meta, dict) else None
        if any(url == CORE + type_ or (isinstance(claimed, list) and url in claimed) for url in urls):
            return
        judges = [each for url in urls if (each := self._library.profile(url)) is not None]
        if judges and not any(run.conforms(each, resource, path) for each in judges):
            run.add(rule, path)

    def _children(self, node: Node) -> list[Judge]:
        reference = node.definition.get("contentReference")
        if reference and not node.children:
            wanted = str(reference).rpartition("#")[2]
            target = next((each for each in self._root.walk() if each.id == wanted), None)
            found = self.judge(target) if target is not None else None
            return [found] if found is not None else []
        parts = [part for child in node.children.values() if (part := self._part(node, child)) is not None]
        if not parts:
            return []
        listed = tuple(parts)

        def judge(value: Any, extra: Any, path: str, run: Run) -> None:
            holder = value if value.__class__ is dict else extra
            if holder.__class__ is dict:
                for part in listed:
                    part(holder, path, run)

        return [judge]

    def _part(self, parent: Node, child: Node) -> Part | None:
        """Compile one child element, None when the profile adds nothing to it."""
        element = self._base.structures.element(parent.type, child.name) if parent.type else None
        properties: Properties = element.property_names() if element is not None else ((child.name, ""),)
        low = child.low if child.low > (element.min if element is not None else 0) else 0
        top = child.top if element is None or (child.top is not None and child.top != element.max) else None
        part = Part(
            child.name.removesuffix("[x]"),
            properties,
            low,
            top,
            self._allowed(child, element),
            self.judge(child),
            slicer(child, self._url, self),
            self._rule(child, "min", "required", _few(child, low)),
            self._rule(child, "max", "structure", _many(child, top)),
            self._rule(child, "type", "structure", f"The type must be {' or '.join(child.codes)}."),
        )
        says = low or top is not None or part.allowed is not None or part.judge is not None or part.slicer is not None
        return part if says else None

    def _allowed(self, child: Node, element: Element | None) -> frozenset[str] | None:
        """Return the types that a choice is narrowed to, None when the base has no others."""
        if element is None or not element.is_choice or not child.codes:
            return None
        allowed = frozenset(child.codes)
        return None if allowed >= set(element.types) else allowed


class Part:
    """One compiled child element."""

    __slots__ = ("allowed", "few", "judge", "low", "many", "name", "properties", "slicer", "top", "type_rule")

    def __init__(
        self,
        name: str,
        properties: Properties,
        low: int,
        top: int | None,
        allowed: frozenset[str] | None,
        judge: Judge | None,
        slicer: Slicer | None,
        few: Rule,
        many: Rule,
        type_rule: Rule,
    ) -> None:
        self.name = name
        self.properties = properties
        self.low = low
        self.top = top
        self.allowed = allowed
        self.judge = judge
        self.slicer = slicer
        self.few = few
        self.many = many
        self.type_rule = type_rule

    def __call__(self, holder: dict[str, Any], path: str, run: Run) -> None:
        """Judge the element in one object."""
        found = list(occurrences(holder, self.properties, path, self.name))
        count = len(found)
        if count < self.low:
            run.add(self.few, f"{path}.{self.name}")
        if self.top is not None and count > self.top:
            run.add(self.many, f"{path}.{self.name}")
        for value, extra, place, type_ in found:
            if self.allowed is not None and type_ not in self.allowed:
                run.add(self.type_rule, place)
            elif self.judge is not None:
                self.judge(value, extra, place, run)
        if self.slicer is not None:
            self.slicer(found, f"{path}.{self.name}", run)


def compile_profile(root: Node, url: str, library: Library) -> Judge:
    """Return the judge of a profile."""
    inner = Compiler(root, url, library).whole()
    wanted = root.type
    rule = Rule(url, root.id, "type", "structure", f"The profile is about {wanted}.")
    is_resource = library.base.structures.is_resource(wanted)

    def judge(value: Any, extra: Any, path: str, run: Run) -> None:
        if is_resource and isinstance(value, dict) and value.get("resourceType") != wanted:
            run.add(rule, path)
            return
        pair = (id(value), url)
        if inner is None or pair in run.seen or (not run.first and pair in run.done):
            return
        run.done.add(pair)
        run.seen.add(pair)
        try:
            inner(value, extra, path, run)
        finally:
            run.seen.discard(pair)

    return judge


def unread(url: str, reason: str) -> Judge:
    """Return the judge of a profile that cannot be compiled: it says so."""

    def judge(value: Any, extra: Any, path: str, run: Run) -> None:
        if not run.first:
            run.note(Issue("not-supported", f"The profile {url} was not applied: {reason}.", "warning", (path,)))

    return judge


def _said(value: Any) -> str:
    """Say a constraint's own value; it comes from the profile, never from the resource."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(part)}" for key, part in value.items())
    if isinstance(value, list):
        return " and ".join(_said(part) for part in value)
    return f"'{value}'"


def _few(child: Node, low: int) -> str:
    return f"{child.path} is mandatory." if low < 2 else f"{child.path} must occur at least {low} times."


def _many(child: Node, top: int | None) -> str:
    return f"{child.path} is not allowed." if top == 0 else f"{child.path} may occur {top} times at most."
