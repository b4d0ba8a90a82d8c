"""Takes the contents out of a big JSON body while it arrives: `data` of Attachment, Binary and Signature.

The base64 of a long `data` goes decoded into a sink; in the JSON a marker stands for it, which is no base64 and cannot
be guessed. Everything else passes byte for byte, so the JSON parser judges it as it was sent. Memory stays flat.
A `data` whose key is written with escapes is not recognised, and simply stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.base64_stream import Decoder, NotBase64


class Sink(Protocol):
    """Where the bytes of one content go."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


S = TypeVar("S", bound=Sink)
State = Callable[[bytes, int], int]

#: `data` of up to this many characters stays in the JSON.
THRESHOLD = 65_536
_WINDOW = 262_144
_KEY = b'"data"'
# Text outside strings, and whole strings, up to the string "data" or one that is not complete.
# Groups are repeated inside (?>...), never by *+: Python 3.11.2, which Debian 12 has, reads on past the last whole one.
_SKIP = re.compile(rb'(?>(?:[^"]++|"(?!data")(?>[^"\\]*+(?:\\.[^"\\]*+)*)")*)', re.DOTALL)
_IN_STRING = re.compile(rb'[^"\\]*+(?>(?:\\.[^"\\]*+)*)', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*")
# SampledData.data is a list of numbers, not base64: it always has spaces, and only these letters.
_SAMPLES = re.compile(rb"[-+0-9.eEUL ]*")
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"/": b"/"}


class Diversion(Generic[S]):
    """What both formats share: a machine of states over chunks, and the content that is on its way to a sink.

    A state takes (buffer, position), consumes what it can, and says up to where; it may set the next state.
    """

    def __init__(self, open_sink: Callable[[], S], *, nonce: str, threshold: int = THRESHOLD) -> None:
        """Prepare for one body.

        open_sink: makes the sink of the next content. nonce: letters and digits, unpredictable, new for each body.
        threshold: the number of characters from which a `data` is diverted.
        """
        if not (nonce.isascii() and nonce.isalnum()):
            raise ValueError("a nonce is made of letters and digits")
        self._open_sink = open_sink
        self._nonce = nonce
        self._threshold = threshold
        self._output = bytearray()
        self._sinks: dict[str, S] = {}
        self._state: State = self._outside
        self._after_value: State = self._outside
        self._quote = b'"'
        self._rest = b""
        self._held: list[bytes] = []
        self._held_size = 0
        self._decoder: Decoder | None = None
        self._consumed = 0
        self._started = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            BadRequest: a diverted `data` is not base64; the diagnostics name it by number and place.
        """
        for start in range(0, len(chunk), _WINDOW):
            self._run(chunk[start : start + _WINDOW])

    def finish(self) -> tuple[bytes, dict[str, S]]:
        """Return the body with markers, and the sink of each marker (`:<nonce>:0`, `:<nonce>:1`...)."""
        self._output += b"".join(self._held)
        self._output += self._rest
        return bytes(self._output), self._sinks

    def _run(self, window: bytes) -> None:
        """Let the states consume what they can: each says up to where, and may have set another state."""
        buffer, at = self._rest + window, 0
        while at < len(buffer):
            state = self._state
            reached = state(buffer, at)
            self._consumed += reached - at
            if reached == at and self._state == state:
                break
            at = reached
        self._rest = buffer[at:]

    def _outside(self, buffer: bytes, at: int) -> int:
        """The first state."""
        raise NotImplementedError

    def _value_end(self, buffer: bytes, at: int) -> int:
        """Return where the value ends, or as far as it can be told to go on."""
        raise NotImplementedError

    def _unescape(self, text: bytes) -> bytes:
        """Resolve what stands for white space or base64 characters in a value of this format."""
        raise NotImplementedError

    def _before_limit(self, buffer: bytes, at: int) -> int:
        """Inside a `data` that may still turn out to be short."""
        end = self._value_end(buffer, at)
        self._held.append(buffer[at:end])
        self._held_size += end - at
        if self._held_size > self._threshold:
            self._divert(b"".join(self._held))
        elif buffer[end : end + 1] == self._quote:
            self._output += b"".join(self._held)
            self._state = self._after_value
        else:
            return end
        self._held, self._held_size = [], 0
        return end

    def _divert(self, text: bytes) -> None:
        if b" " in text and _SAMPLES.fullmatch(text):
            self._output += text
            self._state = self._after_value
            return
        marker = f":{self._nonce}:{len(self._sinks)}"
        sink = self._sinks[marker] = self._open_sink()
        self._output += marker.encode()
        self._decoder = Decoder(sink.write)
        self._decode(text)
        self._state = self._diverting

    def _diverting(self, buffer: bytes, at: int) -> int:
        """Inside a `data` that goes to its sink."""
        end = self._value_end(buffer, at)
        if end > at:
            self._decode(buffer[at:end])
        if buffer[end : end + 1] == self._quote:
            self._decode(None)
            self._state = self._after_value
        return end

    def _decode(self, text: bytes | None) -> None:
        """Decode a piece of the current `data`, or its end."""
        assert self._decoder is not None
        try:
            if text is None:
                self._decoder.finish()
            else:
                self._decoder.feed(self._unescape(text))
        except NotBase64 as error:
            raise BadRequest(
                f"The base64 of 'data' number {len(self._sinks)} of the body (from byte {self._started}) is not valid:"
                f" {error}.",
                code="value",
            ) from error


class Diverter(Diversion[S]):
    """Feeds on the bytes of one JSON body, in chunks of any size."""

    def _outside(self, buffer: bytes, at: int) -> int:
        """Outside of strings, or at the start of one."""
        end = _end(_SKIP, buffer, at)
        rest = buffer[end : end + len(_KEY)]
        if rest == _KEY:
            end += len(_KEY)
            self._state = self._after_key
        elif rest and not _KEY.startswith(rest):
            end += 1
            self._state = self._in_string
        self._output += buffer[at:end]
        return end

    def _after_key(self, buffer: bytes, at: int) -> int:
        """After the string "data": a key when a colon follows."""
        return self._pass_space(buffer, at, b":", self._after_colon)

    def _after_colon(self, buffer: bytes, at: int) -> int:
        return self._pass_space(buffer, at, b'"', self._before_limit)

    def _pass_space(self, buffer: bytes, at: int, wanted: bytes, following: State) -> int:
        end = _end(_SPACE, buffer, at)
        if buffer[end : end + 1] == wanted:
            end += 1
            self._state, self._after_value = following, self._in_string
            self._started = self._consumed + end - at
        elif end < len(buffer):
            self._state = self._outside
        self._output += buffer[at:end]
        return end

    def _in_string(self, buffer: bytes, at: int) -> int:
        """Inside a string that passes; stops before a backslash whose partner has not come."""
        end = _string_end(buffer, at)
        if buffer[end : end + 1] == b'"':
            end += 1
            self._state = self._outside
        self._output += buffer[at:end]
        return end

    def _value_end(self, buffer: bytes, at: int) -> int:
        return _string_end(buffer, at)

    def _unescape(self, text: bytes) -> bytes:
        return _unescaped(text) if b"\\" in text else text


def _end(pattern: re.Pattern[bytes], buffer: bytes, at: int) -> int:
    """Return up to where a pattern that matches the empty string too goes from here."""
    found = pattern.match(buffer, at)
    return found.end() if found else at


def _string_end(buffer: bytes, at: int) -> int:
    """Return where the string that `at` is inside of ends, or as far as it can be told to go on."""
    quote = buffer.find(b'"', at)
    end = len(buffer) if quote < 0 else quote
    if buffer.find(b"\\", at, end) < 0:  # the usual case, and much faster than the expression
        return end
    return _end(_IN_STRING, buffer, at)


def _unescaped(text: bytes) -> bytes:
    """Resolve JSON escapes; what cannot be base64 stays recognisable as wrong."""

    def one(found: re.Match[bytes]) -> bytes:
        if found.group(1):
            code = int(found.group(1), 16)
            return bytes((code,)) if code < 128 else b"?"
        return _ESCAPED.get(found.group(2), b"?")

    return _ESCAPE.sub(one, text)
