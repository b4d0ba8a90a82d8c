"""The syntax tree of a FHIRPath expression, as values. Made by path_parser.py, compiled by path.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: `kind` is the FHIRPath type (string, integer, decimal, boolean, date, time, quantity, empty)."""

    kind: str
    text: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """`$this`, `$index`, `$total`, or an external constant such as `%resource`."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Member:
    """`target.name`; without target the name starts an expression, and may be a type."""

    target: Tree | None
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """`target.name(arguments)`."""

    target: Tree | None
    name: str
    arguments: tuple[Tree, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Index:
    """`target[index]`."""

    target: Tree
    index: Tree


@dataclass(frozen=True, slots=True)
class Negative:
    """`-operand`."""

    operand: Tree


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`; the operators of one level associate to the left."""

    operator: str
    left: Tree
    right: Tree


@dataclass(frozen=True, slots=True)
class Typed:
    """`target is Type` or `target as Type`."""

    operator: str
    target: Tree
    type: str


Tree = Literal | Variable | Member | Call | Index | Negative | Binary | Typed


def children_of(tree: Tree) -> tuple[Tree, ...]:
    """Return the direct parts of a tree, in the order of the text."""
    match tree:
        case Member(target):
            return () if target is None else (target,)
        case Call(target, _, arguments):
            return arguments if target is None else (target, *arguments)
        case Index(target, index):
            return (target, index)
        case Negative(operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Typed(_, target):
            return (target,)
        case _:
            return ()
