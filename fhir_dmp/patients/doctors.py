"""`$dmp-medecin-traitant`: the role is taken and left. [dmp-fhir 3.8, security 5.5]

Several doctors may hold it at once. Who takes it is authorised to consult, and stays so after leaving it.
"""

from __future__ import annotations

from collections.abc import Mapping

from fhir_dmp.errors import Forbidden, Unprocessable
from fhir_dmp.patients.grants import Candidate, authorised, designated, dismissed, refuse_blocked
from fhir_dmp.patients.parameters import Arguments, missing, place_of
from fhir_dmp.patients.state import DossierState, Planned, Scribe, must_be_open, note
from fhir_dmp.terminology.national import denial, erreur

DESIGNATE: Mapping[str, str] = {"professionnel": "Identifier", "action": "code"}
ADD, REMOVE = "ajouter", "retirer"


def action_of(given: Arguments) -> str:
    """Return what is to be done: `ajouter` or `retirer`.

    Raises:
        Unprocessable: it was not said, or something else was.
    """
    action = given.text("action")
    if action is None:
        raise missing("action", f"{ADD} or {REMOVE}")
    if action not in (ADD, REMOVE):
        raise Unprocessable(f"'action' is {ADD} or {REMOVE}.", code="code-invalid", expression=place_of("action"))
    return action


def plan_doctor(
    action: str, state: DossierState, scribe: Scribe, candidate: Candidate, *, by_professional: bool
) -> Planned:
    """Decide on the role. by_professional: a professional asks, who then needs an authorisation to hold the role.

    Raises:
        Forbidden: blocked, or not authorised. Unprocessable: closed, or not a doctor.
    """
    must_be_open(state, scribe.base)
    if action == REMOVE:
        drafts = dismissed(state, candidate.who)
        return Planned(drafts, issues=() if drafts else (note("This professional is no médecin traitant here."),))
    refuse_blocked(state, candidate.who, scribe.base)
    role = designated(state, scribe, candidate)
    if by_professional and not candidate.authorised:
        raise Forbidden(
            "A médecin traitant designated by a professional must be authorised first ($dmp-autoriser).",
            details=(denial(scribe.base, "authorisation-missing"), erreur(scribe.base, "non-autorise")),
        )
    right = () if state.is_authorised(candidate.who) else (authorised(state, scribe, candidate),)
    drafts = (*role, *right)
    return Planned(drafts, issues=() if drafts else (note("This professional is a médecin traitant already."),))
