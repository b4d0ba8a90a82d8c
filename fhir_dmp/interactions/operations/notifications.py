"""$notifications: the inbox of a record, and how its holder is told of each event. [security 7]"""

from __future__ import annotations

from typing import Any

from fhir_dmp.access.decision import Op
from fhir_dmp.access.refusal import absent
from fhir_dmp.audit.story import preferred
from fhir_dmp.errors import BadRequest, Conflict, Forbidden, StateConflict
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.identity.caller import Actor
from fhir_dmp.interactions import authorise, preferences, record
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.telling import COUNT, KEPT_SECRET
from fhir_dmp.notices.events import POLICIES, Event, Preferences, Way, chosen, way_of
from fhir_dmp.notices.messages import Item
from fhir_dmp.ports import Key, Queued

KIND = "operation-update"
_HOLDERS = frozenset({Actor.PATIENT, Actor.REPRESENTATIVE})
_INBOX = 100


def notifications(call: Call, services: Services) -> Answer:
    """Answer Parameters with preferences and notices; change the preferences that are given.

    Raises:
        Forbidden: only holders and representatives have an inbox. BadRequest, Unprocessable: a choice that is none.
    """
    patient = f"Patient/{call.path[1]}"
    if call.caller.actor not in _HOLDERS and not call.caller.is_admin:
        raise Forbidden("The inbox of a record is its holder's.", code="forbidden")
    if services.store.read(Key("Patient", call.path[1])) is None:
        raise absent("Patient")
    if not call.caller.is_admin:
        authorise.entered(call.caller, Op.HISTORY, patient, services)
    choices = dict(_choices(call.payload.resource if call.payload else None))
    details = [(f"preference-{event}", way.value) for event, way in choices.items()]
    record.keep(services, record.record(call, KIND, services, patient=patient, details=details))
    known = preferences.preferences_of(patient, services)
    if choices:
        try:
            known = preferences.choose(patient, choices, services)
        except StateConflict as error:
            raise Conflict("Somebody changed the preferences at the same moment; look, and try again.") from error
    language = preferred(call.info.headers.get("accept-language", ""))
    secret = call.caller.actor is Actor.REPRESENTATIVE
    inbox = [each for each in services.store.outbox.inbox(patient, _INBOX) if not (secret and _is_secret(each))]
    body: Json = {
        "resourceType": "Parameters",
        "parameter": [
            *(_preference(event, known) for event in Event),
            *(_notice(each, language, services) for each in inbox),
        ],
    }
    return Answer(body=dump(body))


def _is_secret(one: Queued) -> bool:
    return any(name == KEPT_SECRET for name, _ in one.notice.variables)


def _choices(body: Json | None) -> list[tuple[Event, Way]]:
    if body is None:
        return []
    if body.get("resourceType") != "Parameters":
        raise BadRequest("This operation takes Parameters.", code="structure", expression="Parameters")
    found: list[tuple[Event, Way]] = []
    for index, parameter in enumerate(objects_of(body.get("parameter"))):
        place = f"Parameters.parameter[{index}]"
        if parameter.get("name") != "preference":
            raise BadRequest("Known here is 'preference'.", code="not-supported", expression=place)
        parts: dict[str, Any] = {
            str(part.get("name")): part.get("valueCode") for part in objects_of(parameter.get("part"))
        }
        if parts.keys() != {"event", "way"}:
            raise BadRequest("A preference needs the codes 'event' and 'way'.", code="required", expression=place)
        found.append(chosen(str(parts["event"]), str(parts["way"])))
    return found


def _preference(event: Event, known: Preferences) -> Json:
    parts: list[Json] = [
        {"name": "event", "valueCode": event.value},
        {"name": "way", "valueCode": way_of(event, known).value},
        {"name": "mandatory", "valueBoolean": POLICIES[event].mandatory},
    ]
    return {"name": "preference", "part": parts}


def _notice(one: Queued, language: str, services: Services) -> Json:
    notice = one.notice
    count = int(dict(notice.variables).get(COUNT, "1"))
    sentence = services.messages.sentence(language, Item(Event(notice.event), count, notice.created_ms))
    parts: list[Json] = [
        {"name": "date", "valueInstant": instant(notice.created_ms)},
        {"name": "event", "valueCode": notice.event},
        {"name": "sentence", "valueString": sentence},
    ]
    if one.done_ms is not None:
        parts.append({"name": "sent", "valueInstant": instant(one.done_ms)})
        parts.append({"name": "outcome", "valueCode": one.outcome})
    return {"name": "notice", "part": parts}
