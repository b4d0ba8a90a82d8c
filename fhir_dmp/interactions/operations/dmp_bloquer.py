"""$dmp-bloquer: puts a professional on the list of those kept out (TD1.6). The plan is pure (patients.blocks)."""

from __future__ import annotations

from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations import dossier
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.blocks import BLOCK, blocked_one, plan_block

KIND = "operation-create#TD1.6"


def block_professional(call: Call, services: Services) -> Answer:
    """Keep a professional out; answer Parameters {consent}."""
    given = dossier.arguments(call, "dmp-bloquer", BLOCK, services)
    target = dossier.entered(call, "dmp-bloquer", given, services, blocked_one(given))
    caller = dossier.calling_professional(call.caller)
    planned = plan_block(given, target.state, dossier.scribe(call.caller, services), caller)
    written = dossier.carried_out(call, planned, target, KIND, services)
    return dossier.answer_consent(planned, target, written)
