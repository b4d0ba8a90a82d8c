"""Access, met twice on the corridor: before the store (a search becomes narrower) and at the door (each resource).

The decisions are pure and live in access/; here they meet what is stored. A denied instance that the caller must not
know of looks exactly like one that never existed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from fhir_dmp.access.consent import Reading
from fhir_dmp.access.consent_rules import may_read_consent
from fhir_dmp.access.decide import enter, gate
from fhir_dmp.access.decision import Decision, Effect, Op
from fhir_dmp.access.facts import Dossier
from fhir_dmp.access.masking import mask_references
from fhir_dmp.access.refusal import refusal
from fhir_dmp.access.restrict import restrict
from fhir_dmp.access.types import Kind, gate_search, of_record, restrict_consents, type_access
from fhir_dmp.access.visibility import visible
from fhir_dmp.errors import BadRequest, Forbidden, Issue, NotFound
from fhir_dmp.fhir.resource import dump, parse_stored
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.interactions import gather, showing
from fhir_dmp.interactions.creators import creator_term
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.query import Everything, Ids, Node, Nothing, Query, Term, both, either


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


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a search the caller may see. patients: `Patient/id` searched, for the audit.

    count_all: totals are given without being asked (document searches). show: each body as the caller may see it,
    None when it must not appear.
    """

    node: Node = field(default_factory=Everything)
    patients: tuple[str, ...] = ()
    count_all: bool = False
    issues: tuple[Issue, ...] = ()
    show: Callable[[Version], bytes | None] = _as_stored

    def release(self, versions: Iterable[Version]) -> list[tuple[Version, bytes]]:
        """Return the versions that the caller may see, with their bodies; decided once more, one by one."""
        shown = ((version, self.show(version)) for version in versions)
        return [(version, body) for version, body in shown if body is not None]


def need(caller: Caller, letters: str, type_: str, services: Services) -> None:
    """Check the token's scopes and the caller's category (block A).

    Raises:
        Forbidden: naming what is missing.
    """
    refused = gate(caller, letters, type_, services.access)
    if refused is not None:
        raise refusal(refused, services.canonical)


def patient_of(call: Call) -> str | None:
    """Return the patient that a refused call was about, as far as its path and token tell."""
    if len(call.path) > 1 and call.path[0] == "Patient" and not call.path[1].startswith(("$", "_")):
        return f"Patient/{call.path[1]}"
    return f"Patient/{call.caller.patient}" if call.caller.patient else None


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
        raise refusal(decision, services.canonical)
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
    if version.type not in ("Binary", "Bundle"):
        return ()
    return tuple(_reference(document) for document in gather.documents_of_content(version.type, version.id, services))


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
    return Allowed(patient=patient, show=showing.patient if version.type == "Patient" else _as_stored)


def _read_document(call: Call, version: Version, services: Services) -> Allowed:
    if version.type == "DocumentReference":
        _see_document(call, version, Op.READ, services)
        return Allowed(patient=version.patient)
    if version.type == "List":
        return _read_list(call, version, services)
    return _read_content(call, version, services)


def _see_document(call: Call, version: Version, op: Op, services: Services) -> None:
    """Decide on one document, by its current labels."""
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
        raise refusal(verdict, services.canonical)


def _last(version: Version, services: Services) -> Version:
    """Return the last content of a deleted resource, by which its deletion is judged."""
    return services.store.read_version(version.key, version.version - 1) or replace(version, body=b"{}")


def _read_content(call: Call, version: Version, services: Services) -> Allowed:
    """A content has the right of a document that points to it; before that, its creator reads it, and whoever may read
    the resource that it names as its security context.
    """
    documents = gather.documents_of_content(version.type, version.id, services)
    if not documents:
        return Allowed() if is_creator(call.caller, version, services) else _read_by_context(call, version, services)
    refused: Exception | None = None
    for document in documents:
        try:
            _see_document(call, document, Op.RETRIEVE, services)
        except (Forbidden, NotFound) as error:
            refused = refused or error
            continue
        return Allowed(patient=document.patient, content_of=(_reference(document),))
    assert refused is not None
    raise refused


def is_creator(caller: Caller, version: Version, services: Services) -> bool:
    """Say whether the caller made this Binary or Bundle."""
    return bool(services.store.find(version.type, both(Ids((version.id,)), Term(creator_term(caller))), 1))


def _read_by_context(call: Call, version: Version, services: Services) -> Allowed:
    """A Binary with a securityContext is read by whoever may read that resource (fhir-rest 11)."""
    body = parse_stored((version if version.body else _last(version, services)).body)
    type_, _, id_ = str(body.get("securityContext", {}).get("reference", "")).partition("/")
    context = services.store.read(Key(type_, id_)) if type_ not in ("", "Binary", "Bundle") else None
    if context is None or context.deleted:
        raise absent(version)
    try:
        allowed = to_read(call, context, "read", services)
    except (Forbidden, NotFound):
        raise absent(version) from None
    return Allowed(patient=allowed.patient)


def _read_list(call: Call, version: Version, services: Services) -> Allowed:
    if version.patient is None:
        raise absent(version)
    entered(call.caller, Op.READ, version.patient, services)
    return Allowed(patient=version.patient, show=lambda each: _masked(call, each, services))


def _masked(call: Call, version: Version, services: Services) -> bytes:
    """Return a List whose references to documents hidden from the caller are replaced."""
    body = parse_stored(version.body)
    names = [entry.get("item", {}).get("reference", "") for entry in body.get("entry", ()) if isinstance(entry, dict)]
    keys = [Key("DocumentReference", name[18:]) for name in names if name.startswith("DocumentReference/")]
    held = services.store.read_many(keys)
    hidden = {str(key) for key in keys if key not in held or shown_in_search(call, held[key], services) is None}
    return dump(mask_references(body, hidden)) if hidden else version.body


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


# --- searches --------------------------------------------------------------------------------------------------------


def shown_in_search(call: Call, version: Version, services: Services) -> bytes | None:
    """Return the body of an included or listed resource as the caller may see it, None when it must not appear."""
    if not call.caller.may("r", version.type) and not call.caller.is_admin:
        return None
    if call.caller.is_admin:
        return version.body
    if version.type == "DocumentReference" and version.patient is not None:
        return version.body if _shown(call, version, Op.SEARCH, services) else None
    try:
        return _READERS[type_access(version.type).kind](call, version, services).show(version)
    except (Forbidden, NotFound):
        return None


def may_know(caller: Caller, version: Version, op: Op, services: Services) -> bool:
    """Say whether a document exists for the caller, who wants to do `op` with it."""
    if version.patient is None:
        return False
    facts = gather.facts_of(version.patient, services)
    decision = enter(caller, op, facts, services.access, documents=True)
    document = services.seen.of(version)
    verdict = visible(caller, decision, document, facts, services.access, services.matrix)
    return verdict.effect is not Effect.FILTER


def _shown(call: Call, version: Version, op: Op, services: Services, *, deleted_asked: bool = False) -> bool:
    assert version.patient is not None
    facts = gather.facts_of(version.patient, services)
    decision = enter(call.caller, op, facts, services.access, documents=True)
    document = services.seen.of(version)
    return (
        decision.permitted
        and visible(
            call.caller, decision, document, facts, services.access, services.matrix, deleted_asked=deleted_asked
        ).permitted
    )


def to_search(
    call: Call,
    query: Query,
    type_: str,
    services: Services,
    *,
    compartment: str | None = None,
    conditional: bool = False,
) -> Scope:
    """Decide on a search of a type (`*` for several): which narrower query the caller may run.

    Raises:
        BadRequest: a document search without patient. Forbidden: the record is shut, and the caller may know why.
    """
    for each in query.types if type_ == "*" else (type_,):
        need(call.caller, "s", each, services)
    if call.caller.is_admin:
        patients = searched(query, compartment, services)
        return Scope(patients=tuple(patients), count_all=type_ in ("DocumentReference", "List"))
    kinds = {type_access(each).kind for each in (query.types if type_ == "*" else (type_,))}
    if kinds <= {Kind.DIRECTORY, Kind.CONFORMANCE}:
        return Scope()
    if compartment is None:
        _gate(call, query, type_, services)
    if type_ == "Patient":
        return _search_patients(call, query, services)
    return _search_record(call, query, type_, services, compartment=compartment)


def _gate(call: Call, query: Query, type_: str, services: Services) -> None:
    """Refuse a search that is not limited to a patient (A4)."""
    for each in query.types if type_ == "*" else (type_,):
        refused = gate_search(call.caller, each, query.patients, [name for name, _ in query.applied])
        if refused is not None and refused.status == 400:
            raise BadRequest(
                "Name the patient: patient=Patient/[id] or patient.identifier=[system]|[INS].",
                code="required",
                expression="identifier" if each == "Patient" else "patient",
            )
        if refused is not None:
            raise refusal(refused, services.canonical)


def searched(query: Query, compartment: str | None, services: Services) -> dict[str, None]:
    """Return the patients (`Patient/id`) that a search is limited to; unknown identifiers give none."""
    found: dict[str, None] = {}
    if compartment is not None and compartment.startswith("Patient/"):
        found[compartment] = None
    for criterion in query.patients:
        found.update(dict.fromkeys(criterion.references))
        for system, value in criterion.identifiers:
            id_ = gather.patient_by_identifier(system, value, services)
            if id_ is not None:
                found[f"Patient/{id_}"] = None
    return found


def _search_record(call: Call, query: Query, type_: str, services: Services, *, compartment: str | None) -> Scope:
    if compartment is not None and not compartment.startswith("Patient/"):
        raise Forbidden("Only the compartments of patients may be searched.")
    patients = tuple(searched(query, compartment, services)) or _own_record(call.caller, query)
    if not patients:
        return Scope(node=_named_in_consents(call, query, type_), count_all=True)
    nodes: list[Node] = []
    own = type_ == "DocumentReference" and "identifier" in query.filters
    limited = False
    for patient in patients:
        node, narrowed = _record_node(call, patient, type_, own, query, services)
        limited = limited or narrowed
        nodes.append(node)
    return Scope(
        node=either(*nodes),
        patients=patients,
        count_all=type_ in ("DocumentReference", "List"),
        show=_shower(call, type_, query, limited, services),
    )


def _own_record(caller: Caller, query: Query) -> tuple[str, ...]:
    """A patient who names nobody searches the own record."""
    if query.patients or caller.actor is not Actor.PATIENT or caller.patient is None:
        return ()
    return (f"Patient/{caller.patient}",)


def _named_in_consents(call: Call, query: Query, type_: str) -> Node:
    """A professional may list the Consents that name him, whatever the record (TD0.4)."""
    return restrict_consents(call.caller, None) if type_ == "Consent" and not query.patients else Nothing()


def _record_node(
    call: Call, patient: str, type_: str, own: bool, query: Query, services: Services
) -> tuple[Node, bool]:
    """Return the filter for one patient's record, and whether only own deposits' metadata may be shown."""
    facts = gather.facts_of(patient, services)
    if facts.dossier is Dossier.NONE and not _is_self(call.caller, patient):
        return Nothing(), False
    if type_ == "Consent" and call.caller.actor is Actor.PROFESSIONAL:
        return both(of_record("Consent", patient), restrict_consents(call.caller, patient)), False
    documents = type_ == "DocumentReference"
    decision = enter(call.caller, Op.SEARCH, facts, services.access, documents=documents)
    if not decision.permitted and own:
        finding = enter(call.caller, Op.FIND_OWN, facts, services.access, documents=True)
        decision = finding if finding.permitted else decision
    if not decision.permitted:
        raise refusal(decision, services.canonical)
    if documents:
        return restrict(
            call.caller, decision, facts, services.access, services.matrix, deleted_asked=_asks_deleted(query)
        ), decision.metadata_only
    types = query.types if type_ == "*" else (type_,)
    return either(*(of_record(each, patient) for each in types)), False


def _asks_deleted(query: Query) -> bool:
    return any(name == "status" and "entered-in-error" in value for name, value in query.applied)


def _is_self(caller: Caller, patient: str) -> bool:
    return caller.actor is Actor.PATIENT and caller.patient == patient.partition("/")[2]


def _shower(
    call: Call, type_: str, query: Query, limited: bool, services: Services
) -> Callable[[Version], bytes | None]:
    def show(version: Version) -> bytes | None:
        if version.type == "DocumentReference":
            op = Op.FIND_OWN if limited else Op.SEARCH
            if not _shown(call, version, op, services, deleted_asked=_asks_deleted(query)):
                return None
            return showing.deposit(version) if limited else version.body
        return _masked(call, version, services) if version.type == "List" else version.body

    return show


def _search_patients(call: Call, query: Query, services: Services) -> Scope:
    """TD0.2: does the record exist; only by a national identifier, and only records that were opened."""
    caller = call.caller
    patients = tuple(searched(query, None, services)) or _own_record(call.caller, query)
    if any(system is None for criterion in query.patients for system, _ in criterion.identifiers):
        raise BadRequest("The identifier needs its system: [system]|[INS].", code="required", expression="identifier")
    allowed = [each for each in patients if _exists_for(caller, each, services)]
    ids = tuple(each.partition("/")[2] for each in allowed)
    return Scope(
        node=Ids(ids) if ids else Nothing(),
        patients=patients,
        show=lambda version: showing.found_patient(
            version,
            decided(caller, Op.EXIST, f"Patient/{version.id}", services),
            caller,
            gather.facts_of(f"Patient/{version.id}", services),
            services,
        ),
    )


def _exists_for(caller: Caller, patient: str, services: Services) -> bool:
    facts = gather.facts_of(patient, services)
    if facts.dossier is Dossier.NONE and not _is_self(caller, patient):
        return False
    return enter(caller, Op.EXIST, facts, services.access).permitted


def included_node(call: Call, source: str, services: Services) -> Node:
    """Return the filter of a _revinclude: resources of the record being shown, decided again one by one later."""
    return Everything() if call.caller.may("s", source) or call.caller.is_admin else Nothing()


def to_browse_history(call: Call, type_: str | None, services: Services) -> None:
    """Decide on type and system history: administrators, and directories for everybody.

    Raises:
        Forbidden: others.
    """
    if call.caller.is_admin:
        return
    if type_ is None or type_access(type_).kind not in (Kind.DIRECTORY, Kind.CONFORMANCE):
        raise Forbidden("History is read resource by resource; only administrators browse it by type.")
    need(call.caller, "s", type_, services)
