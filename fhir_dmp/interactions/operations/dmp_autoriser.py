"""$dmp-autoriser: lets a professional or a structure consult (TD0.3). The plan is pure (patients.rights)."""

from __future__ import annotations

from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations import candidates, dossier
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.grants import named_in
from fhir_dmp.patients.rights import AUTHORISE, plan_authorisation

KIND = "operation-create#TD0.3"


def authorise_access(call: Call, services: Services) -> Answer:
    """Record an authorisation; answer Parameters {consent}."""
    given = dossier.arguments(call, "dmp-autoriser", AUTHORISE, services)
    who = named_in(given, dossier.calling_professional(call.caller))
    target = dossier.entered(call, "dmp-autoriser", given, services, who)
    planned = plan_authorisation(
        given,
        target.state,
        dossier.scribe(call.caller, services),
        candidates.candidate(call.caller, who, target, services),
        services.settings.access.authorisation_default_days,
    )
    written = dossier.carried_out(call, planned, target, KIND, services)
    return dossier.answer_consent(planned, target, written)
