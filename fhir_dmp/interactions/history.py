"""history at three levels: instance, type and system; newest first by commit order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.bundle import Entry, bundle
from fhir_dmp.fhir.dates import instant, interval
from fhir_dmp.fhir.links import on_the_wire
from fhir_dmp.interactions import authorise, granular, masks, record, scoping, unapplied
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.read import current
from fhir_dmp.interactions.search import PAGE, PAGE_TTL_MS, fingerprint
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import HistoryPage, HistoryQuery, Version
from fhir_dmp.search.cursor import Cursor, seal, unseal

#: What narrows a history, and what concerns its representation only.
_NARROWING = ("_count", "_since", "_at")
_UNREPORTED = ("_format", "_pretty", PAGE)

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Ask:
    """What is asked. scope: (), (type,) or (type, id). pairs: what narrows it. before: continue below this sequence."""

    scope: tuple[str, ...]
    pairs: Pairs
    before: int | None = None

    @property
    def path(self) -> str:
        """The URL path below the base."""
        return "/".join((*self.scope, "_history"))


def history(call: Call, services: Services) -> Answer:
    """Return the versions of a resource, a type or everything as a history Bundle."""
    ask = _asked(call, services)
    told = _unapplied(call)
    newest = current(call, services) if len(ask.scope) == 2 else None
    allowed = _allowed(call, ask.scope, newest, services)
    query = _query(ask, services)
    page = services.store.history(query)
    body = _bundle(call, ask, query, page, newest, services)
    what = ["/".join(ask.scope)] if newest is not None else []
    entry = record.record(
        call,
        kind_of(ask.scope),
        services,
        patient=allowed.patient,
        what=what,
        query=call.info.raw,
        details=allowed.details,
    )
    record.keep(services, entry)
    return Answer(body=body, headers=(*allowed.headers, *told))


def kind_of(scope: tuple[str, ...]) -> str:
    """Return the audit kind of a history: of everything, of a type, of one resource; whatever is asked below one."""
    return ("history-system", "history-type", "history")[min(len(scope), 2)]


def _allowed(call: Call, scope: tuple[str, ...], newest: Version | None, services: Services) -> authorise.Allowed:
    if newest is not None:
        return authorise.to_read(call, newest, services)
    scoping.to_browse_history(call, scope[0] if scope else None, services)
    if scope:
        granular.need_whole(call.caller, "s", scope[0], services)
    return authorise.Allowed()


def _asked(call: Call, services: Services) -> _Ask:
    """Read the parameters, or unseal those of a paging link.

    Raises:
        BadRequest: a paging link of something else.
    """
    ask = _Ask(call.path[:-1], tuple(pair for pair in call.query if pair[0] in _NARROWING))
    pages = [value for name, value in call.query if name == PAGE]
    if pages:
        cursor = unseal(pages[0], services.cursor_key, now_ms=services.clock.now_ms(), caller=fingerprint(call))
        if cursor.path != ask.path:
            raise BadRequest("The paging link belongs to another history.", code="value", expression=PAGE)
        return replace(ask, pairs=cursor.parameters, before=cursor.bound)
    return ask


def _unapplied(call: Call) -> Pairs:
    """Return the header about parameters that mean nothing in a history; its only order is newest first."""
    sorted_ = [value for name, value in call.query if name == "_sort"]
    known = (*_NARROWING, *_UNREPORTED, *(("_sort",) if sorted_ == ["-_lastUpdated"] else ()))
    return unapplied.headers(call, known)


def _query(ask: _Ask, services: Services) -> HistoryQuery:
    type_, id_ = (*ask.scope, None, None)[:2]
    query = HistoryQuery(type=type_, id=id_, count=services.settings.server.default_count, before_seq=ask.before)
    if type_ is None and services.settings.server.types_off:
        query = replace(query, types=services.types)
    for name, value in ask.pairs:
        query = _READERS[name](query, value, services)
    return query


def _counted(query: HistoryQuery, value: str, services: Services) -> HistoryQuery:
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise BadRequest("_count must be a whole number.", code="value", expression="_count")
    return replace(query, count=min(int(value), services.settings.server.max_count))


_READERS: dict[str, Callable[[HistoryQuery, str, Services], HistoryQuery]] = {
    "_count": _counted,
    "_since": lambda query, value, services: replace(query, since_ms=interval(value, services.zone)[0]),
    "_at": lambda query, value, services: replace(query, at=interval(value, services.zone)),
}


def _bundle(
    call: Call, ask: _Ask, query: HistoryQuery, page: HistoryPage, newest: Version | None, services: Services
) -> bytes:
    now = services.clock.now_ms()
    url = f"{call.info.base}/{ask.path}"
    links = [("self", f"{url}?{urlencode(ask.pairs, safe=':')}" if ask.pairs else url)]
    if page.next_seq is not None and query.count:
        cursor = Cursor(
            path=ask.path,
            parameters=ask.pairs,
            position=None,
            backward=False,
            bound=page.next_seq,
            caller=fingerprint(call),
            expires_ms=now + PAGE_TTL_MS,
        )
        links.append(("next", f"{url}?{PAGE}={seal(cursor, services.cursor_key)}"))
    shown = [version for version in page.versions if _may_be_told(call, version, newest, services)]
    bodies = masks.shown(call.caller, shown, services)
    entries = [_entry(version, body, call.info.base) for version, body in zip(shown, bodies, strict=True)]
    return bundle("history", entries, id_=services.ids.resource(), updated=instant(now), total=page.total, links=links)


def _may_be_told(call: Call, version: Version, newest: Version | None, services: Services) -> bool:
    """Say whether a version may be told: one that belonged to another record is decided by that one."""
    if newest is not None and not version.deleted and not authorise.may_read(call.caller, version, services):
        return False
    if newest is None or version.patient == newest.patient:
        return True
    return authorise.readable(call.caller, version, services)


def _entry(version: Version, shown: bytes, base: str) -> Entry:
    name = f"{version.type}/{version.id}"
    return Entry(
        full_url=f"{base}/{name}",
        body=None if version.deleted else on_the_wire(version.type, shown, base),
        request=(
            "PUT" if version.method == "PATCH" else version.method,
            version.type if version.method == "POST" else name,
        ),
        status=_status(version),
        etag=f'W/"{version.version}"',
        modified=instant(version.updated_ms),
    )


def _status(version: Version) -> str:
    if version.deleted:
        return "204 No Content"
    return "201 Created" if version.version == 1 else "200 OK"
