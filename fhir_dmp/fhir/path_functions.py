"""The functions of FHIRPath that need nothing but their input: filters, subsets, booleans, trees, FHIR's own additions.

Where the specification asks for an error because of the *data* (several items where one is needed), the answer is the
empty collection: odd data must not break a search index. http://hl7.org/fhirpath/N1/index.html#functions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fhir_dmp.fhir.path_types import choice_of, is_kind_of, looks_like, type_of_reference
from fhir_dmp.fhir.path_values import (
    FALSE,
    TRUE,
    Environment,
    Evaluate,
    Item,
    Scope,
    Unresolved,
    boolean,
    distinct,
    frozen_item,
    is_number,
    truth,
    type_of,
)
from fhir_dmp.fhir.resource import Json

#: What a function may need: a regular expression of its own, or somebody who knows profiles and value sets.
REGEX = "regex"
QUESTIONS = "questions"

Implementation = Callable[[list[Item], Scope, tuple[Evaluate, ...]], list[Item]]


@dataclass(frozen=True, slots=True)
class Function:
    """How often a function takes arguments, what it does, and what it needs: REGEX, QUESTIONS or nothing."""

    fewest: int
    most: int
    run: Implementation
    needs: str = ""


def collect(holder: Json, name: str, under: str, type_: str | None, found: list[Item]) -> None:
    """Append the nodes of `holder[name]`, with the extensions of `holder["_" + name]`, to `found`."""
    part, extra = holder.get(name), holder.get(under)
    if isinstance(part, list) or isinstance(extra, list):
        values = part if isinstance(part, list) else []
        extras = extra if isinstance(extra, list) else []
        for index in range(max(len(values), len(extras))):
            value = values[index] if index < len(values) else None
            more = extras[index] if index < len(extras) else None
            more = more if isinstance(more, dict) else None
            if not isinstance(value, list) and (value is not None or more):
                found.append(Item(value, type_, more, holder, name, index))
    elif part is not None or isinstance(extra, dict):
        found.append(Item(part, type_, extra if isinstance(extra, dict) else None, holder, name))


def children(item: Item) -> Iterator[Item]:
    """Yield every child node, in the order of the JSON."""
    found: list[Item] = []
    for holder in (item.value, item.extra):
        if isinstance(holder, dict):
            for key in holder:
                if key.startswith("_"):
                    if key[1:] not in holder:
                        collect(holder, key[1:], key, None, found)
                elif key != "resourceType":
                    choice = choice_of(key)
                    collect(holder, key, "_" + key, choice[1] if choice else None, found)
    yield from found


def resolved(item: Item, env: Environment) -> Item | None:
    """Return the contained resource that a reference names, one at hand, or what is known of the resource elsewhere."""
    value = item.value
    reference = value.get("reference") if isinstance(value, dict) else value
    if isinstance(reference, str) and reference.startswith("#"):
        return _contained(reference[1:], env.root)
    if isinstance(reference, str):
        near = env.at_hand.get(reference)
        if near is not None:
            return Item(near)
        named = type_of_reference(reference)
    elif isinstance(value, dict) and ("identifier" in value or "type" in value):
        reference, named = None, None
    else:
        return None
    if named is None and isinstance(value, dict) and isinstance(value.get("type"), str):
        named = value["type"].rpartition("/")[2]
    return Item(Unresolved(named, reference))


def _contained(id_: str, root: Item) -> Item | None:
    if not id_:
        return root
    inner: list[Item] = []
    if isinstance(root.value, dict):
        collect(root.value, "contained", "_contained", None, inner)
    return next((one for one in inner if isinstance(one.value, dict) and one.value.get("id") == id_), None)


def is_of_type(item: Item, wanted: str) -> bool | None:
    """Say whether a node is of the type: by its known type, else by its shape; None for an unresolved, untyped one."""
    known = type_of(item)
    if known is not None:
        return is_kind_of(known, wanted)
    return None if isinstance(item.value, Unresolved) else looks_like(item.value, wanted)


def _where(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    criterion = arguments[0]
    return [item for index, item in enumerate(items) if truth(criterion(scope.at(item, index)))]


def _select(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    found: list[Item] = []
    for index, item in enumerate(items):
        parts = arguments[0](scope.at(item, index))
        scope.env.spend(len(parts))
        found.extend(parts)
    return found


def _exists(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    return boolean(bool(_where(items, scope, arguments) if arguments else items))


def _all(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    return boolean(len(_where(items, scope, arguments)) == len(items))


def _repeat(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    found: list[Item] = []
    seen: set[object] = set()
    level = items
    while level:
        following = []
        for item in _select(level, scope, arguments):
            key = frozen_item(item, scope.env)
            if key not in seen:
                seen.add(key)
                following.append(item)
        found.extend(following)
        level = following
    return found


def _children(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    found = [child for item in items for child in children(item)]
    scope.env.spend(len(found))
    return found


def _descendants(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    found: list[Item] = []
    level = _children(items, scope, ())
    while level:
        found.extend(level)
        level = _children(level, scope, ())
    return found


def _whole(items: list[Item]) -> int | None:
    """Return the single whole number of a collection, within the range of an integer."""
    if len(items) != 1 or not is_number(items[0].value):
        return None
    value = items[0].value
    return int(value) if abs(value) < 2**31 and value == int(value) else None


def _skip(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    number = _whole(arguments[0](scope))
    return [] if number is None else items[max(number, 0) :]


def _take(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    number = _whole(arguments[0](scope))
    return [] if number is None else items[: max(number, 0)]


def item_at(items: list[Item], position: list[Item]) -> list[Item]:
    """`items[position]`: the item at that 0-based position, or nothing."""
    number = _whole(position)
    return [items[number]] if number is not None and 0 <= number < len(items) else []


def _iif(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    inner = scope.at(items[0], 0) if len(items) == 1 else scope
    if truth(arguments[0](inner)):
        return arguments[1](inner)
    return arguments[2](inner) if len(arguments) == 3 else []


def _aggregate(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    total = arguments[1](scope) if len(arguments) == 2 else []
    for index, item in enumerate(items):
        inner = scope.at(item, index)
        inner.total = total
        total = arguments[0](inner)
    return total


def _combine(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    other = arguments[0](scope)
    scope.env.spend(len(items) + len(other))
    return [*items, *other]


def _union(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    return distinct(_combine(items, scope, arguments), scope.env)


def _keys(items: list[Item], scope: Scope) -> set[object]:
    scope.env.spend(len(items))
    return {frozen_item(item, scope.env) for item in items}


def _intersect(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    keys = _keys(arguments[0](scope), scope)
    return distinct([item for item in items if frozen_item(item, scope.env) in keys], scope.env)


def _exclude(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    keys = _keys(arguments[0](scope), scope)
    return [item for item in items if frozen_item(item, scope.env) not in keys]


def _is_distinct(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    return boolean(len(distinct(items, scope.env)) == len(items))


def _subset(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    return boolean(_keys(items, scope) <= _keys(arguments[0](scope), scope))


def _superset(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    return boolean(_keys(items, scope) >= _keys(arguments[0](scope), scope))


def _has_value(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    return boolean(len(items) == 1 and items[0].value is not None and not isinstance(items[0].value, dict))


def _get_value(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    return items if _has_value(items, scope, ()) is TRUE else []


def _extension(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    url = arguments[0](scope)
    wanted = url[0].value if len(url) == 1 else None
    found: list[Item] = []
    for item in items:
        holder = item.value if isinstance(item.value, dict) else item.extra
        if holder is not None:
            collect(holder, "extension", "_extension", None, found)
    return [one for one in found if isinstance(one.value, dict) and wanted and one.value.get("url") == wanted]


def _resolve(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    return [target for item in items if (target := resolved(item, scope.env)) is not None]


def _conforms_to(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    url = _canonical(arguments[0](scope))
    if len(items) != 1 or url is None:
        return []
    return boolean(scope.env.asked().conforms(items[0], url))


def _member_of(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    url = _canonical(arguments[0](scope))
    if len(items) != 1 or url is None:
        return []
    return boolean(scope.env.asked().member(items[0], url))


def _canonical(items: list[Item]) -> str | None:
    return items[0].value if len(items) == 1 and isinstance(items[0].value, str) else None


def _not(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    value = truth(items)
    return boolean(None if value is None else not value)


def _every(wanted: bool) -> Implementation:
    return lambda items, scope, arguments: boolean(all(item.value is wanted for item in items))


def _some(wanted: bool) -> Implementation:
    return lambda items, scope, arguments: boolean(any(item.value is wanted for item in items))


COLLECTION: dict[str, Function] = {
    "empty": Function(0, 0, lambda items, scope, arguments: FALSE if items else TRUE),
    "exists": Function(0, 1, _exists),
    "all": Function(1, 1, _all),
    "allTrue": Function(0, 0, _every(True)),
    "allFalse": Function(0, 0, _every(False)),
    "anyTrue": Function(0, 0, _some(True)),
    "anyFalse": Function(0, 0, _some(False)),
    "subsetOf": Function(1, 1, _subset),
    "supersetOf": Function(1, 1, _superset),
    "count": Function(0, 0, lambda items, scope, arguments: [Item(len(items), "integer")]),
    "distinct": Function(0, 0, lambda items, scope, arguments: distinct(items, scope.env)),
    "isDistinct": Function(0, 0, _is_distinct),
    "where": Function(1, 1, _where),
    "select": Function(1, 1, _select),
    "repeat": Function(1, 1, _repeat),
    "single": Function(0, 0, lambda items, scope, arguments: items if len(items) == 1 else []),
    "first": Function(0, 0, lambda items, scope, arguments: items[:1]),
    "last": Function(0, 0, lambda items, scope, arguments: items[-1:]),
    "tail": Function(0, 0, lambda items, scope, arguments: items[1:]),
    "skip": Function(1, 1, _skip),
    "take": Function(1, 1, _take),
    "intersect": Function(1, 1, _intersect),
    "exclude": Function(1, 1, _exclude),
    "union": Function(1, 1, _union),
    "combine": Function(1, 1, _combine),
    "iif": Function(2, 3, _iif),
    "aggregate": Function(1, 2, _aggregate),
    "children": Function(0, 0, _children),
    "descendants": Function(0, 0, _descendants),
    "not": Function(0, 0, _not),
    "hasValue": Function(0, 0, _has_value),
    "getValue": Function(0, 0, _get_value),
    "extension": Function(1, 1, _extension),
    "resolve": Function(0, 0, _resolve),
    "conformsTo": Function(1, 1, _conforms_to, QUESTIONS),
    "memberOf": Function(1, 1, _member_of, QUESTIONS),
    "trace": Function(1, 2, lambda items, scope, arguments: items),
}
