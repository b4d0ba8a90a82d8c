"""When care took place: the dates by which operations on a whole record select, and the query over them.

A resource is dated by the first of its dates that is there; one without any date of care is never left out.
"""

from __future__ import annotations

from fhir_dmp.search.extract import dates_of
from fhir_dmp.search.parameters import Registry
from fhir_dmp.search.query import Everything, Node, Op, Span, Term, both, either

#: Types whose dates tell of an act of administration, not of care: when somebody consented, submitted or recorded.
_UNDATED = frozenset({"Consent", "List", "Provenance", "Coverage", "Account"})
#: Of a document: when the care took place that it tells of, else when it was made known.
_OWN = {"DocumentReference": ("period", "date")}


def care_dates(type_: str, registry: Registry) -> tuple[str, ...]:
    """Return the date parameters of a type that tell when care took place, the best first."""
    if type_ in _UNDATED:
        return ()
    return _OWN.get(type_) or dates_of(registry, type_)


def cared_within(type_: str, registry: Registry, low: float, high: float) -> Node:
    """Return the query "its care took place at some time in [low, high)", in ms since the epoch."""
    node: Node = Everything()
    for code in reversed(care_dates(type_, registry)):
        node = either(Span(code, Op.AP, low, high), both(Term(f"{code}=0"), node))
    return node
