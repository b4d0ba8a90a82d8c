"""`$dmp-autoriser` and `$dmp-revoquer`: who may consult a dossier. [dmp-fhir 3.8, security 5.3]

At most one authorisation of an actor is active. Taking it away takes the role of médecin traitant away, too.
Authorisations serve consultation only, never feeding.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from fhir_dmp.errors import Forbidden, NotFound, Unprocessable
from fhir_dmp.fhir.elements import object_of, text_of
from fhir_dmp.patients import consents
from fhir_dmp.patients.grants import Candidate, authorised, designated, dismissed, refuse_blocked, revoked
from fhir_dmp.patients.parameters import Arguments, Who, place_of
from fhir_dmp.patients.state import DossierState, Planned, Right, Scribe, must_be_open, note, without
from fhir_dmp.terminology.national import denial

AUTHORISE: Mapping[str, str] = {
    "professionnel": "Identifier",
    "structure": "Identifier",
    "medecinTraitant": "boolean",
    "fin": "date",
    "mode": "code",
    "motifBrisDeGlace": "string",
}
REVOKE: Mapping[str, str] = {"professionnel": "Identifier", "structure": "Identifier"}

NORMAL = "normal"
EMERGENCIES = ("bris-de-glace", "centre-regulation")


def plan_authorisation(
    given: Arguments, state: DossierState, scribe: Scribe, candidate: Candidate, default_days: int = 0
) -> Planned:
    """Decide an authorisation. default_days: its length when `fin` is not given, 0 for unlimited.

    Raises:
        Forbidden: blocked, or an emergency without reason. Unprocessable: closed, no doctor, an end in the past.
    """
    _check_mode(given, scribe.base)
    end = _end(given, scribe.today, default_days)
    must_be_open(state, scribe.base)
    refuse_blocked(state, candidate.who, scribe.base)
    held = [right for right in state.active(consents.AUTHORISATION, permit=True) if right.names_only(candidate.who)]
    kept = next((right for right in held if right.current and _end_of(right) == end), None)
    role = designated(state, scribe, candidate) if given.flag("medecinTraitant") else ()
    replaced = without([right for right in held if right is not kept], candidate.who)
    if kept is not None:
        issues = () if role else (note("This authorisation is in force already."),)
        return Planned((*role, *replaced), kept.held.id, issues)
    granted = authorised(state, scribe, candidate, end)
    return Planned((*role, granted, *replaced), granted.id)


def _check_mode(given: Arguments, base: str) -> None:
    """An emergency is a mode of the token, decided and audited with each access; it leaves no right behind."""
    mode = given.text("mode") or NORMAL
    if mode == NORMAL:
        return
    if mode not in EMERGENCIES:
        known = ", ".join((NORMAL, *EMERGENCIES))
        raise Unprocessable(f"'mode' is one of {known}.", code="code-invalid", expression=place_of("mode"))
    if mode == "bris-de-glace" and given.text("motifBrisDeGlace") is None:
        raise Forbidden(
            "Break-glass needs a reason.",
            details=(denial(base, "btg-not-allowed"),),
            expression=place_of("motifBrisDeGlace"),
        )
    raise Unprocessable(
        "An emergency access is asked for with the token (its mode, and for break-glass its reason), and needs no "
        "authorisation; authorise in mode normal.",
        code="not-supported",
        expression=place_of("mode"),
    )


def _end(given: Arguments, today: str, default_days: int) -> str | None:
    end = given.day("fin")
    if end is None:
        return (date.fromisoformat(today) + timedelta(days=default_days)).isoformat() if default_days > 0 else None
    if end < today:
        raise Unprocessable("An authorisation cannot end in the past.", code="value", expression=place_of("fin"))
    return end


def _end_of(right: Right) -> str | None:
    return text_of(object_of(object_of(right.held.resource.get("provision")).get("period")).get("end"))


def plan_revocation(state: DossierState, who: Who, base: str) -> Planned:
    """Decide the end of an authorisation, and of the role of médecin traitant with it.

    Said again, it changes nothing.

    Raises:
        NotFound: there never was one.
    """
    must_be_open(state, base)
    rights, role = revoked(state, who), dismissed(state, who)
    drafts = (*rights, *role)
    if drafts:
        return Planned(drafts, next((draft.id for draft in drafts if draft.type == "Consent"), None))
    former = next((r for r in state.rights if r.kind == consents.AUTHORISATION and r.permit and r.names(who)), None)
    if former is None:
        raise NotFound("No authorisation of this dossier names this professional or structure.")
    return Planned((), former.held.id, (note("This authorisation has ended already."),))
