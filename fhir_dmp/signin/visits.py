"""Doing something in the record for somebody at a browser: calls through the one door, and audit records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fhir_dmp.audit.build import audit_record
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.accounts import Account
from fhir_dmp.identity.caller import Actor, Caller, Scope
from fhir_dmp.interactions import record
from fhir_dmp.interactions.exchange import Answer, Call, Payload
from fhir_dmp.interactions.telling import notice
from fhir_dmp.notices.events import Event
from fhir_dmp.ports import Commit, Notice, RequestInfo
from fhir_dmp.signin.desk import Desk

#: The authorization server itself, for what it keeps in the record: directory entries, agreements to applications.
SERVER: Final = Caller(
    Actor.ADMIN,
    "authorization-server",
    client="fhir-dmp",
    name="authorization server",
    scopes=(Scope("system", "*", frozenset("cruds")),),
)
_JSON: Final = "application/fhir+json"


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a browser. agent: User-Agent, of which only a hash is ever kept."""

    request_id: str
    address: str
    agent: str = ""

    def info(self, desk: Desk, if_match: int | None = None) -> RequestInfo:
        """Return what the corridor wants to know."""
        matched = None if if_match is None else (if_match,)
        return RequestInfo(self.request_id, self.address, desk.services.base, if_match=matched)


def write(
    desk: Desk, visit: Visit, caller: Caller, resource: Json, *, id_: str | None = None, version: int | None = None
) -> Answer:
    """Create a resource, or update the one with this id and version.

    Raises:
        DmpError: it was refused.
    """
    path = (resource["resourceType"],) if id_ is None else (resource["resourceType"], id_)
    call = Call(
        "POST" if id_ is None else "PUT",
        path,
        caller,
        visit.info(desk, version),
        payload=Payload(_JSON, _JSON, resource),
    )
    return desk.handle(call)


def note(
    desk: Desk,
    visit: Visit,
    caller: Caller,
    kind: str,
    *,
    patient: str | None = None,
    outcome: str = "0",
    reason: str | None = None,
    details: Sequence[tuple[str, str]] = (),
    notices: Sequence[Notice] = (),
) -> None:
    """Commit one audit record of this visit, with what people are told of it; `kind` is a row of audit/events.toml.

    Raises:
        Unavailable: the trail cannot be written, so nothing may go on.
    """
    kept = audit_record(
        caller,
        id_=desk.services.ids.resource(patient),
        kind=kind,
        recorded_ms=desk.now_ms(),
        address=visit.address,
        request_id=visit.request_id,
        outcome=outcome,
        reason=reason,
        patient=patient,
        details=tuple(details),
    )
    if notices:
        desk.services.store.commit(Commit(audit=(kept,), notices=tuple(notices)))
    else:
        record.keep(desk.services, kept)


def told_of_sign_in(desk: Desk, account: Account, cause: str, visit: Visit) -> tuple[Notice, ...]:
    """Return the notices that something about signing in needs attention (N9): to the holder of the own record.

    cause: what happened; with the moment it makes the notice one of its kind.
    """
    own = [f"Patient/{each.patient}" for each in account.profiles if each.actor is Actor.PATIENT]
    made = (cause, account.id, visit.request_id, str(desk.now_ms()))
    return tuple(notice(Event.SIGN_IN, patient, made, desk.services) for patient in own)
