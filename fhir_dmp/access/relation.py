"""What a caller is to a patient: blocked, authorised, in the care team, representative, delegate. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fhir_dmp.access.consent import Statement, strongest
from fhir_dmp.access.decision import Rules
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.parties import Party, PartyKind, is_caller
from fhir_dmp.identity.caller import Caller


def _teams(caller: Caller, facts: PatientFacts) -> frozenset[str]:
    return frozenset(member.team for member in facts.members if is_caller(member.party, caller))


def _names(statement: Statement, caller: Caller, teams: frozenset[str]) -> bool:
    return any(
        is_caller(party, caller) or (party.kind is PartyKind.TEAM and party.value in teams)
        for party in statement.parties
    )


def is_doctor(caller: Caller, facts: PatientFacts) -> bool:
    """Say whether the caller is a médecin traitant of the patient."""
    return caller.professional is not None and caller.professional in facts.doctors


def block_on(caller: Caller, facts: PatientFacts) -> Statement | None:
    """Return the block that names the caller, the structure or the team; a structure's block spares the MT.

    A block that names nobody blocks every professional: it can only come from a damaged import.
    """
    if caller.professional is None and caller.structure is None:
        return None
    teams = _teams(caller, facts) if facts.blocks else frozenset()
    applying = [s for s in facts.blocks if not s.parties or _names(s, caller, teams)]
    if is_doctor(caller, facts):
        me = Party(PartyKind.PROFESSIONAL, caller.professional or "")
        applying = [s for s in applying if me in s.parties]
    return strongest(applying)


@dataclass(frozen=True, slots=True)
class Authorisation:
    """The consents that decide on consultation: one in force, one that denies, one that has expired."""

    valid: Statement | None = None
    denied: Statement | None = None
    expired: Statement | None = None


def authorisation(caller: Caller, facts: PatientFacts) -> Authorisation:
    """Evaluate the authorisations of a professional or of the structure. A deny wins."""
    mine = [s for s in facts.authorisations if _names(s, caller, frozenset()) and s.is_for("TREAT")]
    current = [s for s in mine if s.holds_at(facts.now_ms)]
    everybody = [s for s in facts.authorisations if not s.permit and not s.parties and s.holds_at(facts.now_ms)]
    denied = strongest([s for s in [*current, *everybody] if not s.permit])
    granted = [s for s in current if s.permit and not s.narrow]
    past = [s for s in mine if s.permit and not s.narrow and s.high_ms <= facts.now_ms]
    return Authorisation(strongest(granted) if denied is None else None, denied, strongest(past))


def team_consent(caller: Caller, facts: PatientFacts, rules: Rules) -> tuple[str, ...] | None:
    """Return the consents that let a member of the care team in (may be none when none is required), or None.

    The patient must have agreed once to the team (unless the setting says otherwise) and not have opposed since.
    """
    teams = _teams(caller, facts)
    if not teams:
        return None
    opposed = frozenset(
        team
        for team in teams
        for s in facts.team_consents
        if not s.permit and (_names(s, caller, frozenset({team})) or not s.parties)
    )
    left = teams - opposed
    if not left:
        return None
    if not rules.care_team_initial_consent_required:
        return ()
    agreed = strongest(
        [s for s in facts.team_consents if s.permit and not s.narrow and s.is_for("TREAT") and _covers(s, left)]
    )
    return None if agreed is None else (agreed.consent,)


def _covers(statement: Statement, teams: frozenset[str]) -> bool:
    return any(party.kind is PartyKind.TEAM and party.value in teams for party in statement.parties)


def refusal_of_feeding(caller: Caller, facts: PatientFacts) -> Statement | None:
    """Return the opposition to feeding that covers the caller, or everybody."""
    return strongest([s for s in facts.feeding if not s.parties or _names(s, caller, frozenset())])


def is_representative(caller: Caller, facts: PatientFacts, rules: Rules) -> bool:
    """Say whether a representative's link is in force: for a minor, or under a protection measure.

    The token vouches for a link that no RelatedPerson records; a recorded one must be active.
    """
    names = {caller.fhir_user, caller.subject} - {None, ""}
    mine = [link for link in facts.representatives if link.names & names]
    if not mine and (caller.fhir_user or "").startswith(("RelatedPerson/", "Person/")):
        return False
    if mine and not any(link.active for link in mine):
        return False
    age = facts.age()
    minor = age is not None and age < rules.age_of_majority
    return minor or any(link.active and link.protection for link in mine)


def active_delegation(caller: Caller, facts: PatientFacts) -> Statement | None:
    """Return the delegation in force that the token names, or that names the caller."""
    wanted = {name if name.startswith("Consent/") else f"Consent/{name}" for name in caller.delegation}
    if wanted:
        return strongest([s for s in facts.delegations if s.consent in wanted])
    return strongest([s for s in facts.delegations if any(p.value == caller.fhir_user for p in s.parties)])


def active_app(caller: Caller, facts: PatientFacts) -> Statement | None:
    """Return the agreement in force to the catalogue application that acts for the caller.

    An agreement is to one purpose: it does not cover an application that has since been registered for another.
    """
    names = {caller.app, caller.client, f"Device/{caller.app}", f"Device/{caller.client}"}
    return strongest(
        [
            s
            for s in facts.apps
            if any(p.value in names or p.value.rsplit("|", 1)[-1] in names for p in s.parties)
            and (not s.finality or not caller.finality or s.finality == caller.finality)
        ]
    )


class AuthorisationStatus(StrEnum):
    """What a professional is told about access to a record (TD0.2)."""

    VALID = "VALIDE"
    NONE = "NON_EXISTE"
    EXPIRED = "EXPIRE"
    BLOCKED = "INTERDIT"


def authorisation_status(caller: Caller, facts: PatientFacts, rules: Rules) -> AuthorisationStatus:
    """Return the status of the caller's authorisation, in agreement with the decision on consultation."""
    if block_on(caller, facts) is not None:
        return AuthorisationStatus.BLOCKED
    status = authorisation(caller, facts)
    if is_doctor(caller, facts) or status.valid is not None:
        return AuthorisationStatus.VALID
    if status.denied is not None:
        return AuthorisationStatus.NONE
    if team_consent(caller, facts, rules) is not None:
        return AuthorisationStatus.VALID
    return AuthorisationStatus.NONE if status.expired is None else AuthorisationStatus.EXPIRED
