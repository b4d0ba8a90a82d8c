"""Request bodies: read by ourselves, never more than the limit and one byte, inflated with suspicion.

The server below has no limit of its own, and a framework's may cut a chunked body silently: both end here.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from fhir_dmp.errors import BadRequest, TooLarge, UnsupportedMedia
from fhir_dmp.http.request import Environ

CHUNK = 65_536
#: A gzip body may inflate to so many times its size; small ones freely.
MAX_RATIO = 10
FREE_INFLATION = 1 << 20
_METHODS = frozenset({"POST", "PUT", "PATCH"})


class Body:
    """The body of one request: present or not, read once, as a whole or in chunks."""

    __slots__ = ("_encoding", "_left", "_limit", "_stream", "declared")

    def __init__(self, environ: Environ, limit: int) -> None:
        self._stream = environ["wsgi.input"]
        self._limit = limit
        self._encoding: str = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
        self.declared = _declared(environ)
        #: Bytes not read yet; None when only the end of the stream tells.
        self._left = self.declared

    @property
    def present(self) -> bool:
        """Whether a body was announced (it may still turn out empty when its length was not)."""
        return self.declared is None or self.declared > 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the content, inflated.

        Raises:
            TooLarge: above the limit, or inflating too much.
            BadRequest: the client stopped early, or the gzip is damaged.
            UnsupportedMedia: an encoding other than gzip.
        """
        if self.declared is not None and self.declared > self._limit:
            raise self._too_large()
        if self._encoding in ("", "identity"):
            yield from self._limited(self._received())
        elif self._encoding in ("gzip", "x-gzip"):
            yield from self._limited(self._inflated())
        else:
            raise UnsupportedMedia("The only Content-Encoding is gzip.", headers={"Accept-Encoding": "gzip"})

    def read(self) -> bytes:
        """Return the whole content; raises as `chunks`."""
        return b"".join(self.chunks())

    def drain(self) -> None:
        """Throw the rest away, within reason, so that the client reads our refusal instead of a reset."""
        budget = 4 * self._limit
        try:
            for chunk in self._received():
                budget -= len(chunk)
                if budget < 0:
                    return
        except (BadRequest, OSError):
            return

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is larger than {self._limit} bytes.")

    def _received(self) -> Iterator[bytes]:
        while self._left != 0:
            chunk: bytes = self._stream.read(CHUNK if self._left is None else min(CHUNK, self._left))
            if not chunk:
                short = self._left
                self._left = 0
                if short:
                    raise BadRequest("The body ended before its announced length.", code="structure")
                return
            if self._left is not None:
                self._left -= len(chunk)
            yield chunk

    def _limited(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        total = 0
        for chunk in chunks:
            total += len(chunk)
            if total > self._limit:
                raise self._too_large()
            yield chunk

    def _inflated(self) -> Iterator[bytes]:
        inflater = zlib.decompressobj(wbits=31)
        received = produced = 0
        for chunk in self._received():
            received += len(chunk)
            pending, full = chunk, True
            while pending or full:
                out = _inflate(inflater, pending)
                produced += len(out)
                if produced > max(FREE_INFLATION, MAX_RATIO * received):
                    raise TooLarge(f"The gzip body inflates to more than {MAX_RATIO} times its size; send it plain.")
                if out:
                    yield out
                # A full piece may leave output inside the inflater even when all input is used.
                pending, full = inflater.unconsumed_tail, len(out) == CHUNK
            if inflater.unused_data:
                raise BadRequest("There is something after the end of the gzip body.", code="structure")
        if received and not inflater.eof:
            raise BadRequest("The gzip body is incomplete.", code="structure")


def _inflate(inflater: zlib._Decompress, data: bytes) -> bytes:
    try:
        return inflater.decompress(data, CHUNK)
    except zlib.error as error:
        raise BadRequest("The body is not gzip.", code="structure") from error


def _declared(environ: Environ) -> int | None:
    """Return the announced length, 0 for no body, None when only the end of the stream will tell."""
    if environ["REQUEST_METHOD"] not in _METHODS:
        return 0
    text: str = environ.get("CONTENT_LENGTH") or ""
    if text:
        if not (text.isascii() and text.isdigit()):
            raise BadRequest("Content-Length is not a number.", code="structure")
        return int(text)
    endless = "HTTP_TRANSFER_ENCODING" in environ or environ.get("SERVER_PROTOCOL", "").startswith("HTTP/2")
    return None if endless else 0
