"""search: from parameters to one page of what the caller may see, with its includes, and an audit record.

Access narrows the query before the store sees it, so that totals, pages, chains and includes cannot leak.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.errors import BadRequest, Issue
from fhir_dmp.fhir.bundle import Entry, bundle
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.links import absolute
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import dump
from fhir_dmp.interactions import authorise, include, projection, record
from fhir_dmp.interactions.criteria import parse_rules
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Page, Version
from fhir_dmp.search import cursor
from fhir_dmp.search.parse import ParseRules, parse
from fhir_dmp.search.query import Node, Query, Search, SortKey, both

#: Query parameter that carries a sealed page position; nothing else may stand beside it but the format.
PAGE = "_page"
DOCUMENT_TYPES = ("DocumentReference", "List")
#: How long a paging link stays valid.
PAGE_TTL_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class _Ask:
    """What is asked: the search, and where its paging stands."""

    types: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    compartment: str | None = None
    position: cursor.Sealed | None = None


def search(call: Call, types: tuple[str, ...], services: Services, *, compartment: str | None = None) -> Answer:
    """Answer a type, system or compartment search (`compartment`: `Patient/id`) with a searchset Bundle."""
    ask = _asked(call, types, compartment, services)
    query = parse(ask.types, ask.pairs, services.registry, _rules(ask, call, services))
    scope = authorise.to_search(call, query, _label(ask.types), services, compartment=ask.compartment)
    node = both(query.node, scope.node, include.compartment_node(ask.compartment, ask.types, services))
    page = services.store.search(_search(ask, query, node, scope.count_all))
    entries = _entries(call, query, page, scope, services)
    answer = _bundle(call, ask, query, page, entries, services)
    record.keep(services, *_records(call, ask, scope, services))
    return Answer(body=answer)


def _label(types: tuple[str, ...]) -> str:
    return types[0] if len(types) == 1 else "*"


def _asked(call: Call, types: tuple[str, ...], compartment: str | None, services: Services) -> _Ask:
    pages = [value for name, value in call.query if name == PAGE]
    if not pages:
        return _Ask(types, call.query, compartment)
    sealed = cursor.unseal(
        pages[0], services.cursor_key, caller=_fingerprint(call), now_ms=services.clock.now_ms()
    )
    if tuple(sealed.types) != types or sealed.compartment != compartment:
        raise BadRequest("The paging link belongs to another search.", code="value", expression=PAGE)
    return _Ask(types, sealed.pairs, compartment, sealed)


def _fingerprint(call: Call) -> str:
    caller = call.caller
    return f"{caller.actor.value}|{caller.subject}|{caller.client}|{caller.patient or ''}|{caller.mode.value}"


def _rules(ask: _Ask, call: Call, services: Services) -> ParseRules:
    documents = services.settings.documents
    server = services.settings.server
    is_document = len(ask.types) == 1 and ask.types[0] in DOCUMENT_TYPES
    default = documents.default_count if is_document else server.default_count
    maximum = documents.max_count if is_document else server.max_count
    return parse_rules(services, strict=call.info.strict, default=default, maximum=maximum)


def _search(ask: _Ask, query: Query, node: Node, count_all: bool) -> Search:
    counting = query.summary == "count" or query.count == 0
    wants_total = query.total == "accurate" or counting or (count_all and query.total != "none")
    sort = query.sort or (SortKey("_lastUpdated", descending=True),)
    sealed = ask.position
    return Search(
        types=ask.types,
        node=node,
        sort=sort,
        count=0 if counting else (query.count or 0),
        after=sealed.position if sealed and not sealed.backwards else None,
        before=sealed.position if sealed and sealed.backwards else None,
        bound=sealed.bound if sealed else None,
        total=wants_total,
    )


def _entries(
    call: Call, query: Query, page: Page, scope: authorise.Scope, services: Services
) -> list[Entry]:
    shown = scope.release(page.versions)
    entries = [_entry(version, body, "match", query, services) for version, body in shown]
    if query.includes and page.versions:
        found, overflow = include.included(call, query, page.versions, services)
        entries += [_entry(version, body, "include", query, services) for version, body in found]
        if overflow:
            entries.append(_outcome([Issue("too-costly", "More resources were to be included than this server sends.",
                                           severity="warning")]))
    issues = [*_ignored(query), *scope.issues]
    if issues:
        entries.append(_outcome(issues))
    return entries


def _ignored(query: Query) -> Iterable[Issue]:
    for name, why in query.ignored:
        yield Issue("not-supported", f"The parameter '{name[:60]}' was not applied: {why}", severity="warning")


def _outcome(issues: Sequence[Issue]) -> Entry:
    return Entry(body=dump(operation_outcome(tuple(issues))), mode="outcome")


def _entry(version: Version, body: bytes, mode: str, query: Query, services: Services) -> Entry:
    if query.elements or query.summary in ("true", "text", "data"):
        body = projection.project_bytes(body, query.summary, query.elements, services)
    if version.type == "DocumentReference":
        body = absolute(body, services.base)
    return Entry(full_url=f"{services.base}/{version.type}/{version.id}", body=body, mode=mode)


def _bundle(
    call: Call, ask: _Ask, query: Query, page: Page, entries: Sequence[Entry], services: Services
) -> bytes:
    now = services.clock.now_ms()
    links = [("self", _self(ask, query, services))]
    for relation, position, backwards in (("next", page.next, False), ("previous", page.previous, True)):
        if position is None:
            continue
        sealed = cursor.Sealed(
            types=ask.types, compartment=ask.compartment, pairs=ask.pairs, position=position,
            bound=page.bound, backwards=backwards,
        )
        token = cursor.seal(sealed, services.cursor_key, caller=_fingerprint(call), expires_ms=now + PAGE_TTL_MS)
        links.append((relation, f"{_path(ask, services)}?{PAGE}={token}"))
    return bundle(
        "searchset", entries, id_=services.ids.resource(), updated=instant(now), total=page.total, links=links
    )


def _path(ask: _Ask, services: Services) -> str:
    parts = [services.base]
    if ask.compartment:
        parts.append(ask.compartment)
    if len(ask.types) == 1:
        parts.append(ask.types[0])
    elif ask.compartment:
        parts.append("*")
    return "/".join(parts)


def _self(ask: _Ask, query: Query, services: Services) -> str:
    """Return the self link: what was applied. A national identifier in it is the client's own words, sent over TLS."""
    return f"{_path(ask, services)}?{urlencode(query.applied, safe=':/|,$')}" if query.applied else _path(ask, services)


def _records(call: Call, ask: _Ask, scope: authorise.Scope, services: Services) -> list[AuditRecord]:
    kind = {"DocumentReference": "iti-67", "List": "iti-66"}.get(_label(ask.types), "search-type")
    kind = "search-system" if len(ask.types) != 1 else kind
    patients: Sequence[str | None] = scope.patients or (None,)
    return [record.record(call, kind, services, patient=each, query=call.info.raw) for each in patients]
