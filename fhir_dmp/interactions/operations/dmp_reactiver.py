"""$dmp-reactiver: opens a closed dossier again (TD1.2). The plan is pure (patients.closing)."""

from __future__ import annotations

from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations import dossier
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.closing import REOPEN, plan_reopening

KIND = "operation-update#TD1.2"


def reopen_dossier(call: Call, services: Services) -> Answer:
    """Reopen a dossier with its former documents and none of the former rights; answer Parameters {patient}."""
    given = dossier.arguments(call, "dmp-reactiver", REOPEN, services)
    target = dossier.entered(call, "dmp-reactiver", given, services)
    planned = plan_reopening(given, target.state, dossier.scribe(call.caller, services))
    dossier.carried_out(call, planned, target, KIND, services)
    return dossier.answer_patient(call, planned, target, services)
