"""Access before the store: a search becomes narrower, so that totals, pages, chains and includes cannot leak.

What leaves is decided once more, one by one, in authorise.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache

from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Op
from fhir_dmp.access.facts import Dossier
from fhir_dmp.access.joins import restrict_joins
from fhir_dmp.access.refusal import refusal
from fhir_dmp.access.restrict import restrict
from fhir_dmp.access.types import Kind, gate_search, of_record, restrict_consents, type_access
from fhir_dmp.errors import BadRequest, Forbidden, Issue, NotFound
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.interactions import gather, patient_search, showing
from fhir_dmp.interactions.authorise import exists_for, is_emptied_for, masked, need, readable
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.joins import JOIN_CAP, too_costly
from fhir_dmp.search.query import AnyTerm, Everything, Ids, Node, Not, Nothing, Query, both, either

_OPEN = frozenset({Kind.DIRECTORY, Kind.CONFORMANCE})


def _as_stored(version: Version) -> bytes:
    return version.body


def _as_asked(node: Node) -> Node:
    return node


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a search the caller may see. patients: `Patient/id` searched, for the audit.

    count_all: totals are given without being asked (document searches). show: each body as the caller may see it,
    None when it must not appear. joins: what was asked, with its chains restricted to what exists for the caller.
    kind: how the audit tells the search, None for the ordinary word of its type.
    """

    node: Node = field(default_factory=Everything)
    patients: tuple[str, ...] = ()
    count_all: bool = False
    issues: tuple[Issue, ...] = ()
    show: Callable[[Version], bytes | None] = _as_stored
    joins: Callable[[Node], Node] = _as_asked
    kind: str | None = None

    def narrowed(self, asked: Node) -> Node:
        """Return what the store may be asked instead of what the caller asked."""
        return both(self.joins(asked), self.node)

    def release(self, versions: Iterable[Version]) -> list[tuple[Version, bytes]]:
        """Return the versions that the caller may see, with their bodies; decided once more, one by one."""
        shown = ((version, self.show(version)) for version in versions)
        return [(version, body) for version, body in shown if body is not None]


def to_search(call: Call, query: Query, type_: str, services: Services, *, compartment: str | None = None) -> Scope:
    """Decide on a search of a type (`*` for several): which narrower query the caller may run.

    Raises:
        BadRequest: a document search without patient. Forbidden: the record is shut, and the caller may know why.
    """
    types = query.types if type_ == "*" else (type_,)
    for each in types:
        need(call.caller, "s", each, services)
    if call.caller.is_admin:
        patients = searched(query, compartment, services)
        return Scope(patients=tuple(patients), count_all=type_ in ("DocumentReference", "List"))
    if compartment is None:
        _gate(call, query, type_, services)
    if {type_access(each).kind for each in types} <= _OPEN:
        scope = Scope()
    elif type_ == "Patient":
        scope = _search_patients(call, query, services)
    else:
        scope = _search_record(call, query, type_, services, compartment=compartment)
    return replace(scope, joins=_joins(call, scope.patients, services))


def _joins(call: Call, patients: tuple[str, ...], services: Services) -> Callable[[Node], Node]:
    """Return what restricts the steps of a query to other resources (TH6)."""

    @cache
    def existing(type_: str) -> Node:
        if type_ == "Patient":
            return Ids(tuple(each.partition("/")[2] for each in patients)) if patients else Nothing()
        if not call.caller.may("s", type_):
            return Nothing()
        if type_access(type_).kind in _OPEN:
            return Everything()
        return either(*(_existing(call, each, type_, services) for each in patients))

    def known(document: str) -> bool:
        version = services.store.read(Key("DocumentReference", document.partition("/")[2]))
        # Any operation that shows it will do: the search itself was let in already.
        ops = (Op.READ, Op.FIND_OWN)
        return version is not None and any(exists_for(call, version, op, services) for op in ops)

    return lambda node: restrict_joins(node, existing, known)


def _existing(call: Call, patient: str, type_: str, services: Services) -> Node:
    try:
        return _record_node(call, patient, type_, _NO_QUERY, services)[0]
    except (Forbidden, NotFound):
        return Nothing()


def existing_without_patient(call: Call, node: Node, services: Services) -> Node:
    """Return the criteria of a conditional request that names no patient; its chains may lead to directories only."""
    return _joins(call, (), services)(node)


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
    limited = False
    for patient in patients:
        node, narrowed = _record_node(call, patient, type_, query, services)
        limited = limited or narrowed
        nodes.append(node)
    return Scope(
        node=either(*nodes),
        patients=patients,
        count_all=type_ in ("DocumentReference", "List"),
        show=_shower(call, query, limited, services),
    )


def _own_record(caller: Caller, query: Query) -> tuple[str, ...]:
    """A patient who names nobody searches the own record."""
    if query.patients or caller.actor is not Actor.PATIENT or caller.patient is None:
        return ()
    return (f"Patient/{caller.patient}",)


def _named_in_consents(call: Call, query: Query, type_: str) -> Node:
    """A professional may list the Consents that name him, whatever the record (TD0.4)."""
    return restrict_consents(call.caller, None) if type_ == "Consent" and not query.patients else Nothing()


def _record_node(call: Call, patient: str, type_: str, query: Query, services: Services) -> tuple[Node, bool]:
    """Return the filter for one patient's record, and whether only own deposits' metadata may be shown."""
    facts = gather.facts_of(patient, services)
    if facts.dossier is Dossier.NONE and not _is_self(call.caller, patient):
        return Nothing(), False
    if type_ == "Consent" and call.caller.actor is Actor.PROFESSIONAL:
        return both(of_record("Consent", patient), restrict_consents(call.caller, patient)), False
    documents = type_ == "DocumentReference"
    decision = enter(call.caller, Op.SEARCH, facts, services.access, documents=documents)
    if not decision.permitted and documents and "identifier" in query.filters:
        finding = enter(call.caller, Op.FIND_OWN, facts, services.access, documents=True)
        decision = finding if finding.permitted else decision
    if not decision.permitted:
        raise refusal(decision, services.canonical)
    if documents:
        deleted = _asks_deleted(query)
        node = restrict(call.caller, decision, facts, services.access, services.matrix, deleted_asked=deleted)
        return node, decision.metadata_only
    types = query.types if type_ == "*" else (type_,)
    record = either(*(of_record(each, patient) for each in types))
    concealed = _concealed(call, patient, types, services)
    return both(record, Not(Ids(concealed))) if concealed else record, False


def _concealed(call: Call, patient: str, types: tuple[str, ...], services: Services) -> tuple[str, ...]:
    """Return the ids of this record that do not exist for the caller, of types whose node cannot say so itself.

    Documents and Consents when several types are searched at once; lists that hold nothing but hidden documents.
    """
    found: list[str] = []
    for type_, deleted_asked in (("DocumentReference", False), ("Consent", False)):
        if type_ in types:
            found += _hidden(call, patient, type_, services, deleted_asked=deleted_asked)
    if "List" in types:
        found += _emptied(call, patient, services)
    return tuple(found)


def _hidden(call: Call, patient: str, type_: str, services: Services, *, deleted_asked: bool) -> list[str]:
    facts = gather.facts_of(patient, services)
    if type_ == "Consent":
        shown = restrict_consents(call.caller, patient)
    else:
        decision = enter(call.caller, Op.SEARCH, facts, services.access, documents=True)
        shown = restrict(call.caller, decision, facts, services.access, services.matrix, deleted_asked=deleted_asked)
    return _found(type_, both(of_record(type_, patient), Not(shown)), services)


def _emptied(call: Call, patient: str, services: Services) -> list[str]:
    """Return the lists that hold nothing but hidden documents. A deleted one is no secret to those who may read it."""
    hidden = _hidden(call, patient, "DocumentReference", services, deleted_asked=True)
    if not hidden:
        return []
    holding = _found("List", AnyTerm(tuple(f"item=r:DocumentReference/{id_}" for id_ in hidden)), services)
    lists = services.store.read_many([Key("List", id_) for id_ in holding])
    return [version.id for version in lists.values() if is_emptied_for(call, version, services)]


def _found(type_: str, node: Node, services: Services) -> list[str]:
    ids = services.store.find(type_, node, JOIN_CAP + 1)
    if len(ids) > JOIN_CAP:
        raise too_costly(type_, JOIN_CAP)
    return ids


def _asks_deleted(query: Query) -> bool:
    return any(name == "status" and "entered-in-error" in value for name, value in query.applied)


#: Stands for a search that only joins to this type.
_NO_QUERY = Query(types=(), node=Everything())


def _is_self(caller: Caller, patient: str) -> bool:
    return caller.actor is Actor.PATIENT and caller.patient == patient.partition("/")[2]


def _shower(call: Call, query: Query, limited: bool, services: Services) -> Callable[[Version], bytes | None]:
    def show(version: Version) -> bytes | None:
        if version.type != "DocumentReference":
            return readable(call, version, services)
        op = Op.FIND_OWN if limited else Op.SEARCH
        if not exists_for(call, version, op, services, deleted_asked=_asks_deleted(query)):
            return None
        body = masked(call, version, services, op if limited else Op.READ)
        return showing.deposit(body) if limited else body

    return show


def _search_patients(call: Call, query: Query, services: Services) -> Scope:
    """TD0.2 and TD0.5: does the record exist, and how does the caller stand to it."""
    found = patient_search.find_patients(call, query, services)

    def show(version: Version) -> bytes | None:
        facts = gather.facts_of(f"Patient/{version.id}", services)
        decision = enter(call.caller, Op.EXIST, facts, services.access)
        return showing.found_patient(version, decision, call.caller, facts, services)

    node = Ids(found.ids) if found.ids else Nothing()
    return Scope(node, found.patients, count_all=True, issues=found.issues, show=show, kind=found.kind)


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
