"""Dossiers for a population: people decided one by one (patients.population), written BATCH at a time.

Asked again it goes on: who is done already is left alone, so an interrupted run is simply started again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import islice

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.documents.metadata import unique_key
from fhir_dmp.errors import BadRequest, ClaimLost, Conflict, DmpError, StoreUnavailable, VersionConflict
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions import gather, record
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.import_outcome import refused
from fhir_dmp.interactions.operations.dmp_ouvrir import opener_of
from fhir_dmp.interactions.remembered import mark_of
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.submit import all_versions
from fhir_dmp.interactions.write import Plan, checked, commit, structural
from fhir_dmp.patients.dossier import Status
from fhir_dmp.patients.ins import ins_of
from fhir_dmp.patients.population import Campaign, Decided, State, decide
from fhir_dmp.ports import Claim, Key, Version

KIND = "operation-create#TD1.1"
#: People written in one commit.
BATCH = 200
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Person:
    """One person of the file. name: where they stand in it. error: why the line could not be read."""

    name: str
    patient: Json = field(default_factory=dict)
    error: DmpError | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a person: a state of patients.population, or `refused`. until: last day to object."""

    name: str
    status: str
    dossier: str = ""
    until: date | None = None
    code: str = ""
    reason: str = ""


def people(call: Call, persons: Iterable[Person], campaign: Campaign, services: Services) -> Iterator[Outcome]:
    """Decide and write a population; one outcome for each person, in their order.

    Raises:
        StoreUnavailable: nobody after the last outcome was written.
    """
    rest = iter(persons)
    while batch := list(islice(rest, BATCH)):
        yield from _batch(call, batch, campaign, services)


def _batch(call: Call, batch: list[Person], campaign: Campaign, services: Services) -> Iterator[Outcome]:
    outcomes: dict[int, Outcome] = {}
    together: dict[int, _Case] = {}
    seen: set[object] = set()
    for place, person in enumerate(batch):
        ins = ins_of(person.patient) if person.error is None else None
        if ins in seen:  # the same person twice: each sees what became of the one before
            outcomes.update(_written(call, batch, together, campaign, services))
            together, seen = {}, set()
        seen.add(ins)
        found = _decided(call, person, campaign, services)
        if isinstance(found, Outcome):
            outcomes[place] = found
        else:
            together[place] = found
    outcomes.update(_written(call, batch, together, campaign, services))
    yield from (outcomes[place] for place in range(len(batch)))


@dataclass(frozen=True, slots=True)
class _Case:
    """What is to be written for a person, and the claim that holds while nobody changed what was seen."""

    decided: Decided
    claims: tuple[Claim, ...]
    previous: Mapping[Key, Version]


def _decided(call: Call, person: Person, campaign: Campaign, services: Services) -> _Case | Outcome:
    try:
        if person.error is not None:
            raise person.error
        if person.patient.get("resourceType") != "Patient":
            raise BadRequest("Each line holds one Patient (FR Core Patient INS).", code="structure")
        structural(person.patient, services)
        sequence = services.store.sequence()
        ins = ins_of(person.patient)
        key = services.store.holder(unique_key("Patient", ins)) if ins else None
        known = gather.record_of(str(key), services.clock.now_ms(), services) if key else None
        held, consents = (known.patient, [each.resource for each in known.consents]) if known else (None, [])
        status = known.facts.dossier if known else Status.NONE
        decided = decide(person.patient, held, consents, status, campaign, opener_of(call.caller, services))
        checked(person.patient, services)
    except StoreUnavailable:
        raise
    except DmpError as error:
        return _refused(person, error)
    if not decided.drafts:
        return _outcome(person, decided)
    claims = (Claim(mark_of(str(key)), sequence),) if key else ()
    return _Case(decided, claims, all_versions(decided.drafts, services) if key else {})


def _outcome(person: Person, decided: Decided) -> Outcome:
    dossier = f"Patient/{decided.patient_id}" if decided.patient_id else ""
    return Outcome(person.name, decided.state.value, dossier, decided.until)


def _refused(person: Person, error: DmpError) -> Outcome:
    told = refused(person.name, error)
    return Outcome(person.name, "refused", code=told.code, reason=told.reason)


def _written(
    call: Call, batch: list[Person], cases: Mapping[int, _Case], campaign: Campaign, services: Services
) -> Iterator[tuple[int, Outcome]]:
    """Write together; when one of them spoils it, one by one."""
    if not cases:
        return
    try:
        _commit(call, list(cases.values()), services)
    except (Conflict, VersionConflict):
        for place in cases:
            yield place, _alone(call, batch[place], campaign, services)
    else:
        for place, case in cases.items():
            yield place, _outcome(batch[place], case.decided)


def _alone(call: Call, person: Person, campaign: Campaign, services: Services) -> Outcome:
    """Decide again on the state that is there now: somebody may have opened the dossier, or objected, meanwhile."""
    for _ in range(_ATTEMPTS):
        found = _decided(call, person, campaign, services)
        if isinstance(found, Outcome):
            return found
        try:
            _commit(call, [found], services)
        except (VersionConflict, ClaimLost, Conflict):
            continue
        return _outcome(person, found.decided)
    return _refused(person, Conflict("Others keep changing this person; start again.", code="lock-error"))


def _commit(call: Call, cases: list[_Case], services: Services) -> None:
    plan = Plan(
        drafts=tuple(draft for case in cases for draft in case.decided.drafts),
        previous={key: version for case in cases for key, version in case.previous.items()},
        claims=tuple(claim for case in cases for claim in case.claims),
    )
    commit(plan, [_entry(call, case.decided, services) for case in cases], services)


def _entry(call: Call, decided: Decided, services: Services) -> AuditRecord:
    reference = f"Patient/{decided.patient_id}"
    what = [f"{draft.type}/{draft.id}" for draft in decided.drafts]
    details = (("state", decided.state.value),) if decided.state is State.ANNOUNCED else ()
    return record.record(call, KIND, services, patient=reference, what=what, details=details)
