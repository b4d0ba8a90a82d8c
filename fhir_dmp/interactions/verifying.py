"""Verifying, proving and exporting the trail: the use cases behind `fhir-dmp audit`. Everything streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from zoneinfo import ZoneInfo

from fhir_dmp.audit.chain import Checkpoint, Seal, decode
from fhir_dmp.audit.codec import decode as decode_record
from fhir_dmp.audit.event import audit_event, tde_projection
from fhir_dmp.audit.proof import proof_of
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.audit.signing import PublicKeys
from fhir_dmp.audit.verify import Row, Verdict, verify
from fhir_dmp.fhir.dates import instant, interval
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.identity.caller import Actor
from fhir_dmp.interactions.sealing import BEGINNING, claimed, rows_from, seals_from
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Ledger

#: Half-open [low, high) in ms.
Span = tuple[float, float]


def verify_trail(
    ledger: Ledger,
    keys: PublicKeys,
    witnesses: Iterable[tuple[Checkpoint, bytes]] = (),
    *,
    start: int | None = None,
    end: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Verdict:
    """Verify the trail. start, end: only the checkpoints from that of the one record to that of the other.

    Raises:
        ValueError: a stored seal cannot be read at all.
    """
    before = None if start is None else ledger.seal_of(start - 1)
    trusted = None if before is None else decode(before)
    first = 0 if trusted is None else trusted.checkpoint.number
    low = BEGINNING if trusted is None else max(trusted.checkpoint.reached - ledger.slack, 0)
    last = None if end is None else ledger.seal_of(end)
    until = None if last is None else decode(last).checkpoint
    checks = [one for one in witnesses if one[0].number > first and (until is None or one[0].number <= until.number)]
    return verify(
        _seals(ledger, first, until, advance),
        _rows(ledger, low, until),
        keys,
        before=trusted,
        claimed=claimed(ledger, trusted) if trusted is not None and ledger.slack else frozenset(),
        slack=ledger.slack,
        witnesses=checks,
    )


def _seals(ledger: Ledger, first: int, until: Checkpoint | None, advance: Callable[[int], None]) -> Iterator[Seal]:
    for seal in seals_from(ledger, first):
        if until is not None and seal.checkpoint.number > until.number:
            return
        yield seal
        advance(seal.checkpoint.size)


def _rows(ledger: Ledger, low: int, until: Checkpoint | None) -> Iterator[Row]:
    for row in rows_from(ledger, low):
        if until is not None and row[0] > until.reached:
            return
        yield row


def proof(ledger: Ledger, seq: int) -> Json | None:
    """Return the proof of inclusion of a record, None when no seal covers this number or the record is gone."""
    stored = ledger.seal_of(seq)
    if stored is None:
        return None
    seal = decode(stored)
    position = seal.positions[seq - seal.checkpoint.first]
    found = ledger.rows(position - 1, 1)
    return proof_of(seal, seq, found[0][1]) if found and found[0][0] == position else None


def span(start: str | None, end: str | None, zone: ZoneInfo) -> Span:
    """Return the interval that two FHIR dates bound, both included.

    Raises:
        BadRequest: one of them is not a date.
    """
    low = interval(start, zone)[0] if start else float("-inf")
    high = interval(end, zone)[1] if end else float("inf")
    return low, high


def note_export(patient: str | None, services: Services) -> None:
    """Leave a trace of the export before anything of it is written."""
    services.trail(
        (
            AuditRecord(
                id=services.ids.resource(patient),
                kind="export",
                recorded_ms=services.clock.now_ms(),
                patient=patient,
                what=("AuditEvent",),
                actor=Actor.ADMIN.value,
                subject="operator",
                client="fhir-dmp",
            ),
        )
    )


def records(patient: str | None, within: Span, services: Services) -> Iterator[AuditRecord]:
    """Yield the records of the trail, oldest first."""
    for _, data, _ in rows_from(services.store.ledger, BEGINNING):
        record = decode_record(data)
        if within[0] <= record.recorded_ms < within[1] and patient in (None, record.patient):
            yield record


def line_of(record: AuditRecord, services: Services, *, national: bool) -> str:
    """Return the AuditEvent of a record as one line; national: as the French trace model wants it."""
    event = audit_event(record, services.events, services.site)
    return dump(tde_projection(event) if national else event).decode("utf-8") + "\n"


COLUMNS = (
    "recorded", "kind", "outcome", "reason", "patient", "actor", "professional", "structure", "name", "mode", "client",
    "address", "what", "id",
)  # fmt: skip


def row_of(record: AuditRecord) -> tuple[str, ...]:
    """Return the values of COLUMNS; one that a spreadsheet would take for a formula is quoted."""
    values = (
        instant(record.recorded_ms),
        record.kind,
        record.outcome,
        record.reason or "",
        record.patient or "",
        record.actor,
        record.professional or "",
        record.structure or "",
        record.name,
        record.mode,
        record.client,
        record.address,
        " ".join(record.what),
        record.id,
    )
    return tuple(f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value for value in values)
