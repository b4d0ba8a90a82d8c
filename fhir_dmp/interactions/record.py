"""Audit: one record for each interaction, made here, committed before the answer leaves. Unrecorded means unanswered."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_dmp.audit.record import AuditRecord
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
    caller = call.caller
    return AuditRecord(
        id=services.ids.resource(patient),
        kind=kind,
        recorded_ms=services.clock.now_ms(),
        outcome=outcome,
        reason=reason,
        patient=patient,
        what=tuple(what),
        query=query,
        actor=caller.actor.value,
        subject=caller.subject,
        issuer=caller.issuer,
        client=caller.client,
        name=caller.name,
        professional=caller.professional,
        structure=caller.structure,
        roles=caller.roles,
        mode=caller.mode.value,
        motive=caller.reason,
        jti=caller.jti,
        address=call.info.address,
        request_id=call.info.request_id,
        details=tuple(details),
    )


def keep(services: Services, *records: AuditRecord) -> None:
    """Commit audit records that come without a write (reads, searches, refusals).

    Raises:
        StoreUnavailable: the trail cannot be written, so nothing may be answered.
    """
    if services.settings.audit.durability == "batched":
        services.store.commit_soon(Commit(audit=records))
    else:
        services.store.commit(Commit(audit=records))
