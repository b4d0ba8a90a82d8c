"""The entries of a batch or transaction: read, checked, and turned back into response entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, unquote

from fhir_dmp.errors import BadRequest, DmpError, Issue, TooLarge
from fhir_dmp.fhir.bundle import Entry
from fhir_dmp.fhir.dates import instant, moment
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.etag import Tags, etag, parse_tags
from fhir_dmp.fhir.links import on_the_wire
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.interactions.changes import Preconditions
from fhir_dmp.interactions.exchange import Answer, Call, Payload
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.single import done
from fhir_dmp.ports import RequestInfo, Version

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
READS = ("GET", "HEAD")
STATUS_TEXT = {
    200: "200 OK",
    201: "201 Created",
    204: "204 No Content",
    304: "304 Not Modified",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    403: "403 Forbidden",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    409: "409 Conflict",
    410: "410 Gone",
    412: "412 Precondition Failed",
    422: "422 Unprocessable Entity",
}


NO_TAGS = Tags()


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """One entry of a request bundle. path: segments of request.url; query: its raw query string.

    held: the versions that the client has already (ifNoneMatch of a read); held_ms: the time of its copy.
    """

    index: int
    method: str
    path: tuple[str, ...]
    query: str
    full_url: str | None
    resource: Json | None
    conditions: Preconditions
    held: Tags = NO_TAGS
    held_ms: int | None = None

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The decoded query parameters."""
        return tuple(parse_qsl(self.query, keep_blank_values=True))

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method in READS


def raw_entries(bundle: Json, services: Services) -> list[object]:
    """Return the entries as sent.

    Raises:
        BadRequest: no array. TooLarge: more than server.max_bundle_entries.
    """
    raw = bundle.get("entry", [])
    limit = services.settings.server.max_bundle_entries
    if not isinstance(raw, list):
        raise BadRequest("Bundle.entry must be an array.", code="structure", expression="Bundle.entry")
    if len(raw) > limit:
        raise TooLarge(
            f"The bundle has {len(raw)} entries; this server takes {limit} at once.",
            code="too-costly",
            expression="Bundle.entry",
        )
    return raw


def read_entry(index: int, raw: object, base: str) -> BundleEntry:
    """Read one entry of a batch or transaction. base: URL that absolute request URLs may start with.

    Raises:
        BadRequest: without a usable request; the place is named.
    """
    where = f"Bundle.entry[{index}]"
    request = raw.get("request") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(request, dict):
        raise BadRequest("The entry has no request.", code="required", expression=f"{where}.request")
    method, url = request.get("method"), request.get("url")
    if method not in METHODS:
        raise BadRequest(
            f"request.method is one of {', '.join(METHODS)}.", code="value", expression=f"{where}.request.method"
        )
    if not isinstance(url, str) or not url:
        raise BadRequest("request.url is missing.", code="required", expression=f"{where}.request.url")
    resource, full_url = raw.get("resource"), raw.get("fullUrl")
    if resource is not None and not isinstance(resource, dict):
        raise BadRequest("The entry's resource is not an object.", code="structure", expression=f"{where}.resource")
    path, _, query = url.removeprefix(f"{base}/").lstrip("/").partition("?")
    read = BundleEntry(
        index=index,
        method=method,
        path=tuple(unquote(part) for part in path.split("/") if part),
        query=query,
        full_url=full_url if isinstance(full_url, str) else None,
        resource=resource,
        conditions=Preconditions(),
    )
    return _conditioned(read, request, f"{where}.request")


def _conditioned(entry: BundleEntry, request: Json, where: str) -> BundleEntry:
    for name in ("ifMatch", "ifNoneMatch", "ifNoneExist", "ifModifiedSince"):
        if name in request and not isinstance(request[name], str):
            raise BadRequest(f"{name} must be a string.", code="value", expression=f"{where}.{name}")
    match, none_match = _tags(request, "ifMatch", where), _tags(request, "ifNoneMatch", where)
    conditions = Preconditions(
        if_match=tuple(match.versions) if match and not match.any else None,
        if_match_any=bool(match and match.any),
        if_none_match_any=bool(none_match and none_match.any),
        if_none_exist=request.get("ifNoneExist"),
    )
    since = request.get("ifModifiedSince") if none_match is None else None
    held_ms = None if since is None else _instant(since, f"{where}.ifModifiedSince")
    return replace(entry, conditions=conditions, held=none_match or NO_TAGS, held_ms=held_ms)


def _tags(request: Json, name: str, where: str) -> Tags | None:
    if name not in request:
        return None
    try:
        return parse_tags(request[name], name)
    except BadRequest as error:
        raise BadRequest(error.issues[0].diagnostics, code="value", expression=f"{where}.{name}") from error


def _instant(text: str, where: str) -> int:
    found = moment(text)
    if found is None:
        raise BadRequest("ifModifiedSince must be an instant.", code="value", expression=where)
    return found


def payload_of(resource: Json | None, staged: Mapping[str, Blob]) -> Payload:
    """Return an entry's resource as if it had come alone; a Binary that holds a JSON Patch is one."""
    return Payload(
        media_type="application/fhir+json", declared="application/fhir+json", resource=resource, staged=staged
    )


def lone(call: Call, entry: BundleEntry, staged: Mapping[str, Blob]) -> Call:
    """Return the entry as a request of its own. Its writes answer with a resource only when that was asked for."""
    info = replace(
        call.info,
        prefer_return=preferred(call.info),
        if_match=entry.conditions.if_match,
        if_match_any=entry.conditions.if_match_any,
        if_none_match_any=entry.conditions.if_none_match_any,
        if_none_exist=entry.conditions.if_none_exist,
        raw=f"{entry.method} {'/'.join(entry.path)}{'?' + entry.query if entry.query else ''}",
    )
    method = "GET" if entry.method == "HEAD" else entry.method
    payload = payload_of(entry.resource, staged) if entry.resource is not None else None
    return Call(method, entry.path, call.caller, info, entry.pairs, payload)


def preferred(info: RequestInfo) -> str:
    """Return what the writes of a bundle answer: nothing unless the client asked for more."""
    return info.prefer_return if info.prefer_stated else "minimal"


def written(version: Version | None, status: int, issues: tuple[Issue, ...], info: RequestInfo) -> Entry:
    """Return the response entry of a write; no version: there was nothing to delete."""
    asked = preferred(info)
    gone = version is None or version.deleted
    if asked == "OperationOutcome":
        issues = (*issues, *done("deleted" if gone else "stored"))
        status = 200 if status == 204 else status
    shown = Entry(status=_text(status), outcome=dump(operation_outcome(issues)) if issues else None)
    if version is None:
        return shown
    shown = replace(shown, etag=etag(version.version), modified=instant(version.updated_ms))
    if gone:
        return shown
    name = f"{version.type}/{version.id}"
    body = on_the_wire(version.type, version.body, info.base) if asked == "representation" else None
    full_url = f"{info.base}/{name}" if body else None
    return replace(shown, full_url=full_url, body=body, location=f"{name}/_history/{version.version}")


def answered(entry: BundleEntry, answer: Answer, info: RequestInfo) -> Entry:
    """Return the response entry of a read, or of one entry of a batch."""
    tag = etag(answer.version) if answer.version is not None else None
    modified = instant(answer.updated_ms) if answer.updated_ms is not None else None
    if entry.reads:
        if _has(entry, answer):
            return Entry(status=_text(304), etag=tag, modified=modified)
        body = None if entry.method == "HEAD" else answer.body
        return Entry(body=body, status=_text(answer.status), etag=tag, modified=modified)
    outcome = dump(operation_outcome(answer.issues)) if answer.issues else None
    body = answer.body
    if not any(part.startswith("$") for part in entry.path) and preferred(info) == "OperationOutcome":
        outcome, body = body, None
    return Entry(
        full_url=f"{info.base}/{answer.location.partition('/_history')[0]}" if body and answer.location else None,
        body=body,
        status=_text(answer.status),
        location=answer.location,
        etag=tag,
        modified=modified,
        outcome=outcome,
    )


def _has(entry: BundleEntry, answer: Answer) -> bool:
    """Say whether the client's copy is still good."""
    if answer.status != 200:
        return False
    if entry.held_ms is not None and answer.updated_ms is not None:
        return answer.updated_ms <= entry.held_ms
    return entry.held.matches(answer.version)


def refused(entry: BundleEntry | None, error: DmpError) -> Entry:
    """Return the response entry of what was refused."""
    issues = error.issues if entry is None else tuple(at(entry, issue) for issue in error.issues)
    return Entry(status=_text(error.status), etag=error.headers.get("ETag"), outcome=dump(operation_outcome(issues)))


def _text(status: int) -> str:
    return STATUS_TEXT.get(status, str(status))


def at(entry: BundleEntry, issue: Issue) -> Issue:
    """Return the issue with its place named inside the bundle."""
    prefix = f"Bundle.entry[{entry.index}]"
    return replace(issue, expression=tuple(_place(prefix, entry, each) for each in issue.expression) or (prefix,))


def _place(prefix: str, entry: BundleEntry, place: str) -> str:
    if place.startswith("Bundle.entry["):
        return place
    if entry.reads or place.startswith("http."):
        return f"{prefix}.request.url"
    return f"{prefix}.resource.{place.partition('.')[2] or place}"
