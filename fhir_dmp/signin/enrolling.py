"""Making a local account: who it is for, which records it opens, and how its holder proves to be the one.

The links that give access are recorded in the record itself: a representative gets a RelatedPerson, a delegate names
the Consent of the delegation. An account alone opens nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pyotp

from fhir_dmp.errors import BadRequest, NotFound
from fhir_dmp.fhir.elements import objects_of, text_of, texts_of
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.identity import accounts as values
from fhir_dmp.identity.accounts import Account, AccountClass, Profile, SecondFactor
from fhir_dmp.identity.caller import Actor
from fhir_dmp.identity.upstream import Practice, ProfessionalIdentity
from fhir_dmp.interactions import gather
from fhir_dmp.ports import Key
from fhir_dmp.signin import accounts, people
from fhir_dmp.signin.desk import Desk
from fhir_dmp.signin.visits import SERVER, Visit, note, write
from fhir_dmp.terminology.national import INS_SYSTEMS

#: Somebody who speaks for another, as HL7 codes it: https://terminology.hl7.org/CodeSystem-v3-RoleCode.html
_ROLES = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
PARENT = "PRN"
GUARDIAN = "GUARD"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an operator asks for. email: for codes; without one the second factor is TOTP.

    patient: own INS. represents: INS of minors and protected adults (the latter in `protects`). delegations: Consent
    ids. number, practices: of a professional. family, given: taken from the own record when empty.
    """

    login: str
    password: str
    kind: AccountClass = AccountClass.PATIENT
    email: str = ""
    family: str = ""
    given: str = ""
    patient: str = ""
    represents: tuple[str, ...] = ()
    protects: tuple[str, ...] = ()
    delegations: tuple[str, ...] = ()
    number: str = ""
    practices: tuple[Practice, ...] = ()
    regulator: bool = False
    language: str = "fr"


def enrol(asked: Enrolment, desk: Desk, visit: Visit) -> Account:
    """Make the account.

    Raises:
        BadRequest: something is missing or contradicts itself. NotFound: no such patient or delegation.
        Conflict: the login is taken.
    """
    login = values.folded(asked.login)
    if not login or any(c.isspace() for c in login):
        raise BadRequest("A login has no spaces and is not empty.")
    account = Account(
        id=secrets.token_urlsafe(12),
        login=login,
        kind=asked.kind,
        subject=secrets.token_urlsafe(16),
        password=values.hashed(asked.password),
        second=SecondFactor.EMAIL if asked.email else SecondFactor.TOTP,
        family=asked.family,
        given=asked.given,
        email=asked.email,
        totp="" if asked.email else pyotp.random_base32(),
        language=asked.language,
    )
    if accounts.of_login(login, desk) is None:  # else the end of this function says so, before anything is written
        account = _linked(account, asked, desk, visit)
    accounts.add(account, desk)
    note(desk, visit, SERVER, "configuration", details=(("account", "added"), ("kind", asked.kind.value)))
    return account


def _linked(account: Account, asked: Enrolment, desk: Desk, visit: Visit) -> Account:
    match asked.kind:
        case AccountClass.PATIENT:
            return _of_patient(account, asked, desk, visit)
        case AccountClass.PROFESSIONAL:
            if not asked.number or not asked.practices:
                raise BadRequest("A professional has a national number and at least one work situation.")
            person = ProfessionalIdentity(
                asked.number, asked.family, asked.given, asked.practices, regulator=asked.regulator
            )
            return replace(
                account,
                number=asked.number,
                practices=asked.practices,
                regulator=asked.regulator,
                fhir_user=people.practitioner_of(person, desk, visit),
            )
        case AccountClass.AUDITOR:
            if account.second is not SecondFactor.TOTP:
                raise BadRequest("An auditor signs in with a time-based code: leave the e-mail out.")
            return account


def _of_patient(account: Account, asked: Enrolment, desk: Desk, visit: Visit) -> Account:
    own = _patient(asked.patient, desk) if asked.patient else None
    if own is not None:
        names = next(iter(objects_of(own.get("name"))), {})
        account = replace(
            account,
            family=account.family or text_of(names.get("family")) or "",
            given=account.given or next(iter(texts_of(names.get("given"))), ""),
        )
    if own is None and not (asked.family and asked.given):
        raise BadRequest("Give family and given name of somebody who has no record.")
    profiles = [people.holder_profile(str(own["id"]), desk)] if own is not None else []
    represented = [(ins, PARENT) for ins in asked.represents] + [(ins, GUARDIAN) for ins in asked.protects]
    profiles += [_represents(account, _patient(ins, desk), role, desk, visit) for ins, role in represented]
    profiles += list(_delegated(asked.delegations, desk))
    if not profiles:
        raise BadRequest("Give at least one record: an own one, somebody represented, or a delegation.")
    return replace(account, profiles=tuple(profiles))


def _patient(ins: str, desk: Desk) -> Json:
    found = (gather.patient_by_identifier(system, ins, desk.services) for system in INS_SYSTEMS)
    id_ = next((each for each in found if each is not None), None)
    version = desk.services.store.read(Key("Patient", id_)) if id_ else None
    if version is None or version.deleted:
        raise NotFound("No patient of this store has this INS: open the dossier first.")
    return parse_stored(version.body)


def _represents(account: Account, patient: Json, role: str, desk: Desk, visit: Visit) -> Profile:
    """Record the link as a RelatedPerson, and return the profile that it gives."""
    resource: Json = {
        "resourceType": "RelatedPerson",
        "active": True,
        "identifier": [{"system": f"{desk.services.canonical}/NamingSystem/subject", "value": account.subject}],
        "patient": {"reference": f"Patient/{patient['id']}"},
        "relationship": [{"coding": [{"system": _ROLES, "code": role}]}],
        "name": [{"family": account.family, "given": [account.given]}],
    }
    answer = write(desk, visit, SERVER, resource)
    reference = (answer.location or "").split("/_history/")[0]
    return Profile(Actor.REPRESENTATIVE, str(patient["id"]), people.display_name(patient), reference)


def _delegated(consents: Iterable[str], desk: Desk) -> Iterable[Profile]:
    for id_ in consents:
        bare = id_.removeprefix("Consent/")
        version = desk.services.store.read(Key("Consent", bare))
        if version is None or version.deleted or version.patient is None:
            raise NotFound(f"There is no Consent '{bare}' of a delegation.")
        consent = parse_stored(version.body)
        actors = objects_of(consent.get("provision", {}).get("actor"))
        named = (text_of(each.get("reference", {}).get("reference")) for each in actors)
        reference = next((name for name in named if name and name.startswith("RelatedPerson/")), None)
        if reference is None:
            raise BadRequest(f"The Consent '{bare}' names no RelatedPerson as delegate.")
        patient = version.patient.partition("/")[2]
        offered = people.patient_name(patient, desk)
        yield Profile(Actor.DELEGATE, patient, offered.name if offered else "", reference, f"Consent/{bare}")
