"""Compression before encryption: ciphertext does not shrink any more. Pure."""

from __future__ import annotations

import threading

import zstandard

_PLAIN, _ZSTD = b"\x00", b"\x02"
#: Below this size, in bytes, the frame costs more than it saves.
_COMPRESS_ABOVE = 512


class _Codecs(threading.local):
    """zstd contexts are not thread safe and not free: one pair for each thread."""

    def __init__(self) -> None:
        self.pack = zstandard.ZstdCompressor(level=1)
        self.unpack = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def packed(data: bytes) -> bytes:
    """Return the data, compressed where that makes it smaller, behind a byte that says so."""
    if len(data) > _COMPRESS_ABOVE:
        smaller = _codecs.pack.compress(data)
        if len(smaller) < len(data):
            return _ZSTD + smaller
    return _PLAIN + data


def unpacked(data: bytes) -> bytes:
    """Return the data that were packed."""
    return _codecs.unpack.decompress(data[1:]) if data[:1] == _ZSTD else data[1:]
