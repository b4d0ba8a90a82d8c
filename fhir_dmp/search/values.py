"""From one FHIR value to the parts of its index terms, for each type of search parameter. Data types are told by shape.

A value that cannot be read (an impossible date, a number that is text) yields nothing: validation judges, the index
only helps to find.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir import dates
from fhir_dmp.fhir.fold import fold, starts
from fhir_dmp.search.keys import (
    ANY_SYSTEM,
    canonical_parts,
    coding_parts,
    contact_value,
    exact_part,
    identifier_parts,
)
from fhir_dmp.search.numbers import Range, decimal_of, in_canonical_unit, point, stored_bounds, stored_range
from fhir_dmp.terminology.aliases import UCUM, canonical_identifier, canonical_system

CONTACT_SYSTEMS = frozenset({"phone", "fax", "email", "pager", "url", "sms", "other"})

#: Elements of HumanName and Address that a string parameter looks at; each may be searched from any of its words.
NAME_PARTS = (
    "family",
    "given",
    "text",
    "prefix",
    "suffix",
    "line",
    "city",
    "postalCode",
    "district",
    "state",
    "country",
)

_LOCAL = re.compile(r"([A-Z][A-Za-z]{2,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?", re.ASCII)
_LONGEST_STRING = 2000


@dataclass(frozen=True, slots=True)
class Context:
    """What extraction must know beside the resource: the server's base URL, the zone of dates, contained resources."""

    base: str
    zone: tzinfo
    contained: Mapping[str, str]


def local_reference(text: str, base: str) -> tuple[str, str | None] | None:
    """Return (`Type/id`, version) of a reference to this server, None for any other.

    >>> local_reference("https://a.example/fhir/Patient/1/_history/2", "https://a.example/fhir")
    ('Patient/1', '2')
    >>> local_reference("https://b.example/fhir/Patient/1", "https://a.example/fhir") is None
    True
    """
    if base and text.startswith(base) and text[len(base) : len(base) + 1] == "/":
        text = text[len(base) + 1 :]
    match = _LOCAL.fullmatch(text)
    return (f"{match[1]}/{match[2]}", match[3]) if match else None


def token_parts(value: Any, implied: str | None, cased: bool) -> tuple[str, ...]:
    """Return the parts of a Coding, CodeableConcept, Identifier, ContactPoint, code, string, id or boolean."""
    if isinstance(value, dict):
        codings = value.get("coding")
        if isinstance(codings, list):
            parts: list[str] = []
            for coding in codings:
                if isinstance(coding, dict):
                    parts += coding_parts(_text(coding, "system"), _text(coding, "code"))
            return tuple(parts)
        if "code" in value:
            return coding_parts(_text(value, "system"), _text(value, "code"))
        return _identified(value)
    if isinstance(value, bool):
        return ("c:true",) if value else ("c:false",)
    if not isinstance(value, str):
        number = decimal_of(value)
        return () if number is None else (f"n:{number}", f"c:{number}")
    if cased:
        return f"n:{value}", f"c:{value}"
    if implied is not None:
        return (f"c:{value.lower()}",)  # all values have this one system: asking for it is answered without a term
    return coding_parts(None, value)


def _identified(value: Mapping[str, Any]) -> tuple[str, ...]:
    system, text = _text(value, "system"), _text(value, "value")
    if system in CONTACT_SYSTEMS and text is not None:
        compared = contact_value(text)
        return f"s:{system}|{compared}", f"c:{compared}", f"y:{system}"
    if text is None and "display" in value:
        return coding_parts(system, None)
    return identifier_parts(system, text)


def token_texts(value: Any) -> Iterator[str]:
    """Yield what `:text` looks at: text and displays of a concept, the text of an identifier's type."""
    if not isinstance(value, dict):
        return
    for name in ("text", "display"):
        if isinstance(value.get(name), str):
            yield value[name]
    codings = value.get("coding")
    if isinstance(codings, list):
        for coding in codings:
            if isinstance(coding, dict) and isinstance(coding.get("display"), str):
                yield coding["display"]
    if "value" in value and isinstance(value.get("type"), dict):
        yield from token_texts(value["type"])


def typed_identifier_parts(value: Any) -> Iterator[str]:
    """Yield `<type system>|<type code>|<value>` of an Identifier, for `:of-type`."""
    kind = value.get("type") if isinstance(value, dict) else None
    text = _text(value, "value") if isinstance(value, dict) else None
    codings = kind.get("coding") if isinstance(kind, dict) else None
    if text is None or not isinstance(codings, list):
        return
    for coding in codings:
        system, code = _text(coding, "system"), _text(coding, "code")
        if system and code:
            yield f"s:{canonical_system(system)}|{code.lower()}|{text}"


def reference_parts(value: Any, context: Context) -> list[str]:
    """Return the parts of a Reference, canonical or uri; a contained resource is never found by its id."""
    if isinstance(value, str):
        return list(canonical_parts(value))
    if not isinstance(value, dict):
        return []
    parts: list[str] = []
    text = value.get("reference")
    if isinstance(text, str):
        parts += _literal(text, context)
    elif isinstance(value.get("resourceType"), str) and isinstance(value.get("id"), str):
        parts.append(f"r:{value['resourceType']}/{value['id']}")  # Bundle.composition points at the resource itself
    identifier = value.get("identifier")
    if isinstance(identifier, dict):
        system, number = _text(identifier, "system") or "", _text(identifier, "value")
        if number is not None:
            system, number = canonical_identifier(canonical_system(system), number)
            parts += (f"d:{system}|{number}", f"d:{ANY_SYSTEM}|{number}")
    return parts


def _literal(text: str, context: Context) -> tuple[str, ...]:
    if text.startswith("#"):
        kind = context.contained.get(text[1:])
        return (f"t:{kind}",) if kind else ()
    local = local_reference(text, context.base)
    if local is None:
        return canonical_parts(text) if "?" not in text else (f"u:{text}",)
    target, version = local
    return (f"r:{target}",) if version is None else (f"r:{target}", f"r:{target}/_history/{version}")


def uri_parts(value: Any) -> tuple[str, ...]:
    """Return the parts of a uri."""
    return canonical_parts(value) if isinstance(value, str) else ()


def string_entries(value: Any, any_word: bool) -> tuple[list[str], list[str]]:
    """Return (folded texts from each place where a search may start, raw texts for `:exact`)."""
    raw: list[str] = []
    if isinstance(value, str):
        raw.append(value)
    elif isinstance(value, dict):
        any_word = True
        for name in NAME_PARTS:
            part = value.get(name)
            if isinstance(part, str):
                raw.append(part)
            elif isinstance(part, list):
                raw += [text for text in part if isinstance(text, str)]
    folded: list[str] = []
    for text in raw:
        plain = fold(text)[:_LONGEST_STRING]
        if plain:
            folded += starts(plain) if any_word else (plain,)
    return folded, [exact_part(text) for text in raw]


def date_intervals(value: Any, zone: tzinfo) -> tuple[dates.Interval, ...]:
    """Return the intervals of a date, dateTime, instant, Period or Timing."""
    try:
        if isinstance(value, str):
            return (dates.interval(value, zone),)
        if isinstance(value, dict):
            if "event" in value or "repeat" in value:
                return dates.timing(value, zone)
            if "start" in value or "end" in value:
                return (dates.period(value, zone),)
    except BadRequest:
        return ()
    return ()


def number_range(value: Any) -> Range | None:
    """Return the interval of a decimal or integer, or of a Range of them."""
    number = decimal_of(value)
    if number is not None:
        return point(number)
    bounds = stored_bounds(value) if isinstance(value, dict) else None
    return stored_range(*bounds) if bounds else None


def quantity_spans(value: Any) -> dict[str, Range]:
    """Return the intervals of a Quantity, Money or Range under each way to ask for its unit.

    Keys: `` any unit, `|<system>|<code>` (UCUM: canonical unit), `||<code or unit>`.
    """
    bounds = stored_bounds(value) if isinstance(value, dict) else None
    if bounds is None:
        return {}
    low, high, comparator = bounds
    written = stored_range(low, high, comparator)
    spans = {"": written}
    unit = value if "value" in value else value.get("low") or value.get("high") or {}
    system, code, name = _text(unit, "system"), _text(unit, "code") or _text(unit, "currency"), _text(unit, "unit")
    for text in (code, name):
        if text:
            spans[f"||{text}"] = written
    if system == UCUM and code:
        known = tuple(bound for bound in (low, high) if bound is not None)
        canonical, converted = in_canonical_unit(known, code)
        first = converted[0] if low is not None else None
        last = converted[-1] if high is not None else None
        spans[f"|{UCUM}|{canonical}"] = stored_range(first, last, comparator)
    elif code:
        spans[f"|{system or 'urn:iso:std:iso:4217'}|{code}"] = written
    return spans


def _text(value: Any, name: str) -> str | None:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) and found else None
