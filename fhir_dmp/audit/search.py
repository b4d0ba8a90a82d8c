"""Searching the audit trail: a parsed query becomes a slice (patient, interval) and a predicate for the rest. Pure.

The query is the ordinary one of search.parse, with chains resolved; the slice is what a store can seek, and every
record of it is judged by the same `search.match` as any other resource. Nothing is indexed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fhir_dmp.audit.event import Site, audit_event, received_ms
from fhir_dmp.audit.kinds import EventKinds
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import Json
from fhir_dmp.search.match import matches
from fhir_dmp.search.query import And, AnyTerm, LastUpdated, Node, Op, Span, Term
from fhir_dmp.search.terms import Terms

_PATIENT = "patient=r:"
#: Records lie at the time that they tell; reported events came in up to so much later. Those that are even later are
#: found by their date, not by _lastUpdated.
LATE_MS = 31 * 86_400_000


@dataclass(frozen=True, slots=True)
class AuditSlice:
    """What to ask of the store: `Patient/id` or None, half-open [low_ms, high_ms) or None, and what to keep of it."""

    patient: str | None
    low_ms: int | None
    high_ms: int | None
    keep: Callable[[AuditRecord], bool]


def audit_slice(
    node: Node, kinds: EventKinds, site: Site, terms: Callable[[Json], Terms], *, unbounded: bool = False
) -> AuditSlice:
    """Return the slice of a query on AuditEvent whose joins are resolved.

    terms: the index terms of an AuditEvent. unbounded: neither date nor patient is needed (search by id, operator).

    Raises:
        BadRequest: code required; neither a date nor a patient limits the search.
    """
    low, high = _bounds(node)
    patient = _patient(node)
    if patient is None and low is None and high is None and not unbounded:
        raise BadRequest("A search of the audit trail needs a date, or a patient.", code="required")

    def keep(record: AuditRecord) -> bool:
        found = terms(audit_event(record, kinds, site))
        return matches(node, found, id_=record.id, updated_ms=received_ms(record))

    return AuditSlice(patient, low, high, keep)


def _parts(node: Node) -> Iterator[Node]:
    """Yield what must hold, whatever else does."""
    if isinstance(node, And):
        for part in node.nodes:
            yield from _parts(part)
    else:
        yield node


def _patient(node: Node) -> str | None:
    for part in _parts(node):
        keys = (part.key,) if isinstance(part, Term) else part.keys if isinstance(part, AnyTerm) else ()
        if len(keys) == 1 and keys[0].startswith(_PATIENT):
            return keys[0].removeprefix(_PATIENT)
    return None


def _bounds(node: Node) -> tuple[int | None, int | None]:
    """Return the interval outside of which no record can satisfy the query. An instant is one millisecond wide."""
    lows: list[float] = []
    highs: list[float] = []
    for part in _parts(node):
        if not (isinstance(part, LastUpdated) or (isinstance(part, Span) and part.key == "date")):
            continue
        late = LATE_MS if isinstance(part, LastUpdated) else 0
        if part.op in (Op.EQ, Op.GE, Op.AP):
            lows.append(part.low - late)
        if part.op in (Op.GT, Op.SA):
            lows.append(part.high - late)
        if part.op in (Op.EQ, Op.LE, Op.AP):
            highs.append(part.high)
        if part.op in (Op.LT, Op.EB):
            highs.append(part.low)
    return (int(max(lows)) if lows else None), (int(min(highs)) if highs else None)
