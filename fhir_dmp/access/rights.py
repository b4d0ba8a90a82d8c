"""The Consents of a dossier as its operations need them: kind, force, and whom each names by national identifier.

The same reading of Consents as for decisions (consent.py), so that what an operation changes is what decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_dmp.access.consent import ConsentKind, Reading, consent_kind, statements
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.matrix import is_doctor_by_profession, is_health_profession
from fhir_dmp.access.parties import Party, PartyKind, codings, parties, target
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.consents import profession_extension
from fhir_dmp.patients.parameters import Who
from fhir_dmp.patients.state import DossierState, Right
from fhir_dmp.terminology.aliases import PROFESSIONAL, STRUCTURE

_SYSTEMS = {PartyKind.PROFESSIONAL: PROFESSIONAL, PartyKind.STRUCTURE: STRUCTURE}


def dossier_state(patient: Held, consents: Sequence[Held], facts: PatientFacts, reading: Reading) -> DossierState:
    """Return the state of one dossier. consents: all of its Consents, newest first; facts: read from the same."""
    return DossierState(
        patient=patient,
        status=facts.dossier,
        rights=tuple(_right(held, facts, reading) for held in consents),
        practitioners=tuple(
            _whom(parties(reference, patient.resource, reading.directory))
            for reference in objects_of(patient.resource.get("generalPractitioner"))
        ),
        doctors=facts.doctors,
    )


def _right(held: Held, facts: PatientFacts, reading: Reading) -> Right:
    consent = held.resource
    provision = consent.get("provision")
    outer = provision if isinstance(provision, dict) else {}
    said = next(statements(consent, reading), None)
    return Right(
        held=held,
        kind=str(consent_kind(consent, reading.canonical_base) or ""),
        active=consent.get("status") == "active",
        current=said is not None and said.holds_at(facts.now_ms),
        permit=outer.get("type") == "permit",
        actors=tuple(
            _whom(parties(actor.get("reference"), consent, reading.directory))
            for actor in objects_of(outer.get("actor"))
        ),
    )


def _whom(found: Sequence[Party]) -> frozenset[Who]:
    return frozenset((_SYSTEMS[party.kind], party.value) for party in found if party.kind in _SYSTEMS)


def is_known_doctor(number: str, consents: Sequence[Json], reading: Reading) -> bool:
    """Say whether the directory, or a right recorded with the professional's own token, tells of a doctor.

    number: PSIdNat. The directory is what the reading holds of Practitioner and PractitionerRole.
    """
    who = Party(PartyKind.PROFESSIONAL, number)
    for resource in reading.directory.values():
        named = parties({"reference": f"{resource.get('resourceType')}/{resource.get('id')}"}, {}, reading.directory)
        if who in named and is_doctor_by_profession(_professions(resource, reading)):
            return True
    return any(who in named and is_doctor_by_profession(proved) for named, proved in _recorded(consents, reading))


def _professions(resource: Json, reading: Reading) -> list[tuple[str, str]]:
    if resource.get("resourceType") == "Practitioner":
        return [pair for part in objects_of(resource.get("qualification")) for pair in codings(part.get("code"))]
    if resource.get("resourceType") == "PractitionerRole":
        practitioner = target(resource.get("practitioner"), resource, reading.directory)
        inherited = _professions(practitioner, reading) if practitioner else []
        return [*codings(resource.get("code")), *inherited]
    return []


def _recorded(consents: Sequence[Json], reading: Reading) -> list[tuple[tuple[Party, ...], list[tuple[str, str]]]]:
    found = []
    for consent in consents:
        if consent_kind(consent, reading.canonical_base) is not ConsentKind.AUTHORISATION:
            continue
        for provision in objects_of(consent.get("provision")):
            for actor in objects_of(provision.get("actor")):
                proved = [
                    pair
                    for extension in objects_of(actor.get("extension"))
                    if extension.get("url") == profession_extension(reading.canonical_base)
                    for pair in codings(extension.get("valueCoding"))
                ]
                found.append((parties(actor.get("reference"), consent, reading.directory), proved))
    return found


def profession_proved(roles: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """Return the health profession among a token's roles, as (system, code)."""
    return next(((system, code) for system, code in roles if is_health_profession(system)), None)
