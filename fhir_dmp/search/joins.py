"""Joins: chained parameters and _has, resolved from the index to plain ids before a store compiles the query.

The selective side is resolved first, inside the store's own snapshot; caps are the store's and end in TooCostly.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import assert_never

from fhir_dmp.errors import Unprocessable
from fhir_dmp.search.query import And, AnyTerm, Chain, Has, Ids, Node, Not, Nothing, Or, both, either

#: Most ids that an intermediate set of a join may hold, in every store.
JOIN_CAP = 10_000

#: What a join can stand in.
_INNER = (Chain, Has, And, Or, Not)

Find = Callable[[str, Node], list[str]]
Referenced = Callable[[str, str, Node], list[str]]


def resolve_joins(node: Node, find: Find, referenced: Referenced) -> Node:
    """Replace every Chain and Has by the ids they stand for.

    find(type, node) gives the ids of current resources of a type; referenced(type, param, node) gives the `Type/id`
    values that the matching resources of a type refer to through `param`. Both raise when a cap is exceeded.
    """
    if not isinstance(node, _INNER):
        return node
    match node:
        case Chain(param, targets):
            keys: list[str] = []
            for target, inner in targets:
                resolved = resolve_joins(inner, find, referenced)
                keys.extend(f"{param}=r:{target}/{id_}" for id_ in find(target, resolved))
            return AnyTerm(tuple(keys)) if keys else Nothing()
        case Has(target, source, param, inner):
            values = referenced(source, param, resolve_joins(inner, find, referenced))
            ids = tuple(dict.fromkeys(v.removeprefix(target + "/") for v in values if v.startswith(target + "/")))
            return Ids(ids) if ids else Nothing()
        case And(nodes) | Or(nodes):
            parts = tuple([resolve_joins(part, find, referenced) for part in nodes])
            if all(map(is_, parts, nodes)):
                return node
            # A chain that leads nowhere must not stay as an alternative: a store could no longer answer from an index.
            return both(*parts) if isinstance(node, And) else either(*parts)
        case Not(inner):
            part = resolve_joins(inner, find, referenced)
            return node if part is inner else Not(part)
        case _:
            assert_never(node)


def too_slow() -> Unprocessable:
    """Return the refusal of a search that ran longer than `store.query_timeout_ms`."""
    return Unprocessable("The search takes too long; add criteria that make it narrower.", code="too-costly")


def too_costly(what: str, cap: int) -> Unprocessable:
    """Return the refusal of a join whose intermediate set exceeds the cap; `what` names its type or parameter."""
    return Unprocessable(
        f"The joined search on {what} finds more than {cap} resources; add criteria that make it narrower.",
        code="too-costly",
    )
