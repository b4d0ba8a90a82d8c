"""What the operations on rights share: the drafts that give and take an authorisation and the role of médecin traitant.

The role stands in two places that always agree: Patient.generalPractitioner and a Consent of kind `mt`.
[dmp-fhir 3.8, security 5.3 and 5.5]
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_dmp.errors import Forbidden, Unprocessable
from fhir_dmp.fhir.draft import Draft
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients import consents
from fhir_dmp.patients.parameters import Arguments, Who, missing, place_of
from fhir_dmp.patients.state import DossierState, Scribe, patient_draft, without
from fhir_dmp.terminology.aliases import PROFESSIONAL
from fhir_dmp.terminology.national import denial, erreur


@dataclass(frozen=True, slots=True)
class Candidate:
    """Whom a right is about. profession: (system, code) that the own token proves, kept with the right.

    is_doctor: a doctor for certain. authorised: may consult already, be it through the structure.
    """

    who: Who
    profession: tuple[str, str] | None = None
    is_doctor: bool = False
    authorised: bool = False


def named_in(given: Arguments, caller: Who | None) -> Who:
    """Return whom a right is about: the professional or the structure that was named, else the calling professional.

    Raises:
        Unprocessable: nobody, or both.
    """
    professional, structure = given.professional(), given.structure()
    if professional is not None and structure is not None:
        raise Unprocessable(
            "Name either a professional or a structure: each right is one act.",
            code="business-rule",
            expression=(place_of("professionnel"), place_of("structure")),
        )
    found = professional or structure or caller
    if found is None:
        raise missing("professionnel", "the professional, or 'structure', that the right is about")
    return found


def refuse_blocked(state: DossierState, who: Who, base: str) -> None:
    """Check that the patient has not blocked somebody: a block wins until it is lifted.

    Raises:
        Forbidden.
    """
    if state.is_blocked(who):
        raise Forbidden(
            "The patient has blocked this professional or structure; lift the block first ($dmp-debloquer).",
            details=(denial(base, "blocked"), erreur(base, "professionnel-bloque")),
        )


def authorised(state: DossierState, scribe: Scribe, candidate: Candidate, end: str | None = None) -> Draft:
    """Return the draft of a new authorisation, from today to a date included."""
    named = consents.actor(candidate.who, scribe.base, candidate.profession)
    return scribe.new(state, consents.authorisation(scribe.on(state), named, scribe.today, end))


def designated(state: DossierState, scribe: Scribe, candidate: Candidate) -> tuple[Draft, ...]:
    """Return the drafts that make a doctor médecin traitant beside those who are already; nothing when he is one.

    Raises:
        Unprocessable: nothing tells that this is a doctor.
    """
    system, value = candidate.who
    if system != PROFESSIONAL or not candidate.is_doctor:
        raise Unprocessable(
            "A médecin traitant is a doctor (profession 10): neither the token, nor the directory, nor an "
            "authorisation that the professional recorded says so of this one.",
            code="business-rule",
            expression=place_of("professionnel"),
        )
    drafts: list[Draft] = []
    if not any(candidate.who in names for names in state.practitioners):
        reference = {"type": "Practitioner", "identifier": {"system": system, "value": value}}
        patient = state.patient.resource
        practitioners = [*objects_of(patient.get("generalPractitioner")), reference]
        drafts.append(patient_draft(state, {**patient, "generalPractitioner": practitioners}))
    if not any(r.current and r.names(candidate.who) for r in state.active(consents.DOCTOR, permit=True)):
        named = consents.actor(candidate.who, scribe.base, candidate.profession)
        drafts.append(scribe.new(state, consents.doctor(scribe.on(state), named)))
    return tuple(drafts)


def dismissed(state: DossierState, who: Who) -> tuple[Draft, ...]:
    """Return the drafts that end the role of médecin traitant; nothing when it is not held."""
    roles = [right for right in state.active(consents.DOCTOR, permit=True) if right.names(who)]
    drafts = list(without(roles, who))
    if any(who in names for names in state.practitioners):
        drafts.insert(0, patient_draft(state, _without_practitioner(state, who)))
    return tuple(drafts)


def _without_practitioner(state: DossierState, who: Who) -> Json:
    patient = state.patient.resource
    listed = objects_of(patient.get("generalPractitioner"))
    kept = [each for each, names in zip(listed, state.practitioners, strict=True) if who not in names]
    bare = {name: part for name, part in patient.items() if name != "generalPractitioner"}
    return {**bare, "generalPractitioner": kept} if kept else bare


def revoked(state: DossierState, who: Who) -> tuple[Draft, ...]:
    """Return the drafts that end every authorisation of somebody, expired ones too."""
    return without([r for r in state.active(consents.AUTHORISATION, permit=True) if r.names(who)], who)
