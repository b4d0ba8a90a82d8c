"""Base64 as a stream, in and out: flat memory whatever the size of the content.

base64Binary tolerates white space between characters (https://hl7.org/fhir/R4/datatypes.html#base64Binary).
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Iterator

_SPACE = b" \t\r\n"
#: A multiple of 3, so that the encoded pieces join without padding in between.
_PIECE = 3 * 65_536


class NotBase64(ValueError):
    """The text is not base64."""


class Decoder:
    """Decodes base64 that arrives in pieces, and hands the bytes on as they become whole."""

    __slots__ = ("_padded", "_rest", "_write")

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._rest = b""
        self._padded = False

    def feed(self, text: bytes) -> None:
        """Take a piece of any length.

        Raises:
            NotBase64: a character that base64 has not, or something after the padding.
        """
        text = self._rest + text.translate(None, _SPACE)
        if not self._padded:
            end = text.find(b"=")
            self._padded = end >= 0
            whole = (end if self._padded else len(text)) // 4 * 4
            if whole:
                self._decode(text[:whole])
            text = text[whole:]
        if len(text) > 4:
            raise NotBase64("something follows the padding")
        self._rest = text

    def finish(self) -> None:
        """Take the end of the text.

        Raises:
            NotBase64: the text does not end on a group of four characters, or its padding is wrong.
        """
        if len(self._rest) not in (0, 4):
            raise NotBase64("the length is no multiple of four")
        if self._rest:
            self._decode(self._rest)

    def _decode(self, text: bytes) -> None:
        try:
            self._write(binascii.a2b_base64(text, strict_mode=True))
        except binascii.Error as error:
            raise NotBase64("a character is not of base64") from error


def encoded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the base64 of a content that comes in chunks of any size.

    >>> b"".join(encoded([b"Bon", b"j", b"our"]))
    b'Qm9uam91cg=='
    """
    rest = b""
    for chunk in chunks:
        for start in range(0, len(chunk), _PIECE):
            piece = rest + chunk[start : start + _PIECE]
            whole = len(piece) // 3 * 3
            rest = piece[whole:]
            if whole:
                yield binascii.b2a_base64(piece[:whole], newline=False)
    if rest:
        yield binascii.b2a_base64(rest, newline=False)


def binary_json(head: bytes, chunks: Iterable[bytes], tail: bytes) -> Iterator[bytes]:
    """Yield a Binary as FHIR JSON around its content: `head` ends with `"data":"`, `tail` begins with `"`."""
    yield head
    yield from encoded(chunks)
    yield tail


def encoded_length(size: int) -> int:
    """Return how many characters the base64 of so many bytes has, for Content-Length."""
    return (size + 2) // 3 * 4
