"""May the caller enter this record? Blocks A2 to A3, B and C of the decision table, as pure functions.

Rows are tried from top to bottom and the first that matches decides; the default is to deny. Record status comes
first, then block, emergency opposition, relation. Documents are decided one by one afterwards (visibility.py), writes
by writing.py. Nothing here raises: odd data grants nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fhir_dmp.access.decision import CHANGES, READS, WRITES, Decision, Effect, Op, Relation, Rules
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.matrix import health_profession
from fhir_dmp.access.relation import (
    active_app,
    active_delegation,
    authorisation,
    block_on,
    is_representative,
    refusal_of_feeding,
    team_consent,
)
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.identity.scopes import narrow, parse
from fhir_dmp.patients.dossier import Status

HOLDERS = frozenset({Actor.PATIENT, Actor.REPRESENTATIVE, Actor.DELEGATE})
INSTITUTIONS = frozenset({Actor.STRUCTURE, Actor.FEEDER})
#: Speciality of occupational medicine (TRE_R38): excluded whatever the structure.
EXCLUDED_SPECIALITIES = frozenset({"SM25"})


def _deny(row: str, op: Op, reason: str, status: int = 403) -> Decision:
    return Decision(Effect.DENY, row, op, status, reason)


def _absent(row: str, op: Op) -> Decision:
    return Decision(Effect.FILTER, row, op, 404, "not-found")


def _permit(row: str, op: Op, relation: Relation, *consents: str) -> Decision:
    return Decision(Effect.PERMIT, row, op, relation=relation, consent_ids=consents)


def gate(caller: Caller, letters: str, type_: str, rules: Rules) -> Decision | None:
    """Return the refusal of block A (scope, excluded category), None when the caller may go on.

    letters: all of these SMART letters (c r u d s) are needed on the type. An administrator whose token lists no
    scope passes.
    """
    if caller.is_admin and (caller.anonymous or not caller.scopes):
        return None
    if caller.actor in (Actor.PROFESSIONAL, Actor.STRUCTURE) and (
        caller.sector in rules.excluded_sectors or any(code in EXCLUDED_SPECIALITIES for _, code in caller.roles)
    ):
        return _deny("A3", Op.READ, "actor-excluded")
    if not all(caller.may(letter, type_) for letter in letters):
        return _deny("A2", Op.READ, "scope")
    return None


def as_agreed(caller: Caller, facts: PatientFacts) -> Caller:
    """Return the caller with no more scopes than the holder agreed to let the application have.

    The agreement is read at each request, so that narrowing it narrows the tokens that are out. Without any agreement
    nothing changes here: `enter` refuses (D15).
    """
    agreed = active_app(caller, facts)
    if agreed is None or not agreed.scopes:
        return caller
    return replace(caller, scopes=narrow(caller.scopes, parse(agreed.scopes)))


def enter(
    caller: Caller,
    op: Op,
    facts: PatientFacts,
    rules: Rules,
    *,
    documents: bool = False,
    own_refs: Iterable[str] = (),
) -> Decision:
    """Decide whether the caller may do `op` in this record, before any single document is looked at.

    documents: the targets are documents, so that authors keep reaching their own ones without an authorisation (C17);
    the answer then may be a PERMIT with `own_only`. own_refs: `Practitioner/x`, `PractitionerRole/y` of the caller.
    """
    if caller.is_admin:
        return _permit("ADMIN", op, Relation.ADMIN)
    decided = _foreign(caller, op, facts) or _record(caller, op, facts, rules) or _person(caller, op, facts, rules)
    if decided.effect is Effect.DENY and decided.row in ("C18", "C19") and documents and op in READS | CHANGES:
        decided = _own(op, decided)
    refs = frozenset(own_refs) | ({caller.fhir_user} if caller.fhir_user else frozenset())
    return replace(decided, own_refs=refs) if refs else decided


def _own(op: Op, refusal: Decision) -> Decision:
    """C17: an author without authorisation goes on to his own documents; a search of the record stays refused."""
    if op is Op.SEARCH:
        return refusal
    return Decision(
        Effect.PERMIT,
        "C17",
        op,
        reason=refusal.reason,
        relation=Relation.AUTHOR,
        own_only=True,
        metadata_only=op is Op.FIND_OWN,
    )


def _foreign(caller: Caller, op: Op, facts: PatientFacts) -> Decision | None:
    """Keep a caller who is bound to one patient inside that record: 404, but 403 on a search that names another."""
    bound = caller.actor in HOLDERS or (
        caller.patient is not None and bool(caller.scopes) and all(s.context == "patient" for s in caller.scopes)
    )
    if not bound or (facts.patient and caller.patient == facts.patient):
        return None
    if op in (Op.SEARCH, Op.FIND_OWN) and facts.patient:
        return _deny("C21", op, "default-deny")
    return _absent("B2", op)


def _record(caller: Caller, op: Op, facts: PatientFacts, rules: Rules) -> Decision | None:
    """Block B: the state of the record."""
    if caller.actor is Actor.AUDITOR:
        return None
    if op is Op.EXIST:
        return _existence(caller, facts, rules)
    if facts.dossier is Status.NONE:
        return _deny("B3", op, "no-dmp", 422) if op is Op.CREATE else _absent("B2", op)
    if facts.dossier is Status.OPPOSED:
        own_choice = caller.actor in HOLDERS and op in (Op.CONSENT_WRITE, Op.HISTORY)
        return None if own_choice else _deny("B3", op, "no-dmp")
    if facts.dossier is Status.CLOSED:
        return _closed(caller, op, facts, rules)
    if op is Op.REOPEN:
        return _deny("C21", op, "default-deny")
    return None


def _existence(caller: Caller, facts: PatientFacts, rules: Rules) -> Decision:
    if caller.actor is Actor.REPRESENTATIVE and not is_representative(caller, facts, rules):
        return _absent("C3", Op.EXIST)
    row = {Status.CLOSED: "B4", Status.ACTIVE: "4.5"}.get(facts.dossier, "B1")
    decided = _permit(row, Op.EXIST, Relation.NONE)
    blocked = block_on(caller, facts)
    if blocked is None:
        return decided
    # A blocked professional learns that the record exists and that he is blocked; no trait beyond the INS.
    return replace(decided, reason="blocked", obligations=("audit", "reduce:identity"), consent_ids=(blocked.consent,))


def _closed(caller: Caller, op: Op, facts: PatientFacts, rules: Rules) -> Decision:
    if op in (Op.REOPEN, Op.HISTORY):
        if caller.actor is Actor.PATIENT:
            return _too_young(op, facts, rules) or _permit("B5", op, Relation.SELF)
        if caller.actor is Actor.REPRESENTATIVE:
            linked = is_representative(caller, facts, rules)
            return _permit("B5", op, Relation.REPRESENTATIVE) if linked else _absent("C3", op)
        if op is Op.REOPEN and caller.actor is Actor.PROFESSIONAL and caller.mode is Mode.NORMAL:
            # A professional reopens with the patient's recorded agreement, unless the patient blocked him.
            blocked = block_on(caller, facts)
            return _blocked(op, blocked.consent) if blocked else _permit("B5", op, Relation.NONE)
    return _deny("B7", op, "dmp-closed", 422 if op in WRITES else 403)


def _person(caller: Caller, op: Op, facts: PatientFacts, rules: Rules) -> Decision:
    """Block C: what the caller is to the patient."""
    if caller.actor is Actor.PATIENT:
        return _too_young(op, facts, rules) or _with_app(caller, _permit("C1", op, Relation.SELF), facts)
    if caller.actor is Actor.REPRESENTATIVE:
        if not is_representative(caller, facts, rules):
            return _absent("C3", op)
        return _with_app(caller, _permit("C2", op, Relation.REPRESENTATIVE), facts)
    if caller.actor is Actor.DELEGATE:
        return _with_app(caller, _delegate(caller, op, facts), facts)
    if caller.actor is Actor.AUDITOR:
        row = "B6" if facts.dossier is Status.CLOSED else "C20"
        return _permit(row, op, Relation.NONE) if op is Op.HISTORY else _deny("C21", op, "default-deny")
    if caller.actor is Actor.PROFESSIONAL or caller.actor in INSTITUTIONS:
        return _professional(caller, op, facts, rules)
    return _deny("C21", op, "default-deny")


def _too_young(op: Op, facts: PatientFacts, rules: Rules) -> Decision | None:
    """A minor below the age of the setting has no access of the own; the representatives have theirs. [security 10]"""
    age = facts.age()
    too_young = age is not None and age < rules.minor_own_access_min_age
    return _deny("C1", op, "minor-access") if too_young else None


#: What a delegate needs for an operation.
_RIGHTS = {
    Op.READ: "read",
    Op.SEARCH: "read",
    Op.RETRIEVE: "read",
    Op.FIND_OWN: "read",
    Op.CREATE: "deposit",
    Op.REPLACE: "deposit",
    Op.DELETE: "deposit",
    Op.UPDATE_LABEL: "settings",
    Op.ARCHIVE: "settings",
    Op.CONSENT_WRITE: "settings",
}


def _delegate(caller: Caller, op: Op, facts: PatientFacts) -> Decision:
    delegation = active_delegation(caller, facts)
    if delegation is None or _RIGHTS.get(op) not in delegation.rights:
        return _deny("C5", op, "delegation")
    decided = _permit("C4", op, Relation.DELEGATE, delegation.consent)
    return replace(decided, classes=delegation.classes) if delegation.classes else decided


def _with_app(caller: Caller, decided: Decision, facts: PatientFacts) -> Decision:
    """A catalogue application needs the holder's running agreement beside the user's own right (D15)."""
    if caller.app is None or not decided.permitted:
        return decided
    agreed = active_app(caller, facts)
    if agreed is None:
        return _deny("D15", decided.op, "app-not-granted")
    return replace(decided, consent_ids=(*decided.consent_ids, agreed.consent))


def _blocked(op: Op, consent: str) -> Decision:
    return replace(_deny("C6", op, "blocked"), consent_ids=(consent,))


def _professional(caller: Caller, op: Op, facts: PatientFacts, rules: Rules) -> Decision:
    blocked = block_on(caller, facts)
    if blocked is not None and not (rules.btg_overrides_block and caller.mode is Mode.BREAK_GLASS):
        return _blocked(op, blocked.consent)
    if caller.mode is not Mode.NORMAL:
        return _emergency(caller, op, facts, rules)
    if op in (Op.CREATE, Op.REPLACE):
        refused = refusal_of_feeding(caller, facts)
        if refused is not None:
            return replace(_deny("C12", op, "feeding-opposition"), consent_ids=(refused.consent,))
    if op is Op.CREATE:
        return _permit("C12", op, Relation.FEEDER)
    if caller.actor in INSTITUTIONS:
        return _institution(op)
    if op in (Op.HISTORY, Op.REOPEN):
        return _deny("C21", op, "default-deny")
    if op is Op.CONSENT_WRITE:
        # This is how a professional records the authorisation that the patient gives: W10 says which consents.
        return replace(_consulting(caller, op, facts, rules), effect=Effect.PERMIT, row="W10", status=200, reason=None)
    return _consulting(caller, op, facts, rules)


def _institution(op: Op) -> Decision:
    if op is Op.FIND_OWN:
        return replace(_permit("W4", op, Relation.FEEDER), own_only=True, metadata_only=True, reason="feed-only")
    if op in CHANGES:
        return replace(_permit("C12", op, Relation.FEEDER), own_only=True, reason="feed-only")
    return _deny("C13", op, "feed-only")


def _emergency(caller: Caller, op: Op, facts: PatientFacts, rules: Rules) -> Decision:
    """C7 to C11 and W11: regulation centre and break-glass, read only."""
    if caller.mode is Mode.REGULATION:
        if not caller.regulator or caller.structure not in rules.regulation_centres:
            return _deny("C7", op, "not-regulator")
        refused, row = facts.regulation_refusal, "C7"
    else:
        refused, row = facts.break_glass_refusal, "C9"
    if refused is not None:
        return replace(_deny(row, op, "emergency-refused"), consent_ids=(refused.consent,))
    if caller.mode is Mode.BREAK_GLASS:
        allowed = health_profession(caller.roles) in rules.btg_professions
        if not (caller.reason or "").strip() or caller.professional is None or not allowed:
            return _deny("C10", op, "btg-not-allowed")
    if op in WRITES:
        return _deny("W11", op, "read-only-mode")
    if op not in READS or caller.actor is not Actor.PROFESSIONAL:
        return _deny("C21", op, "default-deny")
    if caller.mode is Mode.REGULATION:
        return replace(_permit("C8", op, Relation.EMERGENCY), obligations=("audit", "notify:N2", "flag:centre15"))
    obligations = ("audit", "notify:N1", "flag:btg", "limit:600s")
    return replace(_permit("C11", op, Relation.EMERGENCY), obligations=obligations)


def _consulting(caller: Caller, op: Op, facts: PatientFacts, rules: Rules) -> Decision:
    """C14 to C19: médecin traitant, authorisation, care team, or none of these."""
    if caller.professional is not None and caller.professional in facts.doctors:
        return _permit("C14", op, Relation.DOCTOR)
    status = authorisation(caller, facts)
    if status.valid is not None:
        return _permit("C15", op, Relation.AUTHORISED, status.valid.consent)
    team = team_consent(caller, facts, rules) if status.denied is None else None
    if team is not None:
        return _permit("C16", op, Relation.CARE_TEAM, *team)
    if status.expired is not None and status.denied is None:
        return replace(_deny("C18", op, "authorisation-expired"), consent_ids=(status.expired.consent,))
    return _deny("C19", op, "authorisation-missing")
