"""$dmp-fermer: closes a dossier (TD1.4). The plan is pure (patients.closing)."""

from __future__ import annotations

from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations import dossier
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.closing import CLOSE, plan_closing

KIND = "operation-update#TD1.4"


def close_dossier(call: Call, services: Services) -> Answer:
    """Close a dossier and end the rights to enter it; answer Parameters {patient}."""
    given = dossier.arguments(call, "dmp-fermer", CLOSE, services)
    target = dossier.entered(call, "dmp-fermer", given, services)
    planned = plan_closing(given, target.state, dossier.scribe(call.caller, services))
    dossier.carried_out(call, planned, target, KIND, services)
    return dossier.answer_patient(call, planned, target, services)
