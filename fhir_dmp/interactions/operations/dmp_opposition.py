"""$dmp-opposition: what a person objects to (TD1.3). The plans are pure (patients.oppositions)."""

from __future__ import annotations

from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.operations import may_lift, may_operate
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.interactions import record
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations import dossier
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import Plan, commit
from fhir_dmp.patients.dossier import Status
from fhir_dmp.patients.oppositions import OPPOSE, Nature, nature_of, plan_opposition, plan_stub, wanted_of
from fhir_dmp.patients.parameters import Arguments
from fhir_dmp.patients.state import unknown
from fhir_dmp.ports import Key

NAME = "dmp-opposition"
KIND = "operation-create#TD1.3"


def oppose(call: Call, services: Services) -> Answer:
    """Record an opposition or lift it; answer Parameters {consent}."""
    given = dossier.arguments(call, NAME, OPPOSE, services)
    nature, wanted = nature_of(given), wanted_of(given)
    target = dossier.find(call, given, services)
    if target is None:
        return _before_any(call, given, services)
    dossier.admit(may_operate(call.caller, NAME, target.facts, services.access), services)
    if not wanted:
        unopened = nature is Nature.CREATION and target.state.status in (Status.OPPOSED, Status.NONE)
        dossier.admit(may_lift(call.caller, before_opening=unopened), services)
    scribe = dossier.scribe(call.caller, services, dossier.author_of(given))
    planned = plan_opposition(given, target.state, scribe)
    written = dossier.carried_out(call, planned, target, KIND, services)
    return dossier.answer_consent(planned, target, written)


def _before_any(call: Call, given: Arguments, services: Services) -> Answer:
    """Record that somebody whom the server does not know wants no dossier."""
    ins = given.ins()
    if ins is None:
        raise unknown(services.canonical)
    nobody = PatientFacts("", Status.NONE, services.clock.now_ms())
    dossier.admit(may_operate(call.caller, NAME, nobody, services.access), services)
    scribe = dossier.scribe(call.caller, services, dossier.author_of(given))
    planned = plan_stub(given, ins, scribe, services.documents.ins)
    patient, act = planned.drafts
    reference = f"Patient/{patient.id}"
    entry = record.record(call, KIND, services, patient=reference, what=[reference, f"Consent/{act.id}"])
    written = commit(Plan(drafts=planned.drafts), [entry], services)
    consent = parse_stored(written[Key("Consent", act.id)].body)
    return dossier.parameters([{"name": "consent", "resource": consent}], planned.issues)
