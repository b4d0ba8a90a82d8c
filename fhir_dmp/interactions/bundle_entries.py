"""The entries of a batch or transaction: read, checked, and turned back into response entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, unquote

from fhir_dmp.errors import BadRequest, Issue, TooLarge
from fhir_dmp.fhir.bundle import Entry
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.etag import parse_tags
from fhir_dmp.fhir.links import absolute
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.interactions.changes import Preconditions
from fhir_dmp.interactions.exchange import Answer, Payload
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Version

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
STATUS_TEXT = {200: "200 OK", 201: "201 Created", 204: "204 No Content"}


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """One entry of a request bundle. path: segments of request.url; query: its raw query string."""

    index: int
    method: str
    path: tuple[str, ...]
    query: str
    full_url: str | None
    resource: Json | None
    conditions: Preconditions

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The decoded query parameters."""
        return tuple(parse_qsl(self.query, keep_blank_values=True))


def entries_of(bundle: Json, services: Services) -> list[BundleEntry]:
    """Read the entries of a batch or transaction.

    Raises:
        BadRequest: an entry without a usable request, naming it.
        TooLarge: more entries than server.max_bundle_entries.
    """
    raw = bundle.get("entry", [])
    limit = services.settings.server.max_bundle_entries
    if not isinstance(raw, list):
        raise BadRequest("Bundle.entry must be an array.", code="structure", expression="Bundle.entry")
    if len(raw) > limit:
        raise TooLarge(f"The bundle has {len(raw)} entries; this server takes {limit} at once.", code="too-costly")
    return [_entry(index, entry, services) for index, entry in enumerate(raw)]


def _entry(index: int, raw: object, services: Services) -> BundleEntry:
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
    path, _, query = url.removeprefix(services.base + "/").lstrip("/").partition("?")
    segments = tuple(unquote(part) for part in path.split("/") if part)
    conditions = _conditions(request, where)
    return BundleEntry(
        index, method, segments, query, full_url if isinstance(full_url, str) else None, resource, conditions
    )


def _conditions(request: Json, where: str) -> Preconditions:
    for name in ("ifMatch", "ifNoneMatch", "ifNoneExist"):
        if name in request and not isinstance(request[name], str):
            raise BadRequest(f"{name} must be a string.", code="value", expression=f"{where}.request.{name}")
    match = parse_tags(request["ifMatch"], "ifMatch") if "ifMatch" in request else None
    none_match = parse_tags(request["ifNoneMatch"], "ifNoneMatch") if "ifNoneMatch" in request else None
    return Preconditions(
        if_match=tuple(match.versions) if match and not match.any else None,
        if_match_any=bool(match and match.any),
        if_none_match_any=bool(none_match and none_match.any),
        if_none_exist=request.get("ifNoneExist"),
    )


def payload_of(resource: Json | None, staged: Mapping[str, Blob]) -> Payload:
    """Return an entry's resource as if it had come alone; a Binary that holds a JSON Patch is one."""
    return Payload(
        media_type="application/fhir+json", declared="application/fhir+json", resource=resource, staged=staged
    )


def written(version: Version, status: int, prefer: str, issues: tuple[Issue, ...], services: Services) -> Entry:
    """Return the response entry of a write (transaction-response: location, etag, lastModified, outcome)."""
    body = None
    if prefer == "representation-asked" and not version.deleted:
        body = absolute(version.body, services.base)
    return Entry(
        full_url=f"{services.base}/{version.type}/{version.id}" if body else None,
        body=body,
        status=STATUS_TEXT.get(status, str(status)),
        location=f"{version.type}/{version.id}/_history/{version.version}" if not version.deleted else None,
        etag=f'W/"{version.version}"',
        modified=instant(version.updated_ms),
        outcome=dump(operation_outcome(issues)) if issues else None,
    )


def answered(answer: Answer) -> Entry:
    """Return the response entry of a GET, or of one entry of a batch."""
    return Entry(
        body=answer.body,
        status=STATUS_TEXT.get(answer.status, str(answer.status)),
        location=answer.location,
        etag=f'W/"{answer.version}"' if answer.version is not None else None,
        modified=instant(answer.updated_ms) if answer.updated_ms is not None else None,
    )


def at(entry: BundleEntry, issue: Issue) -> Issue:
    """Return the issue with its place named inside the bundle."""
    prefix = f"Bundle.entry[{entry.index}]"
    places = tuple(
        place if place.startswith("Bundle.") else f"{prefix}.resource.{place.partition('.')[2] or place}".rstrip(".")
        for place in issue.expression
    )
    return replace(issue, expression=places or (prefix,))
