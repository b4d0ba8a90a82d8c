"""AuditRecord -> AuditEvent, by the patterns of IHE BALP and the audit table of the transactions. Pure, deterministic.

https://profiles.ihe.net/ITI/BALP/ The event is made when somebody reads it; stores keep the small record. It never
holds a token, a body or attachment data, because the record never did.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field

from fhir_dmp.audit.kinds import BALP, EventKind, EventKinds
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Actor, act_reason
from fhir_dmp.terminology.aliases import ACT_REASON, PROFESSIONAL, STRUCTURE, TRE_R248_ACCESS_MODE
from fhir_dmp.terminology.national import HL7_IDENTIFIER_TYPES

ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ENTITY_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
REQUEST_ID = {"system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "code": "XrequestId"}
SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"
OTHER_ID = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/ihe-otherId"
ROLE_CLASS = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"

_SYSTEM_OBJECT = {"system": ENTITY_TYPE, "code": "2", "display": "System Object"}
_PERSON = {"system": ENTITY_TYPE, "code": "1", "display": "Person"}
_PATIENT = {"system": ENTITY_ROLE, "code": "1", "display": "Patient"}
_QUERY = {"system": ENTITY_ROLE, "code": "24", "display": "Query"}
_ROLE_DISPLAYS = {"3": "Report", "4": "Domain Resource", "20": "Job"}

#: Those who come for one reason, and in no mode of access.
_WITHOUT_MODE = frozenset(Actor) - {Actor.PROFESSIONAL, Actor.STRUCTURE}


@dataclass(frozen=True, slots=True)
class Site:
    """This server as audit events name it: host name, and a reference (Device, or a display) as observer."""

    name: str
    observer: Json = field(default_factory=lambda: {"display": "fhir-dmp"})


def audit_event(record: AuditRecord, kinds: EventKinds, site: Site) -> Json:
    """Return the AuditEvent of a record; the same record always gives the same event."""
    when = instant(record.recorded_ms)
    if record.given is not None:
        return _given(record, record.given)
    kind = kinds.get(record.kind)
    event: Json = {
        "resourceType": "AuditEvent",
        "id": record.id,
        "meta": _meta(record, kind, when),
        "type": kind.type,
        "subtype": _subtypes(record, kind, kinds),
        "action": kind.action,
        "period": {"start": when, "end": when},
        "recorded": when,
        "outcome": record.outcome,
    }
    if record.reason:
        event["outcomeDesc"] = record.reason
    if record.mode in ("bris_de_glace", "centre_15"):
        event["purposeOfEvent"] = [
            {"coding": [{"system": ACT_REASON, "code": act_reason(Actor.PROFESSIONAL, record.mode)}]}
        ]
    event["agent"] = list(_agents(record, kind, site))
    event["source"] = {
        "site": site.name,
        "observer": site.observer,
        "type": [{"system": SOURCE_TYPE, "code": "4", "display": "Application Server"}],
    }
    entities = list(_entities(record, kind))
    if entities:
        event["entity"] = entities
    return event


def _given(record: AuditRecord, body: bytes) -> Json:
    """Return an event that a trusted feeder posted, under the id and instant of its reception."""
    posted: Json = json.loads(body)
    meta = {**(posted.get("meta") or {}), "versionId": "1", "lastUpdated": instant(received_ms(record))}
    return {**posted, "id": record.id, "meta": meta}


#: The detail that keeps when an event came in that was recorded elsewhere and earlier.
RECEIVED = "received"


def received_ms(record: AuditRecord) -> int:
    """Return when the trail took the record in: at once, but for events that a feeder reported later."""
    found = next((value for name, value in record.details if name == RECEIVED), "")
    return int(found) if found.isdigit() else record.recorded_ms


def _meta(record: AuditRecord, kind: EventKind, when: str) -> Json:
    meta: Json = {"versionId": "1", "lastUpdated": when}
    told = record.query is not None if kind.profile == "Query" else bool(record.what)
    if kind.profile and told:
        meta["profile"] = [f"{BALP}{'Patient' if record.patient else ''}{kind.profile}"]
    return meta


def _subtypes(record: AuditRecord, kind: EventKind, kinds: EventKinds) -> list[Json]:
    numbers = record.kind.split("#")[1:]
    return [*kind.subtypes, *({"system": kinds.transactions, "code": number} for number in numbers)]


def _agents(record: AuditRecord, kind: EventKind, site: Site) -> Iterator[Json]:
    client: Json = {"type": {"coding": [kind.client]}, "who": {"identifier": {"value": record.client or "unknown"}}}
    client["requestor"] = False
    if record.address:
        client["network"] = {"address": record.address, "type": "2"}
    yield client
    yield {"type": {"coding": [kind.server]}, "who": site.observer, "requestor": False}
    if record.subject or record.professional or record.structure:
        yield _user(record, kind)
    if record.professional and record.structure:
        yield {
            "type": {"coding": [{"system": ROLE_CLASS, "code": "PROV"}]},
            "who": {"identifier": {"system": STRUCTURE, "value": record.structure}},
            "requestor": False,
        }


def _user(record: AuditRecord, kind: EventKind) -> Json:
    """The person (or institution) who asks: `sub` as identifier, the national identifier beside it and as altId."""
    type_ = kind.reader if kind.writer is None else kind.writer.get(record.actor, kind.reader)
    user: Json = {}
    national = _national(record)
    if national is not None:
        code = "NPI" if national["system"] == PROFESSIONAL else "PRN"
        typed = {"type": {"coding": [{"system": HL7_IDENTIFIER_TYPES, "code": code}]}, **national}
        user["extension"] = [{"url": OTHER_ID, "valueIdentifier": typed}]
    user["type"] = {"coding": [type_]}
    if record.roles:
        user["role"] = [{"coding": [{"system": system, "code": code}]} for system, code in record.roles]
    who: Json = {}
    if record.actor == Actor.PATIENT and record.patient:
        who["reference"] = record.patient
    if record.subject:
        known = {"system": record.issuer} if record.issuer else {}
        who["identifier"] = {**known, "value": record.subject}
    elif national is not None:
        who["identifier"] = national
    user["who"] = who
    if national is not None:
        user["altId"] = national["value"]
    if record.name:
        user["name"] = record.name
    user["requestor"] = True
    if record.jti:
        user["policy"] = [f"urn:ietf:params:oauth:jti:{record.jti}"]
    user["purposeOfUse"] = _purposes(record)
    return user


def _national(record: AuditRecord) -> dict[str, str] | None:
    if record.professional:
        return {"system": PROFESSIONAL, "value": record.professional}
    if record.structure:
        return {"system": STRUCTURE, "value": record.structure}
    return None


def _purposes(record: AuditRecord) -> list[Json]:
    coding = [{"system": ACT_REASON, "code": act_reason(record.actor, record.mode)}]
    if record.actor not in _WITHOUT_MODE:
        coding.append({"system": TRE_R248_ACCESS_MODE, "code": record.mode})
    return [{"coding": [part]} for part in coding]


def _entities(record: AuditRecord, kind: EventKind) -> Iterator[Json]:
    details: list[Json] = [{"type": name, "valueString": value} for name, value in record.details if value]
    for index, place in enumerate(record.what):
        code = kind.roles.get(place.partition("/")[0], "4")
        data: Json = {
            "what": {"reference": place},
            "type": _SYSTEM_OBJECT,
            "role": {"system": ENTITY_ROLE, "code": code, "display": _ROLE_DISPLAYS[code]},
        }
        if details and index == 0:
            data["detail"] = details
        yield data
    if record.query is not None:
        # In the patterns of reads and writes, whatever is a system object is data; a question beside it is none.
        typed = {} if record.what and kind.profile != "Query" else {"type": _SYSTEM_OBJECT}
        yield {
            **typed,
            "role": _QUERY,
            "query": b64encode(record.query.encode("utf-8", "replace")).decode("ascii"),
        }
    yield from _patient(record, [] if record.what else details)
    if record.request_id:
        yield {"what": {"identifier": {"value": record.request_id}}, "type": REQUEST_ID}
    if record.reason and record.outcome != "0":
        yield {
            "type": {"system": "http://hl7.org/fhir/resource-types", "code": "OperationOutcome"},
            "detail": [{"type": "code", "valueString": record.reason}],
        }


def _patient(record: AuditRecord, details: list[Json]) -> Iterator[Json]:
    if record.motive:
        details = [*details, {"type": "reason", "valueString": record.motive}]
    if record.patient:
        entity: Json = {"what": {"reference": record.patient}, "type": _PERSON, "role": _PATIENT}
        yield {**entity, "detail": details} if details else entity
    elif details:
        yield {"type": _SYSTEM_OBJECT, "detail": details}


TDE_PROFILE = "https://interop.esante.gouv.fr/ig/fhir/tde/StructureDefinition/tde-auditevent"


def tde_projection(event: Json) -> Json:
    """Return the event as the French trace model wants it: one subtype, the user (or client) and this server.

    The national model allows two agents where BALP needs three, so no single resource satisfies both.
    """
    agents: list[Json] = event.get("agent", [])
    user = next((agent for agent in agents if agent.get("requestor")), None)
    kept = [user, agents[1]] if user is not None and len(agents) > 1 and user is not agents[1] else agents[:2]
    meta = {**event.get("meta", {}), "profile": [TDE_PROFILE]}
    return {**event, "meta": meta, "subtype": event.get("subtype", [])[:1], "agent": kept}
