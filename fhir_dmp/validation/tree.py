"""The elements of a StructureDefinition as a tree: children by name, slices beside the element that they divide.

Made from a snapshot (or from the base definitions), read by the compiler of profiles, written back as a snapshot.
https://hl7.org/fhir/R4/profiling.html, https://hl7.org/fhir/R4/elementdefinition.html#id
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Structures


@dataclass(slots=True)
class Node:
    """One element, or one slice of it.

    name: the last step of the path (`value[x]`). type: the R4 type whose elements the children are (`Patient.contact`,
    `Identifier`); empty when it cannot have constrained children. definition: its ElementDefinition.
    """

    id: str
    name: str
    type: str
    definition: Json
    slice: str = ""
    children: dict[str, Node] = field(default_factory=dict)
    slices: list[Node] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The path without slice names, as in `ElementDefinition.path`."""
        return ".".join(step.partition(":")[0] for step in self.id.split("."))

    @property
    def low(self) -> int:
        """How often it must occur."""
        return int(self.definition.get("min", 0))

    @property
    def top(self) -> int | None:
        """How often it may occur, None for any number."""
        high = self.definition.get("max", "*")
        return None if high == "*" else int(high)

    @property
    def codes(self) -> tuple[str, ...]:
        """The type codes; those of the FHIRPath namespace as the FHIR type that they stand for."""
        return tuple(code_of(each) for each in self.definition.get("type", ()))

    def profiles(self, code: str, key: str = "profile") -> tuple[str, ...]:
        """Return the profiles (or `targetProfile`s) of a type, without their version."""
        found: list[str] = []
        for each in self.definition.get("type", ()):
            if code_of(each) == code:
                found += [str(url).partition("|")[0] for url in each.get(key, ())]
        return tuple(found)

    def value(self, prefix: str) -> Any:
        """Return `fixed[x]`, `pattern[x]`, `minValue[x]`... None when there is none."""
        for key, value in self.definition.items():
            if key.startswith(prefix) and key[len(prefix) : len(prefix) + 1].isupper():
                return value
        return None

    def named(self, slice_: str) -> Node | None:
        """Return a slice of this element."""
        return next((each for each in self.slices if each.slice == slice_), None)

    def walk(self) -> Iterator[Node]:
        """Yield the element and everything below it, in the order of a snapshot."""
        yield self
        for child in self.children.values():
            yield from child.walk()
        for each in self.slices:
            yield from each.walk()


def code_of(type_: Json) -> str:
    """Return the FHIR type of an `ElementDefinition.type`."""
    code = str(type_.get("code", ""))
    if not code.startswith("http://hl7.org/fhirpath/"):
        return code
    for extension in type_.get("extension", ()):
        if str(extension.get("url", "")).endswith("structuredefinition-fhir-type"):
            return str(extension.get("valueUrl") or extension.get("valueUri"))
    return "string"


def content_type(parent: str, name: str, codes: tuple[str, ...], structures: Structures) -> str:
    """Return the R4 type whose elements an element's children are; empty when it is not one."""
    element = structures.element(parent, name) if parent else None
    if element is not None and "." in element.types[0]:
        return element.types[0]
    if len(codes) == 1:
        return codes[0]
    return "" if element is None or len(element.types) != 1 else element.types[0]


def tree_of(elements: Iterable[Json], type_: str, structures: Structures) -> Node:
    """Return the tree of a snapshot.

    Raises:
        ValueError: the elements are not those of a tree: an element before its parent, a name that R4 does not know.
    """
    listed = list(elements)
    if not listed or listed[0].get("path") != type_:
        raise ValueError(f"the first element of the snapshot must be {type_}")
    root = Node(type_, type_, type_, listed[0])
    for definition in listed[1:]:
        place(root, definition, structures)
    return root


def place(root: Node, definition: Json, structures: Structures) -> None:
    """Put one element of a snapshot into the tree.

    Raises:
        ValueError: its parent is not there, or R4 has no such element.
    """
    steps = str(definition.get("id") or id_of(root, definition)).split(".")
    at = root
    for step in steps[1:-1]:
        name, slice_ = named_step(at, step, structures)
        following = at.children.get(name)
        if following is not None and slice_:
            following = following.named(slice_)
        if following is None:
            raise ValueError(f"{'.'.join(steps)} comes before the element that holds it")
        at = following
    name, slice_ = named_step(at, steps[-1], structures)
    codes = tuple(code_of(each) for each in definition.get("type", ()))
    made = Node(".".join(steps), name, content_type(at.type, name, codes, structures), definition, slice_)
    if not slice_:
        at.children[name] = made
    elif name in at.children:
        at.children[name].slices.append(made)
    else:  # a choice that is named by its type alone (`valueQuantity`): only this type is described
        whole = Node(made.id, name, "", {**definition, "min": 0}, children={})
        whole.definition = {"id": made.id, "path": made.path, "min": 0, "max": definition.get("max", "1")}
        whole.slices.append(made)
        at.children[name] = whole


def id_of(root: Node, definition: Json) -> str:
    """Return the id of an element that has none: the path, with the slices that were placed last."""
    steps = str(definition.get("path", "")).split(".")
    at, made = root, [steps[0]]
    for step in steps[1:-1]:
        following = at.children.get(step)
        if following is None:
            break
        if following.slices:
            following = following.slices[-1]
        made.append(f"{step}:{following.slice}" if following.slice else step)
        at = following
    own = definition.get("sliceName")
    return ".".join([*made, f"{steps[-1]}:{own}" if own else steps[-1]])


def named_step(parent: Node, step: str, structures: Structures) -> tuple[str, str]:
    """Split one step of an id into the element's name and the slice: `valueQuantity` is (`value[x]`, that type).

    Raises:
        ValueError: the type of the parent has no such element.
    """
    name, _, slice_ = step.partition(":")
    if parent.type in ("", "Resource") or structures.get(parent.type) is None:
        return name, slice_
    element = structures.element(parent.type, name)
    if element is None:
        raise ValueError(f"{parent.type} has no element {name}")
    if element.is_choice and name != element.name:
        return element.name, slice_ or ("" if name == element.stem else name)
    return element.name, slice_
