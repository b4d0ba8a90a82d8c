"""$dmp-verifier-acces: does a dossier exist, is it open, may I enter (TD0.2). Changes nothing."""

from __future__ import annotations

from fhir_dmp.access.decide import HOLDERS, enter
from fhir_dmp.access.decision import Op
from fhir_dmp.access.refusal import blocked_notice
from fhir_dmp.access.relation import authorisation_status, is_doctor, refusal_of_feeding
from fhir_dmp.interactions import authorise, granular, record
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations import dossier
from fhir_dmp.interactions.operations.dossier import Target
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.checking import CHECK, Standing, access_report
from fhir_dmp.patients.dossier import Status
from fhir_dmp.patients.parameters import read_arguments
from fhir_dmp.patients.state import unknown

KIND = "operation#TD0.2"


def check_access(call: Call, services: Services) -> Answer:
    """Answer Parameters {statutDmp, autorisation, medecinTraitant, rattachementMes, fermeture, oppositions}.

    Raises:
        NotFound: a patient (or who acts for one) asks for somebody else, or an id that does not exist.
    """
    authorise.need(call.caller, "s", "Patient", services)
    granular.need_whole(call.caller, "s", "Patient", services)
    given = read_arguments("dmp-verifier-acces", call.payload.resource if call.payload else None, CHECK)
    target = dossier.find(call, given, services)
    if target is None:
        if len(call.path) > 2 or call.caller.actor in HOLDERS:
            raise unknown(services.canonical)
        record.keep(services, record.record(call, KIND, services))
        return dossier.parameters(access_report(None, Status.NONE, _nobodys(call)))
    decision = enter(call.caller, Op.EXIST, target.facts, services.access)
    dossier.admit(decision, services)
    blocked = decision.reason == "blocked"
    report = access_report(target.state.patient.resource, target.state.status, _standing(call, target, services))
    record.keep(services, record.record(call, KIND, services, patient=target.reference, what=[target.reference]))
    return dossier.parameters(report, (blocked_notice(services.canonical),) if blocked else ())


def _nobodys(call: Call) -> Standing:
    named = call.caller.professional or call.caller.structure
    return Standing("NON_EXISTE" if named else None, False, _oppositions())


def _standing(call: Call, target: Target, services: Services) -> Standing:
    caller, facts = call.caller, target.facts
    named = caller.professional or caller.structure
    status = authorisation_status(caller, facts, services.access).value if named else None
    return Standing(
        authorisation=status,
        is_doctor=is_doctor(caller, facts),
        oppositions=_oppositions(
            creation=target.state.status is Status.OPPOSED,
            feeding=refusal_of_feeding(caller, facts) is not None,
            break_glass=facts.break_glass_refusal is not None,
            regulation=facts.regulation_refusal is not None,
        ),
        blocked=status == "INTERDIT",
    )


def _oppositions(
    *, creation: bool = False, feeding: bool = False, break_glass: bool = False, regulation: bool = False
) -> dict[str, bool]:
    return {
        "creation": creation,
        "alimentation": feeding,
        "brisDeGlace": break_glass,
        "centreRegulation": regulation,
    }
