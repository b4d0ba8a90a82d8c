"""Access at the door: each resource that leaves is decided here. How searches become narrower: scoping.py.

The decisions are pure and live in access/; here they meet what is stored. A denied instance that the caller must not
know of looks exactly like one that never existed, and so does a reference to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fhir_dmp.access.consent import Reading
from fhir_dmp.access.consent_rules import may_read_consent
from fhir_dmp.access.decide import enter, gate
from fhir_dmp.access.decision import Decision, Effect, Op, Verdict
from fhir_dmp.access.masking import is_emptied, mask_references, references_to_check
from fhir_dmp.access.refusal import refusal
from fhir_dmp.access.types import Kind, type_access
from fhir_dmp.access.visibility import visible
from fhir_dmp.errors import DmpError, Forbidden, Gone, NotFound
from fhir_dmp.fhir.resource import Json, dump, is_id, parse_stored
from fhir_dmp.identity.caller import Caller
from fhir_dmp.interactions import gather
from fhir_dmp.interactions.creators import creator_term
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.query import Ids, Term, both

#: A body without it refers to no document and needs no look.
_DOCUMENT_LINK = b'"DocumentReference/'


def _as_stored(version: Version) -> bytes:
    return version.body


@dataclass(frozen=True, slots=True)
class Allowed:
    """A permitted read. patient: `Patient/id` it is about. content_of: documents that a content belongs to.

    show: the body as this caller may see it.
    """

    patient: str | None = None
    content_of: tuple[str, ...] = ()
    show: Callable[[Version], bytes] = _as_stored


def need(caller: Caller, letters: str, type_: str, services: Services) -> None:
    """Check the token's scopes and the caller's category (block A).

    Raises:
        Forbidden: naming what is missing.
    """
    refused = gate(caller, letters, type_, services.access)
    if refused is not None:
        raise refusal(refused, services.canonical)


def patient_of(call: Call, services: Services) -> str | None:
    """Return the patient that a refused call was about, as far as its path and token tell."""
    path = call.path
    if len(path) > 1 and services.structures.is_resource(path[0]) and is_id(path[1]):
        version = services.store.read(Key(path[0], path[1]))
        if version is not None:
            return _patient(version) or next((each.patient for each in _documents(version, services)), None)
    return f"Patient/{call.caller.patient}" if call.caller.patient else None


def refused(decision: Decision | Verdict, patient: str | None, services: Services, type_: str = "resource") -> DmpError:
    """Return the refusal; it knows, for the audit trail, whose record it is about."""
    error = refusal(decision, services.canonical, type_)
    error.patient = patient
    return error


def absent(version: Version) -> NotFound:
    """Return the answer for what the caller must not know of."""
    return NotFound(f"There is no {version.type} with this id.")


def decided(caller: Caller, op: Op, patient: str, services: Services, *, documents: bool = False) -> Decision:
    """Decide on entering the record of `Patient/id`."""
    return enter(caller, op, gather.facts_of(patient, services), services.access, documents=documents)


def entered(caller: Caller, op: Op, patient: str, services: Services, *, documents: bool = False) -> Decision:
    """Enter a record, or raise the refusal."""
    decision = decided(caller, op, patient, services, documents=documents)
    if not decision.permitted:
        raise refused(decision, patient, services)
    return decision


# --- instances -------------------------------------------------------------------------------------------------------


def to_read(call: Call, version: Version, kind: str, services: Services) -> Allowed:
    """Decide on reading one version (read, vread, history).

    Raises:
        Forbidden: the caller may know why not. NotFound: the caller must not know that it exists.
    """
    need(call.caller, "r", version.type, services)
    patient = _patient(version)
    if call.caller.is_admin:
        return Allowed(patient=patient, content_of=_contents(version, services))
    return _READERS[type_access(version.type).kind](call, version, services)


def to_see(call: Call, version: Version, services: Services) -> None:
    """Check that the caller may know of this resource at all, before a change of it is judged.

    Raises:
        NotFound or Forbidden.
    """
    if not call.caller.is_admin:
        _READERS[type_access(version.type).kind](call, version, services)


def _patient(version: Version) -> str | None:
    return f"Patient/{version.id}" if version.type == "Patient" else version.patient


def _contents(version: Version, services: Services) -> tuple[str, ...]:
    return tuple(map(_reference, _documents(version, services)))


def _documents(version: Version, services: Services) -> list[Version]:
    """Return the documents that a content belongs to, none for anything else."""
    if version.type not in ("Binary", "Bundle"):
        return []
    return gather.documents_of_content(version.type, version.id, services)


def _reference(version: Version) -> str:
    return f"{version.type}/{version.id}/_history/{version.version}"


def _read_open(call: Call, version: Version, services: Services) -> Allowed:
    return Allowed(patient=version.patient)


def _read_admin(call: Call, version: Version, services: Services) -> Allowed:
    raise Forbidden("This resource type is for administrators only.")


def _read_in_record(call: Call, version: Version, services: Services) -> Allowed:
    patient = _patient(version)
    if patient is None:
        raise absent(version)
    entered(call.caller, Op.READ, patient, services)
    return Allowed(patient=patient, show=_masker(call, services))


def _read_document(call: Call, version: Version, services: Services) -> Allowed:
    if version.type == "DocumentReference":
        _see_document(call, version, Op.READ, services, asked=version.type)
        return Allowed(patient=version.patient, show=_masker(call, services))
    if version.type == "List":
        return _read_list(call, version, services)
    return _read_content(call, version, services)


def _see_document(call: Call, version: Version, op: Op, services: Services, *, asked: str) -> None:
    """Decide on one document, by its current labels. asked: the type that the caller wants, a content or itself."""
    if version.patient is None:
        raise absent(version)
    judged = version if version.body else _last(version, services)
    decision = entered(call.caller, op, version.patient, services, documents=True)
    verdict = visible(
        call.caller,
        decision,
        services.seen.of(judged),
        gather.facts_of(version.patient, services),
        services.access,
        services.matrix,
    )
    if not verdict.permitted:
        raise refused(verdict, version.patient, services, asked)


def _last(version: Version, services: Services) -> Version:
    """Return the last content of a deleted resource, by which its deletion is judged."""
    return services.store.read_version(version.key, version.version - 1) or replace(version, body=b"{}")


def _read_content(call: Call, version: Version, services: Services) -> Allowed:
    """A content has the right of a document that points to it; before that, only its creator reads it."""
    documents = _documents(version, services)
    if not documents:
        if services.store.find(version.type, both(Ids((version.id,)), Term(creator_term(call.caller))), 1):
            return Allowed()
        raise absent(version)
    refused: Exception | None = None
    for document in documents:
        try:
            _see_document(call, document, Op.RETRIEVE, services, asked=version.type)
        except (Forbidden, NotFound) as error:
            refused = refused or error
            continue
        return Allowed(patient=document.patient, content_of=(_reference(document),))
    assert refused is not None
    raise refused


def _read_list(call: Call, version: Version, services: Services) -> Allowed:
    if version.patient is None:
        raise absent(version)
    entered(call.caller, Op.READ, version.patient, services)
    if version.body and is_emptied_for(call, version, services):
        raise absent(version)
    return Allowed(patient=version.patient, show=_masker(call, services))


def _masker(call: Call, services: Services) -> Callable[[Version], bytes]:
    return lambda version: masked(call, version, services)


def masked(call: Call, version: Version, services: Services, op: Op = Op.READ) -> bytes:
    """Return the body in which references to documents that do not exist for the caller are replaced."""
    if call.caller.is_admin or _DOCUMENT_LINK not in version.body:
        return version.body
    resource = parse_stored(version.body)
    hidden = _hidden_in(call, resource, op, services)
    return dump(mask_references(resource, hidden)) if hidden else version.body


def is_emptied_for(call: Call, version: Version, services: Services) -> bool:
    """Say whether a list holds nothing but hidden documents: its title or date would tell of them."""
    if call.caller.is_admin or _DOCUMENT_LINK not in version.body:
        return False
    resource = parse_stored(version.body)
    return is_emptied(resource, _hidden_in(call, resource, Op.READ, services))


def _hidden_in(call: Call, resource: Json, op: Op, services: Services) -> set[str]:
    """Return the documents that a resource refers to and that do not exist for the caller."""
    names = [name for name in references_to_check(resource) if name.startswith("DocumentReference/")]
    held = services.store.read_many([Key("DocumentReference", name.partition("/")[2]) for name in names])
    shown = {str(key) for key, version in held.items() if exists_for(call, version, op, services)}
    return set(names) - shown


def _read_consent(call: Call, version: Version, services: Services) -> Allowed:
    """A Consent is read by its patient, and by those whom it names; a professional needs no entry for that."""
    if version.patient is None:
        raise absent(version)
    consent = parse_stored((version if version.body else _last(version, services)).body)
    reading = Reading(gather.directory_of([consent], services), services.zone, services.canonical)
    if not may_read_consent(call.caller, consent, reading):
        raise absent(version)
    return Allowed(patient=version.patient)


_READERS: dict[Kind, Callable[[Call, Version, Services], Allowed]] = {
    Kind.DIRECTORY: _read_open,
    Kind.CONFORMANCE: _read_open,
    Kind.PATIENT: _read_in_record,
    Kind.DOCUMENT: _read_document,
    Kind.CONSENT: _read_consent,
    Kind.AUDIT: _read_admin,
    Kind.ADMIN: _read_admin,
}


def shown_in_search(call: Call, version: Version, services: Services) -> bytes | None:
    """Return the body of an included resource as the caller may see it, None when it must not appear."""
    if call.caller.is_admin:
        return version.body
    if not call.caller.may("r", version.type):
        return None
    if version.type == "DocumentReference" and not exists_for(call, version, Op.SEARCH, services):
        return None
    return readable(call, version, services)


def readable(call: Call, version: Version, services: Services) -> bytes | None:
    """Return the body as the caller may see it, None when it must not appear."""
    try:
        return _READERS[type_access(version.type).kind](call, version, services).show(version)
    except (Forbidden, NotFound, Gone):
        return None


def may_know(caller: Caller, version: Version, op: Op, services: Services) -> bool:
    """Say whether a document exists for the caller, who wants to do `op` with it."""
    if version.patient is None:
        return False
    return _judged(caller, version, op, services).effect is not Effect.FILTER


def is_known(call: Call, version: Version, services: Services) -> bool:
    """Say whether the caller may know of a document or list, be it to learn that it is not to be touched."""
    if version.type == "DocumentReference":
        return may_know(call.caller, version, Op.READ, services)
    return readable(call, version, services) is not None


def exists_for(call: Call, version: Version, op: Op, services: Services, *, deleted_asked: bool = False) -> bool:
    """Say whether a document may be shown to the caller."""
    if version.patient is None or version.deleted:
        return False
    return _judged(call.caller, version, op, services, deleted_asked=deleted_asked).permitted


def _judged(caller: Caller, version: Version, op: Op, services: Services, *, deleted_asked: bool = False) -> Verdict:
    assert version.patient is not None
    facts = gather.facts_of(version.patient, services)
    decision = enter(caller, op, facts, services.access, documents=True)
    document = services.seen.of(version)
    return visible(caller, decision, document, facts, services.access, services.matrix, deleted_asked=deleted_asked)
