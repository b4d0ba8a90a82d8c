"""`$dmp-fermer` and `$dmp-reactiver`: a dossier is closed and opened again. [dmp-fhir 3.8, security 5.2]

Closing ends every right that lets somebody in, reopening revives none of them; blocks and oppositions stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from fhir_dmp.errors import Conflict, Unprocessable
from fhir_dmp.fhir.draft import Draft
from fhir_dmp.fhir.elements import codings_of, extensions_of, objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients import consents
from fhir_dmp.patients.dossier import Status
from fhir_dmp.patients.parameters import Arguments, missing, place_of
from fhir_dmp.patients.retention import due_on, kept_since
from fhir_dmp.patients.state import (
    DossierState,
    Planned,
    Scribe,
    closed,
    ended,
    must_exist,
    note,
    patient_draft,
)
from fhir_dmp.terminology.national import CLOSING, CLOSING_MOTIVES, HISTORICAL_MOTIVES, erreur

CLOSE: Mapping[str, str] = {"motif": "CodeableConcept", "raison": "string", "date": "date"}
REOPEN: Mapping[str, str] = {"consentement": "boolean"}

#: Motive -> its historical code.
MOTIVES: Mapping[str, str] = {
    "patient-demande": "FERMETURE_DEMANDE_PATIENT",
    "deces": "FERMETURE_DECES",
    "erreur-identite": "FERMETURE_ERREUR_IDENTITE",
    "opposition": "FERMETURE_OPPOSITION",
    "inactivite": "FERMETURE_INACTIVITE",
}
_OF_HISTORICAL = {historical: motive for motive, historical in MOTIVES.items()}
#: Kinds of Consent that let people in, when they permit.
GRANTS = ("ps-authorisation", "team-authorisation", "info-team", "mt")


def motive_of(concept: object) -> str | None:
    """Return the closing motive that a CodeableConcept names, in its own or its historical code."""
    for system, code in codings_of(concept):
        if system == CLOSING_MOTIVES and code in MOTIVES:
            return code
        if system == HISTORICAL_MOTIVES and code in _OF_HISTORICAL:
            return _OF_HISTORICAL[code]
    return None


def closing_motive(patient: Json) -> str | None:
    """Return why a dossier was closed, None when it is not or nobody said."""
    for extension in extensions_of(patient, CLOSING):
        for part in extensions_of(extension, "motifFermeture"):
            return motive_of(part.get("valueCodeableConcept"))
    return None


def plan_closing(given: Arguments, state: DossierState, scribe: Scribe) -> Planned:
    """Decide a closing.

    Raises:
        Unprocessable: no motive, an unknown one, a date to come. Conflict: closed already, for another reason.
        NotFound, Forbidden: there is no dossier.
    """
    motive = _motive(given)
    day = given.day("date") or scribe.today
    if day > scribe.today:
        raise Unprocessable("A closing cannot be dated in the future.", code="value", expression=place_of("date"))
    must_exist(state, scribe.base)
    if state.status is Status.CLOSED:
        if closing_motive(state.patient.resource) == motive:
            return Planned(issues=(note("The dossier was closed for this motive already."),))
        raise Conflict("The dossier is closed already, for another motive.", details=(closed(scribe.base),))
    parts = _parts(motive, day, given.text("raison"))
    patient = {**_without_closing(state.patient.resource), "active": False}
    patient["extension"] = [*patient.get("extension", ()), {"url": CLOSING, "extension": parts}]
    patient, grants = without_rights(patient, state)
    openings = state.active(consents.OPENING, permit=True)
    record = scribe.new(state, consents.closing(scribe.on(state), _legal(parts)))
    drafts = (patient_draft(state, patient), *ended(openings), record, *grants)
    return Planned(drafts, details=(("motif", motive),))


def _motive(given: Arguments) -> str:
    concept = given.concept("motif")
    if concept is None or not list(codings_of(concept)):
        raise missing("motif", f"a code of {CLOSING_MOTIVES}")
    found = motive_of(concept)
    if found is None:
        raise Unprocessable(
            f"The closing motive is one of {', '.join(MOTIVES)} ({CLOSING_MOTIVES}).",
            code="code-invalid",
            expression=place_of("motif"),
        )
    return found


def _parts(motive: str, day: str, reason: str | None) -> list[Json]:
    codings = [
        {"system": CLOSING_MOTIVES, "code": motive},
        {"system": HISTORICAL_MOTIVES, "code": MOTIVES[motive]},
    ]
    parts: list[Json] = [
        {"url": "dateFermeture", "valueDate": day},
        {"url": "motifFermeture", "valueCodeableConcept": {"coding": codings}},
    ]
    return [*parts, {"url": "raisonFermeture", "valueString": reason}] if reason else parts


def _legal(parts: list[Json]) -> list[Json]:
    """Return the same facts under the names of the Consent's extension."""
    names = {"dateFermeture": "date", "motifFermeture": "motive", "raisonFermeture": "reason"}
    return [{**part, "url": names[part["url"]]} for part in parts]


def _without_closing(patient: Json) -> Json:
    kept = [extension for extension in objects_of(patient.get("extension")) if extension.get("url") != CLOSING]
    bare = {name: part for name, part in patient.items() if name != "extension"}
    return {**bare, "extension": kept} if kept else bare


def without_rights(patient: Json, state: DossierState) -> tuple[Json, tuple[Draft, ...]]:
    """Return the Patient without médecins traitants, and the drafts that end every right to enter."""
    bare = {name: part for name, part in patient.items() if name != "generalPractitioner"}
    return bare, ended(state.active(*GRANTS, permit=True))


def plan_reopening(given: Arguments, state: DossierState, scribe: Scribe) -> Planned:
    """Decide a reopening: former documents are there again, former rights are not.

    Raises:
        Unprocessable: no agreement of the person, closed by death, or longer ago than a dossier is kept.
        Conflict: open already.
        NotFound, Forbidden: there is no dossier.
    """
    if given.flag("consentement") is not True:
        raise Unprocessable(
            "A dossier is reopened with the consent of the person: send consentement true.",
            code="business-rule",
            expression=place_of("consentement"),
        )
    must_exist(state, scribe.base)
    if state.status is not Status.CLOSED:
        raise Conflict("The dossier is open.", details=(erreur(scribe.base, "dmp-ouvert"),))
    if closing_motive(state.patient.resource) == "deces":
        raise Unprocessable("A dossier closed by death is not reopened.", code="business-rule")
    since = kept_since(state.patient.resource, [right.held.resource for right in state.rights], scribe.base)
    if since is not None and due_on(since, scribe.retention_years) <= date.fromisoformat(scribe.today):
        raise Unprocessable(
            f"This dossier was closed {scribe.retention_years} years ago or more: its content is destroyed. A new one "
            "can be opened as soon as that is done.",
            code="business-rule",
            details=(erreur(scribe.base, "dmp-ferme"),),
        )
    patient, grants = without_rights({**_without_closing(state.patient.resource), "active": True}, state)
    record = scribe.new(state, consents.opening(scribe.on(state), again=True))
    return Planned((patient_draft(state, patient), *ended(state.active(consents.OPENING)), record, *grants))
