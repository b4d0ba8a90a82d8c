"""The decisions of visibility.py said in index terms, so that searches, totals and pages never see a hidden document.

The vocabulary is that of search/terms.py for the parameters patient, status, type, category, security-label, author,
author.identifier, author.organization.identifier, authenticator, authenticator.identifier, and of
`document.access_terms`. A property proves that a document satisfies the node exactly when `visible` permits it.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_dmp.access.decision import CHANGES, Decision, Op, Rules
from fhir_dmp.access.document import INVISIBLE_PATIENT, INVISIBLE_REPRESENTATIVES, MASKED, UNKNOWN_TERM
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.matrix import Habilitation, Matrix
from fhir_dmp.access.visibility import identities, sees_masked
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.search.query import AnyTerm, Everything, Node, Not, Nothing, Term, both, either
from fhir_dmp.terminology.aliases import STRUCTURE

_DELETED = Not(Term("status=c:entered-in-error"))


def _any(keys: Iterable[str]) -> Node:
    found = tuple(dict.fromkeys(keys))
    if not found:
        return Nothing()
    return Term(found[0]) if len(found) == 1 else AnyTerm(found)


def _none(keys: Iterable[str]) -> Node:
    found = _any(keys)
    return Everything() if isinstance(found, Nothing) else Not(found)


def _codes(parameter: str, codes: Iterable[str]) -> list[str]:
    return [f"{parameter}=c:{code}" for code in sorted(codes)]


def restrict(
    caller: Caller,
    decision: Decision,
    facts: PatientFacts,
    rules: Rules,
    matrix: Matrix,
    *,
    deleted_asked: bool = False,
) -> Node:
    """Return what a DocumentReference of this record must satisfy to exist for the caller."""
    if not decision.permitted:
        return Nothing()
    if caller.is_admin:
        return Everything()
    record = Term(f"patient=r:{facts.reference}")
    mine = _mine(caller, decision)
    if caller.actor in (Actor.PATIENT, Actor.REPRESENTATIVE, Actor.DELEGATE):
        seen = _for_holder(caller, decision)
    elif caller.actor is Actor.PROFESSIONAL:
        seen = _for_professional(caller, decision, facts, rules, matrix.habilitation(caller.roles), mine)
    elif caller.actor in (Actor.STRUCTURE, Actor.FEEDER) and decision.own_only:
        seen = either(mine, _colleagues(caller))
    else:
        return Nothing()
    return both(record, seen, _kept(caller, decision, mine, deleted_asked=deleted_asked))


def _kept(caller: Caller, decision: Decision, mine: Node, *, deleted_asked: bool) -> Node:
    """D1: deleted documents, but for the patient and the author where they may still be met."""
    if decision.op is Op.RETRIEVE or (decision.op in (Op.SEARCH, Op.FIND_OWN) and not deleted_asked):
        return _DELETED
    return Everything() if caller.actor is Actor.PATIENT else either(mine, _DELETED)


def _mine(caller: Caller, decision: Decision) -> Node:
    keys: list[str] = []
    for parameter in ("author", "authenticator"):
        keys.extend(f"{parameter}.identifier=s:{system}|{value}" for system, value in sorted(identities(caller)))
        keys.extend(f"{parameter}=r:{place}" for place in sorted(decision.own_refs))
    return _any(keys)


def _colleagues(caller: Caller) -> Node:
    if caller.structure is None:
        return Nothing()
    return Term(f"author.organization.identifier=s:{STRUCTURE}|{caller.structure}")


def _for_holder(caller: Caller, decision: Decision) -> Node:
    hidden = ["security-label=c:" + INVISIBLE_PATIENT, UNKNOWN_TERM]
    if caller.actor is not Actor.PATIENT:
        hidden.append("security-label=c:" + INVISIBLE_REPRESENTATIVES)
    node: Node = _none(hidden)
    if decision.classes is not None:
        node = both(node, _any(_codes("category", decision.classes)))
    if caller.app_classes is not None:
        node = both(node, _any(_codes("category", {code.lower() for code in caller.app_classes})))
    return node


def _for_professional(
    caller: Caller, decision: Decision, facts: PatientFacts, rules: Rules, allowed: Habilitation, mine: Node
) -> Node:
    unmasked = _none(["security-label=c:" + MASKED, UNKNOWN_TERM])
    shown: Node = Everything() if sees_masked(caller, decision, facts, rules) else unmasked
    colleagues = _colleagues(caller) if decision.op in CHANGES else Nothing()
    others = colleagues if decision.own_only else either(_habilitation(allowed), colleagues)
    return either(mine if rules.author_sees_masked else both(mine, unmasked), both(shown, others))


def _habilitation(allowed: Habilitation) -> Node:
    by_class = both(
        _any(_codes("category", allowed.classes)),
        _none(_codes("category", allowed.refused_classes)),
    )
    by_type = _any(_codes("type", allowed.types))
    return both(_none(_codes("type", allowed.refused_types)), either(by_type, by_class))
