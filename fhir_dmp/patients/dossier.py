"""The life of a dossier: its state, and `$dmp-ouvrir` as a pure plan. [dmp-fhir 3.8, security 5.2 and 5.6]

A closed dossier is a Patient with `active` false and the extension dmp-fermeture; an open one has `active` true and a
Consent to opening in force. A Patient alone (written by an administrator) is no dossier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fhir_dmp.errors import BadRequest, Conflict, Forbidden, Issue, Unprocessable
from fhir_dmp.fhir.draft import Draft
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients import consents as consent_room
from fhir_dmp.patients.consents import BREAK_GLASS, REGULATION, Act
from fhir_dmp.patients.identity import IdentityRules, discordances, opening_issues
from fhir_dmp.patients.ins import Ins, ins_of
from fhir_dmp.terminology.national import denial, erreur

#: Gives a new logical id; its argument is the `Patient/id` that the resource belongs to, when known.
NewId = Callable[[str | None], str]


class Status(StrEnum):
    """State of a dossier."""

    NONE = "none"
    ACTIVE = "active"
    CLOSED = "closed"
    OPPOSED = "opposed"


@dataclass(frozen=True, slots=True)
class OpeningRequest:
    """The parameters of `$dmp-ouvrir`. None: the parameter was not given.

    automatic: nobody asked for it; the person was told, and did not object in time (patients.population).
    """

    patient: Json
    consent: bool | None
    refuse_break_glass: bool | None
    refuse_regulation: bool | None
    author: Json | None
    automatic: bool = False

    @property
    def ins(self) -> Ins | None:
        """The INS that keys the dossier to open, by which the caller finds what exists already."""
        return ins_of(self.patient)


@dataclass(frozen=True, slots=True)
class Opener:
    """What an opening needs beside the request: rules, who keeps the record, who asks (a Reference), now and ids."""

    rules: IdentityRules
    operator_name: str
    operator_oid: str
    performer: Json | None
    now_ms: int
    new_id: NewId


@dataclass(frozen=True, slots=True)
class Opening:
    """What to write (nothing when the same dossier is open already), the Patient to answer, and warnings."""

    drafts: tuple[Draft, ...]
    patient_id: str
    patient: Json
    issues: tuple[Issue, ...] = ()
    unchanged: bool = False


def read_opening(parameters: Json) -> OpeningRequest:
    """Read the Parameters of `$dmp-ouvrir`.

    Raises:
        BadRequest: not a Parameters resource, a parameter of the wrong type or given twice, or no patient.
    """
    if parameters.get("resourceType") != "Parameters":
        raise BadRequest("$dmp-ouvrir takes a Parameters resource.", code="structure")
    given: dict[str, Json] = {}
    for index, part in enumerate(objects_of(parameters.get("parameter"))):
        name = str(part.get("name"))
        if name in given:
            raise BadRequest("This parameter was given twice.", expression=f"Parameters.parameter[{index}]")
        given[name] = part
    patient = object_of(given.get("patient", {}).get("resource"))
    if patient.get("resourceType") != "Patient":
        raise BadRequest(
            "The parameter 'patient' must hold a Patient resource.",
            code="required",
            expression="Parameters.parameter.where(name='patient')",
        )
    return OpeningRequest(
        patient=patient,
        consent=_boolean(given, "consentement"),
        refuse_break_glass=_boolean(given, "oppositionBrisDeGlace"),
        refuse_regulation=_boolean(given, "oppositionCentreRegulation"),
        author=_identifier(given, "auteur"),
    )


def _boolean(given: dict[str, Json], name: str) -> bool | None:
    if name not in given:
        return None
    value = given[name].get("valueBoolean")
    if not isinstance(value, bool):
        raise BadRequest(
            f"The parameter '{name}' needs valueBoolean.", expression=f"Parameters.parameter.where(name='{name}')"
        )
    return value


def _identifier(given: dict[str, Json], name: str) -> Json | None:
    if name not in given:
        return None
    value = given[name].get("valueIdentifier")
    if not isinstance(value, dict):
        raise BadRequest(
            f"The parameter '{name}' needs valueIdentifier.", expression=f"Parameters.parameter.where(name='{name}')"
        )
    return value


def plan_opening(
    request: OpeningRequest, held: Held | None, consents: Sequence[Json], status: Status, opener: Opener
) -> Opening:
    """Decide an opening. `held` is the Patient that holds the INS already, if there is one; it has these Consents.

    status: the state of that dossier, as access decides on it; none when nobody holds the INS.

    Raises:
        Unprocessable: no consent, INS or identity not good enough, traits that contradict a known dossier.
        Conflict: a dossier exists already, open with other input, or closed (reactivate it).
        Forbidden: the person objected to any opening.
    """
    base = opener.rules.ins.base
    if status is Status.OPPOSED:
        raise Forbidden(
            "The person objected to the opening of a dossier.", details=(denial(base, "no-dmp"),), code="forbidden"
        )
    if request.consent is not True and not request.automatic:
        raise Unprocessable(
            "A dossier opens with the consent of the person: send consentement true.",
            code="business-rule",
            expression="Parameters.parameter.where(name='consentement')",
        )
    issues = opening_issues(request.patient, opener.rules)
    errors = [issue for issue in issues if issue.severity == "error"]
    if errors:
        raise Unprocessable(issues=errors)
    if held is not None and status is not Status.NONE:
        return _existing(request, held, consents, status, base, issues)
    return _opened(request, held, opener, issues)


def _existing(
    request: OpeningRequest, held: Held, consents: Sequence[Json], status: Status, base: str, issues: tuple[Issue, ...]
) -> Opening:
    if status is Status.CLOSED:
        raise Conflict(
            f"This dossier is closed; reopen it with Patient/{held.id}/$dmp-reactiver.",
            details=(erreur(base, "dmp-ferme"),),
        )
    contradictions = discordances(request.patient, held.resource)
    if contradictions:
        raise Unprocessable(
            "The traits contradict those of the open dossier of this INS.",
            code="conflict",
            expression=[f"Patient.{element}" for element in contradictions],
            details=(erreur(base, "traits-discordants"),),
        )
    if not _repeats(request, held.resource, consents, base):
        raise Conflict(
            "A dossier is open for this INS already, with other data. Read it, and update what has to change.",
            details=(erreur(base, "dmp-ouvert"),),
        )
    return Opening((), held.id, held.resource, issues, unchanged=True)


_NOT_COMPARED = ("resourceType", "id", "meta", "text", "active")


def _repeats(request: OpeningRequest, stored: Json, consents: Sequence[Json], base: str) -> bool:
    """A replay says nothing that is not so already; what it leaves out is not compared."""
    modes: frozenset[str] = frozenset()
    for consent in consent_room.in_force(consents, "emergency", base):
        modes |= consent_room.refused_modes(consent)
    asked = ((BREAK_GLASS, request.refuse_break_glass), (REGULATION, request.refuse_regulation))
    return all(stored.get(key) == part for key, part in request.patient.items() if key not in _NOT_COMPARED) and all(
        wanted is None or wanted == (mode in modes) for mode, wanted in asked
    )


def _opened(request: OpeningRequest, held: Held | None, opener: Opener, issues: tuple[Issue, ...]) -> Opening:
    ins = request.ins
    assert ins is not None  # opening_issues refused it otherwise
    patient_id = held.id if held else opener.new_id(None)
    reference = f"Patient/{patient_id}"
    patient = {**request.patient, "active": True}
    performer = {"identifier": request.author} if request.author else opener.performer
    act = Act(
        opener.rules.ins.base, reference, ins, opener.now_ms, opener.operator_name, opener.operator_oid, performer
    )
    legal = [consent_room.automatic_opening(act) if request.automatic else consent_room.opening(act)]
    refused = [
        mode
        for mode, wanted in ((BREAK_GLASS, request.refuse_break_glass), (REGULATION, request.refuse_regulation))
        if wanted
    ]
    if refused:
        legal.append(consent_room.emergency(act, refused))
    drafts = (
        Draft("Patient", patient_id, patient, held.version if held else 0, "PUT" if held else "POST"),
        *(Draft("Consent", opener.new_id(reference), consent) for consent in legal),
    )
    return Opening(drafts, patient_id, patient, issues)
