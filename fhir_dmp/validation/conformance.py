"""The profiles at hand, and the whole judgement of a resource: structure, constraints, extensions, profiles.

A profile is compiled when it is first asked for, and kept. One that the server does not have is named in a warning:
nobody may think that it was applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from fhir_dmp.errors import Issue
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.loaded import Loaded
from fhir_dmp.validation.base import CORE, Base
from fhir_dmp.validation.constraints import BaseRules
from fhir_dmp.validation.extensions import Extension, extensions
from fhir_dmp.validation.findings import Enough
from fhir_dmp.validation.profile import compile_profile, unread
from fhir_dmp.validation.run import Judge, Run, entries_at_hand
from fhir_dmp.validation.snapshot import with_snapshot
from fhir_dmp.validation.tree import Node, tree_of
from fhir_dmp.validation.validate import validate

#: What a definition that is not of the shape of a StructureDefinition may cause while it is read.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, ArithmeticError)


class Profiles:
    """Every StructureDefinition at hand, compiled as needed. Safe to share between threads.

    resources: StructureDefinitions; of two with one URL the later counts. terminology: what bindings are judged by.
    """

    def __init__(self, base: Base, resources: Iterable[Json], terminology: Loaded) -> None:
        self.base = base
        self._definitions = {
            str(each["url"]): each
            for each in resources
            if each.get("resourceType") == "StructureDefinition" and isinstance(each.get("url"), str)
        }
        self.terminology = terminology
        self._judges: dict[str, Judge | None] = {}
        self._trees: dict[str, Node | None] = {}
        self._extensions: dict[str, Extension | None] = {}
        self.rules = BaseRules(base, self)

    def urls(self) -> Sequence[str]:
        """Return the URL of every definition at hand."""
        return tuple(self._definitions)

    def definition(self, url: str) -> Json | None:
        """Return a StructureDefinition as it was loaded."""
        return self._definitions.get(url.partition("|")[0])

    def contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Say whether a code is in a value set; None when nobody here can tell."""
        return self.terminology.contains(value_set, system, code)

    def type_of(self, url: str) -> str | None:
        """Return the type that a profile, or a definition of R4 itself, is about."""
        name = url.removeprefix(CORE)
        if name != url and self.base.structures.get(name) is not None:
            return name
        definition = self.definition(url)
        return None if definition is None else str(definition.get("type", ""))

    def tree(self, url: str) -> Node | None:
        """Return the elements of a profile, None when it is not at hand or cannot be read."""
        if url not in self._trees:
            try:
                self._trees[url] = self._tree(url)
            except UNREADABLE:
                self._trees[url] = None
        return self._trees[url]

    def profile(self, url: str) -> Judge | None:
        """Return the judge of a profile, None when it is not at hand. That of R4's own types finds nothing more."""
        bare = url.partition("|")[0]
        if bare not in self._judges:
            self._judges[bare] = self._compiled(bare)
        return self._judges[bare]

    def extension(self, url: Any) -> Extension | None:
        """Return the compiled extension of a URL, None when it is not at hand."""
        if not isinstance(url, str):
            return None
        if url not in self._extensions:
            definition = self._definitions.get(url)
            judge = self.profile(url) if definition is not None and definition.get("type") == "Extension" else None
            found = _extension(definition, judge) if definition is not None and judge is not None else None
            if len(self._extensions) > 5000:  # the URLs come from data: never let them fill the memory
                return found
            self._extensions[url] = found
        return self._extensions[url]

    def unusable(self, url: str) -> str:
        """Say why a profile cannot be applied, "" when it can."""
        try:
            root = self._tree(url)
            if root is not None:
                compile_profile(root, url, self)
        except UNREADABLE as error:
            return _reason(error)
        return ""

    def compile_all(self) -> int:
        """Compile every profile now; return how many there are."""
        for url in self._definitions:
            self.profile(url)
        return len(self._definitions)

    def _tree(self, url: str) -> Node | None:
        definition = self._definitions.get(url)
        if definition is None:
            return None
        whole = definition if "snapshot" in definition else with_snapshot(definition, self.base, self.definition)
        return tree_of(whole["snapshot"]["element"], str(whole["type"]), self.base.structures)

    def _compiled(self, url: str) -> Judge | None:
        if url.startswith(CORE) and url not in self._definitions:
            known = self.base.structures.get(url.removeprefix(CORE)) is not None
            return _nothing if known else None
        try:
            root = self._tree(url)
            return None if root is None else compile_profile(root, url, self)
        except UNREADABLE as error:
            return unread(url, _reason(error))


def _extension(definition: Json, judge: Judge) -> Extension | None:
    try:
        return Extension.read(definition, judge)
    except UNREADABLE:
        return None


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"it is not of the shape of R4 ({type(error).__name__})"


def _nothing(value: Any, extra: Any, path: str, run: Run) -> None:
    """Find nothing: what the base says is judged anyway."""


def judge(
    resource: Json, profiles: Profiles, asked: Sequence[str] = (), applied: Callable[[str], bool] = lambda url: True
) -> tuple[Issue, ...]:
    """Return what is wrong with a resource: as R4, as the profiles that it declares, and as those asked for.

    asked: further profiles for the root. applied: which of the declared profiles count. Issues stand in the order
    structure, constraints, profiles; codes as in `validation.validate`, and `not-supported` for what could not be
    judged.
    """
    found = validate(resource, profiles.base.structures)
    run = Run(resource)
    run.applied = applied
    type_ = resource.get("resourceType")
    if isinstance(type_, str) and profiles.base.structures.is_resource(type_):
        if type_ == "Bundle":
            run.at_hand = entries_at_hand(resource)
        with suppress(Enough):
            _resource(resource, type_, type_, profiles, run, asked)
    return (*_not_told_again(found, run.issues), *run.issues)


def _not_told_again(found: Sequence[Issue], by_profiles: Sequence[Issue]) -> Iterable[Issue]:
    """Leave out the warnings of the base about references that a profile refuses at the same place."""
    refused = {issue.expression for issue in by_profiles if _rules(issue) == {"targetProfile"}}
    return (issue for issue in found if issue.expression not in refused or _rules(issue) != {"targetProfile"})


def _rules(issue: Issue) -> set[str]:
    return {coding.code.rpartition("#")[2] for coding in issue.details}


def _resource(node: Json, type_: str, path: str, profiles: Profiles, run: Run, asked: Sequence[str] = ()) -> None:
    rules = profiles.rules.of(type_)
    if rules is not None:
        rules(node, None, path, run)
    if run.resource is run.root:
        for each, place, key, holder in extensions(node, path, profiles.base.structures):
            profiles.rules.in_extension(each, place, run)
            known = profiles.extension(each.get("url"))
            if known is not None:
                known(each, place, holder, key, run)
    declared = _declared(node)
    for index, url in enumerate(declared):
        if not run.applied(url):
            continue
        found = profiles.profile(url)
        if found is None:
            _unknown(f"{path}.meta.profile[{index}]", run)
        else:
            found(node, None, path, run)
    for url in asked:
        if url in declared:
            continue
        found = profiles.profile(url)
        if found is None:
            _unknown("profile", run)
        else:
            found(node, None, path, run)
    _inner(node, type_, path, profiles, run)


def _unknown(place: str, run: Run) -> None:
    text = "This server does not know the profile; only the base definition was applied."
    run.note(Issue("not-supported", text, "warning", (place,)))


def _declared(node: Json) -> list[str]:
    meta = node.get("meta")
    listed = meta.get("profile") if isinstance(meta, dict) else None
    return [url for url in listed if isinstance(url, str)] if isinstance(listed, list) else []


def _inner(node: Json, type_: str, path: str, profiles: Profiles, run: Run) -> None:
    """Judge the resources inside: contained ones with this one around them, entries and parameters on their own."""
    for index, part in enumerate(node["contained"] if isinstance(node.get("contained"), list) else ()):
        if _is_resource(part, profiles) and run.resource is run.root:
            run.resource = part
            _resource(part, str(part["resourceType"]), f"{path}.contained[{index}]", profiles, run)
            run.resource = run.root
    if type_ == "Bundle":
        for index, entry in enumerate(node["entry"] if isinstance(node.get("entry"), list) else ()):
            if isinstance(entry, dict):
                _alone(entry.get("resource"), f"{path}.entry[{index}].resource", profiles, run)
    elif type_ == "Parameters":
        _parameters(objects_of(node.get("parameter")), f"{path}.parameter", profiles, run)


def _parameters(parameters: list[Json], path: str, profiles: Profiles, run: Run) -> None:
    for index, each in enumerate(parameters):
        _alone(each.get("resource"), f"{path}[{index}].resource", profiles, run)
        _parameters(objects_of(each.get("part")), f"{path}[{index}].part", profiles, run)


def _alone(part: Any, path: str, profiles: Profiles, run: Run) -> None:
    if _is_resource(part, profiles):
        root, resource = run.root, run.resource
        run.root = run.resource = part
        _resource(part, str(part["resourceType"]), path, profiles, run)
        run.root, run.resource = root, resource


def _is_resource(part: Any, profiles: Profiles) -> bool:
    name = part.get("resourceType") if isinstance(part, dict) else None
    return isinstance(name, str) and profiles.base.structures.is_resource(name)
