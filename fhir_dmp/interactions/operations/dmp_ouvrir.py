"""$dmp-ouvrir: opens the dossier of a person (TD1.1). The plan is pure (patients.dossier)."""

from __future__ import annotations

from fhir_dmp.access.decision import Decision, Effect, Op
from fhir_dmp.access.refusal import refusal
from fhir_dmp.access.relation import block_on
from fhir_dmp.documents.metadata import unique_key
from fhir_dmp.errors import BadRequest, Forbidden, Issue
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.interactions import gather, record
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations import dossier
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.submit import all_versions
from fhir_dmp.interactions.write import Plan, checked, commit, structural
from fhir_dmp.patients.dossier import Opener, Opening, Status, plan_opening, read_opening
from fhir_dmp.patients.identity import IdentityRules
from fhir_dmp.ports import Key

KIND = "operation-create#TD1.1"
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
    if call.caller.mode is not Mode.NORMAL:
        raise refusal(Decision(Effect.DENY, "W11", Op.CREATE, 403, "read-only-mode"), services.canonical, "Patient")
    body = call.payload.resource if call.payload else None
    if body is None:
        raise BadRequest("$dmp-ouvrir takes a Parameters resource.", code="required")
    request = read_opening(body)
    structural(request.patient, services)
    key = services.store.holder(unique_key("Patient", request.ins)) if request.ins else None
    known = gather.record_of(str(key), services.clock.now_ms(), services) if key else None
    if known is not None:
        _refuse_blocked(call.caller, known, services)
    consents = [consent.resource for consent in known.consents] if known else []
    status = known.facts.dossier if known else Status.NONE
    decided = plan_opening(
        request, known.patient if known else None, consents, status, opener_of(call.caller, services)
    )
    warnings = checked(request.patient, services)
    return _carried_out(call, decided, (*warnings, *decided.issues), services)


def _refuse_blocked(caller: Caller, known: gather.Record, services: Services) -> None:
    """A refusal for what is known of the person would tell a blocked professional of it."""
    if not caller.is_admin and block_on(caller, known.facts) is not None:
        raise refusal(Decision(Effect.DENY, "C6", Op.CREATE, 403, "blocked"), services.canonical, "Patient")


def opener_of(caller: Caller, services: Services) -> Opener:
    """Return what an opening by this caller needs beside the request."""
    settings = services.settings
    return Opener(
        rules=IdentityRules(services.documents.ins, settings.identity.status_required),
        operator_name=settings.documents.operator_name,
        operator_oid=settings.documents.operator_oid,
        performer=dossier.performer(caller, services),
        now_ms=services.clock.now_ms(),
        new_id=services.ids.resource,
    )


def _carried_out(call: Call, decided: Opening, issues: tuple[Issue, ...], services: Services) -> Answer:
    reference = f"Patient/{decided.patient_id}"
    what = [reference, *(f"{draft.type}/{draft.id}" for draft in decided.drafts if draft.type != "Patient")]
    entry = record.record(call, KIND, services, patient=reference, what=what)
    key = Key("Patient", decided.patient_id)
    if decided.drafts:
        plan = Plan(drafts=decided.drafts, previous=all_versions(decided.drafts, services))
        shown = parse_stored(commit(plan, [entry], services)[key].body)
        return dossier.parameters([{"name": "patient", "resource": shown}], issues)
    record.keep(services, entry)
    version = services.store.read(key)
    # The dossier was open already, perhaps with more in it than this caller sent or may read.
    seen = dossier.seen_by(call.caller, version, services) if version else None
    return dossier.parameters([{"name": "patient", "resource": seen}] if seen else [], issues)
