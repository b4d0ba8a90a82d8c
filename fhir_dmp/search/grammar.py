"""The small grammars of a search: parameter names with modifiers and chains, values with escapes and prefixes.

https://hl7.org/fhir/R4/search.html#escaping. Percent-decoding has been done by the HTTP layer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhir_dmp.errors import BadRequest
from fhir_dmp.search.query import Op

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*(?:[.:][A-Za-z_][A-Za-z0-9_\-]*|:\*)*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_PREFIXED = re.compile(r"([A-Za-z]{2})?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a parameter name: a code and its modifier (or the type of the reference, in a chain)."""

    code: str
    modifier: str | None = None


@dataclass(frozen=True, slots=True)
class HasHop:
    """The reverse step `_has:source:param:`; what follows is asked of the source."""

    source: str
    param: str


def hops(name: str) -> tuple[Hop | HasHop, ...]:
    """Split a parameter name into its steps.

    >>> hops("subject:Patient.name:exact")
    (Hop(code='subject', modifier='Patient'), Hop(code='name', modifier='exact'))
    >>> hops("_has:Observation:patient:code")
    (HasHop(source='Observation', param='patient'), Hop(code='code', modifier=None))

    Raises:
        BadRequest: a name that no search parameter can have.
    """
    if len(name) > 300 or _NAME.fullmatch(name) is None:
        raise BadRequest(
            "A search parameter has a name that is not well formed: expected name[:modifier][.chain].",
            code="value",
        )
    found: list[Hop | HasHop] = []
    rest = name
    while rest.startswith("_has:"):
        parts = rest.split(":", 3)
        if len(parts) < 4:
            raise BadRequest("Expected _has:<type>:<reference parameter>:<parameter>.", code="value")
        found.append(HasHop(parts[1], parts[2]))
        rest = parts[3]
    step, dot, after = rest.partition(".")
    code, colon, modifier = step.partition(":")
    found.append(Hop(code, modifier if colon else None))
    return (*found, *hops(after)) if dot else tuple(found)


def alternatives(value: str) -> tuple[str, ...]:
    """Split a value at its unescaped commas, leaving out empty alternatives; escapes stay.

    >>> alternatives("a,b\\\\,c,,d")
    ('a', 'b\\\\,c', 'd')
    """
    return tuple(piece for piece in pieces(value, ",") if piece)


def pieces(value: str, separator: str) -> tuple[str, ...]:
    """Split a value at an unescaped separator; escapes stay.

    >>> pieces("http://loinc.org|1\\\\|2", "|")
    ('http://loinc.org', '1\\\\|2')
    """
    if separator not in value:
        return (value,)
    if "\\" not in value:
        return tuple(value.split(separator))
    found, current, index = [], "", 0
    while index < len(value):
        char = value[index]
        if char == "\\" and index + 1 < len(value):
            current += value[index : index + 2]
            index += 2
            continue
        if char == separator:
            found.append(current)
            current = ""
        else:
            current += char
        index += 1
    return (*found, current)


def unescape(text: str) -> str:
    """Undo the escapes of a piece; a backslash before anything else is itself.

    >>> unescape("a\\\\,b\\\\|c\\\\$d\\\\\\\\e\\\\f")
    'a,b|c$d\\\\e\\\\f'
    """
    return re.sub(r"\\([,|$\\])", r"\1", text) if "\\" in text else text


def prefixed(text: str, name: str) -> tuple[Op, str]:
    """Split the prefix from a date, number or quantity.

    >>> prefixed("ge2024-01", "date")
    (<Op.GE: 'ge'>, '2024-01')

    Raises:
        BadRequest: letters that are no prefix.
    """
    match = _PREFIXED.fullmatch(text)
    assert match is not None
    letters, rest = match[1], match[2]
    if letters is None:
        return Op.EQ, rest
    try:
        return Op(letters), rest
    except ValueError:
        offered = ", ".join(Op)
        raise BadRequest(
            f"Search parameter '{name.partition('$')[0][:80]}': unknown prefix; expected one of {offered}.",
            code="value",
        ) from None


def is_plain(text: str) -> bool:
    """Say whether a name or value is free of control characters and lone surrogates, which no FHIR text holds."""
    return text.isprintable() or _CONTROL.search(text) is None
