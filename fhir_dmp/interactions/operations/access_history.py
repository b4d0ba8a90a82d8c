"""$access-history: who entered a record, in words, for its holder, representatives and auditors. [security 6.5]"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_dmp.access.decision import Op
from fhir_dmp.access.refusal import absent
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.audit.story import Line, Reader, lines_of, preferred
from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.dates import instant, interval
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.resource import Json, dump, parse_stored
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.interactions import authorise, masks, record
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.telling import SECRET
from fhir_dmp.ports import AuditQuery, Key

KIND = "audit-read"
#: Accesses that one answer looks at, lines it may hold, and the time it looks back when `from` is absent.
_MOST, _LINES, _YEAR_MS = 5000, 500, 366 * 86_400_000
_DEFAULT_LINES = 50
_PAGE = 500


def access_history(call: Call, services: Services) -> Answer:
    """Answer Parameters with one `line` for each access, emergencies first; the reading is recorded once.

    Raises:
        NotFound, Forbidden: the caller may not read the history of this record. BadRequest: a parameter is none.
    """
    caller, patient = call.caller, f"Patient/{call.path[1]}"
    authorise.need(caller, "s", "AuditEvent", services)
    if services.store.read(Key("Patient", call.path[1])) is None:
        raise absent("Patient")
    if not caller.is_admin and caller.actor is not Actor.AUDITOR:
        authorise.entered(caller, Op.HISTORY, patient, services)
    low, high, count = _period(call, services)
    records, complete = _records(patient, low, high, caller, services)
    lines = lines_of(records)
    language = preferred(call.info.headers.get("accept-language", ""))
    reader = Reader(caller.subject, _titles(lines[:count], caller, services))
    body: Json = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "total", "valueInteger": len(lines)},
            {"name": "complete", "valueBoolean": complete},
            *(_told(line, reader, language, services) for line in lines[:count]),
        ],
    }
    record.keep(services, record.record(call, KIND, services, patient=patient, query=call.info.raw))
    return Answer(body=dump(body))


def _period(call: Call, services: Services) -> tuple[int, int, int]:
    now = services.clock.now_ms()
    low, high, count = now - _YEAR_MS, now + 1, _DEFAULT_LINES
    for name, value in [*call.query, *_given(call.payload.resource if call.payload else None)]:
        if name == "from":
            low = int(interval(value, services.zone)[0])
        elif name == "to":
            high = int(interval(value, services.zone)[1])
        elif name == "_count":
            if not value.isdigit() or not 1 <= int(value) <= _LINES:
                raise BadRequest(f"_count is a number from 1 to {_LINES}.", code="value", expression="_count")
            count = int(value)
        elif name not in ("_format", "_pretty"):
            raise BadRequest(
                "Known here are from, to and _count.", code="not-supported", expression=f"http.{name[:60]}"
            )
    return low, high, count


def _given(body: Json | None) -> list[tuple[str, str]]:
    """Return the parameters of a body, as they would stand in a URL."""
    found: list[tuple[str, str]] = []
    for part in objects_of(body.get("parameter")) if body is not None else ():
        value = next((value for key, value in part.items() if key.startswith("value")), "")
        found.append((str(part.get("name")), str(value)))
    return found


def _records(patient: str, low: int, high: int, caller: Caller, services: Services) -> tuple[list[AuditRecord], bool]:
    """Return the newest accesses of the period, and whether these are all."""
    secret = caller.actor in (Actor.REPRESENTATIVE, Actor.DELEGATE)
    found: list[AuditRecord] = []
    before: int | None = None
    while len(found) < _MOST:
        page = services.store.audit(
            AuditQuery(patient, low, high, before, _PAGE, keep=_not_secret if secret else _anything)
        )
        found += [each for _, each in page.records if not _is_own_reading(each, caller)]
        before = page.next
        if before is None:
            return found, True
    return found[:_MOST], False


def _anything(_: AuditRecord) -> bool:
    return True


def _not_secret(one: AuditRecord) -> bool:
    """What a minor keeps from the representatives is in no history that they read."""
    return not any(name == SECRET for name, _ in one.details)


def _is_own_reading(one: AuditRecord, caller: Caller) -> bool:
    return one.kind == KIND and one.actor == caller.actor.value and one.subject == caller.subject


def _titles(lines: Sequence[Line], caller: Caller, services: Services) -> dict[str, str]:
    """Return the titles of the documents that the reader may see."""
    names = list(dict.fromkeys(name for line in lines for name in line.documents))
    gone = set() if caller.is_admin else masks.hidden(caller, names, Op.READ, services)
    keys = [Key(*name.split("/", 1)) for name in names if name not in gone and name.startswith("DocumentReference/")]
    stored = services.store.read_many(keys)
    return {str(key): _title(parse_stored(version.body)) for key, version in stored.items() if not version.deleted}


def _title(document: Json) -> str:
    attachments: Iterable[Json] = (object_of(each.get("attachment")) for each in objects_of(document.get("content")))
    titles = (str(each["title"]) for each in attachments if isinstance(each.get("title"), str))
    return next(titles, "") or str(document.get("description") or "")


def _told(line: Line, reader: Reader, language: str, services: Services) -> Json:
    story, first = services.story, line.first
    parts: list[Json] = [
        {"name": "date", "valueInstant": instant(first.recorded_ms)},
        {"name": "who", "valueString": story.who(line, reader, language)},
        {"name": "action", "valueCode": line.action},
        {"name": "what", "valueString": story.what(line, reader, language)},
        {"name": "mode", "valueCode": first.mode},
        {"name": "result", "valueCode": "success" if first.outcome == "0" else "refused"},
        {"name": "count", "valueInteger": line.count},
        {"name": "emergency", "valueBoolean": line.is_emergency},
        {"name": "sentence", "valueString": story.sentence(line, reader, language)},
    ]
    told = (
        ("profession", story.profession(line, language)),
        ("structure", first.structure),
        ("software", first.client),
    )
    parts += [{"name": name, "valueString": value} for name, value in told if value]
    return {"name": "line", "part": parts}
