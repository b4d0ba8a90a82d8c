"""The whole FHIR API as one function from a Call to an Answer: which use case a method and path mean.

Every refusal is audited here; lost races are decided again a few times before the client is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fhir_dmp.access.decide import as_agreed
from fhir_dmp.documents.slices import is_submission
from fhir_dmp.documents.transactions import PROVIDE, RETRIEVE
from fhir_dmp.errors import (
    ClaimLost,
    Conflict,
    DmpError,
    DuplicateKey,
    Hidden,
    MethodNotAllowed,
    NotFound,
    Unauthenticated,
    VersionConflict,
)
from fhir_dmp.interactions import (
    audit_events,
    capabilities,
    compartment,
    concerned,
    gather,
    history,
    patient_search,
    read,
    record,
    search,
    single,
    transaction,
    unapplied,
)
from fhir_dmp.interactions.emergencies import count_emergency
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.offer import allow_instance, allow_type, offered
from fhir_dmp.interactions.operations import audit_kind, operation
from fhir_dmp.interactions.services import Services

#: How often a change that lost a race is decided again on the new state.
ATTEMPTS = 5

UseCase = Callable[[Call, Services], Answer]


def handle(call: Call, services: Services) -> Answer:
    """Answer one FHIR request.

    Raises:
        DmpError: every refusal, already audited.
    """
    with services.facts.request():
        try:
            count_emergency(call.caller, services)
            return _decided(_as_agreed(call, services), services)
        except DmpError as error:
            refused(call, error, services)
            raise


def _as_agreed(call: Call, services: Services) -> Call:
    """Keep a catalogue application to what the holder agreed to (security 5.7)."""
    caller = call.caller
    if caller.app is None or caller.patient is None:
        return call
    return replace(call, caller=as_agreed(caller, gather.facts_of(f"Patient/{caller.patient}", services)))


def _decided(call: Call, services: Services) -> Answer:
    use_case = _use_case(call, services)
    for attempt in range(ATTEMPTS):
        try:
            return use_case(call, services)
        except DuplicateKey:
            # Decided again once: the plan then sees who holds the key, and says so in its own words.
            if attempt > 0:
                raise
        except (VersionConflict, ClaimLost) as error:
            services.facts.forget()
            if attempt == ATTEMPTS - 1:
                raise Conflict(
                    "Others keep changing the same data; try again in a moment.", code="lock-error"
                ) from error
    raise AssertionError("unreachable")


def refused(call: Call, error: DmpError, services: Services) -> None:
    """Record a refusal. Of a caller without a usable token nothing is known, and nothing of the token is kept (A1)."""
    if error.status >= 500:
        return
    issue = error.issues[0]
    reason = issue.reason
    if isinstance(error, Unauthenticated):
        entry = record.record(call, "login-failure", services, outcome="8", reason=reason)
        record.keep(services, replace(entry, actor=""))
        return
    # What looks unknown and is hidden was refused, and the trail says so.
    outcome = "8" if error.status == 403 or isinstance(error, Hidden) else "4"
    entry = record.record(
        call,
        kind_of(call),
        services,
        patient=concerned.patient_of(call, services),
        outcome=outcome,
        reason=reason,
        query=call.info.raw if call.method == "GET" or call.path[-1:] == ("_search",) else None,
    )
    record.keep(services, entry)


def kind_of(call: Call) -> str:
    """Return the audit kind of a call, whatever became of it."""
    path = call.path
    if not path:
        return _kind_of_bundle(call) if call.method == "POST" else "search-system"
    if path[-1].startswith("$"):
        return audit_kind(call)
    if any(part.startswith("$") for part in path):
        return "operation"
    if path[-1] == "_search" or (call.method == "GET" and len(path) == 1):
        if path in (("Patient",), ("Patient", "_search")):
            return patient_search.kind_of({name.partition(":")[0] for name, _ in call.query})
        return search.kind_of(path[:1])
    if "_history" in path:
        return "vread" if path[-1] != "_history" else history.kind_of(path[:-1])
    if len(path) == 3:
        return search.kind_of((path[2],) if path[2] != "*" else ())
    if call.method == "POST" and path[0] == "DocumentReference":
        return "iti-105"
    if call.method == "GET" and path[0] in ("Binary", "Bundle"):
        return RETRIEVE.kind
    return {"GET": "read", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[call.method]


def _kind_of_bundle(call: Call) -> str:
    body = call.payload.resource if call.payload else None
    if body is not None and body.get("type") == "batch":
        return "batch"
    return PROVIDE.kind if body is not None and is_submission(body) else "transaction"


def _use_case(call: Call, services: Services) -> UseCase:
    path = call.path
    if path and path[-1].startswith("$"):
        return operation
    if not path:
        return _root(call)
    if path[0] in ("metadata", "_history", "_search"):
        return _system(call)
    if not services.is_offered(path[0]):
        raise NotFound("This server has no such resource type.", code="not-supported")
    if path[0] == "AuditEvent" and (found := _AUDIT.get((call.method, _shape(path)))) is not None:
        return found
    return _on_type(call) if len(path) == 1 else _below_type(call)


#: The audit trail is kept apart from other resources, and told as AuditEvents.
_AUDIT: dict[tuple[str, str], UseCase] = {
    ("GET", "type"): audit_events.search,
    ("POST", "search"): audit_events.search,
    ("GET", "instance"): audit_events.read,
    ("POST", "type"): audit_events.create,
}


def _shape(path: tuple[str, ...]) -> str:
    if len(path) == 1:
        return "type"
    if len(path) == 2:
        return {"_search": "search", "_history": ""}.get(path[1], "instance")
    return ""


def _root(call: Call) -> UseCase:
    if call.method == "POST":
        return lambda c, s: transaction.process(c, s, lambda each: handle(each, s))
    if call.method == "GET":
        return search.system
    raise _not_allowed(call, "GET, HEAD, POST, OPTIONS")


def _system(call: Call) -> UseCase:
    if len(call.path) > 1:
        raise NotFound("Nothing is served at this URL.", code="not-supported")
    if call.path[0] == "_search" and call.method == "POST":
        return search.system
    if call.path[0] == "metadata" and call.method == "GET":
        return capabilities.metadata
    if call.path[0] == "_history" and call.method == "GET":
        return history.history
    raise _not_allowed(call, "POST, OPTIONS" if call.path[0] == "_search" else "GET, HEAD, OPTIONS")


_TYPE_LEVEL: dict[str, tuple[str, UseCase]] = {
    "GET": ("search", lambda c, s: search.search(c, (c.path[0],), s)),
    "POST": ("create", single.create),
    "PUT": ("update", single.conditional_update),
    "PATCH": ("patch", single.conditional_patch),
    "DELETE": ("delete", single.conditional_delete),
}

_INSTANCE_LEVEL: dict[str, tuple[str, UseCase]] = {
    "GET": ("read", read.read),
    "PUT": ("update", single.update),
    "PATCH": ("patch", single.patch),
    "DELETE": ("delete", single.delete),
}


def _on_type(call: Call) -> UseCase:
    name, use_case = _TYPE_LEVEL[call.method]
    if name not in offered(call.path[0]):
        raise _not_allowed(call, allow_type(call.path[0]))
    return use_case


def _below_type(call: Call) -> UseCase:
    path, method = call.path, call.method
    if len(path) == 2 and path[1] == "_search":
        if "search" not in offered(path[0]):
            raise _not_allowed(call, allow_type(path[0]))
        return _only(call, "POST", lambda c, s: search.search(c, (c.path[0],), s))
    if "_history" in path and not {"vread", "history"} & offered(path[0]):
        raise _not_allowed(call, "OPTIONS")
    if path[-1] == "_history" and len(path) in (2, 3):
        return _only(call, "GET", history.history)
    if len(path) == 2:
        name, use_case = _INSTANCE_LEVEL.get(method, ("", read.read))
        if not name or name not in offered(path[0]):
            raise _not_allowed(call, allow_instance(path[0]))
        return _noting(use_case)
    if len(path) == 4 and path[2] == "_history":
        return _only(call, "GET", _noting(read.vread))
    if len(path) == 3:
        return _only(call, "GET", compartment.search)
    if len(path) == 4 and path[3] == "_search":
        return _only(call, "POST", compartment.search)
    raise NotFound("Nothing is served at this URL.", code="not-supported")


def _noting(use_case: UseCase) -> UseCase:
    """Return a use case that takes no parameters but those of representation, and says which others it was given."""

    def run(call: Call, services: Services) -> Answer:
        told = unapplied.headers(call, unapplied.REPRESENTATION)
        answer = use_case(call, services)
        return replace(answer, headers=(*answer.headers, *told)) if told else answer

    return run


def _only(call: Call, method: str, use_case: UseCase) -> UseCase:
    if call.method != method:
        raise _not_allowed(call, f"{method}, HEAD, OPTIONS" if method == "GET" else f"{method}, OPTIONS")
    return use_case


def _not_allowed(call: Call, allow: str) -> MethodNotAllowed:
    return MethodNotAllowed(f"{call.method} is not offered here; see Allow.", headers={"Allow": allow})
