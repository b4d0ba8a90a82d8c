"""Takes the contents out of a big FHIR XML body while it arrives: `<data value="..."/>`, in any prefix.

The same as ingest.py does for JSON. Comments, CDATA and processing instructions are stepped over; everything but the
diverted values passes byte for byte, so the XML parser judges it as it was sent.
"""

from __future__ import annotations

import re
from typing import TypeVar

from fhir_dmp.fhir.ingest import Diversion, Sink, State

S = TypeVar("S", bound=Sink)

_DATA = re.compile(rb"<(?:[A-Za-z_][\w.\-]*:)?data(?=[\s/>])")
_VALUE = re.compile(rb"""(?:^|\s)value\s*=\s*["']\Z""")
_TAG = re.compile(rb"[^>\"']*")
_SPACE_REFERENCE = re.compile(rb"&#(?:x0*(?:9|[aA]|[dD]|20)|0*(?:9|10|13|32));")
_LONGEST_NAME = 64
# What begins with these ends with those, and is none of our business.
_OPAQUE = ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>"))


class XmlDiverter(Diversion[S]):
    """Feeds on the bytes of one XML body, in chunks of any size."""

    _closing = b""
    _back: State

    def _outside(self, buffer: bytes, at: int) -> int:
        """Between tags, or at the start of one."""
        end = buffer.find(b"<", at)
        if end < 0:
            end = len(buffer)
        elif len(buffer) - end >= _LONGEST_NAME or buffer.find(b">", end) >= 0:
            end = self._begin(buffer, end)
        self._output += buffer[at:end]
        return end

    def _begin(self, buffer: bytes, at: int) -> int:
        """Choose the state for what begins with this `<`, and step behind its first characters."""
        for opening, closing in _OPAQUE:
            if buffer.startswith(opening, at):
                self._closing = closing
                self._state = self._opaque
                return at + len(opening)
        found = _DATA.match(buffer, at)
        self._state = self._in_data if found else self._in_tag
        return found.end() if found else at + 1

    def _opaque(self, buffer: bytes, at: int) -> int:
        """Inside a comment, CDATA or processing instruction."""
        found = buffer.find(self._closing, at)
        if found >= 0:
            end = found + len(self._closing)
            self._state = self._outside
        else:
            end = max(at, len(buffer) - len(self._closing) + 1)
        self._output += buffer[at:end]
        return end

    def _in_tag(self, buffer: bytes, at: int) -> int:
        """Inside a tag that is none of ours, outside of its attribute values."""
        end = at + _length(buffer, at)
        following = buffer[end : end + 1]
        if following:
            end += 1
            self._quote = following
            self._state = self._outside if following == b">" else self._in_attribute
            self._back = self._in_tag
        self._output += buffer[at:end]
        return end

    def _in_data(self, buffer: bytes, at: int) -> int:
        """Inside a tag `data`: like another, but its `value` is looked at."""
        end = at + _length(buffer, at)
        following = buffer[end : end + 1]
        if not following:
            return at if end - at < 4096 else self._in_tag(buffer, at)
        is_value = following != b">" and _VALUE.search(buffer[at : end + 1]) is not None
        self._output += buffer[at : end + 1]
        self._quote = following
        self._back, self._after_value = self._in_data, self._in_attribute
        self._started = self._consumed + end + 1 - at
        if following == b">":
            self._state = self._outside
        else:
            self._state = self._before_limit if is_value else self._in_attribute
        return end + 1

    def _in_attribute(self, buffer: bytes, at: int) -> int:
        """Inside an attribute value that passes."""
        end = self._value_end(buffer, at)
        if buffer[end : end + 1] == self._quote:
            end += 1
            self._state = self._back
        self._output += buffer[at:end]
        return end

    def _value_end(self, buffer: bytes, at: int) -> int:
        found = buffer.find(self._quote, at)
        if found >= 0:
            return found
        reference = buffer.rfind(b"&", max(at, len(buffer) - 12))  # a reference may go on in the next chunk
        return len(buffer) if reference < 0 or b";" in buffer[reference:] else reference

    def _unescape(self, text: bytes) -> bytes:
        return _SPACE_REFERENCE.sub(b" ", text) if b"&" in text else text


def _length(buffer: bytes, at: int) -> int:
    """Return how far a tag goes from here without a quote and without its end."""
    found = _TAG.match(buffer, at)
    return found.end() - at if found else 0
