"""Contents, sealed while they stream in: each under a key of its own, in chunks that can be read one by one.

The key and the size of a content are kept in the sealed body of the Binary that names it, hence under the key of its
patient; the store below knows the ciphertext alone, by its own sha-256. Chunks are AES-256-GCM with their number as
nonce (no key seals two contents), so that none can be exchanged; the size tells whether one is missing.
A content that fits into memory is compressed first, as a whole; a bigger one is not, so that ranges stay cheap.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_dmp.errors import NotFound, StoreUnavailable
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.ports import BlobStore
from fhir_dmp.store.sealed.envelope import KEY_BYTES, NONCE_BYTES, TAG_BYTES
from fhir_dmp.store.sealed.packing import packed, unpacked

#: With its tag a chunk is as long as those of the stores below.
CHUNK = 256 * 1024 - TAG_BYTES
_SEALED_CHUNK = CHUNK + TAG_BYTES
#: Contents up to this size stay in memory until they are committed.
IN_MEMORY = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """How a content is kept. address: sha-256 of the ciphertext. size: in bytes. whole: packed as one."""

    address: str
    key: bytes
    size: int
    whole: bool

    def dumped(self) -> list[Any]:
        """Return what is kept in the body of the Binary."""
        return [self.address, b64encode(self.key).decode(), self.size, self.whole]


class Handle(str):
    """The sha-256 of a content, with what is needed to read it. Equal to the plain text of the sha-256."""

    __slots__ = ("content",)
    content: Content

    @classmethod
    def of(cls, sha256: str, content: Content) -> Handle:
        """Return the handle of a content."""
        made = cls(sha256)
        made.content = content
        return made

    def dumped(self) -> list[Any]:
        """Return what is kept in the body of the Binary."""
        return [str(self), *self.content.dumped()]

    @classmethod
    def loaded(cls, row: list[Any]) -> Handle:
        """Return the handle that was kept."""
        sha256, address, key, size, whole = row
        return cls.of(sha256, Content(address, b64decode(key), size, whole))


class SealedBlobs:
    """Contents of a store below, sealed. find: the handle of a content of which only the sha-256 is known."""

    def __init__(self, inner: BlobStore, find: Callable[[str], Handle | None], in_memory: int = IN_MEMORY) -> None:
        self._inner = inner
        self._find = find
        self._in_memory = in_memory

    def stage(self, chunks: Iterator[bytes]) -> Blob:
        """Take a content in; what the store below gets is sealed already."""
        taken = _Taken(chunks)
        head: list[bytes] = []
        for chunk in taken:
            head.append(chunk)
            if taken.size > self._in_memory:
                return self._stage_big(b"".join(head), taken)
        data = b"".join(head)
        content, _ = sealed_whole(data, os.urandom(KEY_BYTES))
        return taken.blob(content, data)

    def _stage_big(self, head: bytes, taken: _Taken) -> Blob:
        key = os.urandom(KEY_BYTES)
        below = self._inner.stage(_sealed_chunks(_pieces(head, taken), key))
        content = Content(below.sha256, key, taken.size, whole=False)
        # What the store below does not keep before the commit must be there again at the commit.
        return taken.blob(content, None if below.data is None else b"".join(_opened_chunks((below.data,), key)))

    def below(self, blob: Blob) -> tuple[Handle, Blob]:
        """Return the handle of a staged content, and the content as the store below commits it.

        Raises:
            NotFound: it was not staged here, and holds no data.
        """
        if blob.data is None:
            handle = self.handle(blob.sha256)
            if handle is None:
                raise NotFound("The content is not stored.")
            return handle, Blob(handle.content.address, b"", handle.content.size)
        if isinstance(blob.sha256, Handle):
            handle = blob.sha256
        else:
            handle = Handle.of(blob.sha256, sealed_whole(blob.data, os.urandom(KEY_BYTES))[0])
        content = handle.content
        ciphertext = b"".join(_sealed_chunks(_pieces(packed(blob.data) if content.whole else blob.data), content.key))
        return handle, Blob(content.address, b"", len(ciphertext), ciphertext)

    def handle(self, sha256: str) -> Handle | None:
        """Return the handle of a content, None when it is not stored."""
        return sha256 if isinstance(sha256, Handle) else self._find(sha256)

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes, or None."""
        handle = self.handle(sha256)
        if handle is None or self._inner.size(handle.content.address) is None:
            return None
        return handle.content.size

    def read(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to `end`, in chunks."""
        handle = self.handle(sha256)
        if handle is None:
            raise NotFound("The content is not stored.")
        content = handle.content
        stop = content.size if end is None else min(end, content.size)
        if content.whole:
            yield from self._read_whole(content, start, stop)
        else:
            yield from self._read_range(content, start, stop)

    def _read_whole(self, content: Content, start: int, stop: int) -> Iterator[bytes]:
        data = unpacked(b"".join(_opened_chunks(self._inner.read(content.address), content.key)))
        if len(data) != content.size:
            raise _damaged()
        yield from (data[at : min(at + CHUNK, stop)] for at in range(start, stop, CHUNK))

    def _read_range(self, content: Content, start: int, stop: int) -> Iterator[bytes]:
        aead = AESGCM(content.key)
        first, last = start // CHUNK, max(stop - 1, 0) // CHUNK
        if start >= stop:
            return
        range_ = self._inner.read(content.address, first * _SEALED_CHUNK, (last + 1) * _SEALED_CHUNK)
        number = first
        for piece in _pieces(b"", range_, _SEALED_CHUNK):
            data = _opened(aead, number, piece)
            at = number * CHUNK
            if len(data) != min(CHUNK, content.size - at):
                raise _damaged()
            yield data[max(start - at, 0) : stop - at]
            number += 1
        if number != last + 1:
            raise _damaged()


class _Taken:
    """Chunks on their way in; their digests and size are known when all have passed."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._sha256 = hashlib.sha256()
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self._sha256.update(chunk)
        self._sha1.update(chunk)
        self.size += len(chunk)
        return chunk

    def blob(self, content: Content, data: bytes | None) -> Blob:
        """Return the staged content."""
        return Blob(Handle.of(self._sha256.hexdigest(), content), self._sha1.digest(), self.size, data)


def sealed_whole(data: bytes, key: bytes) -> tuple[Content, bytes]:
    """Return how a content that is in memory is kept, and its ciphertext."""
    ciphertext = b"".join(_sealed_chunks(_pieces(packed(data)), key))
    return Content(hashlib.sha256(ciphertext).hexdigest(), key, len(data), whole=True), ciphertext


def _sealed_chunks(chunks: Iterator[bytes], key: bytes) -> Iterator[bytes]:
    aead = AESGCM(key)
    for number, chunk in enumerate(chunks):
        yield aead.encrypt(_nonce(number), chunk, None)


def _opened_chunks(ciphertext: Iterable[bytes], key: bytes) -> Iterator[bytes]:
    aead = AESGCM(key)
    for number, piece in enumerate(_pieces(b"", ciphertext, _SEALED_CHUNK)):
        yield _opened(aead, number, piece)


def _opened(aead: AESGCM, number: int, piece: bytes) -> bytes:
    try:
        return aead.decrypt(_nonce(number), piece, None)
    except (InvalidTag, ValueError) as error:
        raise _damaged() from error


def _nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_BYTES, "big")


def _pieces(head: bytes, rest: Iterable[bytes] = (), size: int = CHUNK) -> Iterator[bytes]:
    """Yield the bytes in pieces of one size, the last one shorter."""
    waiting = bytearray(head)
    for chunk in rest:
        waiting += chunk
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    while waiting:
        yield bytes(waiting[:size])
        del waiting[:size]


def _damaged() -> StoreUnavailable:
    return StoreUnavailable("A content was changed or cut where it is stored.")
