"""May the caller see this document? Block D of the decision table, for each document, after `decide.enter`.

The author exception beats mask and matrix, not deletion; a mask beats emergency; archived documents stay visible
(clients filter with isArchived). restrict.py says the same in index terms, and a property proves that they agree.
"""

from __future__ import annotations

from fhir_dmp.access.decision import CHANGES, Decision, Effect, Op, Relation, Rules, Verdict
from fhir_dmp.access.document import INVISIBLE_REPRESENTATIVES, DocumentFacts
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.matrix import ROLE_BASED, Matrix
from fhir_dmp.access.relation import is_doctor
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.terminology.aliases import PROFESSIONAL, STRUCTURE

_SEARCHES = (Op.SEARCH, Op.FIND_OWN)
#: Those from whom labels and the matrix hide documents.
_LABELLED = frozenset({Actor.PATIENT, Actor.REPRESENTATIVE, Actor.DELEGATE, Actor.PROFESSIONAL})


def _hide(row: str) -> Verdict:
    return Verdict(Effect.FILTER, row, 404, "not-found")


def identities(caller: Caller) -> frozenset[tuple[str, str]]:
    """Return the identifiers under which the caller may stand as an author: in person, or as the structure."""
    found: list[tuple[str, str]] = []
    if caller.professional:
        found.append((PROFESSIONAL, caller.professional))
    if caller.structure:
        found.append((STRUCTURE, caller.structure))
    return frozenset(found)


def is_author(caller: Caller, decision: Decision, document: DocumentFacts) -> bool:
    """Say whether the caller wrote or signed the document in person, or the structure did (D6)."""
    mine = identities(caller)
    return bool(mine & document.authors or mine & document.authenticators or decision.own_refs & document.references)


def is_colleague(caller: Caller, document: DocumentFacts) -> bool:
    """Say whether an author belongs to the caller's structure (W3, W5), which does not open masked documents."""
    return caller.structure is not None and (STRUCTURE, caller.structure) in document.organisations


def visible(
    caller: Caller,
    decision: Decision,
    document: DocumentFacts,
    facts: PatientFacts,
    rules: Rules,
    matrix: Matrix,
    *,
    deleted_asked: bool = False,
) -> Verdict:
    """Decide whether one document exists for the caller.

    deleted_asked: the search asked for `status=entered-in-error`. A FILTER verdict with status 410 is for those who
    could see the document before it was deleted.
    """
    if not decision.permitted:
        return _refused(caller, decision, document, facts, rules, matrix)
    if caller.is_admin:
        return Verdict(Effect.PERMIT, "ADMIN")
    if document.patient is None or document.patient != facts.patient:
        return _hide("B2")
    seen = _labels(caller, decision, document, facts, rules, matrix)
    if not document.deleted or not seen.permitted:
        return seen
    if _keeps_deleted(caller, decision, document, deleted_asked=deleted_asked):
        return Verdict(Effect.PERMIT, "D1", warnings=seen.warnings)
    if decision.op in _SEARCHES:
        return _hide("D1")
    return Verdict(Effect.FILTER, "D1", 410, "deleted")


def _refused(
    caller: Caller, decision: Decision, document: DocumentFacts, facts: PatientFacts, rules: Rules, matrix: Matrix
) -> Verdict:
    """Say why the record is shut, but not of a document that would be hidden if it were open: a reason is a trace."""
    refused = Verdict(decision.effect, decision.row, decision.status, decision.reason)
    if decision.effect is Effect.FILTER or caller.actor not in _LABELLED or document.patient != facts.patient:
        return refused
    seen = _labels(caller, decision, document, facts, rules, matrix)
    return seen if seen.effect is Effect.FILTER else refused


def _keeps_deleted(caller: Caller, decision: Decision, document: DocumentFacts, *, deleted_asked: bool) -> bool:
    """D1: author and patient still read a deleted document by id, or in a search that asks for deleted ones."""
    if decision.op is Op.RETRIEVE or (decision.op in _SEARCHES and not deleted_asked):
        return False
    return caller.actor is Actor.PATIENT or is_author(caller, decision, document)


def _labels(
    caller: Caller, decision: Decision, document: DocumentFacts, facts: PatientFacts, rules: Rules, matrix: Matrix
) -> Verdict:
    if caller.actor in (Actor.PATIENT, Actor.REPRESENTATIVE, Actor.DELEGATE):
        return _for_holder(caller, decision, document)
    if caller.actor is Actor.PROFESSIONAL:
        return _for_professional(caller, decision, document, facts, rules, matrix)
    if caller.actor in (Actor.STRUCTURE, Actor.FEEDER) and decision.own_only:
        own = is_author(caller, decision, document) or is_colleague(caller, document)
        return Verdict(Effect.PERMIT, "W4") if own else _not_own(decision)
    return _hide("D10")


def _not_own(decision: Decision) -> Verdict:
    """A search behaves as if the document were not there; an instance gives the reason why the record is shut."""
    if decision.op in _SEARCHES:
        return _hide("C17")
    return Verdict(Effect.DENY, "C17", 403, decision.reason)


def _for_holder(caller: Caller, decision: Decision, document: DocumentFacts) -> Verdict:
    if caller.actor is Actor.PATIENT and document.hidden_from_patient:
        return _hide("D2")
    if caller.actor is not Actor.PATIENT and document.hidden_from_representatives:
        return _hide("D3")
    if decision.classes is not None and not document.classes & decision.classes:
        return _hide("D4")
    if caller.app_classes is not None and not document.classes & {code.lower() for code in caller.app_classes}:
        return _hide("D15")
    return Verdict(Effect.PERMIT, "D5")


def _for_professional(
    caller: Caller, decision: Decision, document: DocumentFacts, facts: PatientFacts, rules: Rules, matrix: Matrix
) -> Verdict:
    warnings = _warnings(document)
    if is_author(caller, decision, document) and (rules.author_sees_masked or not document.masked):
        return Verdict(Effect.PERMIT, "D6", warnings=warnings)
    colleague = decision.op in CHANGES and is_colleague(caller, document)
    if document.masked and not sees_masked(caller, decision, facts, rules):
        return _hide("D8")
    if not colleague and not matrix.habilitation(caller.roles).allows(document.classes, document.types):
        return _hide(_matrix_row(caller, matrix))
    if decision.own_only and not colleague:
        return _not_own(decision)
    row = "D7" if document.masked else _shown_row(document)
    return Verdict(Effect.PERMIT, row, warnings=warnings)


def sees_masked(caller: Caller, decision: Decision, facts: PatientFacts, rules: Rules) -> bool:
    """Say whether masked documents of others are visible: to the MT, and in emergencies only when configured."""
    return is_doctor(caller, facts) or (rules.mask_visible_in_btg and decision.relation is Relation.EMERGENCY)


def _matrix_row(caller: Caller, matrix: Matrix) -> str:
    role = matrix.profession(caller.roles)
    known = matrix.habilitation(caller.roles).known
    return "D10" if role is not None and role[0] == ROLE_BASED and not known else "D9"


def _shown_row(document: DocumentFacts) -> str:
    if document.hidden_from_representatives:
        return "D11"
    return "D13" if document.archived else "D14"


def _warnings(document: DocumentFacts) -> tuple[str, ...]:
    found = []
    if document.masked:
        found.append("masked")
    if document.hidden_from_patient:
        found.append("hidden-from-patient")
    if INVISIBLE_REPRESENTATIVES in document.labels:
        found.append("hidden-from-representatives")
    return tuple(found)
