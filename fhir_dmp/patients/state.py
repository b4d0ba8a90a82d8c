"""A dossier as the plans of its operations see it: its Patient, its Consents, and who they name.

The interaction gathers it (references resolved to national identifiers); the plans say what to write. Values only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fhir_dmp.errors import Coding, Forbidden, Issue, NotFound, Unprocessable
from fhir_dmp.fhir.draft import Draft
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients import consents
from fhir_dmp.patients.consents import Act
from fhir_dmp.patients.dossier import NewId, Status
from fhir_dmp.patients.ins import Ins, ins_of
from fhir_dmp.patients.parameters import Who
from fhir_dmp.terminology.national import denial, erreur


@dataclass(frozen=True, slots=True)
class Right:
    """One Consent of the dossier.

    kind: business kind. active: its status is active; current: and its period holds now. permit: what its provision
    says. actors: whom each provision.actor names, by national identifier (an empty set: nobody that can be told).
    """

    held: Held
    kind: str
    active: bool
    current: bool
    permit: bool
    actors: tuple[frozenset[Who], ...] = ()

    def names(self, who: Who) -> bool:
        """Say whether it names somebody."""
        return any(who in actor for actor in self.actors)

    def names_only(self, who: Who | None) -> bool:
        """Say whether it names exactly somebody; None: whether it names nobody, that is everybody."""
        if who is None:
            return not self.actors
        return bool(self.actors) and all(actor == {who} for actor in self.actors)


@dataclass(frozen=True, slots=True)
class DossierState:
    """What is stored of one dossier. rights: its Consents, newest first. practitioners: whom each generalPractitioner
    names. doctors: PSIdNat of the médecins traitants in force, however they were recorded.
    """

    patient: Held
    status: Status
    rights: tuple[Right, ...] = ()
    practitioners: tuple[frozenset[Who], ...] = ()
    doctors: frozenset[str] = frozenset()

    def active(self, *kinds: str, permit: bool | None = None) -> tuple[Right, ...]:
        """Return the active Consents of these kinds; permit: only those that permit, or that deny."""
        return tuple(
            right
            for right in self.rights
            if right.active and right.kind in kinds and (permit is None or right.permit is permit)
        )

    def is_authorised(self, who: Who) -> bool:
        """Say whether an authorisation in force names somebody."""
        return any(right.current and right.names(who) for right in self.active(consents.AUTHORISATION, permit=True))

    def is_blocked(self, who: Who) -> bool:
        """Say whether a block names somebody."""
        return any(right.names(who) for right in self.active(consents.BLOCK, permit=False))


@dataclass(frozen=True, slots=True)
class Scribe:
    """Who writes a legal act down, and when. performer: a Reference to who recorded the choice, None for the patient.

    today: the date in the server's zone. new_id: gives a logical id for a resource of `Patient/id`.
    retention_years: how long a closed dossier is kept.
    """

    base: str
    operator_name: str
    operator_oid: str
    performer: Json | None
    now_ms: int
    today: str
    new_id: NewId
    retention_years: int = 10

    def act(self, reference: str, ins: Ins) -> Act:
        """Return an act on the record `Patient/id` of this INS."""
        return Act(self.base, reference, ins, self.now_ms, self.operator_name, self.operator_oid, self.performer)

    def on(self, state: DossierState) -> Act:
        """Return an act on a dossier."""
        return self.act(state.patient.reference, ins_of(state.patient.resource) or ("", ""))

    def new(self, state: DossierState, consent: Json) -> Draft:
        """Return the draft of a new Consent of a dossier."""
        return Draft("Consent", self.new_id(state.patient.reference), consent)


@dataclass(frozen=True, slots=True)
class Planned:
    """What an operation changes. consent: id of the Consent to answer with. issues: warnings. details: of the audit."""

    drafts: tuple[Draft, ...] = ()
    consent: str | None = None
    issues: tuple[Issue, ...] = ()
    details: tuple[tuple[str, str], ...] = ()


def must_be_open(state: DossierState, base: str) -> None:
    """Check that the dossier is open.

    Raises:
        NotFound: it was never opened. Forbidden: the person wants none. Unprocessable: it is closed.
    """
    must_exist(state, base)
    if state.status is Status.CLOSED:
        raise Unprocessable(
            "The dossier is closed; reopen it with $dmp-reactiver.", code="business-rule", details=(closed(base),)
        )


def must_exist(state: DossierState, base: str) -> None:
    """Check that the dossier was opened once and that nobody objected to it.

    Raises:
        NotFound, Forbidden.
    """
    if state.status is Status.NONE:
        raise unknown(base)
    if state.status is Status.OPPOSED:
        raise Forbidden("The person objected to having a dossier.", details=(denial(base, "no-dmp"),))


def unknown(base: str) -> NotFound:
    """Return the refusal of an operation on a dossier that does not exist, or must look so."""
    return NotFound(
        "There is no dossier of this patient; it is opened with Patient/$dmp-ouvrir.",
        details=(erreur(base, "dmp-inexistant"),),
    )


def closed(base: str) -> Coding:
    """Return the code of a closed dossier."""
    return erreur(base, "dmp-ferme")


def note(text: str) -> Issue:
    """Return what an operation tells beside its answer when nothing had to change."""
    return Issue("informational", text, severity="information")


def ended(rights: Iterable[Right]) -> tuple[Draft, ...]:
    """Return the drafts that end Consents: status inactive, nothing else changed."""
    return tuple(_draft(right, {**right.held.resource, "status": "inactive"}) for right in rights)


def without(rights: Iterable[Right], who: Who) -> tuple[Draft, ...]:
    """Return the drafts that take somebody out of Consents: others whom one names keep what it says."""
    drafts: list[Draft] = []
    for right in rights:
        others = [index for index, actor in enumerate(right.actors) if who not in actor]
        if not others:
            drafts.extend(ended([right]))
            continue
        provision = right.held.resource["provision"]
        actors = provision["actor"] if isinstance(provision["actor"], list) else [provision["actor"]]
        kept = {**provision, "actor": [actors[index] for index in others]}
        drafts.append(_draft(right, {**right.held.resource, "provision": kept}))
    return tuple(drafts)


def _draft(right: Right, resource: Json) -> Draft:
    return Draft("Consent", right.held.id, resource, right.held.version, "PUT")


def patient_draft(state: DossierState, resource: Json) -> Draft:
    """Return the draft of a changed Patient."""
    return Draft("Patient", state.patient.id, resource, state.patient.version, "PUT")
