"""Nodes and values of FHIRPath: where a node stands, when two are equal, which of two comes first.

Three-valued throughout: None stands for the empty collection where FHIRPath cannot tell.
http://hl7.org/fhirpath/N1/index.html#equality, #comparison
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from fhir_dmp.fhir.path_parser import PathError
from fhir_dmp.fhir.resource import Json

#: How many nodes one evaluation may produce: expressions of clients must not keep a worker busy.
BUDGET = 500_000
#: So many characters read or made cost as much as one node.
CHARACTERS = 200


class Item:
    """One node: its value, its type where known, and the place in the resource that it came from.

    value: JSON value, Temporal or Unresolved; None for a primitive that has only extensions.
    extra: the `_name` sibling of a primitive. holder, key, index: `holder[key]` or `holder[key][index]` is the value;
    holder is None for computed values and for the root.
    """

    __slots__ = ("extra", "holder", "index", "key", "type", "value")

    def __init__(
        self,
        value: Any,
        type_: str | None = None,
        extra: Json | None = None,
        holder: Json | None = None,
        key: str = "",
        index: int | None = None,
    ) -> None:
        self.value = value
        self.type = type_
        self.extra = extra
        self.holder = holder
        self.key = key
        self.index = index


@dataclass(frozen=True, slots=True)
class Unresolved:
    """What `resolve()` gives for a resource that is not at hand: only its type can be asked, where it is known."""

    type: str | None
    reference: str | None


@dataclass(frozen=True, slots=True)
class Temporal:
    """A date, dateTime or time of an expression, as written."""

    text: str

    def __str__(self) -> str:
        return self.text


class Questions(Protocol):
    """What an expression may ask about a node that FHIRPath itself cannot tell.

    Raises: PathError, when the profile or value set is not at hand.
    """

    def conforms(self, item: Item, profile: str) -> bool:
        """Say whether a node is as a profile says."""

    def member(self, item: Item, value_set: str) -> bool | None:
        """Say whether a code, Coding or CodeableConcept is in a value set, None for what is none of them."""


class Environment:
    """What one evaluation shares: the resource, the time that the caller gave, and what may still be spent.

    root: the resource with its contained ones (`%rootResource`). resource: the one that holds the node (`%resource`),
    context: the node that the expression starts from (`%context`); both are the root unless they are set.
    at_hand: resources that `resolve()` finds beside the root, by absolute reference (the entries of a Bundle).
    questions: who answers `conformsTo` and `memberOf`.
    """

    __slots__ = ("at_hand", "context", "left", "now", "questions", "resource", "root")

    def __init__(self, root: Item, now: datetime | None, at_hand: Mapping[str, Json] | None = None) -> None:
        self.root = root
        self.resource = root
        self.context = root
        self.now = now
        self.left = BUDGET
        self.at_hand = at_hand or {}
        self.questions: Questions | None = None

    def asked(self) -> Questions:
        """Return who answers `conformsTo` and `memberOf`.

        Raises:
            PathError: nobody does here.
        """
        if self.questions is None:
            raise PathError("nobody here knows profiles and value sets")
        return self.questions

    def spend(self, nodes: int) -> None:
        """Count nodes made, or looked at for equality.

        Raises:
            PathError: the evaluation made more than BUDGET of them.
        """
        self.left -= nodes
        if self.left < 0:
            raise PathError("the expression visits too many nodes")


class Scope:
    """The variables at one point of an evaluation: `$this`, `$index`, `$total`, and the environment."""

    __slots__ = ("env", "index", "this", "total")

    def __init__(self, env: Environment, this: list[Item], index: int = 0, total: list[Item] | None = None) -> None:
        self.env = env
        self.this = this
        self.index = index
        self.total = total or []

    def at(self, item: Item, index: int) -> Scope:
        """Return the scope of a criterion for one item of a collection."""
        self.env.spend(1)
        return Scope(self.env, [item], index, self.total)


Evaluate = Callable[[Scope], list[Item]]

TRUE = [Item(True, "boolean")]
FALSE = [Item(False, "boolean")]


def boolean(value: bool | None) -> list[Item]:
    """Return a collection of one boolean, or the empty one for None."""
    return [] if value is None else TRUE if value else FALSE


def truth(items: list[Item]) -> bool | None:
    """Return what a collection means where a boolean is asked: a single value that is no boolean counts as true."""
    if len(items) != 1:
        return None
    value = items[0].value
    return value if isinstance(value, bool) else True


def type_of(item: Item) -> str | None:
    """Return the type of a node where JSON tells it: choice suffix, resourceType, or that of a computed value."""
    if item.type is None:
        if isinstance(item.value, dict):
            name = item.value.get("resourceType")
            return name if isinstance(name, str) else None
        if isinstance(item.value, Unresolved):
            return item.value.type
    return "Quantity" if item.type == "quantity" else item.type


def frozen(value: Any, env: Environment, fold: Callable[[str], str] | None = None) -> Any:
    """Return a hashable value that is equal for equal JSON: numbers by value, objects without order.

    fold: applied to strings, for equivalence; lists are then compared without order too.
    """
    if isinstance(value, dict):
        env.spend(len(value))
        return frozenset((key, frozen(part, env, fold)) for key, part in value.items())
    if isinstance(value, list):
        env.spend(len(value))
        parts = [frozen(part, env, fold) for part in value]
        return ("list", frozenset(parts), len(parts)) if fold else tuple(parts)
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, str):
        env.spend(len(value) // CHARACTERS)
        return fold(value) if fold else value
    return value


def frozen_item(item: Item, env: Environment, fold: Callable[[str], str] | None = None) -> Any:
    """Return the hashable value of a node; a primitive without value is told by its extensions."""
    return frozen(item.value if item.value is not None else item.extra, env, fold)


def distinct(items: list[Item], env: Environment) -> list[Item]:
    """Return the items without those that equal an earlier one."""
    if len(items) < 2:
        return items
    first: dict[Any, Item] = {}
    for item in items:
        first.setdefault(frozen_item(item, env), item)
    return list(first.values())


def is_number(value: Any) -> bool:
    """Say whether a value is an integer or a decimal (a boolean is none)."""
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def _equal_items(left: Item, right: Item, env: Environment) -> bool | None:
    """Say whether two nodes are equal; None when their precision leaves it open."""
    one, other = left.value, right.value
    if isinstance(one, Temporal) or isinstance(other, Temporal):
        order = _temporal_order(one, other)
        return None if order is None else order == 0
    if left.type == "quantity" or right.type == "quantity":
        order = _quantity_order(one, other)
        return None if order is None else order == 0
    return bool(frozen_item(left, env) == frozen_item(right, env))


def equal(left: list[Item], right: list[Item], env: Environment) -> bool | None:
    """`=` of two collections: None when one is empty, false when their sizes differ."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    answers = [_equal_items(one, other, env) for one, other in zip(left, right, strict=True)]
    return False if False in answers else None if None in answers else True


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def equivalent(left: list[Item], right: list[Item], env: Environment) -> bool:
    """`~` of two collections: order, case and white space do not count, and empty is equivalent to empty."""
    if len(left) != len(right):
        return False
    if len(left) == 1 and (isinstance(left[0].value, Temporal) or left[0].type == "quantity"):
        return _equal_items(left[0], right[0], env) is True
    counts: dict[Any, int] = {}
    for item in left:
        key = frozen_item(item, env, _fold)
        counts[key] = counts.get(key, 0) + 1
    for item in right:
        key = frozen_item(item, env, _fold)
        counts[key] = counts.get(key, 0) - 1
    return not any(counts.values())


def order_of(left: Item, right: Item) -> int | None:
    """Return -1, 0 or 1 as left comes before, with or after right; None when they cannot be compared."""
    one, other = left.value, right.value
    if is_number(one) and is_number(other):
        return int(one > other) - int(one < other)
    if isinstance(one, dict) and isinstance(other, dict):
        return _quantity_order(one, other)
    if isinstance(one, str) and isinstance(other, str):
        if _MOMENT.fullmatch(one) and _MOMENT.fullmatch(other):
            return _temporal_order(one, other)
        return (one > other) - (one < other)
    if isinstance(one, (str, Temporal)) and isinstance(other, (str, Temporal)):
        return _temporal_order(one, other)
    return None


_CALENDAR = {"year": "a", "month": "mo", "week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s"}
_CALENDAR |= {"millisecond": "ms"}


def _quantity_order(one: Any, other: Any) -> int | None:
    """Compare two quantities of one unit; other units would need a unit converter, which FHIRPath does not ask for."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return None
    left: Any = one.get("value")
    right: Any = other.get("value")
    if not (is_number(left) and is_number(right)):
        return None
    units = [{_CALENDAR.get(str(unit).rstrip("s"), unit) for unit in _units(part)} for part in (one, other)]
    if (units[0] or units[1]) and not units[0] & units[1]:
        return None
    return int(left > right) - int(left < right)


def _units(quantity: Json) -> list[str]:
    return [unit for key in ("code", "unit") if isinstance(unit := quantity.get(key), str)]


_MOMENT = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(?:(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d{1,9})?))?)?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)
_CLOCK = re.compile(r"(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d{1,9})?))?)?")


def _components(text: str) -> tuple[list[Decimal], int | None] | None:
    """Return the given parts of a moment from year to second, and its offset in minutes."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        clock = _CLOCK.fullmatch(text)
        return None if clock is None else ([Decimal(part) for part in clock.groups() if part is not None], None)
    parts = [Decimal(part) for part in found.groups()[:6] if part is not None]
    zone = found.group(7)
    if zone is None:
        return parts, None
    offset = 0 if zone == "Z" else int(zone[1:3]) * 60 + int(zone[4:6])
    return parts, -offset if zone[0] == "-" else offset


def _shifted(parts: list[Decimal], offset: int | None) -> list[Decimal] | None:
    """Return the parts in UTC; None for a moment that no calendar has."""
    if not offset or len(parts) < 5:
        return parts
    year, month, day, hour, minute = (int(part) for part in parts[:5])
    try:
        utc = datetime(year, month, day, hour, minute) - timedelta(minutes=offset)  # noqa: DTZ001  # a calendar sum
    except (ValueError, OverflowError):
        return None
    return [Decimal(part) for part in (utc.year, utc.month, utc.day, utc.hour, utc.minute)] + parts[5:]


def _temporal_order(one: Any, other: Any) -> int | None:
    """Compare part by part; None when one is less precise than needed, or only one says its offset."""
    if not (isinstance(one, (str, Temporal)) and isinstance(other, (str, Temporal))):
        return None
    left, right = _components(str(one)), _components(str(other))
    if left is None or right is None or (":" in str(one)[:3]) != (":" in str(other)[:3]):
        return None
    if min(len(left[0]), len(right[0])) > 3 and (left[1] is None) != (right[1] is None):
        return None
    first, second = _shifted(*left), _shifted(*right)
    if first is None or second is None:
        return None
    for a, b in zip(first, second, strict=False):
        if a != b:
            return -1 if a < b else 1
    return 0 if len(first) == len(second) or min(len(first), len(second)) >= 6 else None
