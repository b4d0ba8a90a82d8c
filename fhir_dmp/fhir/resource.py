"""A FHIR resource as JSON: strict parsing, exact numbers, id and meta, and back to bytes.

https://hl7.org/fhir/R4/json.html. Numbers keep the digits that were sent, keys their order; duplicates are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import orjson

from fhir_dmp.errors import BadRequest

#: A parsed JSON object; `Any` stops here.
Json = dict[str, Any]

MAX_DEPTH = 64
ID_PATTERN = re.compile(r"[A-Za-z0-9\-.]{1,64}")


class Number(Decimal):
    """A decimal that remembers how it was written, because 1.10 and 1.1 are different statements in medicine."""

    text: str

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text
        return number


def is_id(text: str) -> bool:
    """Say whether the text is a well-formed logical id (1 to 64 of letters, digits, `-`, `.`)."""
    return ID_PATTERN.fullmatch(text) is not None


def _object(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise BadRequest(f"The JSON object has the key '{key[:60]}' twice.", code="structure")
            seen.add(key)
    return found


def _integer(text: str) -> int | Number:
    return int(text) if len(text) <= 15 else Number(text)


def _constant(text: str) -> Any:
    raise BadRequest(f"{text} is not JSON.", code="structure")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=Number, parse_int=_integer, parse_constant=_constant)
_escapes = re.compile(r"\\(?:u(?:00[01]|[dD][89a-fA-F])|[bf])")
_forbidden = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


def parse(body: bytes) -> Json:
    """Read one JSON object strictly.

    Raises:
        BadRequest: not UTF-8, a byte order mark, not JSON, not an object, a duplicate key, nested too deeply, or a
            character that FHIR strings may not hold. The diagnostics name line and column, never the content.
    """
    value = parse_any(body)
    if not isinstance(value, dict):
        raise BadRequest("The body must be one JSON object.", code="structure")
    return value


def parse_any(body: bytes) -> Any:
    """Read any JSON value as strictly as `parse` does; a JSON Patch is an array."""
    if body.startswith(b"\xef\xbb\xbf"):
        raise BadRequest("The body starts with a byte order mark; send plain UTF-8.", code="structure")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8 (byte {error.start}).", code="structure") from error
    if not text.strip():
        raise BadRequest("The body is empty; JSON was expected.", code="structure")
    try:
        value = _decoder.decode(text.strip(" \t\r\n"))
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.", code="structure"
        ) from error
    except RecursionError as error:
        raise BadRequest("The JSON is nested too deeply.", code="structure") from error
    _check_nesting(value, 1)
    # The parser refuses such characters as they are: only an escape can bring them in, and most bodies have none.
    if _escapes.search(text):
        _check_strings(value, "")
    return value


def _check_nesting(value: Any, depth: int) -> None:
    """Refuse property names and depths that no FHIR JSON may have."""
    if depth > MAX_DEPTH:
        raise BadRequest(f"The JSON is nested deeper than {MAX_DEPTH} levels.", code="structure")
    parts: Iterable[Any] = value
    if type(value) is dict:
        for key in value:
            if not key.isprintable():
                raise BadRequest("A property name holds a control character.", code="structure")
        parts = value.values()
    elif type(value) is not list:
        return
    for part in parts:
        if type(part) is dict or type(part) is list:
            _check_nesting(part, depth + 1)


def _check_strings(value: Any, path: str) -> None:
    """Refuse what no FHIR string may hold, and say where it stands."""
    if isinstance(value, str):
        if not value.isprintable() and _forbidden.search(value):
            raise BadRequest(
                "A string holds a character that FHIR does not allow (control character or lone surrogate).",
                code="value",
                expression=path or (),
            )
    elif isinstance(value, dict):
        for key, part in value.items():
            _check_strings(part, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _check_strings(part, f"{path}[{index}]")


def parse_stored(body: bytes) -> Json:
    """Read bytes that this server wrote itself: exact numbers, no checks."""
    value: Json = _decoder.decode(body.decode("utf-8"))
    return value


def _fragment(value: Any) -> Any:
    if isinstance(value, Number):
        return orjson.Fragment(value.text.encode())
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value).encode())
    raise TypeError(f"not JSON: {type(value).__name__}")


def dump(value: Any) -> bytes:
    """Write JSON without spaces, keys in their order, numbers with their digits."""
    return orjson.dumps(value, default=_fragment)


def pretty(value: Any) -> bytes:
    """Write JSON for people: indented by two."""
    return orjson.dumps(value, default=_fragment, option=orjson.OPT_INDENT_2)


def stamped(resource: Json, *, id_: str, version: int, updated: str) -> Json:
    """Return a copy whose id, meta.versionId and meta.lastUpdated are the server's, resourceType, id, meta first."""
    meta = {key: part for key, part in resource.get("meta", {}).items() if key not in ("versionId", "lastUpdated")}
    copy: Json = {
        "resourceType": resource["resourceType"],
        "id": id_,
        "meta": {"versionId": str(version), "lastUpdated": updated, **meta},
    }
    for key, part in resource.items():
        if key not in copy:
            copy[key] = part
    return copy


def content_of(resource: Json) -> Json:
    """Return the resource without what the server makes (id, versionId, lastUpdated), to compare two contents."""
    bare = {key: part for key, part in resource.items() if key not in ("id", "meta")}
    meta = {k: part for k, part in resource.get("meta", {}).items() if k not in ("versionId", "lastUpdated")}
    return {**bare, "meta": meta} if meta else bare


def canonical(resource: Json) -> bytes:
    """Return one spelling of what a resource says: sorted keys, numbers with their digits, nothing of the server's."""
    return orjson.dumps(content_of(resource), default=_fragment, option=orjson.OPT_SORT_KEYS)


def same_content(left: Json, right: Json) -> bool:
    """Say whether two resources say the same, numbers compared with their digits, key order ignored."""
    return canonical(left) == canonical(right)


def references(value: Any, path: str = "") -> Iterator[tuple[Json, str]]:
    """Yield every object that holds a string `reference`, with its FHIRPath, depth first, contained ones included."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value, path
        for key, part in value.items():
            yield from references(part, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from references(part, f"{path}[{index}]")
