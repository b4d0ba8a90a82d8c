"""What crosses between HTTP and the use cases: a Call in, an Answer out. Neither knows a web framework.

`interactions.dispatch.handle(call, services)` is the whole FHIR API as one function; http/ only translates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from fhir_dmp.errors import Issue
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Caller
from fhir_dmp.ports import RequestInfo


@dataclass(frozen=True, slots=True)
class Payload:
    """A request body, already read.

    resource: the FHIR resource (from JSON or XML) when the media type is FHIR's; a base64 `data` too long for memory
    is replaced by a marker, and `staged` maps the marker to the content. patch: a JSON Patch document, or an XML Patch
    that was read. raw: the bytes of other bodies that fit in memory (a CDA sent to an operation). blob: a raw content
    sent to Binary, staged.
    media_type: lower case, without parameters; declared: the Content-Type as sent.
    """

    media_type: str
    declared: str = ""
    resource: Json | None = None
    staged: Mapping[str, Blob] = field(default_factory=dict)
    patch: object | None = None
    raw: bytes | None = None
    blob: Blob | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One FHIR request.

    method: GET, POST, PUT, PATCH, DELETE (HEAD arrives as GET). path: segments below the base, percent-decoded; ()
    is the base itself. query: decoded (name, value) pairs in order, the form body of `_search` merged in.
    accept_raw: the client did not ask for a FHIR representation (Binary answers bytes); accepts: the media types it
    named, best first, () for anything. accept_page: what it wants best is text/html.
    """

    method: str
    path: tuple[str, ...]
    caller: Caller
    info: RequestInfo
    query: tuple[tuple[str, str], ...] = ()
    payload: Payload | None = None
    accept_raw: bool = False
    accepts: tuple[str, ...] = ()
    accept_page: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """Raw bytes to send: chunks of [start, end) out of `size`, with their media type and a file name.

    open: reads another [start, end) of the same content, so that a byte range costs only what it sends. policy: the
    Content-Security-Policy of a page that this server made itself; "" for the contents of others.
    """

    chunks: Iterator[bytes]
    media_type: str
    size: int
    start: int = 0
    end: int | None = None
    filename: str = ""
    open: Callable[[int, int], Iterator[bytes]] | None = None
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One FHIR response, before negotiation of format, compression and conditional headers.

    body: FHIR JSON bytes, None for an empty body. stream: FHIR JSON in chunks (a Binary with its base64).
    content: raw bytes instead. issues: what a write had to say beside its body (warnings). version, updated_ms: ETag
    and Last-Modified. location: relative to the base.
    mutable: False when a cache validator must not answer 304 (operations, bundles).
    """

    status: int = 200
    body: bytes | None = None
    stream: Iterator[bytes] | None = None
    content: Content | None = None
    issues: tuple[Issue, ...] = ()
    version: int | None = None
    updated_ms: int | None = None
    location: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
