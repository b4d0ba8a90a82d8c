"""IHE_XDM.ZIP: the documents of an archive with what its metadata say of them. [IHE ITI TF-2 3.32, TF-3 4.2]

An archive comes from a stranger: names of its files never become paths, nothing is inflated beyond a bound, and a file
counts only when size and hash are those that METADATA.XML states.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from fhir_dmp.cda.xml import MAX_BYTES, Element, parse
from fhir_dmp.errors import BadRequest, DmpError, Unprocessable
from fhir_dmp.terminology.visibility import KNOWN_VISIBILITY

ROOT: Final = "IHE_XDM/"
METADATA: Final = "METADATA.XML"
RIM: Final = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
PATIENT_ID: Final = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"
CONFIDENTIALITY: Final = "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f"
#: All files of an archive together, inflated; and how many there may be.
MAX_TOTAL: Final = 10 * MAX_BYTES
MAX_FILES: Final = 2000
_METADATA_BYTES = 5_000_000
_CDA_TYPES = ("text/xml", "application/xml", "application/hl7-v3+xml")
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
_PATIENT = re.compile(r"([^\^]+)\^\^\^[^&]*&([0-9.]+)&ISO.*")
_HASH = re.compile(r"[0-9A-Fa-f]{40}")


@dataclass(frozen=True, slots=True)
class Stated:
    """What METADATA.XML says of one document. patient: (OID, number); visibility: masking codes of the DMP."""

    uri: str
    media_type: str
    hash: str | None
    size: int | None
    patient: tuple[str, str] | None
    visibility: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One file of an archive: name in it, bytes and metadata, or why it is refused. warnings: what deserves a look."""

    name: str
    data: bytes = b""
    stated: Stated | None = None
    error: DmpError | None = None
    warnings: tuple[str, ...] = ()


def is_xdm(archive: zipfile.ZipFile) -> bool:
    """Say whether an archive is an IHE_XDM.ZIP: it has a folder of that name."""
    return any(name.upper().replace("\\", "/").startswith(ROOT) for name in archive.namelist())


def documents(archive: zipfile.ZipFile) -> Iterator[Document]:
    """Yield the documents of every submission set of an archive, one bad one does not stop the others.

    Raises:
        BadRequest: too many files, two files of one name, no submission set.
    """
    reading = _Archive(archive, _members(archive))
    subsets = sorted({"/".join(name.split("/")[:2]) for name in reading.members if name.count("/") > 1})
    if not subsets:
        raise BadRequest("The archive holds no submission set (IHE_XDM/SUBSET01/METADATA.XML).", code="required")
    for subset in subsets:
        yield from _subset(f"{subset}/", reading)


@dataclass(slots=True)
class _Archive:
    """The archive being read, its files by upper-case name, and how much was inflated so far."""

    archive: zipfile.ZipFile
    members: Mapping[str, zipfile.ZipInfo]
    inflated: int = 0
    used: set[str] = field(default_factory=set)

    def read(self, name: str, limit: int) -> bytes:
        """Return a file.

        Raises:
            BadRequest: longer than `limit`, damaged, encrypted, or more than all files together may have.
        """
        self.used.add(name)
        try:
            with self.archive.open(self.members[name]) as file:
                data = file.read(limit + 1)
        except _DAMAGES as error:
            raise BadRequest(f"{name} cannot be read: {type(error).__name__}.", code="structure") from error
        self.inflated += len(data)
        if len(data) > limit or self.inflated > MAX_TOTAL:
            raise BadRequest(f"{name} is too long: a file may have {limit} bytes, all {MAX_TOTAL}.", code="too-long")
        return data


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_FILES:
        raise BadRequest(f"The archive holds {len(infos)} files; {MAX_FILES} are read.", code="too-costly")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.replace("\\", "/").upper()
        if info.is_dir() or not name.startswith(ROOT):
            continue  # INDEX.HTM, README.TXT: for people who open the archive
        if name in found:
            raise BadRequest("The archive holds two files of one name.", code="duplicate")
        found[name] = info
    return found


def _subset(subset: str, reading: _Archive) -> Iterator[Document]:
    name = subset + METADATA
    if name not in reading.members:
        yield Document(
            name, error=BadRequest(f"{subset} has no METADATA.XML, so nothing of it is read.", code="required")
        )
        return
    try:
        entries = [_stated(one) for one in parse(reading.read(name, _METADATA_BYTES)).iter(f"{{{RIM}}}ExtrinsicObject")]
    except DmpError as error:
        yield Document(name, error=error)
        return
    if not entries:
        yield Document(name, error=Unprocessable("METADATA.XML names no document.", code="required"))
    for stated in entries:
        yield _document(subset, stated, reading)
    for other in sorted(set(reading.members) - reading.used):
        if other.startswith(subset):
            yield Document(other, error=Unprocessable("METADATA.XML does not name this file.", code="not-found"))


def _document(subset: str, stated: Stated, reading: _Archive) -> Document:
    name = subset + stated.uri.upper()
    try:
        if name not in reading.members or ".." in stated.uri.split("/"):
            raise Unprocessable("The archive does not hold the file that METADATA.XML names.", code="not-found")
        data = reading.read(name, MAX_BYTES)
        warnings = _proven(data, stated)
        if stated.media_type not in _CDA_TYPES:
            text = f"Only CDA documents are read from an archive; this one is {stated.media_type or 'of no type'}."
            raise Unprocessable(text, code="not-supported")
    except DmpError as error:
        return Document(name, stated=stated, error=error)
    return Document(name, data, stated, warnings=warnings)


def _proven(data: bytes, stated: Stated) -> tuple[str, ...]:
    """Compare a file with its metadata.

    Raises:
        Unprocessable: another size or hash.
    """
    if stated.size is not None and stated.size != len(data):
        text = f"METADATA.XML states {stated.size} bytes, the file has {len(data)}: it was cut or changed on its way."
        raise Unprocessable(text, code="value")
    if stated.hash is None:
        return ("METADATA.XML states no hash of this file: nothing proves that it is whole.",)
    if stated.hash != hashlib.sha1(data, usedforsecurity=False).hexdigest():
        raise Unprocessable("The hash is not that of METADATA.XML: the file was changed on its way.", code="value")
    return ()


def _stated(entry: Element) -> Stated:
    """Read one DocumentEntry.

    Raises:
        BadRequest: a hash or a size that is none.
    """
    slots = {str(slot.get("name")): _values(slot) for slot in entry.iterchildren(f"{{{RIM}}}Slot")}
    uri = "".join(slots.get("URI", ())).removeprefix("./")
    hash_, size = next(iter(slots.get("hash", ())), None), next(iter(slots.get("size", ())), None)
    if (hash_ and not _HASH.fullmatch(hash_)) or (size and not (size.isascii() and size.isdigit() and len(size) < 16)):
        raise BadRequest("A hash is 40 hexadecimal digits, a size a number of bytes.", code="value")
    if not uri:
        raise BadRequest("A document of METADATA.XML has no URI.", code="required")
    return Stated(
        uri=uri,
        media_type=(entry.get("mimeType") or "").partition(";")[0].strip().lower(),
        hash=hash_.lower() if hash_ else None,
        size=int(size) if size else None,
        patient=_patient(entry),
        visibility=tuple(dict.fromkeys(code for code in _labels(entry) if code in KNOWN_VISIBILITY)),
    )


def _values(slot: Element) -> list[str]:
    return [text for value in slot.iter(f"{{{RIM}}}Value") if (text := (value.text or "").strip())]


def _patient(entry: Element) -> tuple[str, str] | None:
    for identifier in entry.iterchildren(f"{{{RIM}}}ExternalIdentifier"):
        match = _PATIENT.fullmatch(identifier.get("value") or "")
        if identifier.get("identificationScheme") == PATIENT_ID and match:
            return match.group(2), match.group(1)
    return None


def _labels(entry: Element) -> list[str]:
    classified = entry.iterchildren(f"{{{RIM}}}Classification")
    return [
        str(one.get("nodeRepresentation")) for one in classified if one.get("classificationScheme") == CONFIDENTIALITY
    ]
