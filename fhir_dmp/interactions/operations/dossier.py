"""What the operations on a dossier share: read the parameters, find and gather the dossier, enter it, commit, answer.

The rules are elsewhere: who may in access.operations, what happens in patients/. Two changes of one dossier never run
past each other: each claims the mark of its facts, and the loser decides again on what the winner left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fhir_dmp.access.consent import Reading
from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Decision, Op
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.operations import may_operate
from fhir_dmp.access.refusal import refusal
from fhir_dmp.access.rights import dossier_state
from fhir_dmp.documents.metadata import unique_key
from fhir_dmp.errors import BadRequest, Issue, Unprocessable
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import Json, dump, parse_stored
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.interactions import authorise, gather, granular, record, showing
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.read import key_of
from fhir_dmp.interactions.remembered import mark_of
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.submit import all_versions
from fhir_dmp.interactions.write import Plan, commit
from fhir_dmp.patients.consents import operator
from fhir_dmp.patients.parameters import IDENTIFIER, Arguments, Who, missing, place_of, read_arguments
from fhir_dmp.patients.state import DossierState, Planned, Scribe, unknown
from fhir_dmp.ports import Claim, Key, Version
from fhir_dmp.terminology.aliases import PROFESSIONAL, STRUCTURE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Target:
    """The dossier of a call, as it is stored now. claim: holds as long as nobody changed its facts meanwhile."""

    state: DossierState
    facts: PatientFacts
    reading: Reading
    claim: Claim

    @property
    def reference(self) -> str:
        """`Patient/id`."""
        return self.state.patient.reference


def arguments(call: Call, operation: str, declared: Mapping[str, str], services: Services) -> Arguments:
    """Read the parameters of an operation that changes Consents; the token's scopes come first.

    Raises:
        Forbidden, BadRequest.
    """
    authorise.need(call.caller, "cu", "Consent", services)
    for letter in "cu":
        granular.need_whole(call.caller, letter, "Consent", services)
    return read_arguments(operation, call.payload.resource if call.payload else None, declared)


def named(call: Call, given: Arguments, services: Services) -> str | None:
    """Return the `Patient/id` that a call is about: its path, or the holder of `identifiant`; None when unknown.

    Raises:
        Unprocessable: nobody is named. BadRequest: both ways at once.
    """
    ins = given.ins()
    if len(call.path) > 2:
        if ins is not None:
            raise BadRequest("The URL names the dossier; leave 'identifiant' out.", expression=place_of(IDENTIFIER))
        return str(key_of(call.path))
    if ins is None:
        raise missing(IDENTIFIER, "the INS of the patient, or call the operation on Patient/[id]")
    holder = services.store.holder(unique_key("Patient", ins))
    return str(holder) if holder else None


def find(call: Call, given: Arguments, services: Services) -> Target | None:
    """Gather the dossier that a call is about, None when there is no such patient."""
    seen = services.store.sequence()
    patient = named(call, given, services)
    stored = gather.record_of(patient, services.clock.now_ms(), services) if patient else None
    if patient is None or stored is None:
        return None
    reading = Reading(stored.directory, services.zone, services.canonical)
    state = dossier_state(stored.patient, stored.consents, stored.facts, reading)
    return Target(state, stored.facts, reading, Claim(mark_of(patient), seen))


def entered(call: Call, operation: str, given: Arguments, services: Services, who: Who | None = None) -> Target:
    """Gather the dossier and decide whether the caller may call the operation on it.

    Raises:
        NotFound: unknown, or the caller must not know. Forbidden: the caller may not.
    """
    found = find(call, given, services)
    if found is None:
        raise unknown(services.canonical)
    admit(may_operate(call.caller, operation, found.facts, services.access, who), services)
    return found


def admit(decision: Decision | None, services: Services) -> None:
    """Raise the refusal that a decision holds, if it holds one."""
    if decision is not None and not decision.permitted:
        if decision.status == 404:
            raise unknown(services.canonical)
        raise refusal(decision, services.canonical, "Patient")


def calling_professional(caller: Caller) -> Who | None:
    """Return the national identifier of the calling professional."""
    return (PROFESSIONAL, caller.professional) if caller.professional else None


def scribe(caller: Caller, services: Services, author: Json | None = None) -> Scribe:
    """Return who writes the act of this call down. author: identifier of who recorded it, when the caller says so."""
    settings, now = services.settings, services.clock.now_ms()
    return Scribe(
        base=services.canonical,
        operator_name=settings.documents.operator_name,
        operator_oid=settings.documents.operator_oid,
        performer={"identifier": author} if author else performer(caller, services),
        now_ms=now,
        today=(_EPOCH + timedelta(milliseconds=now)).astimezone(services.zone).date().isoformat(),
        new_id=services.ids.resource,
        retention_years=settings.documents.retention_years,
    )


def performer(caller: Caller, services: Services) -> Json | None:
    """Return the reference to whoever recorded the person's choice, None for the person."""
    if caller.professional is not None:
        return {"identifier": {"system": PROFESSIONAL, "value": caller.professional}}
    if caller.structure is not None:
        return {"identifier": {"system": STRUCTURE, "value": caller.structure}}
    if caller.actor is Actor.REPRESENTATIVE and (caller.fhir_user or "").startswith("RelatedPerson/"):
        return {"reference": caller.fhir_user}
    if caller.is_admin:
        return operator(services.settings.documents.operator_name, services.settings.documents.operator_oid)
    return None


def carried_out(call: Call, planned: Planned, target: Target, kind: str, services: Services) -> dict[Key, Version]:
    """Commit what an operation planned with its audit record, be it that nothing changes; return the new versions."""
    changed = [f"{draft.type}/{draft.id}" for draft in planned.drafts]
    what = [target.reference, *(name for name in changed if name != target.reference)]
    entry = record.record(call, kind, services, patient=target.reference, what=what, details=planned.details)
    if not planned.drafts:
        record.keep(services, entry)
        return {}
    previous = all_versions(planned.drafts, services)
    return commit(Plan(drafts=planned.drafts, previous=previous, claims=(target.claim,)), [entry], services)


def answer_consent(planned: Planned, target: Target, written: Mapping[Key, Version]) -> Answer:
    """Answer Parameters with the Consent that an operation made, ended or found."""
    parts: list[Json] = []
    if planned.consent is not None:
        version = written.get(Key("Consent", planned.consent))
        held = next((r.held.resource for r in target.state.rights if r.held.id == planned.consent), None)
        parts.append({"name": "consent", "resource": parse_stored(version.body) if version else held})
    return parameters(parts, planned.issues)


def answer_patient(call: Call, planned: Planned, target: Target, services: Services) -> Answer:
    """Answer Parameters with the Patient as the caller may see it now."""
    version = services.store.read(Key("Patient", target.state.patient.id))
    assert version is not None  # a Patient is never deleted
    shown = seen_by(call.caller, version, services)
    return parameters([{"name": "patient", "resource": shown}] if shown else [], planned.issues)


def seen_by(caller: Caller, version: Version, services: Services) -> Json | None:
    """Return a Patient whole for those who may read it, else as TD0.2 shows it."""
    facts = gather.facts_of(f"Patient/{version.id}", services)
    reading = enter(caller, Op.READ, facts, services.access)
    if reading.permitted and reading.whole_record:
        return parse_stored(version.body)
    decision = enter(caller, Op.EXIST, facts, services.access)
    body = showing.found_patient(version, decision, caller, facts, services)
    return parse_stored(body) if body is not None else None


def parameters(parts: list[Json], issues: tuple[Issue, ...] = ()) -> Answer:
    """Answer Parameters; warnings and notes stand in an extra parameter `outcome`."""
    if issues:
        parts = [*parts, {"name": "outcome", "resource": operation_outcome(issues)}]
    if not parts:
        return Answer(body=dump({"resourceType": "Parameters"}))
    return Answer(body=dump({"resourceType": "Parameters", "parameter": parts}))


def author_of(given: Arguments) -> Json | None:
    """Return the Identifier `auteur`.

    Raises:
        Unprocessable: it names nobody.
    """
    author = given.identifier("auteur")
    if author is not None and not (author.get("system") and author.get("value")):
        raise Unprocessable("'auteur' needs a system and a value.", code="value", expression=place_of("auteur"))
    return author
