"""Access at the door: each resource that leaves is decided here. How searches become narrower: scoping.py.

The decisions are pure and live in access/; here they meet what is stored. A denied instance that the caller must not
know of looks exactly like one that never existed, and so does a reference to it (masks.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fhir_dmp.access.decide import gate
from fhir_dmp.access.decision import Decision, Op, Verdict
from fhir_dmp.access.parties import local
from fhir_dmp.access.refusal import hidden, refusal
from fhir_dmp.access.types import Kind, type_access
from fhir_dmp.documents.derived import LINK, derived_from
from fhir_dmp.errors import Forbidden, Gone, NotFound
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.interactions import gather, granular, known
from fhir_dmp.interactions.creators import creator_term
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.query import Ids, Term, both

Pairs = tuple[tuple[str, str], ...]

#: Warnings that professionals are shown with a document (F11), in the header X-DMP-Warning: a closed list.
WARNINGS = ("hidden-from-patient", "hidden-from-representatives", "masked")
_INSUFFICIENT = 'Bearer realm="dmp", error="insufficient_scope"'
#: So much of the SHA-256 of the matrix tells its versions apart in the trail.
_VERSION_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Allowed:
    """A permitted read. patient: `Patient/id` it is about. content_of: documents that a content belongs to.

    warnings: what a professional is told beside the document. details: on what ground, for the audit.
    """

    patient: str | None = None
    content_of: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    details: Pairs = ()

    @property
    def headers(self) -> Pairs:
        """The warnings as a header of the answer."""
        return (("X-DMP-Warning", ", ".join(self.warnings)),) if self.warnings else ()


def need(caller: Caller, letters: str, type_: str, services: Services) -> None:
    """Check the token's scopes and the caller's category (block A).

    Raises:
        Forbidden: naming what is missing.
    """
    refused = gate(caller, letters, type_, services.access)
    if refused is None:
        return
    error = refusal(refused, services.canonical, type_)
    if refused.reason == "scope":
        context = caller.scopes[0].context if caller.scopes else "user"
        error.headers = {"WWW-Authenticate": f'{_INSUFFICIENT}, scope="{context}/{type_}.{letters}"'}
    raise error


def need_read(caller: Caller, key: Key, services: Services) -> None:
    """Check that the scopes cover reading a resource; who is its own fhirUser reads that one without.

    Raises:
        Forbidden: naming what is missing.
    """
    need(caller, "" if caller.is_self(key.type, key.id) else "r", key.type, services)


def may_read(caller: Caller, version: Version, services: Services) -> bool:
    """Say whether the constraints of the scopes, if they have any, cover reading this version."""
    return caller.is_self(version.type, version.id) or granular.covers(caller, "r", version, services)


def decided(caller: Caller, op: Op, patient: str, services: Services, *, documents: bool = False) -> Decision:
    """Decide on entering the record of `Patient/id`."""
    return gather.decided(caller, op, patient, services, documents=documents)[0]


def entered(
    caller: Caller, op: Op, patient: str, services: Services, *, documents: bool = False, type_: str = "Patient"
) -> Decision:
    """Enter a record for the sake of a resource of this type, or raise the refusal."""
    decision = decided(caller, op, patient, services, documents=documents)
    if not decision.permitted:
        raise refusal(decision, services.canonical, type_)
    return decision


def grounds(caller: Caller, decision: Decision, services: Services, verdict: Verdict | None = None) -> Pairs:
    """Return on what ground a professional was let in, as the audit keeps it: rows, consents, version of the matrix."""
    if caller.actor is not Actor.PROFESSIONAL:
        return ()
    row = decision.row if verdict is None else f"{decision.row} {verdict.row}"
    found = [("decision", row), ("matrix", services.matrix.version[:_VERSION_DIGITS])]
    if decision.consent_ids:
        found.append(("consent", " ".join(decision.consent_ids)))
    return tuple(found)


# --- instances -------------------------------------------------------------------------------------------------------


def to_read(call: Call, version: Version, services: Services) -> Allowed:
    """Decide on reading a resource, by its current version.

    Raises:
        Forbidden: the caller may know why not. NotFound: the caller must not know that it exists.
    """
    need_read(call.caller, version.key, services)
    if not may_read(call.caller, version, services):
        raise hidden(version.type)
    if call.caller.is_admin:
        return Allowed(patient=_patient(version), content_of=_contents(version, services))
    return to_see(call, version, services)


def to_see(call: Call, version: Version, services: Services) -> Allowed:
    """Check that the caller may know of this resource at all, for example before a change of it is judged.

    Raises:
        NotFound or Forbidden.
    """
    if call.caller.is_admin:
        return Allowed(patient=_patient(version))
    return _seen(call.caller, version, services)


def to_change(call: Call, version: Version, services: Services) -> None:
    """Check that the caller may know of this resource, before a change of it is judged.

    Authors and institutions change what they deposited, whether or not they may read the record.

    Raises:
        NotFound, Forbidden, or Unprocessable: the dossier is closed.
    """
    if source_of(version, services) is not None:
        to_see(call, version, services)
        raise Forbidden("This resource was derived from a document and changes with it alone.", code="business-rule")
    if version.type == "DocumentReference" and call.caller.actor not in (Actor.ADMIN, Actor.DELEGATE):
        _see_document(call.caller, version, Op.UPDATE_LABEL, services)
    else:
        to_see(call, version, services)


def _seen(caller: Caller, version: Version, services: Services) -> Allowed:
    return _READERS[type_access(version.type).kind](caller, version, services)


def _patient(version: Version) -> str | None:
    return f"Patient/{version.id}" if version.type == "Patient" else version.patient


def _contents(version: Version, services: Services) -> tuple[str, ...]:
    if version.type not in ("Binary", "Bundle"):
        return ()
    return tuple(reference(document) for document in gather.documents_of_content(version.type, version.id, services))


def reference(version: Version) -> str:
    """Return the reference of one version, as the audit names it."""
    return f"{version.type}/{version.id}/_history/{version.version}"


def _read_open(caller: Caller, version: Version, services: Services) -> Allowed:
    return Allowed(patient=version.patient)


def _read_admin(caller: Caller, version: Version, services: Services) -> Allowed:
    raise Forbidden("This resource type is for administrators only.")


def _read_in_record(caller: Caller, version: Version, services: Services) -> Allowed:
    patient = _patient(version)
    if patient is None:
        raise hidden(version.type)
    decision = entered(caller, Op.READ, patient, services, type_=version.type)
    _see_source(caller, version, services)
    return Allowed(patient=patient, details=grounds(caller, decision, services))


def _see_source(caller: Caller, version: Version, services: Services) -> None:
    """A resource that was derived from a document is hidden with it."""
    source = source_of(version, services)
    if source is None:
        return
    document = services.store.read(Key("DocumentReference", source.partition("/")[2]))
    if document is None:
        raise hidden(version.type)
    try:
        _see_document(caller, document, Op.READ, services)
    except (Forbidden, NotFound, Gone):
        raise hidden(version.type) from None


def source_of(version: Version, services: Services) -> str | None:
    """Return the document (`DocumentReference/id`) that a resource was derived from, None for any other resource."""
    judged = version if version.body else gather.last_content(version, services)
    if LINK.encode() not in judged.body:
        return None
    return derived_from(parse_stored(judged.body))


def _read_document(caller: Caller, version: Version, services: Services) -> Allowed:
    if version.type == "DocumentReference":
        return _see_document(caller, version, Op.READ, services)
    if version.type == "List":
        return _read_list(caller, version, services)
    return _read_content(caller, version, services)


def _see_document(caller: Caller, version: Version, op: Op, services: Services) -> Allowed:
    """Decide on one document, by its current labels."""
    if version.patient is None:
        raise hidden(version.type)
    judged = version if version.body else gather.last_content(version, services)
    decision, facts = gather.decided(caller, op, version.patient, services, documents=True)
    document = services.seen.of(judged)
    verdict = services.entries.visible(caller, decision, document, facts, services.access, services.matrix)
    if not verdict.permitted:
        raise refusal(verdict, services.canonical, version.type)
    warnings = tuple(each for each in WARNINGS if each in verdict.warnings)
    return Allowed(version.patient, warnings=warnings, details=grounds(caller, decision, services, verdict))


def _read_content(caller: Caller, version: Version, services: Services) -> Allowed:
    """A content has the right of a document that points to it; before that, its creator reads it, and whoever may read
    the resource that it names as its security context.
    """
    documents = gather.documents_of_content(version.type, version.id, services)
    if not documents:
        return Allowed() if is_creator(caller, version, services) else _read_by_context(caller, version, services)
    refused: Forbidden | NotFound | Gone | None = None
    for document in documents:
        try:
            allowed = _see_document(caller, document, Op.RETRIEVE, services)
        except (Forbidden, NotFound, Gone) as error:
            # What one document gives a reason for is said; what another one hides is not.
            refused = error if refused is None or isinstance(refused, NotFound) else refused
            continue
        return replace(allowed, content_of=(reference(document),))
    if refused is None or isinstance(refused, NotFound):
        raise hidden(version.type)
    raise refused


def is_creator(caller: Caller, version: Version, services: Services) -> bool:
    """Say whether the caller made this Binary or Bundle."""
    return bool(services.store.find(version.type, both(Ids((version.id,)), Term(creator_term(caller))), 1))


def _read_by_context(caller: Caller, version: Version, services: Services) -> Allowed:
    """A Binary with a securityContext is read by whoever may read that resource (fhir-rest 11)."""
    body = parse_stored((version if version.body else gather.last_content(version, services)).body)
    type_, _, id_ = (local(body.get("securityContext")) or "").partition("/")
    context = services.store.read(Key(type_, id_)) if type_ not in ("", "Binary", "Bundle") else None
    if context is None or context.deleted:
        raise hidden(version.type)
    need(caller, "r", context.type, services)
    try:
        return replace(_seen(caller, context, services), warnings=())
    except (Forbidden, NotFound, Gone):
        raise hidden(version.type) from None


def _read_list(caller: Caller, version: Version, services: Services) -> Allowed:
    if version.patient is None:
        raise hidden(version.type)
    decision = entered(caller, Op.READ, version.patient, services, type_=version.type)
    if version.body and known.is_emptied_for(caller, version, services):
        raise hidden(version.type)
    return Allowed(patient=version.patient, details=grounds(caller, decision, services))


def _read_consent(caller: Caller, version: Version, services: Services) -> Allowed:
    """A Consent is read by its patient, and by those whom it names; a professional needs no entry for that."""
    if version.patient is None or not gather.may_read(caller, version, services):
        raise hidden(version.type)
    return Allowed(patient=version.patient)


_READERS: dict[Kind, Callable[[Caller, Version, Services], Allowed]] = {
    Kind.DIRECTORY: _read_open,
    Kind.CONFORMANCE: _read_open,
    Kind.PATIENT: _read_in_record,
    Kind.DOCUMENT: _read_document,
    Kind.CONSENT: _read_consent,
    Kind.AUDIT: _read_admin,
    Kind.ADMIN: _read_admin,
}


def readable(caller: Caller, version: Version, services: Services) -> bool:
    """Say whether the caller may see a resource."""
    if caller.is_admin:
        return True
    try:
        _seen(caller, version, services)
    except (Forbidden, NotFound, Gone):
        return False
    return True


def is_known(call: Call, version: Version, services: Services) -> bool:
    """Say whether the caller may know of a resource, be it to learn that it is not to be touched."""
    if call.caller.is_admin:
        return True
    if version.type == "DocumentReference":
        return known.may_know(call.caller, version, Op.READ, services)
    return readable(call.caller, version, services)
