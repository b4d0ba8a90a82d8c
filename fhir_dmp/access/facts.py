"""What a decision about one patient's record needs to know, gathered beforehand and read once. Pure.

The dossier exists when an opening was recorded (a Patient alone opens nothing); it is closed by `dmp-fermeture`.
Médecins traitants are Patient.generalPractitioner and consents of kind mt, less those whose consent has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

from fhir_dmp.access.consent import ConsentKind, Reading, Statement, consent_kind, kinds_of, statements, subject_of
from fhir_dmp.access.parties import Party, PartyKind, codings, identifiers, local, parties
from fhir_dmp.fhir.ages import full_years, next_midnight
from fhir_dmp.fhir.dates import NEVER, validity
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.dossier import Status
from fhir_dmp.terminology.national import CLOSING

#: Relationships of a legal protection measure of an adult: HL7 guardian and mandates; French guardianships.
PROTECTION = frozenset({"GUARD", "POWATT", "DPOWATT", "HPOWATT", "SPOWATT", "TUTEUR", "CURATEUR", "MSVG", "MANDATAIRE"})


@dataclass(frozen=True, slots=True)
class Representative:
    """A person linked to the patient. names: references and `system|value` identifiers that tell the person.

    active: the link is in force. protection: it is a protection measure, which holds for adults too.
    """

    names: frozenset[str]
    active: bool
    protection: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """A current member of one of the patient's care teams."""

    team: str
    party: Party


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """All that decides on access to one record, at one moment.

    patient: logical id, "" when unknown. birth: FHIR date. doctors: PSIdNat of the médecins traitants. blocks,
    feeding, delegations, apps, team_consents: statements in force. authorisations: those in force and those expired.
    break_glass_refusal, regulation_refusal: the statement that refuses the mode, None when it is allowed.
    secret: the patient keeps care from the representatives. until_ms: the first moment at which something begins, ends
    or comes of age, so that the facts are others without any change of the record.
    """

    patient: str
    dossier: Status
    now_ms: int
    zone: tzinfo = UTC
    birth: str | None = None
    doctors: frozenset[str] = frozenset()
    blocks: tuple[Statement, ...] = ()
    authorisations: tuple[Statement, ...] = ()
    members: tuple[Membership, ...] = ()
    team_consents: tuple[Statement, ...] = ()
    feeding: tuple[Statement, ...] = ()
    break_glass_refusal: Statement | None = None
    regulation_refusal: Statement | None = None
    representatives: tuple[Representative, ...] = ()
    delegations: tuple[Statement, ...] = ()
    apps: tuple[Statement, ...] = ()
    secret: bool = False
    until_ms: int = NEVER

    @property
    def reference(self) -> str:
        """`Patient/id`."""
        return f"Patient/{self.patient}"

    def age(self) -> int | None:
        """The patient's age in full years, None when unknown."""
        return full_years(self.birth, self.now_ms, self.zone)


def patient_facts(
    patient: Json | None,
    consents: Sequence[Json],
    directory: Mapping[str, Json],
    now_ms: int,
    canonical_base: str,
    zone: tzinfo = UTC,
) -> PatientFacts:
    """Read the facts of one record. Never raises: what cannot be understood grants nothing.

    patient: the Patient resource, None when there is none. consents: its Consents in any status. directory: referenced
    Practitioner, PractitionerRole, Organization, CareTeam, RelatedPerson and Person resources by `Type/id`.
    zone: where dates without offset are read.
    """
    if patient is None:
        return PatientFacts("", Status.NONE, now_ms, zone)
    name = str(patient.get("id", ""))
    reading = Reading(directory, zone, canonical_base)
    mine = [consent for consent in consents if subject_of(consent) == f"Patient/{name}"]
    said = [statement for consent in mine for statement in statements(consent, reading)]
    current = [statement for statement in said if statement.holds_at(now_ms)]
    birth = patient.get("birthDate")
    return PatientFacts(
        patient=name,
        dossier=_dossier(patient, mine, current, canonical_base),
        now_ms=now_ms,
        zone=zone,
        birth=birth if isinstance(birth, str) else None,
        doctors=_doctors(patient, mine, current, reading),
        blocks=_of(current, ConsentKind.BLOCK, permit=False),
        authorisations=tuple(
            s for s in said if s.kind is ConsentKind.AUTHORISATION and s.low_ms <= now_ms and (s.permit or s in current)
        ),
        members=tuple(_members(directory, f"Patient/{name}", now_ms, reading)),
        team_consents=tuple(s for s in current if s.kind in (ConsentKind.TEAM, ConsentKind.TEAM_INFORMATION)),
        feeding=_of(current, ConsentKind.FEEDING, permit=False),
        break_glass_refusal=_emergency(current, "BTG"),
        regulation_refusal=_emergency(current, "ETREAT"),
        representatives=tuple(_representatives(directory, f"Patient/{name}", now_ms, zone)),
        delegations=_of(current, ConsentKind.DELEGATION, permit=True),
        apps=_of(current, ConsentKind.APP, permit=True),
        secret=any(s.kind is ConsentKind.TEAM_INFORMATION and not s.permit and _is_secret(s) for s in current),
        until_ms=min(bound for bound in _bounds(said, directory, now_ms, zone) if bound > now_ms),
    )


def _bounds(said: Sequence[Statement], directory: Mapping[str, Json], now_ms: int, zone: tzinfo) -> Iterator[int]:
    """Yield the moments at which somebody may come of age, or a statement, a membership or a link begins or ends."""
    yield next_midnight(now_ms, zone)
    for statement in said:
        yield statement.low_ms
        yield statement.high_ms
    for resource in directory.values():
        if resource.get("resourceType") in ("CareTeam", "RelatedPerson"):
            for part in (resource, *objects_of(resource.get("participant"))):
                yield from validity(part.get("period"), zone)


def _of(current: Sequence[Statement], kind: ConsentKind, *, permit: bool) -> tuple[Statement, ...]:
    return tuple(s for s in current if s.kind is kind and s.permit is permit and not (s.permit and s.narrow))


def _is_secret(statement: Statement) -> bool:
    return all(party.kind is PartyKind.RELATIVE for party in statement.parties)


def _dossier(patient: Json, consents: Sequence[Json], current: Sequence[Statement], base: str) -> Status:
    openings = [consent for consent in consents if consent_kind(consent, base) is ConsentKind.OPENING]
    ever = any(
        isinstance(consent.get("provision"), dict)
        and consent["provision"].get("type") == "permit"
        and consent.get("status") in ("active", "inactive")
        for consent in openings
    )
    closed = any(extension.get("url") == CLOSING for extension in objects_of(patient.get("extension")))
    denied = any(s.kind is ConsentKind.OPENING and not s.permit for s in current)
    permitted = any(s.kind is ConsentKind.OPENING and s.permit for s in current)
    active = patient.get("active") is not False
    if closed and not (active and permitted and not denied):
        return Status.CLOSED
    if denied:
        return Status.CLOSED if ever else Status.OPPOSED
    if permitted and active:
        return Status.ACTIVE
    # Opened once, and neither open now nor said to be closed: nothing is shown rather than too much.
    return Status.CLOSED if ever else Status.NONE


def _professionals(found: Sequence[Party]) -> Iterator[str]:
    return (party.value for party in found if party.kind is PartyKind.PROFESSIONAL)


def _doctors(patient: Json, consents: Sequence[Json], current: Sequence[Statement], reading: Reading) -> frozenset[str]:
    named: set[str] = set()
    for reference in objects_of(patient.get("generalPractitioner")):
        named.update(_professionals(parties(reference, patient, reading.directory)))
    told: set[str] = set()
    for consent in consents:
        if ConsentKind.DOCTOR in {kind for kind, _ in kinds_of(consent, reading.canonical_base)}:
            for statement in statements({**consent, "status": "active"}, reading):
                told.update(_professionals(statement.parties))
    mine = [s for s in current if s.kind is ConsentKind.DOCTOR and not (s.permit and s.narrow)]
    granted = {value for s in mine if s.permit for value in _professionals(s.parties)}
    denied = {value for s in mine if not s.permit for value in _professionals(s.parties)}
    return frozenset(((named - told) | granted) - denied)


def _emergency(current: Sequence[Statement], purpose: str) -> Statement | None:
    """Return the statement that refuses a mode. A nested permit lifts the deny that it is nested in."""
    for statement in current:
        if statement.kind is not ConsentKind.EMERGENCY or statement.permit or not statement.is_for(purpose):
            continue
        lifted = any(
            other.permit and other.consent == statement.consent and purpose in other.purposes
            for other in current
            if len(other.purposes) < len(statement.purposes) or (other.purposes and not statement.purposes)
        )
        if not lifted:
            return statement
    return None


def _members(directory: Mapping[str, Json], patient: str, now_ms: int, reading: Reading) -> Iterator[Membership]:
    for place, resource in directory.items():
        if resource.get("resourceType") != "CareTeam" or local(resource.get("subject")) != patient:
            continue
        if resource.get("status") != "active" or not _holds(resource.get("period"), now_ms, reading.zone):
            continue
        for participant in objects_of(resource.get("participant")):
            if _holds(participant.get("period"), now_ms, reading.zone):
                for party in parties(participant.get("member"), resource, directory):
                    yield Membership(place, party)


def _holds(period: object, now_ms: int, zone: tzinfo) -> bool:
    low, high = validity(period, zone)
    return low <= now_ms < high


def _representatives(
    directory: Mapping[str, Json], patient: str, now_ms: int, zone: tzinfo
) -> Iterator[Representative]:
    for place, resource in directory.items():
        if resource.get("resourceType") != "RelatedPerson" or local(resource.get("patient")) != patient:
            continue
        people = [p for p, person in directory.items() if _links_to(person, place)]
        names = {place, *people, *(f"{system}|{value}" for system, value in identifiers(resource.get("identifier")))}
        codes = {code.upper() for _, code in codings(resource.get("relationship"))}
        active = resource.get("active") is not False and _holds(resource.get("period"), now_ms, zone)
        yield Representative(frozenset(names), active, bool(codes & PROTECTION))


def _links_to(person: Json, place: str) -> bool:
    return person.get("resourceType") == "Person" and any(
        local(link.get("target")) == place for link in objects_of(person.get("link"))
    )
