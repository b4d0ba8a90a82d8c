"""What JSON Patch and FHIRPath Patch share: the working copy, equality, what may not change, and what it may cost.

https://hl7.org/fhir/R4/http.html#patch. A patch works on a copy; the resource it is given stays as it is.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.resource import MAX_DEPTH, Json

#: The largest number of operations in one patch.
MAX_OPERATIONS = 1_000
#: How much one patch may put in, as `weight_of` counts it: copies of copies grow without end.
MAX_COPIED = 64_000_000
_NODE = 64  # what a node weighs beside its characters, close to its memory

_UNTOUCHABLE = (("id",), ("resourceType",), ("meta", "versionId"), ("meta", "lastUpdated"))


def copied(value: Any) -> Any:
    """Return a deep copy of a JSON value; numbers keep their digits."""
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    if isinstance(value, list):
        return [copied(part) for part in value]
    return value


def same_value(left: Any, right: Any) -> bool:
    """Say whether two JSON values are equal: numbers by value (1.0 is 1), true is not 1, key order does not count."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_value(part, right[key]) for key, part in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same_value(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, bool) or isinstance(right, bool) or left is None or right is None:
        return left is right
    if isinstance(left, (int, Decimal)) and isinstance(right, (int, Decimal)):
        return left == right
    return isinstance(left, str) and isinstance(right, str) and left == right


def weight_of(value: Any) -> tuple[int, int]:
    """Return (about its bytes in memory, depth) of a JSON value."""
    if isinstance(value, (dict, list)):
        parts = [weight_of(part) for part in (value.values() if isinstance(value, dict) else value)]
        return _NODE + sum(weight for weight, _ in parts), 1 + max((depth for _, depth in parts), default=0)
    return _NODE + (len(value) if isinstance(value, str) else 0), 1


def refuse_depth(value: Any) -> None:
    """Refuse a result that is nested deeper than a body may be.

    Raises:
        Unprocessable: it is.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            part
            for one in level
            for part in (one.values() if isinstance(one, dict) else one)
            if isinstance(part, (dict, list))
        ]
        if not level:
            return
    raise Unprocessable(f"The patched resource is nested deeper than {MAX_DEPTH} levels.", code="processing")


def prune(value: Any, emptied: list[Any]) -> None:
    """Remove the arrays and objects that a patch emptied, and parents that this empties: FHIR JSON has no empty ones.

    emptied: the very objects from which something was taken. Others stay, for the validation to judge.
    """
    taken = {id(one) for one in emptied}
    if taken:
        _prune(value, taken, is_twin=False)


def _prune(value: Any, taken: set[int], *, is_twin: bool) -> None:
    parts: list[tuple[Any, Any]] = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for key, part in reversed(parts):
        if not isinstance(part, (dict, list)):
            continue
        _prune(part, taken, is_twin=str(key).startswith("_"))
        if part or id(part) not in taken:
            continue
        taken.add(id(value))
        if is_twin and isinstance(value, list):
            value[key] = None  # `_given` keeps in step with `given`
        else:
            del value[key]
    if is_twin and isinstance(value, list) and id(value) in taken and not any(value):
        value.clear()


def refuse_untouchable(before: Json, after: Any) -> None:
    """Refuse a patch whose result has another id, resourceType, meta.versionId or meta.lastUpdated.

    Raises:
        Unprocessable: naming the first of them that changed; also when the result is no resource at all.
    """
    if not isinstance(after, dict):
        raise Unprocessable("A patch must leave a JSON object, and this one does not.", code="processing")
    for steps in _UNTOUCHABLE:
        old, new = _at(before, steps), _at(after, steps)
        if not same_value(old, new):
            place = ".".join(("resourceType",) if steps == ("resourceType",) else (str(before["resourceType"]), *steps))
            raise Unprocessable(
                f"{'.'.join(steps)} belongs to the server and cannot be patched.", code="processing", expression=place
            )


def _at(resource: Json, steps: tuple[str, ...]) -> Any:
    value: Any = resource
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value
