"""From the caller and what happened to an AuditRecord: the step that every interaction takes before it answers."""

from __future__ import annotations

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.identity.caller import Caller


def audit_record(
    caller: Caller,
    *,
    id_: str,
    kind: str,
    recorded_ms: int,
    address: str = "",
    request_id: str = "",
    outcome: str = "0",
    reason: str | None = None,
    patient: str | None = None,
    what: tuple[str, ...] = (),
    query: str | None = None,
    details: tuple[tuple[str, str], ...] = (),
    given: bytes | None = None,
) -> AuditRecord:
    """Return the record of one interaction of a caller. See AuditRecord for the meaning of the rest.

    A refusal passes outcome 4 (the caller's fault) or 8 (not allowed) and the code of the refusal as reason.
    """
    return AuditRecord(
        id_,
        kind,
        recorded_ms,
        outcome,
        reason,
        patient,
        what,
        query,
        caller.actor.value,
        caller.subject,
        caller.issuer,
        caller.client,
        caller.name,
        caller.professional,
        caller.structure,
        caller.roles,
        caller.mode.value,
        caller.reason,
        caller.jti,
        address,
        request_id,
        details,
        given,
    )


def outcome_of(status: int) -> str:
    """Return the audit outcome of an HTTP status: 0 success, 4 minor (client error), 8 serious (refused), 12 major.

    >>> [outcome_of(status) for status in (200, 304, 404, 401, 403, 500)]
    ['0', '0', '4', '8', '8', '12']
    """
    if status < 400:
        return "0"
    if status >= 500:
        return "12"
    return "8" if status in (401, 403) else "4"
