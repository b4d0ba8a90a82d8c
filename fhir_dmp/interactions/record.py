"""Audit: one record for each interaction, committed before the answer leaves. Unrecorded means unanswered."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_dmp.access.refusal import codings_of
from fhir_dmp.audit.build import audit_record
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.errors import StoreUnavailable, Unavailable
from fhir_dmp.interactions import telling
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Commit


def record(
    call: Call,
    kind: str,
    services: Services,
    *,
    patient: str | None = None,
    what: Sequence[str] = (),
    query: str | None = None,
    outcome: str = "0",
    reason: str | None = None,
    details: Sequence[tuple[str, str]] = (),
) -> AuditRecord:
    """Describe one interaction of this call; `patient` is `Patient/id` when known."""
    return audit_record(
        call.caller,
        id_=services.ids.resource(patient),
        kind=kind,
        recorded_ms=services.clock.now_ms(),
        address=call.info.address,
        request_id=call.info.request_id,
        outcome=outcome,
        reason=reason,
        patient=patient,
        what=tuple(what),
        query=query,
        details=(*details, (telling.SECRET, "true")) if call.caller.secret else tuple(details),
    )


def keep(services: Services, *records: AuditRecord) -> None:
    """Commit audit records that come without a write (reads, searches, refusals).

    Raises:
        Unavailable: audit-unavailable; the trail cannot be written, so nothing may be answered (A5).
    """
    try:
        notices = telling.of_accesses(records, services)
        if notices:
            # What is told is committed with the record of it, and durable at once whatever audit.durability says.
            services.store.commit(Commit(audit=records, notices=notices))
            services.told.remember(each.id for each in notices)
        else:
            services.trail(records)
    except StoreUnavailable as error:
        raise Unavailable(
            "The audit trail cannot be written, so nothing can be answered now.",
            details=codings_of("audit-unavailable", services.canonical),
        ) from error
