"""Contents: small ones in chunks inside the database, in the transaction of their commit; big ones as files beside it.

A big content is written to a temporary name, flushed to the disk and renamed while it is staged, so that a commit can
rely on it. What no version refers to is swept later (sweep).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from fhir_dmp.errors import NotFound
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.ports import Version
from fhir_dmp.store.sqlite.apply import Applier
from fhir_dmp.store.sqlite.codec import unpack
from fhir_dmp.store.sqlite.connections import Readers, unavailable
from fhir_dmp.store.sqlite.prepare import CHUNK

INLINE_LIMIT = 4 * 1024 * 1024


class SqliteBlobs:
    """Contents by sha-256."""

    def __init__(self, readers: Readers, folder: Path, inline_limit: int) -> None:
        self._readers = readers
        self._folder = folder
        self._inline_limit = inline_limit

    def stage(self, chunks: Iterator[bytes]) -> Blob:
        """Take a content in; in memory up to the inline limit, on disk above it.

        Raises:
            StoreUnavailable: the disk is full or cannot be written.
        """
        sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
        parts: list[bytes] = []
        size = 0
        file: IO[bytes] | None = None
        try:
            for chunk in chunks:
                sha256.update(chunk)
                sha1.update(chunk)
                size += len(chunk)
                parts.append(chunk)
                if size > self._inline_limit:
                    file = file or self._temporary()
                    file.writelines(parts)
                    parts = []
            if file is not None:
                self._keep(file, sha256.hexdigest())
        except OSError as error:
            raise unavailable(error) from error
        finally:
            if file is not None:
                file.close()
                Path(file.name).unlink(missing_ok=True)
        return Blob(sha256.hexdigest(), sha1.digest(), size, b"".join(parts) if file is None else None)

    def _temporary(self) -> IO[bytes]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return tempfile.NamedTemporaryFile(dir=self._folder, prefix=".staged-", delete=False)

    def _keep(self, file: IO[bytes], sha256: str) -> None:
        file.flush()
        os.fsync(file.fileno())
        path = self.path(sha256)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # Renaming over an equal file also makes it young again, which protects it from the sweep.
        Path(file.name).rename(path)
        for folder in (path.parent, self._folder):
            _sync_folder(folder)

    def path(self, sha256: str) -> Path:
        """Return where a big content lies."""
        return self._folder / sha256[:2] / sha256

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes, None when the content is not stored."""
        with self._readers.borrow() as con:
            row = con.execute("SELECT size FROM blob WHERE sha = ? AND n = 0", (bytes.fromhex(sha256),)).fetchone()
        if row is not None:
            return int(row[0])
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to `end` in chunks."""
        size = self.size(sha256)
        if size is None:
            raise NotFound("The content is not stored.")
        stop = size if end is None else min(end, size)
        if self.has_file(sha256):
            return self._from_file(self.path(sha256), start, stop)
        return self._from_rows(bytes.fromhex(sha256), start, stop)

    def _from_rows(self, sha: bytes, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            number, skip = divmod(start, CHUNK)
            with self._readers.borrow() as con:
                row = con.execute("SELECT chunk, z FROM blob WHERE sha = ? AND n = ?", (sha, number)).fetchone()
            if row is None:
                raise NotFound("The content is not stored any more.")
            data = unpack(row[0]) if row[1] else row[0]
            piece = data[skip : skip + stop - start]
            yield piece
            start += len(piece)

    def _from_file(self, path: Path, start: int, stop: int) -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(start)
            while start < stop:
                piece = file.read(min(CHUNK, stop - start))
                if not piece:
                    return
                yield piece
                start += len(piece)

    def has_file(self, sha256: str) -> bool:
        """Say whether the content is stored as a file."""
        return self.path(sha256).exists()

    def sweep_files(self, older_than_s: float) -> int:
        """Delete the files that are older than this and that no version refers to; return how many."""
        limit = time.time() - older_than_s
        swept = 0
        for path in [*self._folder.glob("??/*"), *self._folder.glob(".staged-*")]:
            # A content that is staged again is a new file, so that an old one cannot become referenced meanwhile.
            if path.stat().st_mtime < limit and not self._is_referenced(path.name):
                path.unlink(missing_ok=True)
                swept += 1
        return swept

    def drop_files(self, names: Iterable[str], older_than_s: float) -> None:
        """Delete the files of contents that nothing names.

        A younger file may be on its way into a commit; it is left to the sweep.
        """
        limit = time.time() - older_than_s
        for path in (self.path(sha256) for sha256 in names):
            if path.exists() and path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)

    def _is_referenced(self, sha256: str) -> bool:
        with self._readers.borrow() as con:
            return is_named(con, sha256)


_REFERENCED = "EXISTS (SELECT 1 FROM res WHERE blob = :blob) OR EXISTS (SELECT 1 FROM hist WHERE blob = :blob)"


def is_named(con: sqlite3.Connection, sha256: str) -> bool:
    """Say whether any version names this content."""
    return bool(con.execute(f"SELECT {_REFERENCED}", {"blob": sha256}).fetchone()[0])


def unreferenced(con: sqlite3.Connection) -> list[bytes]:
    """Return the contents inside the database that no version refers to."""
    rows = con.execute("SELECT sha FROM blob WHERE n = 0").fetchall()
    return [sha for (sha,) in rows if not is_named(con, sha.hex())]


def deletion(sha: bytes, deleted: list[int]) -> Callable[[Applier], tuple[Version, ...]]:
    """Return what deletes one content if nothing refers to it at that moment, and notes it in `deleted`."""

    def run(applier: Applier) -> tuple[Version, ...]:
        con = applier.connection
        if not is_named(con, sha.hex()):
            con.execute("DELETE FROM blob WHERE sha = ?", (sha,))
            deleted.append(1)
        return ()

    return run


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
