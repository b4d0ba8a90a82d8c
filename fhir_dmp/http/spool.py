"""A content on its way from the client to the store: in memory, and from a size on in a file that nobody can read.

What reaches the disk is encrypted (AES-256-CTR) under a key that lives as long as the request, whether the store is
encrypted or not: temporary files outlive a crash, on disks that nobody thinks of. [security 8.4]
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from types import TracebackType

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

IN_MEMORY = 256 * 1024
_CHUNK = 256 * 1024


class Spool:
    """Bytes that are written once, then read once."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        """Open it. in_memory: from this size on, in bytes, it is a file."""
        self._file = SpooledTemporaryFile(in_memory)  # noqa: SIM115  # __exit__ closes it
        self._cipher = Cipher(AES256(os.urandom(32)), CTR(os.urandom(16)))
        self._encryptor = self._cipher.encryptor()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        """Add bytes; return how many."""
        self._file.write(self._encryptor.update(data))
        return len(data)

    def chunks(self) -> Iterator[bytes]:
        """Yield everything from the beginning."""
        decryptor = self._cipher.decryptor()
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            yield decryptor.update(chunk)
