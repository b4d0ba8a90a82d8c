"""A page of one patient's record, as $everything and $docref answer it: decided, paged and audited like a search.

The paging links carry the call itself, sealed, so that each page is decided again on the rights of its moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fhir_dmp.access.refusal import absent
from fhir_dmp.errors import BadRequest, Issue
from fhir_dmp.fhir.bundle import Entry, bundle
from fhir_dmp.fhir.dates import instant, interval
from fhir_dmp.fhir.links import on_the_wire
from fhir_dmp.interactions import authorise, record, scoping
from fhir_dmp.interactions.criteria_rules import rules_of
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.include import Found
from fhir_dmp.interactions.operations.primitives import Given, Pairs, given
from fhir_dmp.interactions.search import PAGE, PAGE_TTL_MS, fingerprint, outcome
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Page, Version
from fhir_dmp.search.care import cared_within
from fhir_dmp.search.cursor import Cursor, seal, unseal
from fhir_dmp.search.parse import parse
from fhir_dmp.search.query import MINUS_INFINITY, PLUS_INFINITY, Position, Search, SortKey, both

#: Beside the matches of a page.
Beside = Callable[[Sequence[Found]], Sequence[Found]]


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a record: the call's own parameters, and where the paging stands.

    path: below the base. cursor: None on a first call; without position it continues at the start of the search.
    """

    path: str
    given: Given
    cursor: Cursor | None = None

    @property
    def is_first(self) -> bool:
        """Say whether this is the first page."""
        return self.cursor is None or (self.cursor.position is None and self.cursor.bound == 0)


def asked(call: Call, declared: Mapping[str, tuple[str, ...]], services: Services) -> Ask:
    """Read the parameters of the call, or unseal those of a paging link.

    Raises:
        BadRequest: a paging link of something else, parameters that cannot be read. Gone: an expired link.
    """
    path = "/".join(call.path)
    read = given(call, declared)
    pages = [value for name, value in call.query if name == PAGE]
    if not pages:
        return Ask(path, read)
    cursor = unseal(pages[0], services.cursor_key, now_ms=services.clock.now_ms(), caller=fingerprint(call))
    if cursor.path != path:
        raise BadRequest("The paging link belongs to another search.", code="value", expression=PAGE)
    return Ask(path, Given(cursor.parameters), cursor)


def care_period(given: Given, services: Services) -> tuple[float, float] | None:
    """Return the interval that `start` and `end` mean, both included; None when neither was given.

    Raises:
        BadRequest: no dates, or an end before the start.
    """
    bounds: dict[str, tuple[int, int]] = {}
    for name in ("start", "end"):
        text = given.one(name)
        if text is not None:
            bounds[name] = _interval(name, text, services)
    if not bounds:
        return None
    low = bounds["start"][0] if "start" in bounds else MINUS_INFINITY
    high = bounds["end"][1] if "end" in bounds else PLUS_INFINITY
    if low >= high:
        raise BadRequest("end lies before start.", code="value", expression="end")
    return low, high


def _interval(name: str, text: str, services: Services) -> tuple[int, int]:
    try:
        return interval(text, services.zone)
    except BadRequest as error:
        raise BadRequest(str(error), code="value", expression=name) from error


def since_ms(given: Given, services: Services) -> int | None:
    """Return the moment that `_since` names.

    Raises:
        BadRequest: no date or instant.
    """
    text = given.one("_since")
    return None if text is None else _interval("_since", text, services)[0]


def page_size(given: Given, default: int, most: int) -> int:
    """Return how many matches a page has: `_count`, lowered to the maximum, or the default.

    Raises:
        BadRequest: not a whole number above zero.
    """
    text = given.one("_count")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise BadRequest("_count must be a whole number above zero.", code="value", expression="_count")
    return min(int(text), most)


def holder(call: Call, id_: str, services: Services) -> Version:
    """Return the Patient whose record is asked for.

    Raises:
        NotFound: there is none, or the caller must not know of it. Forbidden: the record is shut.
    """
    version = services.store.read(Key("Patient", id_))
    if version is None or version.deleted:
        raise absent("Patient")
    authorise.to_see(call, version, services)
    return version


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the record a page shows. criteria: search parameters; care: [low, high) of the dates of care.

    head: what stands before the search on the first page. total: the matches are counted.
    """

    patient: str
    types: tuple[str, ...]
    count: int
    criteria: Pairs = ()
    care: tuple[float, float] | None = None
    head: tuple[Found, ...] = ()
    total: bool = False
    sort: tuple[SortKey, ...] = (SortKey("_lastUpdated", descending=True),)


def answer(call: Call, ask: Ask, wanted: Wanted, services: Services, beside: Beside | None = None) -> Answer:
    """Return one page as a searchset, recorded in the trail.

    beside: what is added to the matches, as included.
    """
    page, shown, grounds = _found(call, ask, wanted, services)
    opens = ask.is_first or (ask.cursor is not None and ask.cursor.backward and page.previous is None)
    matches = [*wanted.head, *shown] if opens else shown
    entries = [_entry(call, version, body, "match") for version, body in matches]
    if beside is not None:
        entries += [_entry(call, version, body, "include") for version, body in beside(matches)]
    if ask.given.issues:
        entries.append(outcome(ask.given.issues))
    body = _bundle(call, ask, wanted, page, entries, services)
    entry = record.record(
        call,
        "operation",
        services,
        patient=wanted.patient,
        what=[wanted.patient],
        query=call.info.raw,
        details=grounds,
    )
    record.keep(services, entry)
    return Answer(body=body)


def _found(call: Call, ask: Ask, wanted: Wanted, services: Services) -> tuple[Page, list[Found], Pairs]:
    """Return the page of the search, narrowed to what the caller may see, what of it leaves, and on what ground."""
    if not wanted.types:
        return Page((), total=0 if wanted.total else None), [], ()
    kind, _, id_ = wanted.patient.partition("/")
    rules = replace(rules_of(services, strict=True, base=call.info.base), compartment=(kind, id_))
    query = parse(wanted.types, wanted.criteria, services.registry, rules)
    label = wanted.types[0] if len(wanted.types) == 1 else "*"
    scope = scoping.to_search(call, query, label, services, compartment=wanted.patient)
    care = wanted.care
    within = {type_: cared_within(type_, services.registry, *care) for type_ in wanted.types} if care else {}
    allowed = dict(scope.each)
    each = {type_: both(allowed[type_], node) if type_ in allowed else node for type_, node in within.items()}
    cursor = ask.cursor
    position = cursor.position if cursor else None
    room = wanted.count - (len(wanted.head) if ask.is_first else 0)
    page = services.store.search(
        Search(
            types=wanted.types,
            node=scope.narrowed(query.node),
            sort=wanted.sort,
            count=max(room, 0),
            after=position if cursor and not cursor.backward else None,
            before=position if cursor and cursor.backward else None,
            bound=cursor.bound if cursor and cursor.bound else None,
            total=wanted.total,
            each=tuple((allowed | each).items()),
        )
    )
    shown = [found for found in scope.release(page.versions) if authorise.may_read(call.caller, found[0], services)]
    return page, shown, scope.grounds.get(wanted.patient, ())


def _entry(call: Call, version: Version, body: bytes, mode: str) -> Entry:
    base = call.info.base
    return Entry(f"{base}/{version.type}/{version.id}", on_the_wire(version.type, body, base), mode)


def _bundle(call: Call, ask: Ask, wanted: Wanted, page: Page, entries: Sequence[Entry], services: Services) -> bytes:
    now = services.clock.now_ms()
    url = f"{call.info.base}/{ask.path}"
    pairs = [pair for pair in ask.given.pairs if pair[0] != "_count"] + [("_count", str(wanted.count))]
    links = [("self", f"{url}?{urlencode(pairs, safe=':/|,$')}")]
    first = ask.is_first

    def link(relation: str, position: Position | None, *, backward: bool = False, bound: int = 0) -> None:
        cursor = Cursor(ask.path, ask.given.pairs, position, backward, bound, fingerprint(call), now + PAGE_TTL_MS)
        links.append((relation, f"{url}?{PAGE}={seal(cursor, services.cursor_key)}"))

    if not first:
        link("first", None)
    if page.next is not None:
        link("next", page.next, bound=page.bound)
    elif first and wanted.head and wanted.types and wanted.count <= len(wanted.head):
        link("next", None, bound=page.bound or services.store.sequence())  # the head alone fills the first page
    if page.previous is not None:
        link("previous", page.previous, backward=True, bound=page.bound)
    return bundle(
        "searchset", entries, id_=services.ids.resource(), updated=instant(now), total=page.total, links=links
    )


def warned(ask: Ask, *issues: Issue) -> Ask:
    """Return the call with more to say beside its matches."""
    return replace(ask, given=Given(ask.given.pairs, (*ask.given.issues, *issues)))
