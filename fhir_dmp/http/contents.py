"""Raw contents on the wire: byte ranges, safe file names, and what a browser may do with them.

RFC 9110 section 14 (one range), RFC 6266 and 8187 (Content-Disposition). https://hl7.org/fhir/R4/binary.html#rest
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from fhir_dmp.errors import RangeNotSatisfiable
from fhir_dmp.interactions.exchange import Content

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_UNSAFE = re.compile(r"[^A-Za-z0-9._\- ]")
#: What a browser may show by itself; SVG is not among the images, it can carry scripts.
_INLINE = frozenset(
    {"application/pdf", "text/plain", "image/jpeg", "image/png", "image/gif", "image/tiff", "image/bmp", "image/webp"}
)
_SAFE_TYPE = re.compile(r"[\w!#$&^.+\-]{1,100}/[\w!#$&^.+\-]{1,100}(;[\x20-\x7e]{0,200})?")
SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"
PLAIN = "default-src 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes [start, end) out of `size`."""

    start: int
    end: int
    size: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.end - self.start

    @property
    def content_range(self) -> str:
        """The value of Content-Range."""
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


def span_of(header: str, size: int) -> Span | None:
    """Return the range asked for, None for the whole (no header, several ranges, other units).

    >>> span_of("bytes=0-99", 1000)
    Span(start=0, end=100, size=1000)
    >>> span_of("bytes=-10", 1000)
    Span(start=990, end=1000, size=1000)
    >>> span_of("bytes=0-1,5-6", 1000) is None
    True

    Raises:
        RangeNotSatisfiable: one range, outside the content.
    """
    match = _RANGE.fullmatch(header.strip().replace(" ", ""))
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None  # an invalid range is ignored, not refused
    else:
        start, end = max(size - int(last), 0), size
    if start >= size or end <= start:
        raise RangeNotSatisfiable(
            f"The content has {size} bytes; the range lies outside.", headers={"Content-Range": f"bytes */{size}"}
        )
    return Span(start, end, size)


def chunks_of(content: Content, span: Span | None) -> Generator[bytes, None, None]:
    """Yield the bytes of the span, and close the source whatever happens."""
    if span is None:
        return closing(content.chunks)
    if content.open is not None:
        _close(content.chunks)
        return closing(content.open(span.start, span.end))
    return _cut(content.chunks, span)


def closing(chunks: Iterator[bytes]) -> Generator[bytes, None, None]:
    """Yield the chunks, and close their source whatever happens."""
    try:
        yield from chunks
    finally:
        _close(chunks)


def _cut(chunks: Iterator[bytes], span: Span) -> Generator[bytes, None, None]:
    position = 0
    try:
        for chunk in chunks:
            low, high = max(span.start - position, 0), min(span.end - position, len(chunk))
            if low < high:
                yield chunk[low:high]
            position += len(chunk)
            if position >= span.end:
                return
    finally:
        _close(chunks)


def _close(chunks: Iterator[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


def media_type_of(content: Content) -> str:
    """Return the stored media type, or a neutral one when it could not stand in a header."""
    return content.media_type if _SAFE_TYPE.fullmatch(content.media_type) else "application/octet-stream"


def disposition(content: Content) -> str:
    """Return Content-Disposition: inline only for what a browser shows harmlessly, file names made safe.

    >>> disposition(Content(iter(()), "application/pdf", 0, filename='é"x/../y.pdf'))
    'inline; filename="__x_.._y.pdf"; filename*=UTF-8\\'\\'%C3%A9_x_.._y.pdf'
    """
    kind = "inline" if content.policy or _bare(content.media_type) in _INLINE else "attachment"
    if not content.filename:
        return kind
    name = re.sub(r'[\x00-\x1f\x7f"/\\:*?<>|]', "_", content.filename)[:150].strip(". ") or "document"
    plain = _UNSAFE.sub("_", name)
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    return f'{kind}; filename="{plain}"{extended}'


def policy(content: Content) -> str:
    """Return the Content-Security-Policy: everything that could be active content is sandboxed."""
    return content.policy or (PLAIN if _bare(content.media_type) in _INLINE else SANDBOX)


def _bare(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()
