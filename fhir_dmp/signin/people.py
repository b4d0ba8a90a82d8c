"""Finding in the record who has signed in: the Practitioner of a professional, the Patient of a pivot identity."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_dmp.access.decision import Op
from fhir_dmp.fhir.elements import object_of, objects_of, text_of, texts_of
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.identity.accounts import Account, AccountClass, Profile, SecondFactor
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.identity.upstream import PivotIdentity, ProfessionalIdentity
from fhir_dmp.interactions import gather
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.patients.identity import discordances, traits_of
from fhir_dmp.ports import Key
from fhir_dmp.search.query import AnyTerm, Search, SortKey, Term
from fhir_dmp.signin.desk import Desk
from fhir_dmp.signin.visits import SERVER, Visit, write
from fhir_dmp.terminology.aliases import PROFESSIONAL

#: So many patients are offered to choose from; beyond it, by INS.
MOST_OFFERED = 50
_MOST_NAMESAKES = 50


@dataclass(frozen=True, slots=True)
class Offered:
    """A patient to choose. name: for people."""

    patient: str
    name: str
    birth_date: str


def display_name(resource: Json) -> str:
    """Return the name of a Patient or Practitioner for people, official names first."""
    names = objects_of(resource.get("name"))
    best = next((name for name in names if name.get("use") == "official"), object_of(names[0]) if names else {})
    family = text_of(best.get("family")) or ""
    return f"{family} {' '.join(texts_of(best.get('given'))[:1])}".strip()


def patient_name(patient: str, desk: Desk) -> Offered | None:
    """Return how to call a patient, None when there is none."""
    version = desk.services.store.read(Key("Patient", patient))
    if version is None or version.deleted:
        return None
    resource = parse_stored(version.body)
    return Offered(patient, display_name(resource), text_of(resource.get("birthDate")) or "")


def practitioner_of(person: ProfessionalIdentity, desk: Desk, visit: Visit) -> str:
    """Return `Practitioner/id` of a professional; the directory learns those whom it did not know."""
    found = desk.services.store.find("Practitioner", Term(f"identifier=s:{PROFESSIONAL}|{person.number}"), 2)
    if found:
        return f"Practitioner/{min(found)}"
    professions = dict.fromkeys(practice.profession for practice in person.practices)
    resource: Json = {
        "resourceType": "Practitioner",
        "active": True,
        "identifier": [{"system": PROFESSIONAL, "value": person.number}],
        "name": [{"family": person.family, "given": [person.given]}] if person.family and person.given else [],
        "qualification": [{"code": {"coding": [{"system": s, "code": c}]}} for s, c in professions],
    }
    answer = write(desk, visit, SERVER, {name: part for name, part in resource.items() if part != []})
    return (answer.location or "").split("/_history/")[0]


def professional_account(subject: str, person: ProfessionalIdentity, fhir_user: str) -> Account:
    """Return the account of a professional who signed in upstream: it is kept nowhere but in the login."""
    return Account(
        id="",
        login=person.number,
        kind=AccountClass.PROFESSIONAL,
        subject=subject,
        password="",
        second=SecondFactor.TOTP,
        family=person.family,
        given=person.given,
        number=person.number,
        practices=person.practices,
        regulator=person.regulator,
        fhir_user=fhir_user,
    )


def patient_of(pivot: PivotIdentity, desk: Desk, visit: Visit) -> str | None:
    """Return the logical id of the one patient with exactly this identity; None when nobody or several have it.

    Every part that the provider vouches for must be known here and agree: a missing one identifies nobody.
    """
    query = (("birthdate", pivot.birth_date), ("family", pivot.family), ("_count", str(_MOST_NAMESAKES)))
    answer = desk.handle(Call("GET", ("Patient",), SERVER, visit.info(desk), query=query))
    bundle = parse_stored(answer.body or b"{}")
    entries = [object_of(entry.get("resource")) for entry in objects_of(bundle.get("entry"))]
    same = [
        text_of(each.get("id")) for each in entries if each.get("resourceType") == "Patient" and agrees(each, pivot)
    ]
    return same[0] if len(same) == 1 else None


def agrees(patient: Json, pivot: PivotIdentity) -> bool:
    """Say whether a Patient is the person of a pivot identity: all of family name, first given name, date, gender."""
    known = traits_of(patient)
    stated: Json = {
        "name": [{"use": "official", "family": pivot.family, "given": list(pivot.given[:1])}],
        "birthDate": pivot.birth_date,
        "gender": pivot.gender,
    }
    complete = known.families and known.givens and known.birth_date == pivot.birth_date and known.gender
    return bool(complete) and known.gender == pivot.gender and discordances(stated, patient) == ()


def holder_profile(patient: str, desk: Desk) -> Profile:
    """Return the profile of somebody on their own record."""
    named = patient_name(patient, desk)
    return Profile(Actor.PATIENT, patient, named.name if named else "", f"Patient/{patient}")


def offered_patients(caller: Caller, desk: Desk) -> list[Offered]:
    """Return the patients whose record a professional may consult now, by consents that name the person.

    Never a search of the population: only records that an authorisation or the role of médecin traitant leads to.
    """
    number = f"{PROFESSIONAL}|{caller.professional}"
    refs = sorted(gather.own_refs(caller, desk.services))
    terms = (f"actor=d:{number}", *(f"actor=r:{ref}" for ref in refs))
    page = desk.services.store.search(
        Search(types=("Consent",), node=AnyTerm(terms), sort=(SortKey("_lastUpdated", descending=True),), count=500)
    )
    found: dict[str, Offered] = {}
    for patient in dict.fromkeys(version.patient for version in page.versions if version.patient):
        decision, _ = gather.decided(caller, Op.READ, patient, desk.services)
        named = patient_name(patient.partition("/")[2], desk) if decision.permitted else None
        if named is not None:
            found[patient] = named
        if len(found) == MOST_OFFERED:
            break
    return sorted(found.values(), key=lambda each: each.name)
