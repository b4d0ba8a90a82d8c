"""The audit trail as AuditEvent resources: read by id, and search by the patient, an auditor or an administrator.

Events are kept as compact records and told as resources when somebody reads them; nobody changes or removes one.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from fhir_dmp.access.decision import Op
from fhir_dmp.access.masking import DATA_ABSENT, mask_references, references_to_check
from fhir_dmp.access.parties import local
from fhir_dmp.access.refusal import absent, hidden
from fhir_dmp.access.writing import may_record_audit
from fhir_dmp.audit.event import RECEIVED, TDE_PROFILE, audit_event, received_ms, tde_projection
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.audit.search import audit_slice
from fhir_dmp.errors import BadRequest, Forbidden
from fhir_dmp.fhir.bundle import Entry, bundle
from fhir_dmp.fhir.dates import instant, interval
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.interactions import authorise, granular, masks, record, scoping
from fhir_dmp.interactions.changes import of_type
from fhir_dmp.interactions.criteria_rules import rules_of
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.search import PAGE, PAGE_TTL_MS, fingerprint, ignored, outcome, self_link
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.telling import SECRET
from fhir_dmp.interactions.write import checked
from fhir_dmp.ports import AuditQuery
from fhir_dmp.search.cursor import Cursor, seal, unseal
from fhir_dmp.search.extract import terms_of
from fhir_dmp.search.joins import resolve_joins
from fhir_dmp.search.parse import parse
from fhir_dmp.search.query import Query, Search, Term, both

_PATH = "AuditEvent"
#: Asks for the projection of the French trace model. [security 6.3]
_NATIONAL = ("_profile", TDE_PROFILE)


#: Those who read the trail of a record as its holder: nothing may tell them of what is hidden from them.
_HOLDERS = frozenset({Actor.PATIENT, Actor.REPRESENTATIVE, Actor.DELEGATE})


def read(call: Call, services: Services) -> Answer:
    """Return one AuditEvent."""
    authorise.need(call.caller, "r", _PATH, services)
    granular.need_whole(call.caller, "r", _PATH, services)
    found = services.store.audit_record(call.path[1])
    if found is None:
        raise absent(_PATH)
    if not _may_see(call, found[1], services):
        raise hidden(_PATH)
    entry = record.record(call, "audit-read", services, patient=found[1].patient, what=[f"AuditEvent/{call.path[1]}"])
    record.keep(services, entry)
    (told,) = _told(call.caller, [found[1]], services)
    return Answer(body=dump(told), version=1, updated_ms=received_ms(found[1]))


def create(call: Call, services: Services) -> Answer:
    """Take in an event that a trusted feeder reports (ITI-20): kept as it came, under an id of the trail's own.

    It lies at the time that it tells, which is before it came; never after.

    Raises:
        Forbidden: only feeders and administrators report events.
    """
    authorise.need(call.caller, "c", _PATH, services)
    granular.need_whole(call.caller, "c", _PATH, services)
    if not may_record_audit(call.caller):
        raise Forbidden("Audit events are reported by trusted feeders only.")
    resource = of_type(call.payload.resource if call.payload else None, _PATH)
    checked(resource, services)
    taken = record.record(call, "create", services, patient=named_patient(resource))
    told_ms = _recorded_ms(resource, services)
    given = replace(
        taken,
        given=dump(resource),
        recorded_ms=min(told_ms, taken.recorded_ms) if told_ms is not None else taken.recorded_ms,
        details=((RECEIVED, str(taken.recorded_ms)),),
    )
    record.keep(services, given)
    location = f"AuditEvent/{given.id}"  # an event has one version, and no history
    return Answer(201, dump(event(given, services)), version=1, updated_ms=taken.recorded_ms, location=location)


def _recorded_ms(resource: Json, services: Services) -> int | None:
    """Return the instant that an event tells of itself, None when it tells none."""
    try:
        return int(interval(str(resource.get("recorded")), services.zone)[0])
    except BadRequest:
        return None


def named_patient(resource: Json) -> str | None:
    """Return `Patient/id` of the record that an AuditEvent is about."""
    places = (local(entity.get("what")) or "" for entity in objects_of(resource.get("entity")))
    return next((place for place in places if place.startswith("Patient/")), None)


def event(entry: AuditRecord, services: Services) -> Json:
    """Tell a record as an AuditEvent."""
    return audit_event(entry, services.events, services.site)


def _told(caller: Caller, entries: Sequence[AuditRecord], services: Services) -> list[Json]:
    """Tell records as the caller may read them: to a holder, what is hidden is "a document" (security 6.5)."""
    events = [event(entry, services) for entry in entries]
    if caller.actor not in _HOLDERS:
        return events
    names = {name for each in events for name in references_to_check(each)}
    gone = masks.hidden(caller, names, Op.READ, services)
    return [_discreet(each, gone, own=entry.actor in _HOLDERS) for each, entry in zip(events, entries, strict=True)]


def _discreet(told: Json, gone: Set[str], *, own: bool) -> Json:
    """Return the event without what describes hidden documents; what others asked for may describe them, too."""
    entities = [_bare(entity, gone, own=own) for entity in objects_of(told.get("entity"))]
    return {**told, "entity": entities} if entities else told


def _bare(entity: Json, gone: Set[str], *, own: bool) -> Json:
    masked = mask_references(entity, gone)
    if masked is not entity:
        return {name: part for name, part in masked.items() if name in ("what", "type", "role")}
    if own or "query" not in entity:
        return entity
    kept = {name: part for name, part in entity.items() if name != "query"}
    return {**kept, "_query": {"extension": [{"url": DATA_ABSENT, "valueCode": "masked"}]}}


def _may_see(call: Call, entry: AuditRecord, services: Services) -> bool:
    """The patient and representatives see the accesses to their record, auditors and administrators all."""
    if call.caller.is_admin or call.caller.actor is Actor.AUDITOR:
        return True
    if entry.patient is None or not _may_know(call.caller, entry):
        return False
    return authorise.decided(call.caller, Op.HISTORY, entry.patient, services).permitted


def _may_know(caller: Caller, entry: AuditRecord) -> bool:
    """Say whether a caller may learn of an access: representatives not of what a minor keeps secret from them."""
    kept = caller.actor in (Actor.REPRESENTATIVE, Actor.DELEGATE)
    return not (kept and any(name == SECRET for name, _ in entry.details))


def search(call: Call, services: Services) -> Answer:
    """Return one page of the trail, newest first; as the French trace model wants it when `_profile` names that."""
    authorise.need(call.caller, "s", _PATH, services)
    granular.need_whole(call.caller, "s", _PATH, services)
    pairs, before = _paged(call, services)
    asked_for = [pair for pair in pairs if pair != _NATIONAL]
    query = parse(
        (_PATH,), asked_for, services.registry, rules_of(services, strict=call.info.strict, base=call.info.base)
    )
    patients = _patients(call, query, services)
    asked = query.node
    if not call.caller.is_admin:
        asked = scoping.restricted(call.caller, asked, patients, services)
    node = resolve_joins(both(asked, *(Term(f"patient=r:{each}") for each in patients)), _find(services), _none)
    part = audit_slice(
        node,
        services.events,
        services.site,
        lambda resource: terms_of(resource, services.registry, base=services.base, zone=services.zone),
        unbounded="_id" in query.filters or (call.caller.is_admin and not query.filters),
    )
    count = query.count or services.settings.server.default_count

    def keep(entry: AuditRecord) -> bool:
        return _may_know(call.caller, entry) and part.keep(entry)

    page = services.store.audit(AuditQuery(part.patient, part.low_ms, part.high_ms, before, count, keep))
    told = _told(call.caller, [each for _, each in page.records], services)
    if _NATIONAL in pairs:
        told = [tde_projection(each) for each in told]
    entries = [Entry(f"{call.info.base}/{_PATH}/{each['id']}", dump(each), "match") for each in told]
    issues = list(ignored(query))
    if issues:
        entries.append(outcome(issues))
    body = bundle(
        "searchset",
        entries,
        id_=services.ids.resource(),
        updated=instant(services.clock.now_ms()),
        links=_links(call, query, pairs, page.next, services),
    )
    each: Sequence[str | None] = patients or (None,)
    kept = [record.record(call, "audit-read", services, patient=one, query=call.info.raw) for one in each]
    record.keep(services, *kept)
    return Answer(body=body)


def _patients(call: Call, query: Query, services: Services) -> tuple[str, ...]:
    """Return the patients searched, after deciding that the caller may read their trail."""
    patients = tuple(scoping.searched(query, None, services))
    if call.caller.is_admin or call.caller.actor is Actor.AUDITOR:
        return patients
    if not patients and call.caller.patient is not None and not query.patients:
        patients = (f"Patient/{call.caller.patient}",)
    if not patients:
        raise Forbidden("The trail is read record by record: name the patient.", code="forbidden")
    for each in patients:
        authorise.entered(call.caller, Op.HISTORY, each, services)
    return patients


def _find(services: Services):  # type: ignore[no-untyped-def]
    return lambda type_, node: [v.id for v in services.store.search(Search((type_,), node, count=1000)).versions]


def _none(type_: str, param: str, node: object) -> list[str]:
    raise BadRequest("_has is not offered on AuditEvent.", code="not-supported")


def _paged(call: Call, services: Services) -> tuple[Sequence[tuple[str, str]], int | None]:
    pages = [value for name, value in call.query if name == PAGE]
    if not pages:
        return call.query, None
    cursor = unseal(pages[0], services.cursor_key, now_ms=services.clock.now_ms(), caller=fingerprint(call))
    if cursor.path != _PATH:
        raise BadRequest("The paging link belongs to another search.", code="value", expression=PAGE)
    return cursor.parameters, cursor.bound


def _links(
    call: Call, query: Query, pairs: Sequence[tuple[str, str]], following: int | None, services: Services
) -> list[tuple[str, str]]:
    url = f"{call.info.base}/{_PATH}"
    links = [("self", self_link(url, (*query.applied, *(pair for pair in pairs if pair == _NATIONAL))))]
    if following is not None:
        cursor = Cursor(
            path=_PATH,
            parameters=tuple(pairs),
            position=None,
            backward=False,
            bound=following,
            caller=fingerprint(call),
            expires_ms=services.clock.now_ms() + PAGE_TTL_MS,
        )
        links.append(("next", f"{url}?{PAGE}={seal(cursor, services.cursor_key)}"))
    return links
