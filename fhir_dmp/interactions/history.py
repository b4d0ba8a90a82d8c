"""history at three levels: instance, type and system; newest first by commit order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fhir_dmp.errors import BadRequest, NotFound
from fhir_dmp.fhir.bundle import Entry, bundle
from fhir_dmp.fhir.dates import instant, interval
from fhir_dmp.fhir.links import absolute
from fhir_dmp.interactions import authorise, masks, record, scoping
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.read import current
from fhir_dmp.interactions.search import PAGE, PAGE_TTL_MS, fingerprint
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import HistoryPage, HistoryQuery, Version
from fhir_dmp.search.cursor import Cursor, seal, unseal

_KNOWN = ("_count", "_since", "_at", "_format", "_pretty", "_sort", PAGE)


def history(call: Call, services: Services) -> Answer:
    """Return the versions of a resource, a type or everything as a history Bundle."""
    scope = call.path[:-1]
    if len(scope) == 2:
        newest = current(call, services)
        allowed = authorise.to_read(call, newest, services)
        wanted = HistoryQuery(type=newest.type, id=newest.id)
    else:
        scoping.to_browse_history(call, scope[0] if scope else None, services)
        allowed = authorise.Allowed()
        wanted = HistoryQuery(type=scope[0] if scope else None)
    wanted = _narrowed(wanted, call.query, call, services)
    page = services.store.history(wanted)
    if (
        len(scope) == 2
        and not page.versions
        and wanted.before_seq is None
        and wanted.since_ms is None
        and not wanted.at
    ):
        raise NotFound("This resource has no history.")
    body = _bundle(call, scope, wanted, page, services)
    what = ["/".join(scope)] if len(scope) == 2 else []
    entry = record.record(
        call,
        "history",
        services,
        patient=allowed.patient,
        what=what,
        query=call.info.raw,
        details=allowed.details,
    )
    record.keep(services, entry)
    return Answer(body=body, headers=allowed.headers)


def _narrowed(query: HistoryQuery, pairs: Sequence[tuple[str, str]], call: Call, services: Services) -> HistoryQuery:
    for name, value in pairs:
        if name not in _KNOWN:
            if call.info.strict:
                raise BadRequest(
                    f"Unknown history parameter '{name[:60]}'.", code="not-supported", expression=name[:60]
                )
            continue
        if name == "_count":
            if not value.isdigit():
                raise BadRequest("_count must be a whole number.", code="value", expression="_count")
            query = replace(query, count=min(int(value), services.settings.server.max_count))
        elif name == "_since":
            query = replace(query, since_ms=int(interval(value, services.zone)[0]))
        elif name == "_at":
            query = replace(query, at=interval(value, services.zone))
        elif name == PAGE:
            cursor = unseal(value, services.cursor_key, now_ms=services.clock.now_ms(), caller=fingerprint(call))
            if cursor.path != "/".join(call.path):
                raise BadRequest("The paging link belongs to another history.", code="value", expression=PAGE)
            query = _narrowed(replace(query, before_seq=cursor.bound), cursor.parameters, call, services)
    return query


def _bundle(
    call: Call,
    scope: tuple[str, ...],
    query: HistoryQuery,
    page: HistoryPage,
    services: Services,
) -> bytes:
    now = services.clock.now_ms()
    path = "/".join([services.base, *scope, "_history"])
    links = [("self", path)]
    if page.next_seq is not None and query.count:
        kept = tuple(pair for pair in call.query if pair[0] in ("_count", "_since", "_at"))
        cursor = Cursor(
            path="/".join(call.path),
            parameters=kept,
            position=None,
            backward=False,
            bound=page.next_seq,
            caller=fingerprint(call),
            expires_ms=now + PAGE_TTL_MS,
        )
        links.append(("next", f"{path}?{PAGE}={seal(cursor, services.cursor_key)}"))
    shown = [version for version in page.versions if _same_record(call, version, page.versions[0], services)]
    bodies = masks.shown(call.caller, shown, services)
    entries = [_entry(version, body, services) for version, body in zip(shown, bodies, strict=True)]
    return bundle("history", entries, id_=services.ids.resource(), updated=instant(now), total=page.total, links=links)


def _same_record(call: Call, version: Version, newest: Version, services: Services) -> bool:
    """Say whether a version may be told: one that belonged to another record is decided by that one."""
    if version.patient == newest.patient or version.id != newest.id:
        return True
    return authorise.readable(call.caller, version, services)


def _entry(version: Version, shown: bytes, services: Services) -> Entry:
    name = f"{version.type}/{version.id}"
    body = None if version.deleted else absolute(shown, services.base)
    status = {"POST": "201 Created", "DELETE": "204 No Content"}.get(version.method, "200 OK")
    return Entry(
        full_url=f"{services.base}/{name}",
        body=body,
        request=(
            "PUT" if version.method == "PATCH" else version.method,
            version.type if version.method == "POST" else name,
        ),
        status=status,
        etag=f'W/"{version.version}"',
        modified=instant(version.updated_ms),
    )
