"""$dmp-revoquer: ends an authorisation, and the role of médecin traitant with it (TD0.3)."""

from __future__ import annotations

from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations import dossier
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.grants import named_in
from fhir_dmp.patients.rights import REVOKE, plan_revocation

KIND = "operation-update#TD0.3"


def revoke_access(call: Call, services: Services) -> Answer:
    """End an authorisation; answer Parameters {consent}."""
    given = dossier.arguments(call, "dmp-revoquer", REVOKE, services)
    who = named_in(given, dossier.calling_professional(call.caller))
    target = dossier.entered(call, "dmp-revoquer", given, services, who)
    planned = plan_revocation(target.state, who, services.canonical)
    written = dossier.carried_out(call, planned, target, KIND, services)
    return dossier.answer_consent(planned, target, written)
