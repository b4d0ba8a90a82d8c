"""JSON Patch (RFC 6902) with JSON Pointer (RFC 6901) on parsed JSON.

One rule is wider than the RFC: `add /extension/-` creates the array where the resource has none yet, because FHIR has
no empty arrays to append to. https://hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.patch import (
    MAX_COPIED,
    MAX_OPERATIONS,
    copied,
    prune,
    refuse_depth,
    refuse_untouchable,
    same_value,
    weight_of,
)
from fhir_dmp.fhir.resource import MAX_DEPTH, Json, parse_any

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_GROWING = frozenset(("extension", "modifierExtension"))


class _Failed(Exception):
    """Why an operation cannot be applied."""


def read_json_patch(body: bytes) -> list[Json]:
    """Read a JSON Patch document.

    Raises:
        BadRequest: the body is not JSON.
        Unprocessable: it is JSON, but no patch.
    """
    document = parse_any(body)
    if not isinstance(document, list):
        raise Unprocessable("A JSON Patch is an array of operations.", code="processing")
    if len(document) > MAX_OPERATIONS:
        raise Unprocessable(f"A patch may hold {MAX_OPERATIONS} operations at most.", code="too-costly")
    for index, operation in enumerate(document):
        _check_shape(index, operation)
    return document


def _check_shape(index: int, operation: Any) -> None:
    if not isinstance(operation, dict):
        _refuse(index, "is not an object")
    name = operation.get("op")
    if not isinstance(name, str) or name not in _OPERATIONS:
        _refuse(index, "has no 'op' of add, remove, replace, move, copy, test")
    needed = _OPERATIONS[name].needs
    for member in ("path", *needed):
        if member not in operation:
            _refuse(index, f"({name}) needs the member '{member}'")
        if member != "value" and not isinstance(operation[member], str):
            _refuse(index, f"({name}) needs a text as '{member}'")


def _refuse(index: int, why: str) -> NoReturn:
    raise Unprocessable(f"Operation {index} of the patch {why}.", code="processing", expression=f"[{index}]")


def apply_json_patch(resource: Json, operations: Sequence[Json]) -> Json:
    """Return the patched copy of a resource; `operations` come from read_json_patch.

    Arrays and objects that the patch empties are removed.

    Raises:
        Unprocessable: an operation cannot be applied, a test failed, or the patch changes what belongs to the server.
            The diagnostics name the operation by its index.
    """
    emptied: list[Any] = []
    result = apply_operations(resource, operations, emptied)
    refuse_untouchable(resource, result)
    prune(result, emptied)
    refuse_depth(result)
    patched: Json = result
    return patched


def apply_operations(document: Any, operations: Sequence[Json], emptied: list[Any] | None = None) -> Any:
    """Return the copy of any JSON document after the operations, as the RFC says, all or none.

    emptied: receives the arrays and objects from which something was taken.

    Raises:
        Unprocessable: the first operation that cannot be applied.
    """
    work = _Work(copied(document), [] if emptied is None else emptied)
    for index, operation in enumerate(operations):
        try:
            _OPERATIONS[operation["op"]].run(work, operation)
        except _Failed as error:
            raise Unprocessable(
                f"Operation {index} ({operation['op']}) of the patch failed: {error}.",
                code="processing",
                expression=f"[{index}]",
            ) from error
    return work.document


@dataclass(slots=True)
class _Work:
    """The copy in the making."""

    document: Any
    emptied: list[Any] = field(default_factory=list)
    copied: int = 0

    def afford(self, value: Any, place: list[str]) -> None:
        """Count what is put in, and refuse what would grow without end."""
        weight, depth = weight_of(value)
        self.copied += weight
        if self.copied > MAX_COPIED or depth + len(place) > MAX_DEPTH:
            raise _Failed("the result would be too large")


def tokens_of(pointer: str) -> list[str]:
    """Split a JSON Pointer into its unescaped tokens."""
    if pointer and not pointer.startswith("/"):
        raise _Failed("the JSON Pointer does not start with '/'")
    if re.search(r"~(?![01])", pointer):
        raise _Failed("the JSON Pointer holds '~' without 0 or 1")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _position(array: list[Any], token: str, limit: int) -> int:
    """Return the index that a token names, below `limit`."""
    if not _INDEX.fullmatch(token):
        raise _Failed("an array is addressed without a proper index")
    index = int(token)
    if index >= limit:
        raise _Failed(f"the array has {len(array)} elements, index {index} is out of range")
    return index


def _step(container: Any, token: str) -> Any:
    if isinstance(container, dict):
        if token not in container:
            raise _Failed("the path does not exist")
        return container[token]
    if isinstance(container, list):
        return container[_position(container, token, len(container))]
    raise _Failed("the path goes through a value that is neither object nor array")


def _find(document: Any, tokens: list[str]) -> Any:
    value = document
    for token in tokens:
        value = _step(value, token)
    return value


def _parent(work: _Work, tokens: list[str]) -> Any:
    if tokens[-1] == "-" and len(tokens) > 1 and tokens[-2] in _GROWING:
        holder = _find(work.document, tokens[:-2])
        if isinstance(holder, dict):
            return holder.setdefault(tokens[-2], [])
    return _find(work.document, tokens[:-1])


def _put(work: _Work, tokens: list[str], value: Any) -> None:
    work.afford(value, tokens)
    if not tokens:
        work.document = value
        return
    container, last = _parent(work, tokens), tokens[-1]
    if isinstance(container, dict):
        container[last] = value
    elif isinstance(container, list):
        container.insert(len(container) if last == "-" else _position(container, last, len(container) + 1), value)
    else:
        raise _Failed("the path goes through a value that is neither object nor array")


def _take(work: _Work, tokens: list[str]) -> Any:
    if not tokens:
        raise _Failed("the whole resource cannot be removed")
    container = _find(work.document, tokens[:-1])
    value = _step(container, tokens[-1])
    if isinstance(container, dict):
        del container[tokens[-1]]
    else:
        del container[int(tokens[-1])]
    work.emptied.append(container)
    return value


def _add(work: _Work, operation: Json) -> None:
    _put(work, tokens_of(operation["path"]), copied(operation["value"]))


def _remove(work: _Work, operation: Json) -> None:
    _take(work, tokens_of(operation["path"]))


def _replace(work: _Work, operation: Json) -> None:
    tokens, value = tokens_of(operation["path"]), copied(operation["value"])
    work.afford(value, tokens)
    if not tokens:
        work.document = value
        return
    container = _find(work.document, tokens[:-1])
    _step(container, tokens[-1])
    container[tokens[-1] if isinstance(container, dict) else int(tokens[-1])] = value


def _move(work: _Work, operation: Json) -> None:
    source, target = tokens_of(operation["from"]), tokens_of(operation["path"])
    _find(work.document, source)
    if source == target:
        return
    if target[: len(source)] == source:
        raise _Failed("a value cannot be moved into itself")
    _put(work, target, _take(work, source))


def _copy(work: _Work, operation: Json) -> None:
    value = _find(work.document, tokens_of(operation["from"]))
    target = tokens_of(operation["path"])
    work.afford(value, target)  # before the copy is made: it may be the thing that is too large
    _put(work, target, copied(value))


def _test(work: _Work, operation: Json) -> None:
    if not same_value(_find(work.document, tokens_of(operation["path"])), operation["value"]):
        raise _Failed("the value is another one")


@dataclass(frozen=True, slots=True)
class _Operation:
    run: Callable[[_Work, Json], None]
    needs: tuple[str, ...] = ()


_OPERATIONS = {
    "add": _Operation(_add, ("value",)),
    "remove": _Operation(_remove),
    "replace": _Operation(_replace, ("value",)),
    "move": _Operation(_move, ("from",)),
    "copy": _Operation(_copy, ("from",)),
    "test": _Operation(_test, ("value",)),
}
