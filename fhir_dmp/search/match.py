"""What a query means: the reference against which every store is tested. Pure, and deliberately simple."""

from __future__ import annotations

from typing import assert_never

from fhir_dmp.search.query import (
    And,
    AnyTerm,
    Chain,
    Contains,
    Everything,
    Has,
    Ids,
    LastUpdated,
    Node,
    Not,
    Nothing,
    Op,
    Or,
    Prefix,
    Span,
    Term,
    Words,
)
from fhir_dmp.search.terms import Terms


def span_holds(op: Op, low: float, high: float, stored_low: float, stored_high: float) -> bool:
    """Say whether the stored [stored_low, stored_high) stands in relation `op` to the query's [low, high).

    https://hl7.org/fhir/R4/search.html#prefix, as restated in the table of the search documentation.
    """
    inside = low <= stored_low and stored_high <= high
    match op:
        case Op.EQ:
            return inside
        case Op.NE:
            return not inside
        case Op.GT:
            return stored_high > high
        case Op.LT:
            return stored_low < low
        case Op.GE:
            return stored_high > high or inside
        case Op.LE:
            return stored_low < low or inside
        case Op.SA:
            return stored_low >= high
        case Op.EB:
            return stored_high <= low
        case Op.AP:
            return stored_low < high and stored_high > low
        case _:
            assert_never(op)


def matches(node: Node, terms: Terms, *, id_: str, updated_ms: int) -> bool:
    """Say whether a resource with these terms satisfies the query. Chain and Has must have been resolved."""
    match node:
        case Everything():
            return True
        case Nothing():
            return False
        case Term(key):
            return key in terms.tokens
        case AnyTerm(keys):
            return any(key in terms.tokens for key in keys)
        case Prefix(param, text):
            return any(p == param and value.startswith(text) for p, value in terms.strings)
        case Contains(param, text):
            return any(p == param and text in value for p, value in terms.strings)
        case Span(key, op, low, high):
            return any(k == key and span_holds(op, low, high, lo, hi) for k, lo, hi in terms.spans)
        case Words(param, wanted):
            found = [word for p, text in terms.words if p == param for word in text.split()]
            return all(any(word.startswith(want) for word in found) for want in wanted)
        case Ids(ids):
            return id_ in ids
        case LastUpdated(op, low, high):
            return span_holds(op, low, high, updated_ms, updated_ms + 1)
        case And(nodes):
            return all(matches(part, terms, id_=id_, updated_ms=updated_ms) for part in nodes)
        case Or(nodes):
            return any(matches(part, terms, id_=id_, updated_ms=updated_ms) for part in nodes)
        case Not(inner):
            return not matches(inner, terms, id_=id_, updated_ms=updated_ms)
        case Chain() | Has():
            raise TypeError("joins are resolved before matching (search/joins.py)")
        case _:
            assert_never(node)
