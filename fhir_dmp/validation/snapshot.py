"""From a differential to a snapshot: the base, unfolded where the differential goes deeper, with its words on top.

https://hl7.org/fhir/R4/profiling.html#snapshot. The base may be a type of R4 or another profile whose definition is at
hand. Slices copy the element that they divide.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from fhir_dmp.fhir.resource import Json
from fhir_dmp.validation.base import CORE, Base
from fhir_dmp.validation.tree import Node, code_of, content_type, named_step, tree_of

#: canonical URL -> StructureDefinition, None when it is not at hand.
Find = Callable[[str], Json | None]

_ADDED = ("constraint", "mapping", "condition", "alias", "example", "code")
_BY_URL = {"discriminator": [{"type": "value", "path": "url"}], "ordered": False, "rules": "open"}
_IDENTITY = ("id", "path", "sliceName")


def with_snapshot(definition: Json, base: Base, find: Find) -> Json:
    """Return the StructureDefinition with a snapshot that follows from its differential.

    Raises:
        ValueError: the base is not at hand, or the differential names what the base does not have.
    """
    root = base_tree(definition, base, find)
    for element in definition.get("differential", {}).get("element", ()):
        _apply(root, element, base, find)
    if definition.get("type") == "Extension" and "url" in root.children:
        root.children["url"].definition.setdefault("fixedUri", definition["url"])
    elements = [node.definition for node in root.walk()]
    made: Json = {}
    for key, value in definition.items():
        if key == "differential":
            made["snapshot"] = {"element": elements}
        if key != "snapshot":
            made[key] = value
    return made if "snapshot" in made else {**made, "snapshot": {"element": elements}}


def base_tree(definition: Json, base: Base, find: Find) -> Node:
    """Return the tree that the differential starts from: a copy, to be changed.

    Raises:
        ValueError: the base is not at hand.
    """
    url, type_ = str(definition.get("baseDefinition", "")).partition("|")[0], str(definition.get("type", ""))
    if url == CORE + type_:
        return _type_tree(type_, base)
    above = find(url)
    if above is None:
        raise ValueError(f"the base definition {url} is not loaded")
    if "snapshot" not in above:
        above = with_snapshot(above, base, find)
    return tree_of(deepcopy(above["snapshot"]["element"]), type_, base.structures)


def _type_tree(type_: str, base: Base) -> Node:
    if base.structures.get(type_) is None:
        raise ValueError(f"R4 has no type {type_}")
    root = Node(type_, type_, type_, base.root(type_))
    _unfold_type(root, type_, base, deep=True)
    return root


def _unfold_type(node: Node, type_: str, base: Base, *, deep: bool) -> None:
    """Give a node the elements of a type; deep: the inner types (`Patient.contact`) of a resource too."""
    for definition in base.children(type_, node.path):
        name = definition["path"].rpartition(".")[2]
        definition["id"] = f"{node.id}.{name}"
        codes = tuple(code_of(each) for each in definition.get("type", ()))
        inner = content_type(type_, name, codes, base.structures)
        child = Node(definition["id"], name, inner, definition)
        node.children[name] = child
        if deep and "." in inner and "contentReference" not in definition:
            _unfold_type(child, inner, base, deep=True)


def _unfold(node: Node, root: Node, base: Base, find: Find) -> None:
    """Make the children of an element explicit: from its content reference, its type's profile, or its type.

    Raises:
        ValueError: it has several types, or none that R4 knows.
    """
    if node.children:
        return
    reference = node.definition.get("contentReference", "")
    if reference:
        source = _found(root, str(reference).rpartition("#")[2])
        if source is not None:
            _copy(source, node)  # first: what is copied may hold this node, which refers to it still
            del node.definition["contentReference"]
            node.definition["type"] = deepcopy(source.definition.get("type", []))
            return
    profiles = node.profiles(node.codes[0]) if len(node.codes) == 1 else ()
    profile = find(profiles[0]) if len(profiles) == 1 else None
    if profile is not None and profile.get("kind") != "resource":
        snapshot = profile if "snapshot" in profile else with_snapshot(profile, base, find)
        _copy(tree_of(deepcopy(snapshot["snapshot"]["element"]), str(profile["type"]), base.structures), node)
        return
    if base.structures.is_primitive(node.type):
        _unfold_type(node, "Element", base, deep=False)  # the extensions of a primitive; its value has no name in JSON
        return
    if base.structures.get(node.type) is None:
        raise ValueError(f"{node.id} has no elements of its own: name one type first")
    _unfold_type(node, node.type, base, deep=True)


def _found(root: Node, path: str) -> Node | None:
    return next((node for node in root.walk() if node.path == path and node.id == path), None)


def _copy(source: Node, target: Node) -> None:
    """Copy everything below one node to another, with ids and paths of the new place."""
    for each in [below for child in list(source.children.values()) for below in child.walk()]:
        definition = deepcopy(each.definition)
        definition["id"] = target.id + each.id[len(source.id) :]
        definition["path"] = target.path + each.path[len(source.path) :]
        made = Node(definition["id"], each.name, each.type, definition, each.slice)
        holder = target
        for step in each.id[len(source.id) + 1 :].split(".")[:-1]:
            name, _, slice_ = step.partition(":")
            holder = holder.children[name]
            holder = (holder.named(slice_) or holder) if slice_ else holder
        if each.slice:
            holder.children[each.name].slices.append(made)
        else:
            holder.children[each.name] = made


def _apply(root: Node, element: Json, base: Base, find: Find) -> None:
    """Lay one element of the differential over the tree.

    Raises:
        ValueError: it names what the base does not have.
    """
    at = root
    steps = str(element.get("id") or element.get("path")).split(".")
    if not element.get("id") and element.get("sliceName"):
        steps[-1] += f":{element['sliceName']}"
    for step in steps[1:]:
        _unfold(at, root, base, find)
        name, slice_ = named_step(at, step, base.structures)
        if name not in at.children:
            raise ValueError(f"{'.'.join(steps)}: {at.id} has no element {name}")
        at = at.children[name]
        if slice_:
            if ":" not in step:
                _only_type(at, slice_)
            at = _slice(at, slice_, base)
    _merge(at, element)
    at.type = _narrowed(root, at, base)


def _narrowed(root: Node, node: Node, base: Base) -> str:
    if node is root or (node.type and "." in node.type):
        return node.type
    return node.codes[0] if len(set(node.codes)) == 1 else ""


def _slice(whole: Node, name: str, base: Base) -> Node:
    """Return a slice, made as a copy of the element that it divides when it is new."""
    known = whole.named(name)
    if known is not None:
        return known
    made = Node(f"{whole.id}:{name}", whole.name, whole.type, deepcopy(whole.definition), name)
    for key in ("slicing", "mustSupport"):
        made.definition.pop(key, None)
    made.definition |= {"id": made.id, "sliceName": name, "min": 0}
    if whole.name.endswith("[x]"):
        _choice(whole, made, name)
    elif whole.name in ("extension", "modifierExtension"):
        whole.definition.setdefault("slicing", deepcopy(_BY_URL))
    _copy(whole, made)
    whole.slices.append(made)
    return made


def _choice(whole: Node, made: Node, name: str) -> None:
    """A slice of `value[x]` is named by its type (`valueQuantity`), which it then has alone."""
    stem = whole.name.removesuffix("[x]")
    wanted = [
        each for each in whole.definition.get("type", ()) if stem + code_of(each)[0].upper() + code_of(each)[1:] == name
    ]
    if wanted:
        made.definition["type"] = deepcopy(wanted)
        made.type = code_of(wanted[0])
    whole.definition.setdefault("slicing", _by_type("open"))


def _only_type(whole: Node, name: str) -> None:
    """The short form `valueQuantity` in a differential leaves no other type."""
    stem = whole.name.removesuffix("[x]")
    types = whole.definition.get("type", ())
    left = [each for each in types if stem + code_of(each)[0].upper() + code_of(each)[1:] == name]
    if left:
        whole.definition["type"] = left
        whole.definition.setdefault("slicing", _by_type("closed"))


def _by_type(rules: str) -> Json:
    return {"discriminator": [{"type": "type", "path": "$this"}], "ordered": False, "rules": rules}


def _merge(node: Node, element: Json) -> None:
    for key, value in element.items():
        if key in _IDENTITY:
            continue
        if key in _ADDED and isinstance(value, list):
            known = node.definition.get(key, [])
            node.definition[key] = [*known, *(each for each in deepcopy(value) if each not in known)]
        elif key == "type":
            node.definition[key] = _kept_targets(node, deepcopy(value))
        else:
            node.definition[key] = deepcopy(value)
    if "definition" not in element and "short" in element:
        node.definition["definition"] = element["short"]


def _kept_targets(node: Node, types: list[Any]) -> list[Any]:
    """A narrowed type that says nothing about targets keeps those of the base."""
    known = {code_of(each): each for each in node.definition.get("type", ())}
    for each in types:
        before = known.get(code_of(each), {})
        for key in ("targetProfile", "extension"):
            if key in before and key not in each:
                each[key] = before[key]
        if code_of(each) == before.get("code") and "profile" in before and "profile" not in each:
            each["profile"] = before["profile"]
    return types
