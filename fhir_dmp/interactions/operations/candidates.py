"""What can be told of the person whom a right is about: profession, and whether a right exists already."""

from __future__ import annotations

from dataclasses import replace

from fhir_dmp.access.matrix import is_doctor_by_profession
from fhir_dmp.access.relation import authorisation, is_doctor
from fhir_dmp.access.rights import is_known_doctor, profession_proved
from fhir_dmp.identity.caller import Caller
from fhir_dmp.interactions import gather
from fhir_dmp.interactions.operations.dossier import Target, calling_professional
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.grants import Candidate
from fhir_dmp.patients.parameters import Who
from fhir_dmp.terminology.aliases import PROFESSIONAL


def candidate(caller: Caller, who: Who, target: Target, services: Services) -> Candidate:
    """Return what is known of somebody: of the caller by the token, of others by the directory and former rights."""
    if who == calling_professional(caller):
        consulting = authorisation(caller, target.facts).valid is not None or is_doctor(caller, target.facts)
        return Candidate(who, profession_proved(caller.roles), is_doctor_by_profession(caller.roles), consulting)
    authorised = target.state.is_authorised(who)
    return Candidate(who, None, _is_known_doctor(who, target, services), authorised)


def _is_known_doctor(who: Who, target: Target, services: Services) -> bool:
    system, number = who
    if system != PROFESSIONAL:
        return False
    known = {**target.reading.directory, **gather.practitioners_of(number, services)}
    consents = [right.held.resource for right in target.state.rights]
    return is_known_doctor(number, consents, replace(target.reading, directory=known))
