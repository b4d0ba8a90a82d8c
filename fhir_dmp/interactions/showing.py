"""How a released resource looks to a caller who may not see all of it: found patients, own deposits."""

from __future__ import annotations

from fhir_dmp.access.decision import Decision
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.relation import authorisation_status, is_doctor
from fhir_dmp.fhir.elements import extensions_of, objects_of
from fhir_dmp.fhir.resource import Json, dump, parse_stored
from fhir_dmp.fhir.subset import SUBSETTED, SUBSETTED_SYSTEM
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.ins import ins_in
from fhir_dmp.ports import Version
from fhir_dmp.terminology.national import ATTACHED, IS_MT
from fhir_dmp.terminology.sharing import IS_ARCHIVED

#: What a professional needs of an own deposit to act on it later (dmp-fhir 3.5), and nothing more.
_DEPOSIT = (
    "resourceType",
    "id",
    "meta",
    "masterIdentifier",
    "identifier",
    "status",
    "subject",
    "securityLabel",
    "relatesTo",
)
#: What TD0.2 returns of a patient: the identity, never contact data (dmp-fhir 3.1).
_IDENTITY = (
    "resourceType",
    "id",
    "meta",
    "extension",
    "identifier",
    "active",
    "name",
    "gender",
    "birthDate",
    "deceasedBoolean",
    "deceasedDateTime",
)
_BLOCKED = ("resourceType", "id", "meta", "identifier", "active")


def deposit(stored: bytes) -> bytes:
    """Return what a feeding-only caller may see of an own document (TD3.1b)."""
    body = parse_stored(stored)
    kept = _cut(body, _DEPOSIT)
    archived = [each for each in body.get("extension", ()) if each.get("url") == IS_ARCHIVED]
    if archived:
        kept["extension"] = archived
    return dump(kept)


def _cut(body: Json, names: tuple[str, ...]) -> Json:
    kept = {name: body[name] for name in names if name in body}
    meta = dict(kept.get("meta", {}))
    kept["meta"] = {**meta, "tag": [*meta.get("tag", ()), {"system": SUBSETTED_SYSTEM, "code": SUBSETTED}]}
    return kept


def found_patient(
    version: Version, decision: Decision, caller: Caller, facts: PatientFacts, services: Services
) -> bytes | None:
    """Return a Patient as TD0.2 shows it, with what the server computes for the calling professional."""
    if not decision.permitted:
        return None
    body = parse_stored(version.body)
    if caller.actor is Actor.PATIENT and caller.patient == version.id:
        return dump(_with_attachment(body))
    if decision.reason == "blocked":
        kept = _cut(body, _BLOCKED)
        # A local number or the billing number of a parent tells more than the INS.
        kept["identifier"] = [each for each in objects_of(body.get("identifier")) if ins_in(each)]
        return dump(kept)
    kept = _with_attachment(_cut(body, _IDENTITY))
    status_url = f"{services.canonical}/StructureDefinition/dmp-statut-autorisation"
    # Computed for each caller: what somebody may have stored under these names says nothing.
    kept["extension"] = [each for each in kept["extension"] if each.get("url") not in (IS_MT, status_url)]
    if caller.professional is not None:
        status = authorisation_status(caller, facts, services.access)
        kept["extension"] += [
            {"url": IS_MT, "valueBoolean": is_doctor(caller, facts)},
            {"url": status_url, "valueCode": status.value},
        ]
    return dump(kept)


def _with_attachment(body: Json) -> Json:
    """Return a Patient that says whether it is attached to the patient's national space: no, when nothing is stored."""
    extensions = objects_of(body.get("extension"))
    if any(isinstance(each.get("valueBoolean"), bool) for each in extensions_of(body, ATTACHED)):
        return {**body, "extension": extensions}
    others = [each for each in extensions if each.get("url") != ATTACHED]
    return {**body, "extension": [*others, {"url": ATTACHED, "valueBoolean": False}]}
