"""Dates, numbers and quantities -> spans: precision, prefixes, units. fhir-rest 6.5, 6.6, 6.10"""

from __future__ import annotations

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir import dates
from fhir_dmp.search.grammar import alternatives, pieces, prefixed, unescape
from fhir_dmp.search.numbers import around, in_canonical_unit, near, point, written
from fhir_dmp.search.parameters import SearchParameter
from fhir_dmp.search.query import LastUpdated, Node, Op, Span, either
from fhir_dmp.search.rules import Asking, ParseRules, malformed
from fhir_dmp.terminology.aliases import UCUM

_EQUALITY = frozenset({Op.EQ, Op.NE})


def date_node(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    return either(*(one_date(parameter.code, text, asking.rules) for text in alternatives(value)))


def one_date(key: str, text: str, rules: ParseRules) -> Node:
    op, rest = prefixed(unescape(text), key)
    try:
        low, high = dates.interval(rest, rules.zone)
    except BadRequest as error:
        raise malformed(key, str(error)) from error
    if op is Op.AP:
        margin = max(abs(rules.now_ms - low) // 10, high - low)
        low, high = low - margin, high + margin
    return LastUpdated(op, low, high) if key == "_lastUpdated" else Span(key, op, low, high)


def number_node(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    return either(*(one_number(parameter.code, text) for text in alternatives(value)))


def one_number(key: str, text: str) -> Node:
    op, rest = prefixed(unescape(text), key)
    try:
        if op in _EQUALITY:
            low, high = around(rest)
        else:
            number, _ = written(rest)
            low, high = near(number) if op is Op.AP else point(number)
    except BadRequest as error:
        raise malformed(key, str(error)) from error
    return Span(key, op, low, high)


def quantity_node(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    return either(*(one_quantity(parameter.code, text) for text in alternatives(value)))


def one_quantity(key: str, text: str) -> Node:
    split = [unescape(piece) for piece in pieces(text, "|")]
    if len(split) == 1:
        return one_number(key, text)
    if len(split) != 3 or not split[2]:
        raise malformed(key, "expected number, number|system|code or number||code.")
    number, system, code = split
    if not system:
        return _in_unit(f"{key}||{code}", key, number, "")
    if system == UCUM:
        canonical, _ = in_canonical_unit((), code)
        return _in_unit(f"{key}|{UCUM}|{canonical}", key, number, code)
    return _in_unit(f"{key}|{system}|{code}", key, number, "")


def _in_unit(span: str, key: str, text: str, unit: str) -> Node:
    """Return the span of a number in a unit; the precision as written is converted too."""
    op, rest = prefixed(text, key)
    try:
        number, half = written(rest)
    except BadRequest as error:
        raise malformed(key, str(error)) from error
    if op in _EQUALITY:
        bounds = (number - half, number + half)
    elif op is Op.AP:
        margin = abs(number) / 10
        bounds = (number - margin, number + margin)
    else:
        bounds = (number, number)
    low, high = in_canonical_unit(bounds, unit)[1] if unit else bounds
    if op in _EQUALITY:
        return Span(span, op, float(low), float(high))
    return Span(span, op, point(low)[0], point(high)[1])
