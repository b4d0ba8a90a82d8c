"""Contents by sha-256: up to 4 MB in `blob_bytes`, above as a GridFS bucket `contents`, streamed both ways.

Bytes are written before the commit that names them; they count once `blobs` has an entry. An entry that no version
names is swept when nobody has touched it for a day, and so are bytes without entry. The bucket follows the GridFS
specification, so that its tools can read it:
https://github.com/mongodb/specifications/blob/master/source/gridfs/gridfs-spec.md
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from bson import Binary, ObjectId
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from fhir_dmp.errors import NotFound, Unavailable
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.store.mongo.database import Database, make_indexes
from fhir_dmp.store.mongo.faults import answering
from fhir_dmp.store.mongo.views import Doc

#: Contents up to this size are one document.
INLINE_LIMIT = 4 * 1024 * 1024
#: Size of a GridFS chunk (its usual default), and the largest piece that `read` yields.
CHUNK = 255 * 1024
PIECE = 256 * 1024
#: A content that nothing refers to is kept this long: far longer than a request.
SWEEP_AFTER_MS = 24 * 60 * 60 * 1000
#: A content that was staged less long ago may be named by a commit under way.
DROP_AFTER_MS = 60 * 60 * 1000


class MongoBlobs:
    """The contents of one database. Thread safe."""

    def __init__(self, database: Database, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._headers = database["blobs"]
        self._bytes = database["blob_bytes"]
        self._chunks = database["contents.chunks"]
        self._files = database["contents.files"]
        self._history = database["history"]
        self._now_ms = now_ms

    def prepare(self) -> None:
        """Make the indexes of the bucket."""
        make_indexes(self._chunks, {"files_id_1_n_1": (("files_id", ASCENDING), ("n", ASCENDING))})
        make_indexes(self._files, {"filename_1_uploadDate_1": (("filename", ASCENDING), ("uploadDate", ASCENDING))})

    # In

    def stage(self, chunks: Iterator[bytes]) -> Blob:
        """Take a content in; one that grows above the limit goes to the bucket while it arrives."""
        sha256, sha1, size = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), 0
        held = bytearray()
        upload: _Upload | None = None
        with answering():
            for chunk in chunks:
                sha256.update(chunk)
                sha1.update(chunk)
                size += len(chunk)
                held += chunk
                if upload is None and size > INLINE_LIMIT:
                    upload = _Upload(self._chunks, self._files)
                if upload is not None:
                    upload.take(held)
            blob = Blob(sha256.hexdigest(), sha1.digest(), size, None if upload is not None else bytes(held))
            if upload is not None:
                upload.finish(held, blob.sha256, datetime.fromtimestamp(self._now_ms() / 1000, UTC))
                self._file(blob, upload)
        return blob

    def _file(self, blob: Blob, upload: _Upload) -> None:
        """Enter the upload as the content, unless the same content is there already."""
        if self._touch(self._headers, blob.sha256) or not self._enter(blob, {"f": upload.id}):
            upload.drop()

    def put(self, blobs: Iterable[Blob]) -> None:
        """Write the staged bytes of a commit that is about to be decided; they do not count yet."""
        for blob in blobs:
            if blob.data is not None and not self._touch(self._bytes, blob.sha256):
                doc = {"_id": blob.sha256, "b": Binary(blob.data), "at": self._now_ms()}
                with suppress(DuplicateKeyError):
                    self._bytes.insert_one(doc)

    def keep(self, blobs: Iterable[Blob]) -> None:
        """Make the contents of a commit count.

        Raises:
            Unavailable: a content staged long ago has been swept.
        """
        for blob in {blob.sha256: blob for blob in blobs}.values():
            if self._touch(self._headers, blob.sha256):
                continue
            if blob.data is None:
                raise Unavailable("A content that was sent before is not kept any more; send it again.")
            self._enter(blob, {})

    def _touch(self, rows: Any, sha256: str) -> bool:
        """Put the sweep off; return whether the row is there."""
        touched = rows.update_one({"_id": sha256}, {"$set": {"at": self._now_ms()}})
        return bool(touched.matched_count)

    def _enter(self, blob: Blob, place: Doc) -> bool:
        """Insert the entry of a content; return whether it was missing."""
        try:
            self._headers.insert_one({"_id": blob.sha256, "n": blob.size, "at": self._now_ms(), **place})
        except DuplicateKeyError:
            return False
        return True

    # Out

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes, or None."""
        with answering():
            header = self._headers.find_one({"_id": sha256}, {"n": 1})
        return None if header is None else int(header["n"])

    def read(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to `end`, at most 256 KiB at a time."""
        with answering():
            header = self._headers.find_one({"_id": sha256})
            held = self._bytes.find_one({"_id": sha256}) if header is not None and "f" not in header else None
        if header is None:
            raise NotFound("The content is not stored.")
        stop = header["n"] if end is None else min(end, header["n"])
        if held is None:
            return self._from_bucket(header["f"], start, stop)
        data = bytes(held["b"])
        return (data[at : min(at + PIECE, stop)] for at in range(start, stop, PIECE))

    def _from_bucket(self, id_: Any, start: int, stop: int) -> Iterator[bytes]:
        if start >= stop:
            return
        wanted = {"files_id": id_, "n": {"$gte": start // CHUNK, "$lte": (stop - 1) // CHUNK}}
        with answering():
            for doc in self._chunks.find(wanted, sort=[("n", ASCENDING)], batch_size=4):
                offset = doc["n"] * CHUNK
                yield doc["data"][max(0, start - offset) : stop - offset]

    # Sweep

    def sweep(self) -> int:
        """Remove contents that no version names and nobody has touched for a day; return how many."""
        before, swept = self._now_ms() - SWEEP_AFTER_MS, 0
        with answering():
            for header in list(self._headers.find({"at": {"$lt": before}}, {"at": 1, "f": 1})):
                swept += self._sweep_one(header, before)
            self._sweep_bytes(before)
            self._sweep_uploads(before)
        return swept

    def drop_unnamed(self, names: Iterable[str]) -> None:
        """Destroy contents that no version names; one that was staged again of late is left to the sweep."""
        before = self._now_ms() - DROP_AFTER_MS
        wanted = {"_id": {"$in": sorted(names)}, "at": {"$lt": before}}
        for header in list(self._headers.find(wanted, {"at": 1, "f": 1})):
            self._sweep_one(header, before)

    def _sweep_one(self, header: Doc, before: int) -> bool:
        if self._history.find_one({"blob": header["_id"]}, {"_id": 1}) is not None:
            return False
        # a commit that needs it again touches it first, and then this condition fails
        gone = self._headers.delete_one({"_id": header["_id"], "at": header["at"]}).deleted_count
        if gone and "f" in header:
            self._drop(header["f"])
        elif gone:
            self._bytes.delete_one({"_id": header["_id"], "at": {"$lt": before}})
        return bool(gone)

    def _sweep_bytes(self, before: int) -> None:
        """Remove bytes whose commit was refused or broken off, so that they have no entry."""
        for doc in list(self._bytes.find({"at": {"$lt": before}}, {"at": 1})):
            if self._headers.find_one({"_id": doc["_id"]}, {"_id": 1}) is None:
                self._bytes.delete_one({"_id": doc["_id"], "at": {"$lt": before}})

    def _sweep_uploads(self, before: int) -> None:
        """Remove uploads that were broken off, so that no header names them."""
        oldest = ObjectId.from_datetime(datetime.fromtimestamp(before / 1000, UTC))
        for chunk in list(self._chunks.find({"files_id": {"$lt": oldest}, "n": 0}, {"files_id": 1})):
            if self._headers.find_one({"f": chunk["files_id"]}, {"_id": 1}) is None:
                self._drop(chunk["files_id"])

    def _drop(self, id_: Any) -> None:
        self._files.delete_one({"_id": id_})
        self._chunks.delete_many({"files_id": id_})


class _Upload:
    """One file on its way into the bucket."""

    def __init__(self, chunks: Any, files: Any) -> None:
        self.id = ObjectId()
        self._chunks = chunks
        self._files = files
        self._count = 0
        self._size = 0

    def take(self, held: bytearray) -> None:
        """Write the whole chunks that have arrived and remove them from what is held."""
        while len(held) >= CHUNK:
            self._write(bytes(held[:CHUNK]))
            del held[:CHUNK]

    def finish(self, held: bytearray, sha256: str, moment: datetime) -> None:
        """Write the rest, and the file's entry."""
        if held:
            self._write(bytes(held))
        entry = {"_id": self.id, "length": self._size, "chunkSize": CHUNK, "uploadDate": moment, "filename": sha256}
        self._files.insert_one(entry)

    def _write(self, data: bytes) -> None:
        self._chunks.insert_one({"_id": ObjectId(), "files_id": self.id, "n": self._count, "data": Binary(data)})
        self._count += 1
        self._size += len(data)

    def drop(self) -> None:
        """Remove the file again."""
        self._files.delete_one({"_id": self.id})
        self._chunks.delete_many({"files_id": self.id})
