"""Who may call the operations on a dossier ($dmp-...), as one table. [dmp-fhir 3.8, security 4.3 and W10]

Only the person is judged here: scope, block, emergency mode, what the caller is to the patient. Whether the dossier is
in a state for it is the plan's word (patients/), so that a closed dossier gives the refusal of each operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Decision, Effect, Op, Relation, Rules
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.matrix import is_doctor_by_profession
from fhir_dmp.access.relation import authorisation, is_doctor
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.patients.dossier import Status
from fhir_dmp.patients.parameters import Who
from fhir_dmp.terminology.aliases import PROFESSIONAL, STRUCTURE

_HOLDERS = frozenset({Actor.PATIENT, Actor.REPRESENTATIVE})
_PEOPLE = _HOLDERS | {Actor.PROFESSIONAL}


@dataclass(frozen=True, slots=True)
class Gate:
    """The row of one operation. actors: kinds of callers, administrators come beside them.

    own: a professional speaks for the person or the structure only. doctor: a professional must be a médecin traitant
    of the patient.
    """

    actors: frozenset[Actor] = _PEOPLE
    own: bool = False
    doctor: bool = False


GATES: Mapping[str, Gate] = {
    "dmp-fermer": Gate(),
    "dmp-reactiver": Gate(),
    "dmp-autoriser": Gate(own=True),
    "dmp-revoquer": Gate(own=True),
    "dmp-medecin-traitant": Gate(),
    "dmp-bloquer": Gate(doctor=True),
    "dmp-debloquer": Gate(doctor=True),
    "dmp-opposition": Gate(),
}


def _deny(reason: str, row: str = "W10") -> Decision:
    return Decision(Effect.DENY, row, Op.CONSENT_WRITE, 403, reason)


def may_operate(caller: Caller, operation: str, facts: PatientFacts, rules: Rules, who: Who | None = None) -> Decision:
    """Decide whether the caller may call an operation on this dossier. who: whom the right is about, if anybody."""
    if caller.is_admin:
        return Decision(Effect.PERMIT, "ADMIN", Op.CONSENT_WRITE, relation=Relation.ADMIN)
    gate = GATES[operation]
    if caller.actor not in gate.actors:
        return _deny("default-deny", "C21")
    decided = enter(caller, Op.CONSENT_WRITE, replace(facts, dossier=Status.ACTIVE), rules)
    if not decided.permitted or caller.actor is not Actor.PROFESSIONAL:
        return decided
    if gate.own and not is_own(caller, who):
        return _deny("consent-writer")
    if gate.doctor and not is_doctor(caller, facts):
        return _deny("consent-writer")
    return decided


def is_own(caller: Caller, who: Who | None) -> bool:
    """Say whether somebody is the calling professional, or the structure acted for."""
    mine = {(PROFESSIONAL, caller.professional), (STRUCTURE, caller.structure)}
    return who is not None and who in mine


def may_designate(caller: Caller, facts: PatientFacts, who: Who, *, add: bool) -> Decision | None:
    """Return the refusal of a professional who gives or takes the role of médecin traitant, None when it may go on.

    Everybody leaves the role for himself. Another's is given by a doctor who may consult, and taken by nobody but the
    patient. Whether the own profession allows the role is the plan's word.
    """
    if caller.actor is not Actor.PROFESSIONAL or is_own(caller, who):
        return None
    consulting = is_doctor(caller, facts) or authorisation(caller, facts).valid is not None
    if add and is_doctor_by_profession(caller.roles):
        return None if consulting else _deny("authorisation-missing", "C19")
    return _deny("consent-writer")


def may_lift(caller: Caller, *, before_opening: bool) -> Decision | None:
    """Return the refusal to lift an opposition, None when it may go on.

    A professional writes an opposition down, but does not lift one that keeps him out; what opposes a dossier that does
    not exist yet is lifted by whoever is about to open it with the person.
    """
    if caller.is_admin or caller.actor in _HOLDERS or before_opening:
        return None
    return _deny("consent-writer")
