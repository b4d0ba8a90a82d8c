"""Syntax tree -> Python closures: each takes a Scope and returns the collection of nodes. Compiled once, run often."""

from __future__ import annotations

from fhir_dmp.fhir.path_functions import COLLECTION, Function, collect, is_of_type, item_at
from fhir_dmp.fhir.path_parser import PathSyntaxError
from fhir_dmp.fhir.path_scalars import SCALAR, calculate, number_of
from fhir_dmp.fhir.path_tree import Binary, Call, Index, Literal, Member, Negative, Tree, Typed, Variable
from fhir_dmp.fhir.path_types import CHOICES, SUFFIXES, choice_of, is_kind_of, plain_name
from fhir_dmp.fhir.path_values import (
    Environment,
    Evaluate,
    Item,
    Scope,
    Temporal,
    boolean,
    distinct,
    equal,
    equivalent,
    frozen_item,
    order_of,
    truth,
)
from fhir_dmp.fhir.resource import Number

FUNCTIONS: dict[str, Function] = COLLECTION | SCALAR
_CONSTANTS = {
    "%ucum": "http://unitsofmeasure.org",
    "%sct": "http://snomed.info/sct",
    "%loinc": "http://loinc.org",
}
#: Variables that stand for the URLs of HL7: %`vs-NAME`, %`ext-NAME`.
_NAMED = {"%vs-": "http://hl7.org/fhir/ValueSet/", "%ext-": "http://hl7.org/fhir/StructureDefinition/"}
_TYPE_FUNCTIONS = frozenset(("is", "as", "ofType"))


def compile_tree(tree: Tree, *, allowed: frozenset[str]) -> Evaluate:
    """Return the closure of a tree.

    allowed: what its functions may need. REGEX (`matches`, `replaceMatches`) is not for expressions of clients, which
    could be endless; QUESTIONS (`conformsTo`, `memberOf`) is for who can answer them.

    Raises:
        PathSyntaxError: an unknown function or constant, or a wrong number of arguments.
    """
    match tree:
        case Literal():
            return _literal(tree)
        case Variable():
            return _variable(tree)
        case Member(None, name):
            return _leading(name)
        case Member(target, name):
            assert target is not None
            return _member(compile_tree(target, allowed=allowed), name)
        case Call():
            return _call(tree, allowed)
        case Index(target, index):
            return _index(compile_tree(target, allowed=allowed), compile_tree(index, allowed=allowed))
        case Negative(operand):
            return _negative(compile_tree(operand, allowed=allowed))
        case Typed(operator, target, type_):
            return _typed(operator, compile_tree(target, allowed=allowed), plain_name(type_))
        case Binary(operator, left, right):
            return _binary(operator, compile_tree(left, allowed=allowed), compile_tree(right, allowed=allowed))


def _this(scope: Scope) -> list[Item]:
    return scope.this


def _literal(tree: Literal) -> Evaluate:
    match tree.kind:
        case "empty":
            constant: list[Item] = []
        case "string":
            constant = [Item(tree.text, "string")]
        case "boolean":
            constant = [Item(tree.text == "true", "boolean")]
        case "integer":
            constant = [Item(int(tree.text) if len(tree.text) <= 15 else Number(tree.text), "integer")]
        case "decimal":
            constant = [Item(Number(tree.text), "decimal")]
        case "quantity":
            constant = [Item({"value": Number(tree.text), "unit": tree.unit}, "quantity")]
        case _:
            kind = "dateTime" if "T" in tree.text else tree.kind
            constant = [Item(Temporal(tree.text.rstrip("T")), kind)]
    return lambda scope: constant


def _variable(tree: Variable) -> Evaluate:
    match tree.name:
        case "$this":
            return _this
        case "$index":
            return lambda scope: [Item(scope.index, "integer")]
        case "$total":
            return lambda scope: scope.total
        case "%resource":
            return lambda scope: [scope.env.resource]
        case "%context":
            return lambda scope: [scope.env.context]
        case "%rootResource":
            return lambda scope: [scope.env.root]
    for prefix, base in _NAMED.items():
        if tree.name.startswith(prefix):
            named = [Item(base + tree.name.removeprefix(prefix), "string")]
            return lambda scope: named
    if tree.name not in _CONSTANTS:
        raise PathSyntaxError(f"unknown constant {tree.name[:40]}", tree.position)
    constant = [Item(_CONSTANTS[tree.name], "string")]
    return lambda scope: constant


def _leading(name: str) -> Evaluate:
    """A name that starts an expression: the type of the node that it stands on, or one of its elements."""
    if not name[:1].isupper():
        return _member(_this, name)

    def run(scope: Scope) -> list[Item]:
        return [item for item in scope.this if _is_resource(item, name)]

    return run


def _is_resource(item: Item, name: str) -> bool:
    if not isinstance(item.value, dict):
        return False
    actual = item.value.get("resourceType")
    return isinstance(actual, str) and (actual == name or is_kind_of(actual, name))


def _member(target: Evaluate, name: str) -> Evaluate:
    under = "_" + name
    named = choice_of(name)
    type_ = named[1] if named else None
    choice = name in CHOICES
    of_primitive = name in ("extension", "id")  # all that a primitive's `_name` sibling may hold

    def run(scope: Scope) -> list[Item]:
        found: list[Item] = []
        for item in target(scope):
            holder = item.value if isinstance(item.value, dict) else item.extra if of_primitive else None
            if holder is None:
                continue
            if name in holder or under in holder:
                collect(holder, name, under, type_, found)
            elif choice:
                _choice(holder, name, found)
        scope.env.spend(len(found))
        return found

    return run


def _choice(holder: dict[str, object], name: str, found: list[Item]) -> None:
    """Find `valueQuantity` by the name `value`; an element that repeats is never a choice (`reasonCode`)."""
    seen: set[str] = set()
    for key in holder:
        plain = key[1:] if key.startswith("_") else key
        if plain.startswith(name) and plain not in seen:
            type_ = SUFFIXES.get(plain[len(name) :])
            if type_ is not None and not isinstance(holder[key], list):
                seen.add(plain)
                collect(holder, plain, "_" + plain, type_, found)


def _call(tree: Call, allowed: frozenset[str]) -> Evaluate:
    target = _this if tree.target is None else compile_tree(tree.target, allowed=allowed)
    if tree.name in _TYPE_FUNCTIONS:
        if len(tree.arguments) != 1:
            raise PathSyntaxError(f"{tree.name}() takes one type", tree.position)
        return _typed(tree.name, target, plain_name(_type_argument(tree)))
    function = FUNCTIONS.get(tree.name)
    if function is None:
        raise PathSyntaxError(f"unknown function {tree.name[:40]}()", tree.position)
    if function.needs and function.needs not in allowed:
        raise PathSyntaxError(f"{tree.name}() is not offered here", tree.position)
    if not function.fewest <= len(tree.arguments) <= function.most:
        raise PathSyntaxError(f"{tree.name}() has a wrong number of arguments", tree.position)
    arguments = tuple(compile_tree(argument, allowed=allowed) for argument in tree.arguments)
    act = function.run
    return lambda scope: act(target(scope), scope, arguments)


def _type_argument(tree: Call) -> str:
    match tree.arguments[0]:
        case Member(None, name):
            return name
        case Member(Member(None, namespace), name):
            return f"{namespace}.{name}"
        case _:
            raise PathSyntaxError(f"{tree.name}() takes a type", tree.position)


def _index(target: Evaluate, index: Evaluate) -> Evaluate:
    return lambda scope: item_at(target(scope), index(scope))


def _negative(operand: Evaluate) -> Evaluate:
    def run(scope: Scope) -> list[Item]:
        value = number_of(operand(scope))
        return [] if value is None else [Item(-value, "integer" if isinstance(value, int) else "decimal")]

    return run


def _typed(operator: str, target: Evaluate, wanted: str) -> Evaluate:
    """`is` asks one node; `as` and `ofType` filter, because R4 search parameters apply `as` to collections too."""
    if operator == "is":

        def ask(scope: Scope) -> list[Item]:
            items = target(scope)
            return boolean(is_of_type(items[0], wanted)) if len(items) == 1 else []

        return ask
    return lambda scope: [item for item in target(scope) if is_of_type(item, wanted)]


def _binary(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    match operator:
        case "|":
            return lambda scope: _union(left(scope), right(scope), scope.env)
        case "=":
            return lambda scope: boolean(equal(left(scope), right(scope), scope.env))
        case "!=":
            return lambda scope: boolean(_inverse(equal(left(scope), right(scope), scope.env)))
        case "~":
            return lambda scope: boolean(equivalent(left(scope), right(scope), scope.env))
        case "!~":
            return lambda scope: boolean(not equivalent(left(scope), right(scope), scope.env))
        case "<" | ">" | "<=" | ">=":
            return _comparison(operator, left, right)
        case "and" | "or" | "xor" | "implies":
            return _logic(operator, left, right)
        case "in":
            return _membership(left, right)
        case "contains":
            return _membership(right, left)
        case _:
            return lambda scope: calculate(operator, left(scope), right(scope), scope.env)


def _union(left: list[Item], right: list[Item], env: Environment) -> list[Item]:
    env.spend(len(left) + len(right))
    return distinct([*left, *right], env)


def _inverse(value: bool | None) -> bool | None:
    return None if value is None else not value


def _comparison(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    accepted = {"<": (-1,), ">": (1,), "<=": (-1, 0), ">=": (1, 0)}[operator]

    def run(scope: Scope) -> list[Item]:
        one, other = left(scope), right(scope)
        if len(one) != 1 or len(other) != 1:
            return []
        order = order_of(one[0], other[0])
        return boolean(None if order is None else order in accepted)

    return run


def _logic(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    """Three-valued logic; the right side is not asked when the left one settles it."""

    def run(scope: Scope) -> list[Item]:
        one = truth(left(scope))
        if operator in ("and", "implies") and one is False:
            return boolean(operator == "implies")
        if operator == "or" and one is True:
            return boolean(True)
        return boolean(_settled(operator, one, truth(right(scope))))

    return run


def _settled(operator: str, one: bool | None, other: bool | None) -> bool | None:
    match operator:
        case "and":
            return False if other is False else None if one is None or other is None else True
        case "or":
            return True if other is True else None if one is None or other is None else False
        case "xor":
            return None if one is None or other is None else one != other
        case _:
            return True if other is True else None if one is None or other is None else False


def _membership(element: Evaluate, collection: Evaluate) -> Evaluate:
    def run(scope: Scope) -> list[Item]:
        items = element(scope)
        if len(items) != 1:
            return []
        wanted = frozen_item(items[0], scope.env)
        return boolean(any(frozen_item(item, scope.env) == wanted for item in collection(scope)))

    return run
