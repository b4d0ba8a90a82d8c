"""Joins of a search, restricted to what the caller may see: chains and _has must not tell what a search hides. Pure.

A chain, a _has or a reference to a document holds only through resources that exist for the caller, so that a search
through a hidden one answers as if there were none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from fhir_dmp.search.query import And, AnyTerm, Chain, Has, Node, Not, Nothing, Or, Term, both, either

#: What a resource of a type must satisfy to exist for the caller.
Existing = Callable[[str], Node]
#: Whether a document (`DocumentReference/id`) exists for the caller.
Known = Callable[[str], bool]

#: Documents are the only resources that are hidden one by one inside a record that may be entered.
_DOCUMENT = re.compile(r"r:(DocumentReference/[A-Za-z0-9\-.]{1,64})")


def restrict_joins(node: Node, existing: Existing, known: Known) -> Node:
    """Return the query in which every step to another resource leads to one that exists for the caller.

    >>> restrict_joins(Has("Patient", "Observation", "subject", Term("code=c:x")), lambda _: Nothing(), lambda _: True)
    Has(target='Patient', source='Observation', param='subject', node=Nothing())
    >>> restrict_joins(Term("item=r:DocumentReference/1"), lambda _: Nothing(), lambda name: name.endswith("2"))
    Nothing()
    """

    def walk(part: Node) -> Node:
        match part:
            case Chain(param, targets):
                return Chain(param, tuple((type_, both(walk(inner), existing(type_))) for type_, inner in targets))
            case Has(target, source, param, inner):
                return Has(target, source, param, both(walk(inner), existing(source)))
            case Term(key):
                return part if _holds(key, known) else Nothing()
            case AnyTerm(keys):
                kept = [key for key in keys if _holds(key, known)]
                return part if len(kept) == len(keys) else either(*map(Term, kept))
            case And(nodes):
                return both(*map(walk, nodes))
            case Or(nodes):
                return either(*map(walk, nodes))
            case Not(inner):
                return Not(walk(inner))
            case _:
                return part

    return walk(node)


def _holds(key: str, known: Known) -> bool:
    """Say whether every document that a term names exists for the caller."""
    return "DocumentReference/" not in key or all(map(known, _DOCUMENT.findall(key)))


def joined_types(node: Node, may: Callable[[str], bool]) -> Iterator[str]:
    """Yield a type that a query cannot do without and that the caller may not search (2.11): one for each such step.

    A step beside which another one answers (a contained author, say) is left to `restrict_joins`.

    >>> list(joined_types(Has("Patient", "Observation", "subject", Term("code=c:x")), lambda name: name == "Patient"))
    ['Observation']
    """
    match node:
        case Chain(_, targets):
            if not any(may(type_) for type_, _ in targets):
                yield targets[0][0]
            for _, inner in targets if len(targets) == 1 else ():
                yield from joined_types(inner, may)
        case Has(_, source, _, inner):
            if not may(source):
                yield source
            yield from joined_types(inner, may)
        case And(nodes):
            for part in nodes:
                yield from joined_types(part, may)
        case Not(inner):
            yield from joined_types(inner, may)
        case _:
            return
