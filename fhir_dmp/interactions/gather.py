"""Reads what a decision needs: the patient's dossier and consents, and the documents a content belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from fhir_dmp.access.consent import Reading
from fhir_dmp.access.consent_rules import may_read_consent
from fhir_dmp.access.decision import Decision, Op
from fhir_dmp.access.facts import PatientFacts, patient_facts
from fhir_dmp.documents.metadata import unique_key
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.identity.caller import Caller
from fhir_dmp.interactions.remembered import DIRECTORY, mark_of
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.query import PLUS_INFINITY, AnyTerm, Search, SortKey, Term
from fhir_dmp.terminology.aliases import PROFESSIONAL, STRUCTURE, canonical_identifier

#: No patient has so many; beyond it the newest count.
MAX_CONSENTS = 1000
#: Nobody works in so many places.
MAX_OWN = 200
_NOBODY: frozenset[str] = frozenset()
_BRANCHES = (dict, list)
_DIRECTORY = frozenset({"Practitioner", "PractitionerRole", "Organization", "CareTeam", "RelatedPerson", "Person"})


def facts_of(patient: str, services: Services) -> PatientFacts:
    """Return what is known of `Patient/id` for decisions; unknown patients have status none."""
    now = services.clock.now_ms()

    def load() -> tuple[PatientFacts, int]:
        facts = _facts(patient, now, services)
        return facts, facts.until_ms

    return services.facts.get(patient, (mark_of(patient), DIRECTORY), services.store, now, load)


def own_refs(caller: Caller, services: Services) -> frozenset[str]:
    """Return the directory resources that are the caller: as a person, in each role, as the structure acted for."""
    if not (caller.professional or caller.structure):
        return _NOBODY
    key = f"{caller.professional or ''}|{caller.structure or ''}"
    now = services.clock.now_ms()
    load = partial(_own_refs, caller, services)
    return services.facts.get(key, (DIRECTORY,), services.store, now, lambda: (load(), PLUS_INFINITY))


def _own_refs(caller: Caller, services: Services) -> frozenset[str]:
    found: set[str] = set()
    if caller.professional:
        found = _people(caller.professional, services)
    if caller.structure:
        structures = services.store.find("Organization", Term(f"identifier=s:{STRUCTURE}|{caller.structure}"), MAX_OWN)
        found |= {f"Organization/{id_}" for id_ in structures}
    return frozenset(found)


def _people(number: str, services: Services) -> set[str]:
    """Return the Practitioners and PractitionerRoles of a professional (PSIdNat)."""
    name = f"{PROFESSIONAL}|{number}"
    people = services.store.find("Practitioner", Term(f"identifier=s:{name}"), MAX_OWN)
    held = (f"identifier=s:{name}", f"practitioner=d:{name}", *(f"practitioner=r:Practitioner/{p}" for p in people))
    roles = services.store.find("PractitionerRole", AnyTerm(held), MAX_OWN)
    return {*(f"Practitioner/{id_}" for id_ in people), *(f"PractitionerRole/{id_}" for id_ in roles)}


def decided(
    caller: Caller, op: Op, patient: str, services: Services, *, documents: bool = False
) -> tuple[Decision, PatientFacts]:
    """Decide on entering the record of `Patient/id`, and return the facts that it was decided on.

    documents: the targets are documents, which authors reach without an authorisation.
    """
    facts = facts_of(patient, services)
    refs = own_refs(caller, services) if documents and not caller.is_admin else _NOBODY
    now = services.clock.now_ms()
    return services.entries.enter(caller, op, facts, services.access, now, documents=documents, own_refs=refs), facts


def _facts(patient: str, now_ms: int, services: Services) -> PatientFacts:
    found = record_of(patient, now_ms, services)
    if found is None:
        return patient_facts(None, (), {}, now_ms, services.canonical, services.zone)
    return found.facts


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored about access to one record, read at once. consents: all, newest first; directory: who is named."""

    patient: Held
    consents: tuple[Held, ...]
    directory: dict[str, Json]
    facts: PatientFacts


def record_of(patient: str, now_ms: int, services: Services) -> Record | None:
    """Return what is stored of `Patient/id` now, cached facts left aside; None when there is no such patient."""
    version = services.store.read(Key("Patient", patient.partition("/")[2]))
    if version is None or version.deleted:
        return None
    held = held_of(version)
    consents = tuple(held_of(each) for each in _consent_versions(patient, services))
    bodies = [consent.resource for consent in consents]
    directory = _directory(bodies, held.resource, services)
    facts = patient_facts(held.resource, bodies, directory, now_ms, services.canonical, services.zone)
    return Record(held, consents, directory, facts)


def held_of(version: Version) -> Held:
    """Return a stored version as a plan sees it."""
    return Held(version.type, version.id, version.version, parse_stored(version.body))


def _consent_versions(patient: str, services: Services) -> tuple[Version, ...]:
    page = services.store.search(
        Search(
            types=("Consent",),
            node=Term(f"patient=r:{patient}"),
            sort=(SortKey("_lastUpdated", descending=True),),
            count=MAX_CONSENTS,
        )
    )
    return page.versions


def practitioners_of(number: str, services: Services) -> dict[str, Json]:
    """Return what the directory holds of a professional (PSIdNat): the Practitioner, the roles, and what they name."""
    return directory_of((), services, _people(number, services))


def _directory(consents: Iterable[Json], patient: Json, services: Services) -> dict[str, Json]:
    """Read the people, structures and teams that consents, the patient and the patient's teams name."""
    name = f"Patient/{patient['id']}"
    linked: set[str] = set()
    for type_ in ("CareTeam", "RelatedPerson"):
        found = services.store.find(type_, Term(f"patient=r:{name}"), MAX_CONSENTS)
        linked.update(f"{type_}/{id_}" for id_ in found)
    return directory_of([*consents, patient], services, linked)


def directory_of(resources: Iterable[Json], services: Services, also: Iterable[str] = ()) -> dict[str, Json]:
    """Read the directory resources that these name, and those that they name in turn, three hops deep."""
    known: dict[str, Json] = {}
    wanted = _named(resources) | set(also)
    for _ in range(3):
        missing = [ref for ref in wanted if ref not in known]
        if not missing:
            break
        for key, version in services.store.read_many([Key(*ref.split("/", 1)) for ref in missing]).items():
            if not version.deleted:
                known[str(key)] = parse_stored(version.body)
        wanted = _named(known.values())
    return known


def _named(resources: Iterable[Json]) -> set[str]:
    """Return the literal references of these resources to directory types."""
    texts = {text.split("/_history/")[0] for text in _reference_texts(resources)}
    return {text for text in texts if text.partition("/")[0] in _DIRECTORY and text.count("/") == 1}


def _reference_texts(resources: Iterable[Json]) -> Iterator[str]:
    """Yield the text of every literal reference; a plain walk, because every search of a record takes it."""
    waiting: list[object] = list(resources)
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            text = value.get("reference")
            if isinstance(text, str):
                yield text
            waiting.extend(part for part in value.values() if isinstance(part, _BRANCHES))
        elif isinstance(value, list):
            waiting.extend(part for part in value if isinstance(part, _BRANCHES))


def patient_by_identifier(system: str | None, value: str, services: Services) -> str | None:
    """Return the logical id of the patient that holds this identifier, None when nobody or several do."""
    if system is not None:
        canonical, number = canonical_identifier(system, value)
        holder = services.store.holder(unique_key("Patient", (canonical, number)))
        if holder is not None:
            return holder.id
    found = services.store.find("Patient", Term(identifier_term(system, value)), 2)
    return found[0] if len(found) == 1 else None


def identifier_term(system: str | None, value: str) -> str:
    """Return the index term of an identifier as a client writes it; no system means any."""
    if system is None:
        return f"identifier=c:{value}"
    if system == "":
        return f"identifier=n:{value}"
    canonical, number = canonical_identifier(system, value)
    return f"identifier=s:{canonical}|{number}"


def documents_of_content(type_: str, id_: str, services: Services) -> list[Version]:
    """Return the current DocumentReferences whose attachment is this Binary or Bundle."""
    ids = services.store.find("DocumentReference", Term(f"location=u:{type_}/{id_}"), 20)
    found = services.store.read_many([Key("DocumentReference", each) for each in ids])
    return [version for version in found.values() if not version.deleted]


def last_content(version: Version, services: Services) -> Version:
    """Return the last content of a deleted resource, by which its deletion is judged."""
    return services.store.read_version(version.key, version.version - 1) or replace(version, body=b"{}")


def may_read(caller: Caller, consent: Version, services: Services) -> bool:
    """Say whether a caller may read a Consent: its patient, and those whom it names."""
    resource = parse_stored((consent if consent.body else last_content(consent, services)).body)
    reading = Reading(directory_of([resource], services), services.zone, services.canonical)
    return may_read_consent(caller, resource, reading)
