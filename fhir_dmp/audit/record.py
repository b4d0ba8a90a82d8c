"""What happened, as a small value: one record becomes one AuditEvent (audit/event.py).

Records are what stores append and chain; the AuditEvent resource is materialised when somebody reads it. A record
never holds a token, a body or attachment data.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One audited interaction.

    id: id of the AuditEvent. kind: row of audit/events.toml (`read`, `search-type`, `iti-65`...). recorded_ms: UTC ms.
    outcome: 0 success, 4 minor, 8 serious, 12 major. reason: refusal code when refused. patient: `Patient/id` when
    known. what: versioned references of the data (`DocumentReference/x/_history/1`). query: the raw request of a
    search. actor..purpose: the caller. address: the client's network address. request_id: X-Request-Id.
    details: (type, value) pairs, for example the labels before and after. given: the JSON of an AuditEvent posted by
    a trusted feeder, kept as it came.
    """

    id: str
    kind: str
    recorded_ms: int
    outcome: str = "0"
    reason: str | None = None
    patient: str | None = None
    what: tuple[str, ...] = ()
    query: str | None = None
    actor: str = ""
    subject: str = ""
    issuer: str = ""
    client: str = ""
    name: str = ""
    professional: str | None = None
    structure: str | None = None
    roles: tuple[tuple[str, str], ...] = ()
    mode: str = "normal"
    motive: str | None = None
    jti: str | None = None
    address: str = ""
    request_id: str = ""
    details: tuple[tuple[str, str], ...] = ()
    given: bytes | None = None
