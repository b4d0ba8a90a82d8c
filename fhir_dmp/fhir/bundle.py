"""Bundles, built by splicing stored bytes: a body that was stored is never parsed again to be sent.

https://hl7.org/fhir/R4/bundle.html. All functions return JSON bytes or fragments of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fhir_dmp.fhir.resource import dump


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a Bundle. body: resource JSON, None when absent (a deletion). mode: match, include or outcome.

    request: (method, url); status, etag, location, modified, outcome: parts of the response.
    """

    full_url: str | None = None
    body: bytes | None = None
    mode: str | None = None
    request: tuple[str, str] | None = None
    status: str | None = None
    location: str | None = None
    etag: str | None = None
    modified: str | None = None
    outcome: bytes | None = None


def _text(value: str) -> bytes:
    return dump(value)


def entry_bytes(entry: Entry) -> bytes:
    """Return one Bundle.entry as JSON."""
    parts: list[bytes] = []
    if entry.full_url is not None:
        parts.append(b'"fullUrl":' + _text(entry.full_url))
    if entry.body is not None:
        parts.append(b'"resource":' + entry.body)
    if entry.mode is not None:
        parts.append(b'"search":{"mode":"' + entry.mode.encode() + b'"}')
    if entry.request is not None:
        method, url = entry.request
        parts.append(b'"request":{"method":"' + method.encode() + b'","url":' + _text(url) + b"}")
    if entry.status is not None:
        parts.append(b'"response":' + _response(entry))
    return b"{" + b",".join(parts) + b"}"


def _response(entry: Entry) -> bytes:
    parts = [b'"status":' + _text(entry.status or "")]
    for name, value in (("location", entry.location), ("etag", entry.etag), ("lastModified", entry.modified)):
        if value is not None:
            parts.append(b'"' + name.encode() + b'":' + _text(value))
    if entry.outcome is not None:
        parts.append(b'"outcome":' + entry.outcome)
    return b"{" + b",".join(parts) + b"}"


def bundle(
    kind: str,
    entries: Iterable[Entry],
    *,
    id_: str,
    updated: str,
    total: int | None = None,
    links: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Return a Bundle of the given type. FHIR forbids empty arrays, so no entry means no `entry` property."""
    head = b'{"resourceType":"Bundle","id":' + _text(id_) + b',"meta":{"lastUpdated":' + _text(updated) + b'},"type":"'
    parts = [head + kind.encode() + b'"']
    if total is not None:
        parts.append(b'"total":' + str(total).encode())
    if links:
        shown = (b'{"relation":' + _text(relation) + b',"url":' + _text(url) + b"}" for relation, url in links)
        parts.append(b'"link":[' + b",".join(shown) + b"]")
    rendered = b",".join(map(entry_bytes, entries))
    if rendered:
        parts.append(b'"entry":[' + rendered + b"]")
    return b",".join(parts) + b"}"
