"""$dmp-medecin-traitant: the role of médecin traitant is taken or left (TD0.3). The plan is pure (patients.doctors)."""

from __future__ import annotations

from fhir_dmp.access.operations import may_designate
from fhir_dmp.identity.caller import Actor
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations import candidates, dossier
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.doctors import ADD, DESIGNATE, action_of, plan_doctor
from fhir_dmp.patients.parameters import missing

KIND = "operation-update#TD0.3"


def designate_doctor(call: Call, services: Services) -> Answer:
    """Give or take the role; answer Parameters {patient}."""
    given = dossier.arguments(call, "dmp-medecin-traitant", DESIGNATE, services)
    action, who = action_of(given), given.professional()
    if who is None:
        raise missing("professionnel", "the doctor that the role is about")
    target = dossier.entered(call, "dmp-medecin-traitant", given, services, who)
    dossier.admit(may_designate(call.caller, target.facts, who, add=action == ADD), services)
    planned = plan_doctor(
        action,
        target.state,
        dossier.scribe(call.caller, services),
        candidates.candidate(call.caller, who, target, services),
        by_professional=call.caller.actor is Actor.PROFESSIONAL,
    )
    dossier.carried_out(call, planned, target, KIND, services)
    return dossier.answer_patient(call, planned, target, services)
