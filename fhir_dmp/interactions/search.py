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
from fhir_dmp.fhir.links import on_the_wire
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import dump
from fhir_dmp.interactions import include, projection, record, scoping
from fhir_dmp.interactions.criteria_rules import rules_of
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.offer import offered
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Page, Version
from fhir_dmp.search.cursor import Cursor, seal, unseal
from fhir_dmp.search.parse import parse
from fhir_dmp.search.query import Node, Position, Query, Search, SortKey
from fhir_dmp.search.rules import ParseRules

#: Query parameter that carries a sealed page position; nothing else may stand beside it but the format.
PAGE = "_page"
#: How long a paging link stays valid.
PAGE_TTL_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class _Ask:
    """What is asked: types, parameters, compartment, and where the paging stands (None on the first page)."""

    types: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    compartment: str | None = None
    cursor: Cursor | None = None

    @property
    def path(self) -> str:
        """The URL path below the base."""
        parts = [self.compartment] if self.compartment else []
        if len(self.types) == 1:
            parts.append(self.types[0])
        elif self.compartment:
            parts.append("*")
        return "/".join(parts)


def search(call: Call, types: tuple[str, ...], services: Services, *, compartment: str | None = None) -> Answer:
    """Answer a type, system or compartment search (`compartment`: `Patient/id`) with a searchset Bundle."""
    ask = _asked(call, types, compartment, services)
    query = parse(ask.types, ask.pairs, services.registry, _rules(ask, call, services))
    scope = scoping.to_search(call, query, _label(ask.types), services, compartment=ask.compartment)
    node = scope.narrowed(query.node)
    page = services.store.search(_search(ask, query, node, scope))
    shown = scope.release(page.versions)
    found = dict.fromkeys(place for version, _ in shown if (place := _record_of(version)) is not None)
    patients = scope.patients or tuple(found)
    entries = _entries(call, query, shown, patients, services)
    issues = (*ignored(query), *scope.issues)
    if issues:
        entries.append(outcome(issues))
    answer = _bundle(call, ask, query, page, entries, services)
    record.keep(services, *_records(call, ask, patients, scope, services))
    return Answer(body=answer)


def system(call: Call, services: Services) -> Answer:
    """Answer `GET [base]?...` and `POST [base]/_search`: the types of `_type`, or all that are stored.

    Raises:
        BadRequest: `_type` names no resource type.
    """
    pages = [value for name, value in call.query if name == PAGE]
    cursor = _unsealed(pages[0], call, services) if pages else None
    if cursor is not None and cursor.path:
        raise _other_search()
    pairs = cursor.parameters if cursor else call.query
    types = [part for name, value in pairs if name == "_type" for part in value.split(",") if part]
    unknown = [part for part in types if not services.is_offered(part)]
    if unknown:
        raise BadRequest(f"_type names no resource type: {unknown[0][:60]}.", code="value", expression="_type")
    withheld = [part for part in types if "search" not in offered(part) or part == "AuditEvent"]
    if withheld:
        raise BadRequest(f"{withheld[0]} is not searched from here.", code="not-supported", expression="_type")
    return search(call, tuple(dict.fromkeys(types)) or _searchable(call, services), services)


def _searchable(call: Call, services: Services) -> tuple[str, ...]:
    """Return the stored types that the caller's scopes let it search; Basic, which finds nothing, for none."""
    stored = sorted(type_ for type_, count in services.store.types().items() if count and services.is_offered(type_))
    found = tuple(type_ for type_ in stored if "search" in offered(type_) and call.caller.may("s", type_))
    return found or ("Basic",)


def _label(types: tuple[str, ...]) -> str:
    return types[0] if len(types) == 1 else "*"


def _asked(call: Call, types: tuple[str, ...], compartment: str | None, services: Services) -> _Ask:
    pages = [value for name, value in call.query if name == PAGE]
    if not pages:
        return _Ask(types, call.query, compartment)
    cursor = _unsealed(pages[0], call, services)
    ask = _Ask(types, cursor.parameters, compartment, cursor)
    if cursor.path != ask.path:
        raise _other_search()
    return ask


def _other_search() -> BadRequest:
    return BadRequest("The paging link belongs to another search.", code="value", expression=PAGE)


def _unsealed(text: str, call: Call, services: Services) -> Cursor:
    return unseal(text, services.cursor_key, now_ms=services.clock.now_ms(), caller=fingerprint(call))


def fingerprint(call: Call) -> str:
    """Return what binds a paging link to its caller."""
    caller = call.caller
    return f"{caller.actor.value}|{caller.subject}|{caller.client}|{caller.patient or ''}|{caller.mode.value}"


def _rules(ask: _Ask, call: Call, services: Services) -> ParseRules:
    compartment = tuple(ask.compartment.split("/", 1)) if ask.compartment else None
    return replace(
        rules_of(services, strict=call.info.strict, base=call.info.base),
        compartment=compartment if compartment and len(compartment) == 2 else None,
    )


def _record_of(version: Version) -> str | None:
    return f"Patient/{version.id}" if version.type == "Patient" else version.patient


def _search(ask: _Ask, query: Query, node: Node, scope: scoping.Scope) -> Search:
    counting = query.summary == "count" or query.count == 0
    # An estimate would cost as much as the count that it stands for.
    wants_total = query.total in ("accurate", "estimate") or counting or (scope.count_all and query.total != "none")
    sort = query.sort or (SortKey("_lastUpdated", descending=True),)
    cursor = ask.cursor
    position = cursor.position if cursor else None
    return Search(
        types=ask.types,
        node=node,
        sort=sort,
        count=0 if counting else (query.count or 0),
        after=position if cursor and not cursor.backward else None,
        before=position if cursor and cursor.backward else None,
        bound=cursor.bound if cursor and position else None,
        total=wants_total,
        each=scope.each,
    )


def _entries(
    call: Call, query: Query, shown: Sequence[include.Found], patients: Sequence[str], services: Services
) -> list[Entry]:
    entries = [_entry(call, version, body, "match", query, services) for version, body in shown]
    if query.includes and shown:
        found, overflow = include.included(call.caller, query, shown, patients, services)
        entries += [_entry(call, version, body, "include", query, services) for version, body in found]
        if overflow:
            entries.append(
                outcome(
                    [
                        Issue(
                            "too-costly",
                            "More resources were to be included than this server sends.",
                            severity="warning",
                        )
                    ]
                )
            )
    return entries


def ignored(query: Query) -> Iterable[Issue]:
    """Say which parameters were not applied."""
    for name, why in query.ignored:
        yield Issue("not-supported", f"The parameter '{name[:60]}' was not applied: {why}", severity="warning")


def outcome(issues: Sequence[Issue]) -> Entry:
    """Return the entry that carries what a search has to say."""
    return Entry(body=dump(operation_outcome(tuple(issues))), mode="outcome")


def _entry(call: Call, version: Version, body: bytes, mode: str, query: Query, services: Services) -> Entry:
    if query.elements or query.summary in ("true", "text", "data"):
        body = projection.project_bytes(body, query.summary, query.elements, services)
    base = call.info.base
    body = on_the_wire(version.type, body, base)
    return Entry(full_url=f"{base}/{version.type}/{version.id}", body=body, mode=mode)


def _bundle(call: Call, ask: _Ask, query: Query, page: Page, entries: Sequence[Entry], services: Services) -> bytes:
    now = services.clock.now_ms()
    links = [("self", _self(call, ask, query))]
    if ask.cursor is not None:
        links.append(("first", _link(call, ask, None, 0, False, now, services)))
    for relation, position, backward in (("next", page.next, False), ("previous", page.previous, True)):
        if position is not None:
            links.append((relation, _link(call, ask, position, page.bound, backward, now, services)))
    return bundle(
        "searchset", entries, id_=services.ids.resource(), updated=instant(now), total=page.total, links=links
    )


def _link(
    call: Call, ask: _Ask, position: Position | None, bound: int, backward: bool, now_ms: int, services: Services
) -> str:
    """Return a paging link: everything about the search is sealed in it, so nothing of it can be read."""
    cursor = Cursor(
        path=ask.path,
        parameters=ask.pairs,
        position=position,
        backward=backward,
        bound=bound,
        caller=fingerprint(call),
        expires_ms=now_ms + PAGE_TTL_MS,
    )
    return f"{_url(call, ask)}?{PAGE}={seal(cursor, services.cursor_key)}"


def _url(call: Call, ask: _Ask) -> str:
    return f"{call.info.base}/{ask.path}" if ask.path else call.info.base


def _self(call: Call, ask: _Ask, query: Query) -> str:
    """Return the self link: what was applied, in the client's own words."""
    types = [pair for pair in ask.pairs if pair[0] == "_type"] if len(ask.types) > 1 and not ask.compartment else []
    return self_link(_url(call, ask), (*types, *query.applied))


def self_link(url: str, applied: Sequence[tuple[str, str]]) -> str:
    """Return a URL with the parameters that were applied."""
    return f"{url}?{urlencode(applied, safe=':/|,$')}" if applied else url


def kind_of(types: Sequence[str]) -> str:
    """Return the audit kind of a search of these types."""
    if len(types) != 1:
        return "search-system"
    return {"DocumentReference": "iti-67", "List": "iti-66"}.get(types[0], "search-type")


def _records(
    call: Call, ask: _Ask, patients: Sequence[str], scope: scoping.Scope, services: Services
) -> list[AuditRecord]:
    """Return one record for each patient whose record was searched (security 6.2)."""
    kind = scope.kind or kind_of(ask.types)
    each: Sequence[str | None] = patients or (None,)
    return [
        record.record(call, kind, services, patient=p, query=call.info.raw, details=scope.grounds.get(p or "", ()))
        for p in each
    ]
