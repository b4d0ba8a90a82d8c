"""Dossiers for a whole population: each person is told first, and gets a dossier unless they object in time.

The announcement is a Patient with the identity, the day in the extension dmp-ouverture-annoncee, and no dossier: its
INS answers like an unknown one. An objection is `$dmp-opposition` of nature `creation`. Pure. docs/adr/0026.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from fhir_dmp.errors import Issue, Unprocessable
from fhir_dmp.fhir.draft import Draft
from fhir_dmp.fhir.elements import extensions_of, objects_of
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.dossier import Opener, OpeningRequest, Status, plan_opening
from fhir_dmp.patients.identity import discordances, opening_issues
from fhir_dmp.terminology.national import erreur


class State(StrEnum):
    """What became of one person."""

    ANNOUNCED = "announced"
    WAITING = "waiting"
    OPENED = "opened"
    OPEN = "open"
    CLOSED = "closed"
    OPPOSED = "opposed"


@dataclass(frozen=True, slots=True)
class Campaign:
    """today; weeks that people have to object. announced: the day on which they were told by other means, if so."""

    today: date
    weeks: int
    announced: date | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """What to write for a person, and the state that it leads to. until: the last day to object, while waiting."""

    state: State
    patient_id: str | None = None
    drafts: tuple[Draft, ...] = ()
    until: date | None = None
    issues: tuple[Issue, ...] = ()


def announcement(base: str) -> str:
    """Return the URL of the extension that holds the day of the announcement."""
    return f"{base}/StructureDefinition/dmp-ouverture-annoncee"


def announced_on(patient: Json, base: str) -> date | None:
    """Return the day on which the person of a Patient was told, None when that was not noted."""
    for extension in extensions_of(patient, announcement(base)):
        try:
            return date.fromisoformat(str(extension.get("valueDate")))
        except ValueError:
            return None
    return None


def decide(
    patient: Json, held: Held | None, consents: Sequence[Json], status: Status, campaign: Campaign, opener: Opener
) -> Decided:
    """Decide what becomes of one person. `held`: the Patient that holds the INS, with its Consents and its state.

    Raises:
        Unprocessable: the identity is not good enough, or contradicts what is known of this INS.
    """
    if held is not None and status in _SETTLED:
        return Decided(_SETTLED[status], held.id)
    errors = [issue for issue in opening_issues(patient, opener.rules) if issue.severity == "error"]
    if errors:
        raise Unprocessable(issues=errors)
    base = opener.rules.ins.base
    if held is not None and (wrong := discordances(patient, held.resource)):
        raise Unprocessable(
            "The traits contradict those that are known for this INS.",
            code="conflict",
            expression=[f"Patient.{element}" for element in wrong],
            details=(erreur(base, "traits-discordants"),),
        )
    told = campaign.announced or (announced_on(held.resource, base) if held else None)
    if told is None and campaign.weeks > 0:
        return _announced(patient, held, campaign, opener)
    until = (told or campaign.today) + timedelta(weeks=campaign.weeks)
    if until > campaign.today:
        return Decided(State.WAITING, held.id if held else None, until=until)
    request = OpeningRequest(patient, None, None, None, None, automatic=True)
    opening = plan_opening(request, held, consents, status, opener)
    return Decided(State.OPENED, opening.patient_id, opening.drafts, issues=opening.issues)


_SETTLED = {Status.ACTIVE: State.OPEN, Status.CLOSED: State.CLOSED, Status.OPPOSED: State.OPPOSED}


def _announced(patient: Json, held: Held | None, campaign: Campaign, opener: Opener) -> Decided:
    base = opener.rules.ins.base
    extension = {"url": announcement(base), "valueDate": campaign.today.isoformat()}
    noted = {**patient, "extension": [*objects_of(patient.get("extension")), extension]}
    noted.pop("active", None)  # it is no dossier yet, and no closed one either
    id_ = held.id if held else opener.new_id(None)
    draft = Draft("Patient", id_, noted, held.version if held else 0, "PUT" if held else "POST")
    until = campaign.today + timedelta(weeks=campaign.weeks)
    return Decided(State.ANNOUNCED, id_, (draft,), until)
