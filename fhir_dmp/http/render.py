"""From an Answer to status, headers and bytes: representation, validators, compression, ranges.

https://hl7.org/fhir/R4/http.html#ops. Header constants are made once: a read spends its time elsewhere.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from fhir_dmp.fhir.resource import parse_stored, pretty
from fhir_dmp.fhir.structure import Structures
from fhir_dmp.fhir.xml import to_xml
from fhir_dmp.http import contents
from fhir_dmp.http.conditional import etag, http_date, not_modified
from fhir_dmp.http.html import page
from fhir_dmp.http.negotiation import CONTENT_TYPES, Format, wants_pretty
from fhir_dmp.http.request import Request
from fhir_dmp.interactions.exchange import Answer

Headers = list[tuple[str, str]]

STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_NO_STORE = ("Cache-Control", "no-store, private")
_VARY = ("Vary", "Accept, Accept-Encoding, Authorization")
_GUARDS: Headers = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
]
_POLICY = ("Content-Security-Policy", contents.PLAIN)
_GUARDED: Headers = [*_GUARDS, _POLICY, _NO_STORE, _VARY]
#: Bodies below are sent plain: compressing would not pay.
GZIP_ABOVE = 1024
_GZIP_LEVEL = 4
_RELATIVE = ("Location", "Content-Location")
_UNCHANGED = frozenset({"ETag", "Last-Modified", "Cache-Control", "Content-Location", "Expires"})


@dataclass(slots=True)
class Reply:
    """What goes on the wire."""

    status: int
    headers: Headers
    body: Iterable[bytes]

    @property
    def status_line(self) -> str:
        """The status with its phrase."""
        return STATUS_LINES.get(self.status) or f"{self.status} Status"


def render(answer: Answer, request: Request, structures: Structures) -> Reply:
    """Write an answer the way the client wants it.

    Raises:
        RangeNotSatisfiable: a byte range outside of a raw content.
        NotAcceptable: a FHIR resource where the client accepts none of its representations.
    """
    headers: Headers = [("X-Request-Id", request.request_id)]
    own = _own_headers(answer, request, headers)
    if answer.status == 200 and request.method == "GET" and _fresh(answer, request, headers):
        return _unmodified(answer, request, headers)
    if answer.content is not None:
        return _raw(answer, request, headers)
    headers += _GUARDED if not own else [pair for pair in _GUARDED if pair[0] not in own]
    if request.applied and answer.status < 300:
        headers.append(("Preference-Applied", ", ".join(request.applied)))
    if answer.body is None and answer.stream is None:
        headers.append(("Content-Length", "0"))
        return Reply(answer.status, headers if answer.status != 204 else headers[:-1], [])
    if answer.stream is not None:
        return _streamed(answer, request, headers, structures)
    return _whole(answer, request, headers, structures)


def _own_headers(answer: Answer, request: Request, headers: Headers) -> set[str]:
    """Add validators, location and the answer's own headers; return the names of the latter."""
    if answer.version is not None:
        headers.append(("ETag", etag(answer.version)))
    if answer.updated_ms is not None:
        headers.append(("Last-Modified", http_date(answer.updated_ms)))
    if answer.location is not None:
        headers.append(("Location", _absolute(answer.location, request)))
    if not answer.headers:
        return set()
    for name, value in answer.headers:
        headers.append((name, _absolute(value, request) if name in _RELATIVE else value))
    return {name for name, _ in answer.headers}


def _absolute(location: str, request: Request) -> str:
    return location if "://" in location else f"{request.base}/{location.lstrip('/')}"


def _fresh(answer: Answer, request: Request, headers: Headers) -> bool:
    environ = request.environ
    if "HTTP_IF_NONE_MATCH" not in environ and "HTTP_IF_MODIFIED_SINCE" not in environ:
        return False
    tag = next((value for name, value in headers if name == "ETag"), None)
    return not_modified(environ, tag, answer.updated_ms)


def _unmodified(answer: Answer, request: Request, headers: Headers) -> Reply:
    for source in (answer.stream, answer.content.chunks if answer.content else None):
        close = getattr(source, "close", None)
        if close is not None:
            close()
    kept = [pair for pair in headers if pair[0] in _UNCHANGED]
    if not any(name == "Cache-Control" for name, _ in kept):
        kept.append(_NO_STORE)
    return Reply(304, [("X-Request-Id", request.request_id), *kept, _VARY], [])


def _whole(answer: Answer, request: Request, headers: Headers, structures: Structures) -> Reply:
    wanted, body = request.wanted.acceptable(), answer.body or b""
    if wanted.format is Format.XML:
        body = to_xml(parse_stored(body), structures, pretty=_is_pretty(request))
    elif wanted.format is Format.HTML:
        body, policy = page(body, request, answer.status)
        headers = [pair for pair in headers if pair[0] != "Content-Security-Policy"]
        headers.append(("Content-Security-Policy", policy))
    elif _is_pretty(request):
        body = pretty(parse_stored(body))
    headers.append(("Content-Type", wanted.content_type))
    if len(body) > GZIP_ABOVE and accepts_gzip(request.header("ACCEPT_ENCODING")):
        body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    headers.append(("Content-Length", str(len(body))))
    return Reply(answer.status, headers, [] if request.head else [body])


def _is_pretty(request: Request) -> bool:
    return bool(request.query) and wants_pretty(request.query)


def _streamed(answer: Answer, request: Request, headers: Headers, structures: Structures) -> Reply:
    """Send FHIR JSON as it comes; another representation needs the whole first."""
    wanted, stream = request.wanted.acceptable(), answer.stream
    assert stream is not None
    if wanted.format is Format.XML:
        whole = Answer(answer.status, body=b"".join(stream))
        return _whole(whole, request, headers, structures)
    # A page of so many bytes helps nobody: browsers get the JSON too.
    headers.append(
        ("Content-Type", CONTENT_TYPES[Format.JSON] if wanted.format is Format.HTML else wanted.content_type)
    )
    body = contents.closing(stream)
    if request.head:
        body.close()
        return Reply(answer.status, headers, [])
    return Reply(answer.status, headers, body)


def _raw(answer: Answer, request: Request, headers: Headers) -> Reply:
    content = answer.content
    assert content is not None
    span, status = _span(answer, request, headers)
    length = span.length if span else content.size
    headers += _GUARDS
    if not any(name == "Cache-Control" for name, _ in headers):
        headers.append(_NO_STORE)
    if not any(name == "Vary" for name, _ in headers):
        headers.append(_VARY)
    headers += [
        ("Content-Type", contents.media_type_of(content)),
        ("Content-Disposition", contents.disposition(content)),
        ("Content-Security-Policy", contents.policy(content)),
        ("Accept-Ranges", "bytes"),
        ("Content-Length", str(length)),
    ]
    if status == 206 and span:
        headers.append(("Content-Range", span.content_range))
    body = contents.chunks_of(content, None if _already_cut(answer) else span)
    if request.head:
        body.close()
        return Reply(status, headers, [])
    return Reply(status, headers, body)


def _already_cut(answer: Answer) -> bool:
    content = answer.content
    return content is not None and (content.start > 0 or content.end is not None)


def _span(answer: Answer, request: Request, headers: Headers) -> tuple[contents.Span | None, int]:
    """Return the range to send and the status: what the use case cut already, or what the client asks of a 200."""
    content = answer.content
    assert content is not None
    if _already_cut(answer):
        span = contents.Span(content.start, content.size if content.end is None else content.end, content.size)
        return span, 206 if answer.status == 200 and span.length < span.size else answer.status
    asked = request.header("RANGE")
    if not asked or answer.status != 200 or request.method != "GET" or not _range_applies(request, headers):
        return None, answer.status
    found = contents.span_of(asked, content.size)
    return found, 206 if found else answer.status


def _range_applies(request: Request, headers: Headers) -> bool:
    """If-Range: a range counts only while the content is the one that the client has a part of."""
    condition = request.header("IF_RANGE").strip()
    return not condition or any(name in ("ETag", "Last-Modified") and value == condition for name, value in headers)


@lru_cache(maxsize=256)
def accepts_gzip(header: str) -> bool:
    """Say whether the client takes gzip.

    >>> accepts_gzip("deflate, gzip;q=0.5"), accepts_gzip("gzip;q=0"), accepts_gzip("br")
    (True, False, False)
    """
    for part in header.split(","):
        name, _, parameters = part.partition(";")
        if name.strip().lower() in ("gzip", "x-gzip", "*"):
            quality = parameters.strip().replace(" ", "").lower()
            return quality not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
