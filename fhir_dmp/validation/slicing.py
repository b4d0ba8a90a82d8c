"""Slices: which slice an occurrence belongs to, how often each may occur, in what order.

https://hl7.org/fhir/R4/profiling.html#slicing. Discriminators: value, pattern, exists, type, profile, with the paths
that R4 allows (element names, `$this`, `extension(url)`, `resolve()`, `ofType(Type)`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fhir_dmp.fhir.path import PathError, compile_path
from fhir_dmp.fhir.path_values import Item, Unresolved, type_of
from fhir_dmp.validation.base import CORE
from fhir_dmp.validation.run import Judge, Rule, Run
from fhir_dmp.validation.tree import Node
from fhir_dmp.validation.values import codes_of, matches, same

#: Occurrence: value, `_name` twin, place, type.
Found = tuple[Any, Any, str, str]
#: Says whether an occurrence belongs to a slice.
Belongs = Callable[[Found, Run], bool]

_STEP = re.compile(r"\$this|resolve\(\)|ofType\((\w+)\)|extension\('([^']+)'\)|([A-Za-z]\w*)")


class Makers(Protocol):
    """What slicing needs of the compiler of profiles."""

    def judge(self, node: Node) -> Judge | None:
        """Compile an element."""

    def tree(self, url: str) -> Node | None:
        """Return the elements of a profile."""

    def profile(self, url: str) -> Judge | None:
        """Return the judge of a profile."""

    def type_of(self, url: str) -> str | None:
        """Return the type that a profile constrains."""

    def member(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Say whether a code is in a value set."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One compiled slice. low, top: how often; judge: what else it says."""

    belongs: Belongs
    low: int
    top: int | None
    judge: Judge | None
    few: Rule
    many: Rule


@dataclass(frozen=True, slots=True)
class Slicer:
    """The slices of one element, and what holds for what is in none of them."""

    slices: tuple[Slice, ...]
    closed: Rule | None
    at_end: Rule | None
    ordered: Rule | None
    default: Judge | None

    def __call__(self, found: list[Found], place: str, run: Run) -> None:
        """Judge all occurrences of the element."""
        counts = [0] * len(self.slices)
        last = -1
        outside = False
        for one in found:
            number = next((index for index, each in enumerate(self.slices) if each.belongs(one, run)), None)
            if number is None:
                outside = True
                if self.closed is not None:
                    run.add(self.closed, one[2])
                elif self.default is not None:
                    self.default(one[0], one[1], one[2], run)
                continue
            counts[number] += 1
            if self.at_end is not None and outside:
                run.add(self.at_end, one[2])
            if self.ordered is not None and number < last:
                run.add(self.ordered, one[2])
            last = max(last, number)
            judge = self.slices[number].judge
            if judge is not None:
                judge(one[0], one[1], one[2], run)
        for each, count in zip(self.slices, counts, strict=True):
            if count < each.low:
                run.add(each.few, place)
            elif each.top is not None and count > each.top:
                run.add(each.many, place)


def slicer(node: Node, url: str, makers: Makers) -> Slicer | None:
    """Compile the slices of an element, None when it has none that can be told apart."""
    given = node.definition.get("slicing") or {}
    discriminators = given.get("discriminator") or (
        [{"type": "value", "path": "url"}] if node.name in ("extension", "modifierExtension") else []
    )
    if not discriminators and node.name.endswith("[x]"):
        discriminators = [{"type": "type", "path": "$this"}]
    slices = [each for each in node.slices if "/" not in each.slice and each.slice != "@default"]
    if not slices or not discriminators:
        return None
    compiled = tuple(_slice(each, node, discriminators, url, makers) for each in slices)
    rules = given.get("rules", "open")

    def rule(name: str, text: str) -> Rule:
        return Rule(url, node.id, name, "structure", text)

    default = node.named("@default")
    return Slicer(
        compiled,
        rule("slicing", f"This is none of the slices that {node.path} may have.") if rules == "closed" else None,
        rule("openAtEnd", "What is in no slice must stand at the end.") if rules == "openAtEnd" else None,
        rule("ordered", "The slices must stand in the order of the profile.") if given.get("ordered") else None,
        makers.judge(default) if default is not None else None,
    )


def _slice(slice_: Node, whole: Node, discriminators: list[Any], url: str, makers: Makers) -> Slice:
    tests = [_test(slice_, whole, str(each.get("type")), str(each.get("path")), makers) for each in discriminators]
    name = f"{whole.path}, slice {slice_.slice}"
    inner = [each for each in whole.slices if each.slice.startswith(f"{slice_.slice}/")]
    if inner and not slice_.slices:
        slice_.slices.extend(_resliced(each, slice_.slice) for each in inner)

    def belongs(found: Found, run: Run) -> bool:
        return all(test(found, run) for test in tests)

    times = "once" if slice_.low == 1 else f"{slice_.low} times"
    return Slice(
        belongs,
        slice_.low,
        slice_.top,
        makers.judge(slice_),
        Rule(url, slice_.id, "min", "required", f"{name}, must occur at least {times}."),
        Rule(url, slice_.id, "max", "structure", f"{name}, may occur {slice_.top} times at most."),
    )


def _resliced(node: Node, above: str) -> Node:
    return Node(node.id, node.name, node.type, node.definition, node.slice.removeprefix(f"{above}/"), node.children)


def _test(slice_: Node, whole: Node, kind: str, path: str, makers: Makers) -> Belongs:
    if kind == "type":
        return _type_test(slice_, path, makers)
    if kind == "profile":
        return _profile_test(slice_, whole, path, makers)
    if path == "url" and "Extension" in slice_.codes and slice_.profiles("Extension"):
        wanted = slice_.profiles("Extension")[0]
        return lambda found, run: isinstance(found[0], dict) and found[0].get("url") == wanted
    element = _element(slice_, path, makers)
    if kind == "exists":
        return _exists_test(element, path)
    return _value_test(element, path, makers)


def _element(at: Node | None, path: str, makers: Makers) -> Node | None:
    """Return the element of a slice that a discriminator's path leads to."""
    for step in _STEP.finditer(path):
        if at is None:
            return None
        text = step.group(0)
        if text == "resolve()":
            targets = at.profiles("Reference", "targetProfile")
            at = makers.tree(targets[0]) if len(targets) == 1 else None
        elif step.group(2):
            holder = at.children.get("extension") or _typed_child(at, "extension", makers)
            slices = holder.slices if holder is not None else ()
            at = next((each for each in slices if step.group(2) in each.profiles("Extension")), None)
            if at is not None:
                at = makers.tree(step.group(2)) or at
        elif step.group(3):
            at = _child(at, step.group(3), makers)
    return at


def _child(at: Node, name: str, makers: Makers) -> Node | None:
    """Look for an element below another one; where that is sliced, in the slices that must be there, too."""
    found = at.children.get(name) or at.children.get(f"{name}[x]") or _typed_child(at, name, makers)
    if found is not None and (found.value("fixed") or found.value("pattern") or found.children):
        return found
    for each in at.slices:
        inner = each.children.get(name)
        if each.low and inner is not None:
            return inner
    return found


def _typed_child(at: Node, name: str, makers: Makers) -> Node | None:
    """Look for an element in the profile of the type, where the slice itself does not go so deep."""
    for code in at.codes:
        for url in at.profiles(code):
            tree = makers.tree(url)
            if tree is not None:
                return tree.children.get(name) or tree.children.get(f"{name}[x]")
    return None


def _values(found: Found, path: str, run: Run) -> list[Item]:
    """Return what the path finds from an occurrence."""
    node = Item(found[0], None, found[1] if isinstance(found[1], dict) else None)
    if path == "$this":
        return [node]
    try:
        return compile_path(path).on(node, run.environment(node))
    except PathError:
        return []


def _exists_test(element: Node | None, path: str) -> Belongs:
    wanted = element is None or element.top != 0
    return lambda found, run: bool(_values(found, path, run)) is wanted


def _value_test(element: Node | None, path: str, makers: Makers) -> Belongs:
    accepts = _accepts(element, makers)
    simple = path.isidentifier()

    def belongs(found: Found, run: Run) -> bool:
        if simple and isinstance(found[0], dict) and path in found[0] and not isinstance(found[0][path], list):
            return accepts(found[0][path], run)
        return any(accepts(item.value, run) for item in _values(found, path, run))

    return belongs


def _accepts(element: Node | None, makers: Makers) -> Callable[[Any, Run], bool]:
    """Return the test that the constraints of an element mean: fixed, pattern, required binding, or what is below."""
    if element is None:
        return lambda value, run: False
    wanted = element.value("fixed")
    if wanted is not None:
        return lambda value, run: same(value, wanted)
    part = element.value("pattern")
    if part is not None:
        return lambda value, run: matches(value, part)
    binding = element.definition.get("binding") or {}
    if binding.get("strength") == "required" and not element.children and "valueSet" in binding:
        url = str(binding["valueSet"]).partition("|")[0]
        return lambda value, run: any(makers.member(url, system, code) for system, code in codes_of(value))
    judge = makers.judge(element)
    if judge is None:
        return lambda value, run: value is not None
    known = judge
    return lambda value, run: value is not None and run.conforms(known, value, "$this")


def _type_test(slice_: Node, path: str, makers: Makers) -> Belongs:
    through = path.endswith("resolve()")
    element = _element(slice_, path.removesuffix("resolve()").rstrip("."), makers) if path != "$this" else slice_
    if element is None:
        return lambda found, run: False
    allowed = set(element.codes)
    if through:
        targets = element.profiles("Reference", "targetProfile")
        allowed = {makers.type_of(url) or url.removeprefix(CORE) for url in targets}

    def belongs(found: Found, run: Run) -> bool:
        if through:
            references = _values(found, path.removesuffix("resolve()").rstrip(".") or "$this", run)
            return any(run.target(item.value)[0] in allowed for item in references)
        if path == "$this":
            value = found[0]
            return found[3] in allowed or (isinstance(value, dict) and value.get("resourceType") in allowed)
        return any(type_of(item) in allowed for item in _values(found, path, run))

    return belongs


def _profile_test(slice_: Node, whole: Node, path: str, makers: Makers) -> Belongs:
    """A resource is of a profile when it has its type, and claims it, or has its fixed `code`, or conforms.

    Where no other slice has the type, the type is enough: a resource with a defect is then told its defect, and not
    merely that it is in no slice.
    """
    through = path.endswith("resolve()")
    urls = _profiles_at(slice_, path, makers)
    types = {makers.type_of(url) for url in urls}
    others = {
        makers.type_of(url) for each in whole.slices if each is not slice_ for url in _profiles_at(each, path, makers)
    }

    def belongs(found: Found, run: Run) -> bool:
        for item in _values(found, path, run):
            value = item.value
            if isinstance(value, Unresolved):
                return value.type is None or value.type in types
            if isinstance(value, dict) and value.get("resourceType", "") in types:
                if value.get("resourceType") not in others or any(_is_of(value, url, makers, run) for url in urls):
                    return True
            elif through and isinstance(value, dict) and None in types:
                return True
        return False

    return belongs


def _profiles_at(slice_: Node, path: str, makers: Makers) -> tuple[str, ...]:
    inner = path.removesuffix("resolve()").rstrip(".")
    element = slice_ if inner in ("$this", "") else _element(slice_, inner, makers)
    if element is None:
        return ()
    key = "targetProfile" if path.endswith("resolve()") else "profile"
    return tuple(url for code in element.codes for url in element.profiles(code, key)) or tuple(
        CORE + code for code in element.codes if code != "Resource"
    )


def _is_of(value: Any, url: str, makers: Makers, run: Run) -> bool:
    meta = value.get("meta")
    claimed = meta.get("profile") if isinstance(meta, dict) else None
    if isinstance(claimed, list) and url in claimed:
        return True
    tree = makers.tree(url)
    code = tree.children.get("code") if tree is not None else None
    if code is not None and code.value("pattern") is not None:
        return matches(value.get("code"), code.value("pattern"))
    judge = makers.profile(url)
    return makers.type_of(url) == value.get("resourceType") and (judge is None or run.conforms(judge, value, "$this"))
