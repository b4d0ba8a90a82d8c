"""`$dmp-opposition`: what a person objects to. [dmp-fhir 3.8, security 5.6 and 5.8]

To having a dossier at all (before there is one), to feeding, to break-glass, to access by regulation centres. The two
emergency modes share one Consent, kind `emergency`, which denies those that are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from fhir_dmp.errors import Conflict, Issue, Unprocessable
from fhir_dmp.fhir.draft import Draft
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients import consents
from fhir_dmp.patients.dossier import Status
from fhir_dmp.patients.ins import Ins, InsRules, verdicts
from fhir_dmp.patients.parameters import IDENTIFIER, Arguments, Who, missing, place_of
from fhir_dmp.patients.state import (
    DossierState,
    Planned,
    Right,
    Scribe,
    closed,
    ended,
    must_be_open,
    note,
    patient_draft,
    unknown,
)
from fhir_dmp.terminology.national import erreur

OPPOSE: Mapping[str, str] = {
    "nature": "code",
    "valeur": "boolean",
    "auteur": "Identifier",
    "professionnel": "Identifier",
    "structure": "Identifier",
}


class Nature(StrEnum):
    """What one may object to."""

    CREATION = "creation"
    FEEDING = "alimentation"
    BREAK_GLASS = "bris-de-glace"
    REGULATION = "centre-regulation"


_ALIASES = {
    **{f"opposition-{nature}": nature for nature in Nature},
    "OPPOSITION_BRIS_DE_GLACE": Nature.BREAK_GLASS,
    "OPPOSITION_ACCES_URGENCE": Nature.REGULATION,
}
_MODES = {Nature.BREAK_GLASS: consents.BREAK_GLASS, Nature.REGULATION: consents.REGULATION}


def nature_of(given: Arguments) -> Nature:
    """Return what is objected to, by its own code or an alias.

    Raises:
        Unprocessable: nothing that is known here.
    """
    code = given.text("nature")
    if code is None:
        raise missing("nature", f"one of {', '.join(Nature)}")
    if code in _ALIASES:
        return _ALIASES[code]
    if code not in set(Nature):
        raise Unprocessable(
            f"'nature' is one of {', '.join(Nature)}, or the historical code of one.",
            code="code-invalid",
            expression=place_of("nature"),
        )
    return Nature(code)


def wanted_of(given: Arguments) -> bool:
    """Return whether the person objects (true) or does so no longer (false).

    Raises:
        Unprocessable: it was not said.
    """
    value = given.flag("valeur")
    if value is None:
        raise missing("valeur", "true to object, false to do so no longer")
    return value


def plan_opposition(given: Arguments, state: DossierState, scribe: Scribe) -> Planned:
    """Decide an opposition in a dossier or on a known person.

    Raises:
        Conflict: an opposition to creation when there is a dossier. NotFound, Forbidden, Unprocessable: the others
        need an open dossier.
    """
    nature, wanted = nature_of(given), wanted_of(given)
    who = given.professional() or given.structure()
    if who is not None and nature is not Nature.FEEDING:
        raise Unprocessable(
            "Only feeding is refused to somebody in particular; a professional is kept out with $dmp-bloquer.",
            code="business-rule",
            expression=place_of("professionnel" if given.professional() else "structure"),
        )
    if nature is Nature.CREATION:
        return _creation(wanted, state, scribe)
    must_be_open(state, scribe.base)
    if nature is Nature.FEEDING:
        return _feeding(wanted, who, state, scribe)
    return _emergency(_MODES[nature], wanted, state, scribe)


def _creation(wanted: bool, state: DossierState, scribe: Scribe) -> Planned:
    denials = state.active(consents.OPENING, permit=False)
    if state.status is Status.OPPOSED:
        if wanted:
            return Planned((), denials[0].held.id, (note("This opposition is recorded already."),))
        return Planned(ended(denials), denials[0].held.id)
    if not wanted:
        return _nothing_to_lift()
    if state.status is not Status.NONE:
        code = closed(scribe.base) if state.status is Status.CLOSED else erreur(scribe.base, "dmp-ouvert")
        raise Conflict("There is a dossier already: it is closed with $dmp-fermer, motive opposition.", details=(code,))
    act = scribe.new(state, consents.refusal_of_creation(scribe.on(state)))
    patient = state.patient.resource
    stub = () if patient.get("active") is False else (patient_draft(state, {**patient, "active": False}),)
    return Planned((*stub, act), act.id)


def plan_stub(given: Arguments, ins: Ins, scribe: Scribe, rules: InsRules) -> Planned:
    """Decide an opposition to creation by a person whom the server does not know: a Patient with the INS and no more.

    Raises:
        NotFound: another nature, or nothing to lift. Unprocessable: the INS is not one.
    """
    if nature_of(given) is not Nature.CREATION or not wanted_of(given):
        raise unknown(scribe.base)
    issues = verdicts(ins, rules, place_of(IDENTIFIER), creates=True)
    errors = [issue for issue in issues if issue.severity == "error"]
    if errors:
        raise Unprocessable(issues=errors)
    id_ = scribe.new_id(None)
    reference = f"Patient/{id_}"
    stub: Json = {
        "resourceType": "Patient",
        "identifier": [{"use": "official", "system": ins[0], "value": ins[1]}],
        "active": False,
    }
    act = Draft("Consent", scribe.new_id(reference), consents.refusal_of_creation(scribe.act(reference, ins)))
    return Planned((Draft("Patient", id_, stub), act), act.id, issues)


def _feeding(wanted: bool, who: Who | None, state: DossierState, scribe: Scribe) -> Planned:
    held = [right for right in state.active(consents.FEEDING, permit=False) if right.names_only(who)]
    if not wanted:
        return Planned(ended(held), held[0].held.id) if held else _nothing_to_lift()
    if any(right.current for right in held):
        return _recorded(held[0])
    named = consents.actor(who, scribe.base) if who is not None else None
    act = scribe.new(state, consents.feeding_opposition(scribe.on(state), named))
    return Planned((act, *ended(held)), act.id)


def _emergency(mode: str, wanted: bool, state: DossierState, scribe: Scribe) -> Planned:
    held = state.active(consents.EMERGENCY)
    refused = refused_by(held)
    if wanted == (mode in refused):
        return _recorded(held[0]) if wanted else _nothing_to_lift()
    now = refused | {mode} if wanted else refused - {mode}
    if not now:
        return Planned(ended(held), held[0].held.id)
    consent = consents.emergency(scribe.on(state), now)
    if not held:
        act = scribe.new(state, consent)
        return Planned((act,), act.id)
    first = held[0].held
    return Planned((Draft("Consent", first.id, consent, first.version, "PUT"), *ended(held[1:])), first.id)


def refused_by(rights: Sequence[Right]) -> frozenset[str]:
    """Return the emergency modes (BTG, ETREAT) that these Consents refuse, in whichever form they were written."""
    found: frozenset[str] = frozenset()
    for right in rights:
        if right.current:
            found |= consents.refused_modes(right.held.resource)
            if not right.permit:
                found |= consents.denied_outright(right.held.resource)
    return found


def _recorded(right: Right) -> Planned:
    return Planned((), right.held.id, (note("This opposition is recorded already."),))


def _nothing_to_lift() -> Planned:
    said: Issue = note("No such opposition is recorded.")
    return Planned(issues=(said,))
