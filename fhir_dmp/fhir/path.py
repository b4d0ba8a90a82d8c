"""FHIRPath over parsed JSON: `compile_path` once, then `values`, `typed`, `holds` or `locate` on many resources.

No schema is needed: JSON tells the type of choice elements and of resources, the rest goes by shape (path_types.py).
The parts of a union that start with another resource type are not even tried: `clinical-patient` has 34 of them.
Spec: http://hl7.org/fhirpath/N1, https://hl7.org/fhir/R4/fhirpath.html.

>>> compile_path("Patient.name.given | Patient.name.family").values(
...     {"resourceType": "Patient", "name": [{"family": "Exemple", "given": ["Anne", "Lou"]}]})
['Anne', 'Lou', 'Exemple']
>>> compile_path("Observation.value").typed({"resourceType": "Observation", "valueInteger": 3})
[('integer', 3)]
>>> compile_path("name.where(")
Traceback (most recent call last):
fhir_dmp.fhir.path_parser.PathSyntaxError: an expression was expected, not the end (at character 12)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from fhir_dmp.fhir.path_compile import compile_tree
from fhir_dmp.fhir.path_functions import QUESTIONS, REGEX
from fhir_dmp.fhir.path_parser import PathError, PathSyntaxError, parse_path
from fhir_dmp.fhir.path_tree import Binary, Call, Index, Member, Tree, Typed, Variable
from fhir_dmp.fhir.path_types import is_kind_of
from fhir_dmp.fhir.path_values import (
    Environment,
    Evaluate,
    Item,
    Scope,
    Temporal,
    Unresolved,
    distinct,
    truth,
    type_of,
)
from fhir_dmp.fhir.resource import Json

__all__ = ["Location", "Path", "PathError", "PathSyntaxError", "Unresolved", "compile_list", "compile_path", "locate"]


@dataclass(frozen=True, slots=True)
class Location:
    """Where a match stands: `holder[key]`, or `holder[key][index]` in an array. The root has no holder.

    value: None for a primitive that has only extensions; those stand in `holder["_" + key]`.
    """

    value: Any
    holder: Json | None
    key: str
    index: int | None
    type: str | None


class Path:
    """A compiled expression. Safe to share between threads."""

    __slots__ = ("_alternatives", "_for_type", "expression")

    def __init__(self, expression: str, alternatives: tuple[tuple[str | None, Evaluate], ...]) -> None:
        self.expression = expression
        self._alternatives = alternatives
        self._for_type: dict[str, tuple[Evaluate, ...]] = {}

    def values(self, resource: Json, now: datetime | None = None) -> list[Any]:
        """Return the values found, in order; primitives without a value are left out.

        now: the time for `now()` and `today()`.

        Raises:
            PathError: the expression asks for the time and none was given, or does far too much work.
        """
        return [_plain(item.value) for item in self.items(resource, now) if item.value is not None]

    def typed(self, resource: Json, now: datetime | None = None) -> list[tuple[str | None, Any]]:
        """Return (type, value) of what is found; the type where JSON tells it (choice suffix, resource), else None."""
        return [(type_of(item), _plain(item.value)) for item in self.items(resource, now) if item.value is not None]

    def holds(self, resource: Json, now: datetime | None = None) -> bool | None:
        """Return what the expression says as a condition; None when it leaves it open (an empty collection)."""
        return truth(self.items(resource, now))

    def locate(
        self, resource: Json, now: datetime | None = None, *, environment: Environment | None = None
    ) -> list[Location]:
        """Return the places of the matches inside the resource.

        environment: to let several expressions on one resource share what they may spend.

        Raises:
            PathError: the expression computes values that stand nowhere in the resource, or does far too much work.
        """
        found = self.items(resource, now, environment=environment)
        if any(item.holder is None and item.value is not resource for item in found):
            raise PathError("the expression computes a value; a place in the resource is needed")
        return [Location(item.value, item.holder, item.key, item.index, type_of(item)) for item in found]

    def items(
        self, resource: Json, now: datetime | None = None, *, environment: Environment | None = None
    ) -> list[Item]:
        """Return the nodes found."""
        name = resource.get("resourceType")
        alternatives = self._for_type.get(name) if isinstance(name, str) else None
        if alternatives is None:
            alternatives = self._applicable(name if isinstance(name, str) else "")
        env = environment or Environment(Item(resource), now)
        scope = Scope(env, [env.root])
        if len(alternatives) == 1:
            return alternatives[0](scope)
        return distinct([item for evaluate in alternatives for item in evaluate(scope)], scope.env)

    def on(self, item: Item, environment: Environment) -> list[Item]:
        """Return the nodes found from any node of a resource: what a constraint of an element asks."""
        scope = Scope(environment, [item])
        if len(self._alternatives) == 1:
            return self._alternatives[0][1](scope)
        return distinct([found for _, evaluate in self._alternatives for found in evaluate(scope)], environment)

    def _applicable(self, type_: str) -> tuple[Evaluate, ...]:
        found = tuple(run for root, run in self._alternatives if root is None or (type_ and is_kind_of(type_, root)))
        if len(self._alternatives) > 1 and len(found) == 1:
            only = found[0]
            found = (lambda scope: distinct(only(scope), scope.env),)  # a union is distinct even when one side is empty
        if len(self._for_type) < 200:  # the type comes from data: never let it fill the memory
            self._for_type[type_] = found
        return found


def _plain(value: Any) -> Any:
    return value.text if isinstance(value, Temporal) else value


def _alternatives(tree: Tree, allowed: frozenset[str]) -> tuple[tuple[str | None, Evaluate], ...]:
    parts: list[Tree] = []
    while isinstance(tree, Binary) and tree.operator == "|":
        parts.append(tree.right)
        tree = tree.left
    parts.append(tree)
    return tuple((_root_type(part), compile_tree(part, allowed=allowed)) for part in reversed(parts))


def _root_type(tree: Tree) -> str | None:
    """Return the type that an expression starts with, when it can find nothing in any other resource."""
    while True:
        match tree:
            case Member(None, name):
                return name if name[:1].isupper() else None
            case Member(target) | Index(target) | Typed("as", target) | Call(target, "where" | "as" | "ofType"):
                if target is None:
                    return None
                tree = target
            case _:
                return None


@lru_cache(maxsize=2048)
def compile_path(expression: str, *, regex: bool = True, questions: bool = False) -> Path:
    """Compile an expression (cached).

    regex: false for expressions that come from clients; refuses the functions whose cost a client could make endless.
    questions: allow `conformsTo` and `memberOf`; the environment must then hold who answers them.

    Raises:
        PathSyntaxError: with the position of what cannot be read.
    """
    allowed = frozenset([*([REGEX] if regex else []), *([QUESTIONS] if questions else [])])
    return Path(expression, _alternatives(parse_path(expression), allowed))


@lru_cache(maxsize=512)
def compile_list(expression: str) -> tuple[Path, str]:
    """Split a client's expression that names a list: (the path of the object that holds it, the element's name).

    Raises:
        PathSyntaxError: it cannot be read, or does not end with the name of an element.
    """
    tree = parse_path(expression)
    if not isinstance(tree, Member) or (tree.target is None and tree.name[:1].isupper()):
        raise PathSyntaxError("the expression must end with the name of a list")
    holder = tree.target or Variable("$this", 0)
    return Path(expression, _alternatives(holder, frozenset())), tree.name


def locate(expression: str, resource: Json, now: datetime | None = None) -> list[Location]:
    """Return the places that a client's expression names, for FHIRPath Patch."""
    return compile_path(expression, regex=False).locate(resource, now)
