"""$dmp-debloquer: takes a professional off the list of those kept out (TD1.6). The plan is pure (patients.blocks)."""

from __future__ import annotations

from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations import dossier
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.blocks import BLOCK, blocked_one, plan_unblock

KIND = "operation-update#TD1.6"


def unblock_professional(call: Call, services: Services) -> Answer:
    """Lift a block, reviving nothing; answer Parameters {consent}."""
    given = dossier.arguments(call, "dmp-debloquer", BLOCK, services)
    target = dossier.entered(call, "dmp-debloquer", given, services, blocked_one(given))
    planned = plan_unblock(given, target.state, services.canonical)
    written = dossier.carried_out(call, planned, target, KIND, services)
    return dossier.answer_consent(planned, target, written)
