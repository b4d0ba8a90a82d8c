"""To whom a notice goes, and whether it goes at all: the holder, or the representatives of a minor. [security 7]"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity import accounts
from fhir_dmp.identity.caller import Actor
from fhir_dmp.interactions import gather
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.telling import KEPT_SECRET
from fhir_dmp.notices.events import Event
from fhir_dmp.patients.dossier import Status
from fhir_dmp.ports import Notice, StateRecord

#: Lasting refusals after which an address is not written to any more.
BOUNCES = 3
_KIND = "notice-address"
#: Kind of the records of local accounts in the state store (fhir_dmp/signin).
_ACCOUNT = "account"
_LANGUAGES = ("fr", "en")


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who is told: a mail address, a first name to greet with, a language."""

    address: str
    first_name: str
    language: str


@dataclass(frozen=True, slots=True)
class Addressed:
    """Who is to be told. silence: why nobody is (`closed`, `kept-secret`, `no-record`, `no-address`), "" otherwise."""

    recipients: tuple[Recipient, ...] = ()
    silence: str = ""


def recipients_of(notice: Notice, services: Services) -> Addressed:
    """Return who is told of a notice, as the record is now."""
    stored = gather.record_of(notice.patient, services.clock.now_ms(), services)
    if stored is None:
        return Addressed(silence="no-record")
    if stored.facts.dossier is Status.CLOSED and notice.event != Event.DOSSIER:
        return Addressed(silence="closed")
    if _is_minor(stored.facts, services):
        if any(name == KEPT_SECRET for name, _ in notice.variables):
            return Addressed(silence="kept-secret")
        people = [
            resource
            for place, resource in sorted(stored.directory.items())
            if place.startswith("RelatedPerson/") and _acts(place, stored.facts)
        ]
    else:
        people = [stored.patient.resource]
    found = {address: _recipient(person, address) for person in people if (address := _address(person))}
    if not found and not _is_minor(stored.facts, services):
        found = _account(notice.patient, stored.patient.resource, services)
    usable = tuple(each for address, each in found.items() if bounces(address, services) < BOUNCES)
    return Addressed(usable, "" if usable else "no-address")


def _account(patient: str, person: Json, services: Services) -> dict[str, Recipient]:
    """Return the address of the holder's own account, where the record has none."""
    tag = f"patient:{patient.partition('/')[2]}"
    for each in services.store.state.listed(_ACCOUNT, services.clock.now_ms(), tag=tag, count=20):
        account = accounts.from_json(json.loads(each.body))
        own = any(one.actor is Actor.PATIENT and tag == f"patient:{one.patient}" for one in account.profiles)
        address = _address({"telecom": [{"system": "email", "value": account.email}]})
        if own and address and not account.disabled:
            return {address: _recipient(person, address)}
    return {}


def _is_minor(facts: PatientFacts, services: Services) -> bool:
    age = facts.age()
    return age is not None and age < services.settings.documents.age_of_majority


def _acts(place: str, facts: PatientFacts) -> bool:
    return any(each.active and place in each.names for each in facts.representatives)


def _address(person: Json) -> str:
    """Return the mail address to write to, "" when there is none that is one: a header must not be made by it."""
    for contact in objects_of(person.get("telecom")):
        value = contact.get("value")
        if contact.get("system") == "email" and contact.get("use") != "old" and isinstance(value, str):
            name, at, host = value.strip().rpartition("@")
            plain = all(33 <= ord(sign) < 127 and sign not in '()<>[]:;,"\\' for sign in name + host)
            if at and name and "." in host and plain and "@" not in name:
                return f"{name}@{host}"
    return ""


def _recipient(person: Json, address: str) -> Recipient:
    given = [
        name["given"][0]
        for name in objects_of(person.get("name"))
        if isinstance(name.get("given"), list) and name["given"]
    ]
    spoken = [
        str(coding.get("code", ""))[:2].lower()
        for each in sorted(objects_of(person.get("communication")), key=lambda one: one.get("preferred") is not True)
        for coding in objects_of(
            each.get("language", {}).get("coding") if isinstance(each.get("language"), dict) else None
        )
    ]
    language = next((each for each in spoken if each in _LANGUAGES), "fr")
    return Recipient(address, given[0] if given and isinstance(given[0], str) else "", language)


def _key(address: str) -> str:
    return sha256(address.lower().encode()).hexdigest()


def bounces(address: str, services: Services) -> int:
    """Return how often mail to this address was refused for good, since it last was taken."""
    found = services.store.state.get(_KIND, _key(address), services.clock.now_ms())
    return int(found.body) if found is not None else 0


def note_bounce(address: str, services: Services) -> None:
    """Take note of a lasting refusal."""
    count = bounces(address, services) + 1
    services.store.state.put(StateRecord(_KIND, _key(address), str(count)), services.clock.now_ms())


def forget_bounces(address: str, services: Services) -> None:
    """Take note that mail was taken."""
    if bounces(address, services):
        services.store.state.remove(_KIND, _key(address))
