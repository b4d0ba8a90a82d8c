"""What people agreed to: the Consent of a patient to an application, and what is remembered of any agreement.

[security 5.7, 2.9]: kind `app-grant`, one for each patient and application, written through the one door; ending it
ends what was issued. Professionals agree for themselves only: their choice is remembered, it is no Consent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from fhir_dmp.access.consent import ConsentKind, consent_kind
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.elements import extensions_of, object_of, objects_of, text_of
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.identity.caller import Caller
from fhir_dmp.oauth.clients import Client
from fhir_dmp.oauth.codes import secret_key
from fhir_dmp.patients.consents import PCF, kind_system, operator
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.query import Search, SortKey, Term
from fhir_dmp.signin.desk import Desk, body_of
from fhir_dmp.signin.visits import SERVER, Visit, write
from fhir_dmp.terminology.aliases import ACT_REASON, CONSENT_SCOPE, LOINC, PARTICIPATION
from fhir_dmp.terminology.national import RFC_3986

KIND: Final = "agreement"
#: After so long an application asks again [security 2.5].
LIFE_MS: Final = 180 * 86_400_000
_MOST: Final = 500


@dataclass(frozen=True, slots=True)
class Agreement:
    """One remembered agreement. offered: the scopes that were shown; scope: those that were agreed to.

    patient: logical id when it is a patient's; consent: id of the Consent, with the version that says so.
    """

    client_id: str
    offered: str
    scope: str
    at_ms: int
    patient: str = ""
    consent: str = ""


def remembered(caller: Caller, client: Client, desk: Desk) -> Agreement | None:
    """Return the agreement in force; one whose Consent has ended is none."""
    body = desk.read(KIND, _key(caller, client.client_id))
    if body is None:
        return None
    agreement = Agreement(**body)
    if agreement.consent and not _in_force(agreement.consent, desk):
        return None
    return agreement


def remember(agreement: Agreement, caller: Caller, desk: Desk) -> None:
    """Keep an agreement, listed by the person."""
    body = {name: getattr(agreement, name) for name in Agreement.__dataclass_fields__}
    desk.keep(KIND, _key(caller, agreement.client_id), body, LIFE_MS, f"sub:{caller.subject}")


def forget(client_id: str, subject: str, patient: str, desk: Desk) -> None:
    """Forget an agreement."""
    desk.state.remove(KIND, _name(subject, client_id, patient))


def every_of(subject: str, desk: Desk) -> list[Agreement]:
    """Return the agreements of a person, newest first."""
    records = desk.state.listed(KIND, desk.now_ms(), tag=f"sub:{subject}")
    found = [Agreement(**body_of(record)) for record in records]
    return sorted(found, key=lambda each: -each.at_ms)


def _key(caller: Caller, client_id: str) -> str:
    return _name(caller.subject, client_id, caller.patient or "" if caller.professional is None else "")


def _name(subject: str, client_id: str, patient: str) -> str:
    return secret_key(f"{subject} {client_id} {patient}")


# --- the Consent of a patient ----------------------------------------------------------------------------------------


def record(caller: Caller, client: Client, scope: str, desk: Desk, visit: Visit) -> str:
    """Write that the patient (or who acts for the patient) agreed to an application, and return the Consent's id.

    An agreement in force is changed, so that there is one for each patient and application.

    Raises:
        DmpError: the record refuses it: closed, unknown.
    """
    now = desk.now_ms()
    before = next(iter(_grants(caller.patient or "", client.client_id, desk)), None)
    resource = _consent(caller, client, scope, now, desk)
    if before is None:
        answer = write(desk, visit, SERVER, resource)
        return _id_of(answer.location or "")
    write(desk, visit, SERVER, {**resource, "id": before.id}, id_=before.id, version=before.version)
    return before.id


def withdraw(consent: str, caller: Caller, desk: Desk, visit: Visit) -> Json | None:
    """End an agreement as the person who holds the record; None when it is no agreement in force of theirs.

    Raises:
        DmpError: the record refuses it.
    """
    version = desk.services.store.read(Key("Consent", consent))
    if version is None or version.deleted:
        return None
    resource = parse_stored(version.body)
    mine = version.patient == f"Patient/{caller.patient}" and _is_grant(resource, desk)
    if not mine or resource.get("status") != "active":
        return None
    provision = object_of(resource.get("provision"))
    ended = {**object_of(provision.get("period")), "end": instant(desk.now_ms())}
    changed = {**resource, "status": "inactive", "provision": {**provision, "period": ended}}
    write(desk, visit, caller, changed, id_=consent, version=version.version)
    return resource


def of_patient(patient: str, desk: Desk) -> list[tuple[str, str, Json]]:
    """Return (Consent id, client id, resource) of the agreements in force on a record, newest first."""
    return [(version.id, client_of(resource), resource) for version, resource in _active(patient, desk)]


def client_of(consent: Json) -> str:
    """Return the client that an agreement names, "" when none can be told."""
    for actor in objects_of(object_of(consent.get("provision")).get("actor")):
        identifier = object_of(object_of(actor.get("reference")).get("identifier"))
        if (value := text_of(identifier.get("value"))) is not None:
            return value
    return ""


def scopes_of(consent: Json, desk: Desk) -> str:
    """Return the scopes that an agreement covers."""
    for extension in extensions_of(consent, _extension(desk, "dmp-granted-scopes")):
        return text_of(extension.get("valueString")) or ""
    return ""


def _in_force(consent: str, desk: Desk) -> bool:
    version = desk.services.store.read(Key("Consent", consent))
    if version is None or version.deleted:
        return False
    return parse_stored(version.body).get("status") == "active"


def _grants(patient: str, client_id: str, desk: Desk) -> Iterator[Version]:
    return (version for version, resource in _active(patient, desk) if client_of(resource) == client_id)


def _active(patient: str, desk: Desk) -> list[tuple[Version, Json]]:
    page = desk.services.store.search(
        Search(
            types=("Consent",),
            node=Term(f"patient=r:Patient/{patient}"),
            sort=(SortKey("_lastUpdated", descending=True),),
            count=_MOST,
        )
    )
    held = [(version, parse_stored(version.body)) for version in page.versions]
    return [(v, resource) for v, resource in held if resource.get("status") == "active" and _is_grant(resource, desk)]


def _is_grant(consent: Json, desk: Desk) -> bool:
    return consent_kind(consent, desk.services.canonical) is ConsentKind.APP


def _id_of(location: str) -> str:
    return location.split("/_history/")[0].rpartition("/")[2]


def _extension(desk: Desk, name: str) -> str:
    return f"{desk.services.canonical}/StructureDefinition/{name}"


def _consent(caller: Caller, client: Client, scope: str, now_ms: int, desk: Desk) -> Json:
    base = desk.services.canonical
    documents = desk.services.settings.documents
    patient = {"reference": f"Patient/{caller.patient}"}
    performer = {"reference": caller.fhir_user} if caller.fhir_user else patient
    device = {
        "type": "Device",
        "identifier": {"system": RFC_3986, "value": client.client_id},
        "display": client.name,
    }
    extensions: list[dict[str, Any]] = [{"url": _extension(desk, "dmp-granted-scopes"), "valueString": scope}]
    if client.referencing is not None:
        finality = client.referencing.finality.value
        extensions.append({"url": _extension(desk, "dmp-finality"), "valueString": finality})
    return {
        "resourceType": "Consent",
        "meta": {"profile": [f"{PCF}.consentBasic"]},
        "extension": extensions,
        "status": "active",
        "scope": {"coding": [{"system": CONSENT_SCOPE, "code": "patient-privacy"}]},
        "category": [
            {"coding": [{"system": LOINC, "code": "59284-0"}]},
            {"coding": [{"system": kind_system(base), "code": ConsentKind.APP.value}]},
        ],
        "patient": patient,
        "dateTime": instant(now_ms),
        "performer": [performer],
        "organization": [operator(documents.operator_name, documents.operator_oid)],
        "sourceAttachment": {"title": "Agreement to an application, given on the consent page"},
        "policy": [{"uri": f"{base}/policies/dmp-default-2025"}],
        "provision": {
            "type": "permit",
            "period": {"start": instant(now_ms), "end": instant(now_ms + LIFE_MS)},
            "actor": [
                {"role": {"coding": [{"system": PARTICIPATION, "code": "IRCP"}]}, "reference": device},
            ],
            "purpose": [{"system": ACT_REASON, "code": "PATRQT"}],
        },
    }
