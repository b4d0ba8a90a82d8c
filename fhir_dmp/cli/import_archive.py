"""Reading the archive of an exported record (docs/operator.md): resources with their contents, then the accesses."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fhir_dmp.cli.import_files import parsed
from fhir_dmp.errors import BadRequest, DmpError
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.resource import Json, parse
from fhir_dmp.interactions.exporting import CONTENTS, DIRECTORY, EVENTS, FORMAT, FORMAT_VERSION, MANIFEST
from fhir_dmp.interactions.import_events import every
from fhir_dmp.interactions.import_outcome import Importer, Outcome
from fhir_dmp.interactions.importing import Item, resources
from fhir_dmp.ports import BlobStore

#: A line or a resource longer than this is refused: archives may come from elsewhere and inflate without bound.
MAX_BYTES = 64 * 1024 * 1024
_CHUNK = 256 * 1024
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def record(importer: Importer, path: Path) -> Iterator[Outcome]:
    """Import an exported record: nothing of it when its patient cannot be stored.

    Raises:
        BadRequest: no archive, no export, or one of a newer release.
    """
    with opened(path) as archive:
        patient = _manifest(archive, path)["patient"]
        refused = False
        for outcome in resources(importer, _lines(archive, path, "Patient.ndjson")):
            refused |= outcome.status == "refused"
            yield outcome
        if refused:
            yield Outcome(str(path), "refused", reason="The patient was refused, so nothing else of it was read.")
            return
        yield from resources(importer, _items(archive, path, importer.services.store.blobs))
        events = ((item.name, item.error or item.resource) for item in _lines(archive, path, EVENTS))
        yield from every(importer, patient, events)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; whatever is damaged in it is a refusal."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _DAMAGES as error:
        raise BadRequest(f"The archive cannot be read: {type(error).__name__}.", code="structure") from error


def _manifest(archive: zipfile.ZipFile, path: Path) -> Json:
    if MANIFEST not in archive.namelist():
        raise BadRequest(_stranger(), code="not-supported")
    found = parse(_bytes(archive, MANIFEST))
    if found.get("format") != FORMAT or not isinstance(found.get("patient"), str):
        raise BadRequest(_stranger(), code="not-supported")
    if found.get("version") != FORMAT_VERSION:
        text = f"The archive has form {found.get('version')}; this release reads {FORMAT_VERSION}. Use a newer release."
        raise BadRequest(text, code="not-supported")
    return found


def _stranger() -> str:
    text = "The archive is no export of fhir-dmp (it has no manifest.json of one)"
    return f"{text}: unpack it and import its files."


def _items(archive: zipfile.ZipFile, path: Path, blobs: BlobStore) -> Iterator[Item]:
    """Yield what belongs to the patient, the directory first, contents before the documents that point to them."""
    names = archive.namelist()
    yield from _of_kind(archive, path, [name for name in names if name.startswith(DIRECTORY)])
    for name in names:
        if name.startswith(("Binary/", "Bundle/")) and name.endswith(".json"):
            yield _content(archive, path, name, blobs)
    others = [name for name in names if "/" not in name and name not in (MANIFEST, EVENTS, "Patient.ndjson")]
    yield from _of_kind(archive, path, others)


def _of_kind(archive: zipfile.ZipFile, path: Path, names: list[str]) -> Iterator[Item]:
    for name in names:
        if name.endswith(".ndjson"):
            yield from _lines(archive, path, name)


def _content(archive: zipfile.ZipFile, path: Path, name: str, blobs: BlobStore) -> Item:
    """Return a Binary with its bytes staged, or the Bundle of a FHIR document."""
    where = f"{path}/{name}"
    try:
        resource = parse(_bytes(archive, name))
    except BadRequest as error:
        return Item(where, error=error)
    bytes_name = f"{CONTENTS}{resource.get('id')}"
    if resource.get("resourceType") != "Binary" or bytes_name not in archive.namelist():
        return Item(where, resource, keep=True)
    staged = _staged(archive, bytes_name, blobs)
    return Item(where, {**resource, "data": staged.sha256}, staged={staged.sha256: staged}, keep=True)


def _staged(archive: zipfile.ZipFile, name: str, blobs: BlobStore) -> Blob:
    with archive.open(name) as file:
        return blobs.stage(iter(lambda: file.read(_CHUNK), b""))


def _lines(archive: zipfile.ZipFile, path: Path, name: str) -> Iterator[Item]:
    with archive.open(name) as file:
        number = 0
        while line := file.readline(MAX_BYTES + 1):
            number += 1
            where = f"{path}/{name}:{number}"
            if len(line) > MAX_BYTES:
                raise BadRequest(f"Line {number} of {name} is longer than {MAX_BYTES} bytes.", code="too-long")
            if line.strip():
                yield _item(where, parsed(line))


def _item(where: str, found: Json | DmpError) -> Item:
    return Item(where, error=found) if isinstance(found, DmpError) else Item(where, found, keep=True)


def _bytes(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        body: Any = file.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise BadRequest(f"{name} is longer than {MAX_BYTES} bytes.", code="too-long")
    return bytes(body)
