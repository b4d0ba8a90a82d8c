"""Access before the store: a search becomes narrower, so that totals, pages, chains and includes cannot leak.

What leaves is decided once more, one by one, in authorise.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from fhir_dmp.access.decision import Op
from fhir_dmp.access.joins import joined_types, restrict_joins
from fhir_dmp.access.refusal import refusal
from fhir_dmp.access.types import Kind, gate_search, of_record, restrict_consents, type_access
from fhir_dmp.documents.derived import DERIVED, DERIVED_TYPES
from fhir_dmp.errors import BadRequest, Forbidden, Issue, NotFound
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.interactions import gather, granular, known, masks, patient_search, showing
from fhir_dmp.interactions.authorise import Pairs, decided, grounds, need, readable
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.dossier import Status
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.query import Chain, Everything, Ids, Node, Not, Nothing, Query, Term, both, either

_OPEN = frozenset({Kind.DIRECTORY, Kind.CONFORMANCE})
_COUNTED = ("DocumentReference", "List")
#: What of a type exists for the caller.
Existing = Callable[[str], Node]


def _as_stored(versions: Sequence[Version]) -> list[bytes | None]:
    return [version.body for version in versions]


def _as_asked(node: Node) -> Node:
    return node


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a search the caller may see. patients: `Patient/id` searched, for the audit.

    node: what every match satisfies; each: what those of a type satisfy beside it, when several types are searched.
    count_all: totals are given without being asked (document searches). show: bodies as the caller may see them, None
    for what must not appear. joins: what was asked, with its chains restricted to what exists for the caller.
    grounds: on what ground each record was entered, for the audit; kind: how it tells the search, None for the ordinary
    word of its type. issues: what the caller is told beside what was found.
    """

    node: Node = field(default_factory=Everything)
    each: tuple[tuple[str, Node], ...] = ()
    patients: tuple[str, ...] = ()
    count_all: bool = False
    show: Callable[[Sequence[Version]], list[bytes | None]] = _as_stored
    joins: Callable[[Node], Node] = _as_asked
    grounds: Mapping[str, Pairs] = field(default_factory=dict)
    kind: str | None = None
    issues: tuple[Issue, ...] = ()

    def narrowed(self, asked: Node) -> Node:
        """Return what the store may be asked instead of what the caller asked."""
        return both(self.joins(asked), self.node)

    def release(self, versions: Sequence[Version]) -> list[tuple[Version, bytes]]:
        """Return the versions that the caller may see, with their bodies; decided once more, one by one."""
        shown = zip(versions, self.show(versions), strict=True)
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
        whole = Scope(patients=tuple(patients), count_all=type_ in _COUNTED)
        return _constrained(whole, call.caller, types, services)
    for each in joined_types(query.node, lambda name: name == "Patient" or call.caller.may("s", name)):
        need(call.caller, "s", each, services)
    if compartment is None:
        _gate(call, query, types, services)
    if {type_access(each).kind for each in types} <= _OPEN:
        scope = Scope()
    elif types == ("Patient",):
        scope = _search_patients(call, query, services)
    else:
        scope = _search_record(call, query, types, services, compartment=compartment)
    joining = replace(scope, joins=lambda node: restricted(call.caller, node, scope.patients, services))
    return _constrained(joining, call.caller, types, services)


def _constrained(scope: Scope, caller: Caller, types: Sequence[str], services: Services) -> Scope:
    """Narrow a search to what the constraints of the caller's scopes cover."""
    nodes = {each: granular.covered(caller, "s", each, services) for each in types}
    if all(node == Everything() for node in nodes.values()):
        return scope
    if len(types) == 1:
        return replace(scope, node=both(scope.node, nodes[types[0]]))
    own = dict(scope.each)
    return replace(scope, each=tuple((each, both(own.get(each, Everything()), node)) for each, node in nodes.items()))


# --- joins and includes ----------------------------------------------------------------------------------------------


def existing(caller: Caller, patients: Sequence[str], services: Services) -> Existing:
    """Return the function that says what of a type exists for the caller within these records, and in directories."""

    @cache
    def of(type_: str) -> Node:
        allowed = granular.covered(caller, "s", type_, services)
        return allowed if caller.is_admin else both(allowed, within(type_))

    def within(type_: str) -> Node:
        if type_ == "Patient":
            return Ids(tuple(each.partition("/")[2] for each in patients)) if patients else Nothing()
        if not caller.may("s", type_):
            return Nothing()
        if type_access(type_).kind in _OPEN:
            return Everything()
        return either(*(_within(caller, each, type_, services) for each in patients))

    return of


def _within(caller: Caller, patient: str, type_: str, services: Services) -> Node:
    try:
        return _of_record(caller, patient, type_, _NO_QUERY, services).node
    except (Forbidden, NotFound):
        return Nothing()


def restricted(caller: Caller, node: Node, patients: Sequence[str], services: Services) -> Node:
    """Return the query whose steps to other resources lead to what exists for the caller (TH6).

    patients: the records (`Patient/id`) that steps may lead to.
    """

    def is_known(document: str) -> bool:
        version = services.store.read(Key("DocumentReference", document.partition("/")[2]))
        # Any operation that shows it will do: the search itself was let in already.
        ops = (Op.READ, Op.FIND_OWN)
        return version is not None and any(known.exists_for(caller, version, op, services) for op in ops)

    return restrict_joins(node, existing(caller, patients, services), is_known)


# --- which records ---------------------------------------------------------------------------------------------------


def _gate(call: Call, query: Query, types: Sequence[str], services: Services) -> None:
    """Refuse a search that is not limited to a patient (A4)."""
    for each in types:
        refused = gate_search(call.caller, each, query.patients, [name for name, _ in query.applied])
        if refused is not None and refused.status == 400:
            raise BadRequest(
                "Name the patient: patient=Patient/[id] or patient.identifier=[system]|[INS].",
                code="required",
                expression="identifier" if each == "Patient" else "patient",
            )
        if refused is not None:
            raise refusal(refused, services.canonical, each)


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


def _own_record(caller: Caller, query: Query) -> tuple[str, ...]:
    """A patient who names nobody searches the own record."""
    if query.patients or caller.actor is not Actor.PATIENT or caller.patient is None:
        return ()
    return (f"Patient/{caller.patient}",)


# --- searches of records ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """What of one type in one record the caller may find. limited: only the metadata of own deposits."""

    node: Node
    limited: bool = False
    grounds: Pairs = ()


#: Stands for a search that only joins to a type.
_NO_QUERY = Query(types=(), node=Everything())


def _search_record(
    call: Call, query: Query, types: tuple[str, ...], services: Services, *, compartment: str | None
) -> Scope:
    if compartment is not None and not compartment.startswith("Patient/"):
        raise Forbidden("Only the compartments of patients may be searched.")
    caller = call.caller
    patients = tuple(searched(query, compartment, services)) or _own_record(caller, query)
    if not patients:
        return Scope(node=_named_in_consents(caller, query, types, services), count_all=True)
    parts = {
        (each, patient): _of_record(caller, patient, each, query, services)
        for each in types
        if type_access(each).kind not in _OPEN
        for patient in patients
    }
    nodes = {each: either(*(p.node for (name, _), p in parts.items() if name == each)) for each, _ in parts}
    limited = frozenset(patient for (_, patient), part in parts.items() if part.limited)
    return Scope(
        node=nodes[types[0]] if len(types) == 1 else Everything(),
        each=tuple(nodes.items()) if len(types) > 1 else (),
        patients=patients,
        count_all=types[0] in _COUNTED and len(types) == 1,
        show=_shower(caller, limited, services, deleted_asked=_asks_deleted(query)),
        grounds={patient: part.grounds for (_, patient), part in parts.items()},
    )


def _named_in_consents(caller: Caller, query: Query, types: tuple[str, ...], services: Services) -> Node:
    """A professional may list the Consents that name him, whatever the record (TD0.4)."""
    if types != ("Consent",) or query.patients:
        return Nothing()
    return restrict_consents(caller, None, gather.own_refs(caller, services))


def _of_record(caller: Caller, patient: str, type_: str, query: Query, services: Services) -> _Part:
    """Decide on searching one type in one record.

    Raises:
        Forbidden, NotFound: the record is shut to the caller.
    """
    documents = type_ == "DocumentReference"
    decision, facts = gather.decided(caller, Op.SEARCH, patient, services, documents=documents)
    if facts.dossier is Status.NONE and not _is_self(caller, patient):
        return _Part(Nothing())
    if type_ == "Consent" and caller.actor is Actor.PROFESSIONAL:
        return _Part(_consents(caller, patient, services))
    if not decision.permitted and documents and "identifier" in query.filters:
        finding = decided(caller, Op.FIND_OWN, patient, services, documents=True)
        decision = finding if finding.permitted else decision
    if not decision.permitted:
        raise refusal(decision, services.canonical, type_)
    told = grounds(caller, decision, services)
    if documents:
        deleted = _asks_deleted(query)
        node = services.entries.restrict(
            caller, decision, facts, services.access, services.matrix, deleted_asked=deleted
        )
        return _Part(node, decision.metadata_only, told)
    if type_ == "List":
        return _Part(_lists(caller, patient, services), grounds=told)
    if type_ == "Consent":
        return _Part(_consents(caller, patient, services), grounds=told)
    return _Part(_derived(caller, patient, type_, services), grounds=told)


def _derived(caller: Caller, patient: str, type_: str, services: Services) -> Node:
    """What belongs to the record, less what was derived from documents that the caller does not see."""
    record = of_record(type_, patient)
    if type_ not in DERIVED_TYPES:
        return record
    decision, facts = gather.decided(caller, Op.READ, patient, services, documents=True)
    seen = services.entries.restrict(caller, decision, facts, services.access, services.matrix, deleted_asked=False)
    return both(record, either(Not(Term(DERIVED)), Chain("source-document", (("DocumentReference", seen),))))


def _consents(caller: Caller, patient: str, services: Services) -> Node:
    refs = gather.own_refs(caller, services)
    return both(of_record("Consent", patient), restrict_consents(caller, patient, refs))


def _lists(caller: Caller, patient: str, services: Services) -> Node:
    """Lists but for those that hold nothing but hidden documents, as `known.is_emptied_for` says one by one.

    A deleted document is no secret to those who may still read it.
    """
    decision, facts = gather.decided(caller, Op.SEARCH, patient, services, documents=True)
    seen = services.entries.restrict(caller, decision, facts, services.access, services.matrix, deleted_asked=True)
    every = of_record("DocumentReference", patient)
    holds_seen, holds_any = (Chain("item", (("DocumentReference", node),)) for node in (seen, every))
    return both(of_record("List", patient), either(holds_seen, Not(holds_any)))


def _asks_deleted(query: Query) -> bool:
    return any(name == "status" and "entered-in-error" in value for name, value in query.applied)


def _is_self(caller: Caller, patient: str) -> bool:
    return caller.actor is Actor.PATIENT and caller.patient == patient.partition("/")[2]


def _shower(
    caller: Caller, limited: frozenset[str], services: Services, *, deleted_asked: bool
) -> Callable[[Sequence[Version]], list[bytes | None]]:
    def show(versions: Sequence[Version]) -> list[bytes | None]:
        find = known.judge_of(caller, Op.FIND_OWN, services, deleted_asked=deleted_asked)
        search = known.judge_of(caller, Op.SEARCH, services, deleted_asked=deleted_asked)

        def kept(version: Version) -> bool:
            if version.type != "DocumentReference":
                return readable(caller, version, services)
            if version.patient is None or version.deleted:
                return False
            return (find if version.patient in limited else search)(version).permitted

        op = Op.FIND_OWN if limited else Op.READ
        bodies = masks.shown(caller, versions, services, op)
        cut = [showing.deposit(b) if v.patient in limited else b for v, b in zip(versions, bodies, strict=True)]
        return [body if kept(version) else None for version, body in zip(versions, cut, strict=True)]

    return show


# --- searches of patients --------------------------------------------------------------------------------------------


def _search_patients(call: Call, query: Query, services: Services) -> Scope:
    """TD0.2 and TD0.5: does the record exist, and how does the caller stand to it."""
    found = patient_search.find_patients(call, query, services)

    def show(versions: Sequence[Version]) -> list[bytes | None]:
        return [_found(call.caller, version, services) for version in versions]

    node = Ids(found.ids) if found.ids else Nothing()
    return Scope(node=node, patients=found.patients, count_all=True, show=show, kind=found.kind, issues=found.issues)


def _found(caller: Caller, version: Version, services: Services) -> bytes | None:
    decision, facts = gather.decided(caller, Op.EXIST, f"Patient/{version.id}", services)
    return showing.found_patient(version, decision, caller, facts, services)


def to_browse_history(call: Call, type_: str | None, services: Services) -> None:
    """Decide on type and system history: administrators, and directories for everybody.

    Raises:
        Forbidden: others.
    """
    if call.caller.is_admin:
        need(call.caller, "s", type_ or "*", services)
        return
    if type_ is None or type_access(type_).kind not in _OPEN:
        raise Forbidden("History is read resource by resource; only administrators browse it by type.")
    need(call.caller, "s", type_, services)
