"""$dmp-ouvrir: opens the dossier of a person (TD1.1). The plan is pure (patients.dossier)."""

from __future__ import annotations

from fhir_dmp.documents.metadata import unique_key
from fhir_dmp.errors import BadRequest, Forbidden, Issue
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import Json, dump, parse_stored
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.interactions import gather, record
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.submit import all_versions
from fhir_dmp.interactions.write import Plan, checked, commit
from fhir_dmp.patients.dossier import Opener, Opening, plan_opening, read_opening
from fhir_dmp.patients.identity import IdentityRules
from fhir_dmp.ports import Key
from fhir_dmp.terminology.aliases import PROFESSIONAL, STRUCTURE

#: Who opens a dossier: a professional or a structure with the person present, or an administrator (dmp-fhir 3.8).
OPENERS = (Actor.PROFESSIONAL, Actor.STRUCTURE, Actor.ADMIN, Actor.FEEDER)


def open_dossier(call: Call, services: Services) -> Answer:
    """Open a dossier; answer Parameters {patient}.

    Raises:
        Forbidden: the caller may not, or the person objected. Conflict: a dossier exists. Unprocessable: the INS or
        the identity is not good enough.
    """
    if call.caller.actor not in OPENERS:
        raise Forbidden("A dossier is opened by a professional, a structure or an administrator.")
    body = call.payload.resource if call.payload else None
    if body is None:
        raise BadRequest("$dmp-ouvrir takes a Parameters resource.", code="required")
    request = read_opening(body)
    warnings = checked(request.patient, services)
    held = _held(unique_key("Patient", request.ins), services) if request.ins else None
    consents = gather.consents_of(held.reference, services) if held else []
    decided = plan_opening(request, held, consents, _opener(call.caller, services))
    return _carried_out(call, decided, (*warnings, *decided.issues), services)


def _held(unique: str, services: Services) -> Held | None:
    key = services.store.holder(unique)
    version = services.store.read(key) if key else None
    if version is None or version.deleted:
        return None
    return Held(version.type, version.id, version.version, parse_stored(version.body))


def _opener(caller: Caller, services: Services) -> Opener:
    settings = services.settings
    return Opener(
        rules=IdentityRules(services.documents.ins, settings.identity.status_required),
        operator_name=settings.documents.operator_name,
        operator_oid=settings.documents.operator_oid,
        performer=_performer(caller),
        now_ms=services.clock.now_ms(),
        new_id=services.ids.resource,
    )


def _performer(caller: Caller) -> Json | None:
    """Return the reference to whoever recorded the person's oral choice."""
    if caller.professional is not None:
        return {"identifier": {"system": PROFESSIONAL, "value": caller.professional}}
    if caller.structure is not None:
        return {"identifier": {"system": STRUCTURE, "value": caller.structure}}
    return None


def _carried_out(call: Call, decided: Opening, issues: tuple[Issue, ...], services: Services) -> Answer:
    reference = f"Patient/{decided.patient_id}"
    what = [reference, *(f"{draft.type}/{draft.id}" for draft in decided.drafts if draft.type != "Patient")]
    entry = record.record(call, "operation-create#TD1.1", services, patient=reference, what=what)
    shown = decided.patient
    if decided.drafts:
        plan = Plan(drafts=decided.drafts, previous=all_versions(decided.drafts, services))
        versions = commit(plan, [entry], services)
        shown = parse_stored(versions[Key("Patient", decided.patient_id)].body)
    else:
        record.keep(services, entry)
    answer: Json = {"resourceType": "Parameters", "parameter": [{"name": "patient", "resource": shown}]}
    if issues:
        answer["parameter"].append({"name": "outcome", "resource": operation_outcome(issues)})
    return Answer(body=dump(answer))
