"""Contents in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fhir_dmp.errors import NotFound
from fhir_dmp.fhir.draft import Blob

CHUNK = 256 * 1024


class MemoryBlobs:
    """Contents in a dictionary."""

    def __init__(self, inline_limit: int) -> None:
        self._contents: dict[str, bytes] = {}
        self._inline_limit = inline_limit

    def stage(self, chunks: Iterator[bytes]) -> Blob:
        """Take a content in; one above the limit is kept at once, as a durable store would."""
        data = b"".join(chunks)
        blob = Blob(hashlib.sha256(data).hexdigest(), hashlib.sha1(data, usedforsecurity=False).digest(), len(data))
        if len(data) > self._inline_limit:
            self._contents[blob.sha256] = data
            return blob
        return replace(blob, data=data)

    def keep(self, blobs: Iterable[Blob]) -> None:
        """Store the staged contents of a commit."""
        for blob in blobs:
            if blob.data is not None:
                self._contents.setdefault(blob.sha256, blob.data)

    def drop(self, names: Iterable[str | None]) -> None:
        """Destroy contents."""
        for sha256 in names:
            if sha256 is not None:
                self._contents.pop(sha256, None)

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes, or None."""
        data = self._contents.get(sha256)
        return None if data is None else len(data)

    def read(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to `end`, in chunks."""
        data = self._contents.get(sha256)
        if data is None:
            raise NotFound("The content is not stored.")
        stop = len(data) if end is None else min(end, len(data))
        return (data[at : min(at + CHUNK, stop)] for at in range(start, stop, CHUNK))
