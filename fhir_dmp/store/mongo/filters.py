"""A query tree as a filter of MongoDB. Pure.

Every value is wrapped in an operator of ours (`$eq`, `$in`, `$gte`...), so no text of a client can become one. Chain
and Has are resolved before (search/joins.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
from fhir_dmp.store.mongo.documents import SHARED, anchor, is_reference, number, patient_bucket
from fhir_dmp.store.mongo.views import Filter, everything_of

_LAST_CHARACTER = 0x10FFFF
_SPECIAL = frozenset("\\.^$|()[]{}*+?")

#: Holds for no row at all.
NOTHING: Filter = {"_id": {"$in": []}}

#: How each relation of a span reads as alternatives of conditions on (lo, hi), with the query's bounds "low", "high".
_SPANS: dict[Op, tuple[tuple[tuple[str, str, str], ...], ...]] = {
    Op.EQ: ((("lo", "$gte", "low"), ("hi", "$lte", "high")),),
    Op.NE: ((("lo", "$lt", "low"),), (("hi", "$gt", "high"),)),
    Op.GT: ((("hi", "$gt", "high"),),),
    Op.LT: ((("lo", "$lt", "low"),),),
    Op.GE: ((("hi", "$gt", "high"),), (("lo", "$gte", "low"), ("hi", "$lte", "high"))),
    Op.LE: ((("lo", "$lt", "low"),), (("lo", "$gte", "low"), ("hi", "$lte", "high"))),
    Op.SA: ((("lo", "$gte", "high"),),),
    Op.EB: ((("hi", "$lte", "low"),),),
    Op.AP: ((("lo", "$lt", "high"), ("hi", "$gt", "low")),),
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How filters are written for a server. address: the field of the logical id.

    elem_match: `$elemMatch` judges all its conditions on one element, and reaches into embedded documents. FerretDB 1
    does neither: it gets regular expressions for texts, and spans are judged outside (without_spans).
    sharded: name the bucket of a patient too, so that a cluster asks only the shard that holds it.
    """

    address: str
    elem_match: bool = True
    sharded: bool = False


def compiled(node: Node, dialect: Dialect) -> Filter:
    """Return the filter that holds for the rows that satisfy the node."""
    match node:
        case Everything():
            return {}
        case Nothing():
            return dict(NOTHING)
        case Term(key):
            return _tokens([key], dialect)
        case AnyTerm(keys):
            return _any_token(keys, dialect)
        case Prefix(param, text):
            return _starting(f"{param}|{text}", dialect)
        case Contains(param, text):
            return _containing(param, text, dialect)
        case Span(key, op, low, high):
            return _either([_span(key, part, low, high) for part in _SPANS[op]])
        case Words(param, words):
            return everything_of(*(_starting(f"{param}#{word}", dialect) for word in words))
        case Ids(ids):
            return {dialect.address: {"$in": list(ids)}}
        case LastUpdated(op, low, high):
            return _either([_updated(part, low, high) for part in _SPANS[op]])
        case And(nodes):
            return everything_of(*(compiled(part, dialect) for part in nodes))
        case Or(nodes):
            return _either([compiled(part, dialect) for part in nodes])
        case Not(inner):
            return {"$nor": [compiled(inner, dialect)]}
        case Chain() | Has():
            raise TypeError("joins are resolved before a query is compiled (search/joins.py)")
        case _:
            assert_never(node)


def _either(parts: Sequence[Filter]) -> Filter:
    if not parts:
        return dict(NOTHING)
    return parts[0] if len(parts) == 1 else {"$or": list(parts)}


def _any_token(keys: Sequence[str], dialect: Dialect) -> Filter:
    """References and other tokens live in two arrays, each with its own indexes."""
    groups = [[key for key in keys if is_reference(key) is wanted] for wanted in (True, False)]
    return _either([_tokens(group, dialect) for group in groups if group])


def _tokens(keys: list[str], dialect: Dialect) -> Filter:
    wanted = {"$eq": keys[0]} if len(keys) == 1 else {"$in": keys}
    if not is_reference(keys[0]):
        return {"t": wanted}
    patients = list(dict.fromkeys(patient for key in keys if (patient := anchor(key)) is not None))
    if any(anchor(key) is None for key in keys):
        return {"r": wanted}
    # the scalar `pat` leads the indexes of the patient timeline; the reference stays the judge
    places = [*patients, SHARED]
    buckets = {"pb": {"$in": sorted({patient_bucket(place) for place in places})}} if dialect.sharded else {}
    return {**buckets, "pat": {"$in": places}, "r": wanted}


def _starting(text: str, dialect: Dialect) -> Filter:
    if not dialect.elem_match:
        return {"x": {"$regex": f"^{_literal(text)}"}}
    return {"x": {"$elemMatch": {"$gte": text, "$lt": _after(text)}}}


def _containing(param: str, text: str, dialect: Dialect) -> Filter:
    """The range limits the scan to the entries of one parameter; the expression judges them. Case is folded already."""
    start = f"{param}|"
    pattern = f"^{_literal(start)}[\\s\\S]*{_literal(text)}"
    if not dialect.elem_match:
        return {"x": {"$regex": pattern}}
    return {"x": {"$elemMatch": {"$gte": start, "$lt": _after(start), "$regex": pattern}}}


def _literal(text: str) -> str:
    """Return the text as a part of a regular expression in which nothing is special."""
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in text)


def _after(text: str) -> str:
    """Return the least text above all texts that start with this one, in the order of code points (and of UTF-8)."""
    head, code = text[:-1], ord(text[-1]) + 1
    if code > _LAST_CHARACTER:
        return _after(head)
    return head + chr(0xE000 if 0xD800 <= code <= 0xDFFF else code)


def _span(key: str, part: Sequence[tuple[str, str, str]], low: float, high: float) -> Filter:
    bounds = {"low": number(low), "high": number(high)}
    conditions: Filter = {"k": {"$eq": key}}
    for field, operator, bound in part:
        conditions[field] = {operator: bounds[bound]}
    return {"q": {"$elemMatch": conditions}}


def _updated(part: Sequence[tuple[str, str, str]], low: float, high: float) -> Filter:
    """`u` stands for the span [u, u + 1)."""
    bounds = {"low": number(low), "high": number(high)}
    shift = {"lo": 0, "hi": 1}
    return {"$and": [{"u": {operator: bounds[bound] - shift[field]}} for field, operator, bound in part]}


def without_spans(node: Node, find: Callable[[Span], Iterable[str]]) -> Node:
    """Replace every Span by the ids that `find` gives for it.

    For servers whose $elemMatch does not reach into embedded documents (FerretDB 1): the bounds of one span must be
    judged together, so they are judged outside.
    """
    match node:
        case Span():
            return Ids(tuple(find(node)))
        case And(nodes):
            return And(tuple(without_spans(part, find) for part in nodes))
        case Or(nodes):
            return Or(tuple(without_spans(part, find) for part in nodes))
        case Not(inner):
            return Not(without_spans(inner, find))
        case _:
            return node


def span_candidates(span: Span) -> Filter:
    """Return a filter that holds for at least the rows that satisfy the span, without $elemMatch on documents."""
    return {"q.k": {"$eq": span.key}}
