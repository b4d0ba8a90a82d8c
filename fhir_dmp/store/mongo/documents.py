"""Versions, terms and records as BSON documents, and back. Pure: no database here.

    v u s d m   version, lastUpdated (ms), sequence, deleted, method       b     exact JSON (zstd above 1 KB)
    pat         patient compartment, first key of most indexes             blob  sha-256 of a Binary's content
    t r         tokens; those that refer to local resources                x     `param|text` and `param#word`
    q           [{k, lo, hi}] spans                                        uq    unique business keys
    dt          sort value of `date`, descending                           o     {param: {a, d, z}} other sort values
    pb          bucket of the patient, half of the shard key               se    sealed terms of an encrypted store

`z` is 1 where a value is present: sorting on it first puts rows without a value last in ascending order too.
"""

from __future__ import annotations

import threading

import zstandard
from bson import Binary

from fhir_dmp.audit.codec import encode
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.fhir.bucket import bucket
from fhir_dmp.ports import Notice, Version, Write
from fhir_dmp.search.query import SortValue
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.mongo.views import Doc

#: Bodies above this size are compressed; below, the frame costs more than it saves.
COMPRESS_ABOVE = 1024
#: Parameters whose reference names the patient of a resource.
ANCHORS = ("patient", "subject")
#: `pat` of a resource that several patients share: found beside every patient, then judged by its references.
SHARED = "*"
#: `pb` of such a resource.
SHARED_BUCKET = -1
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_INT64 = 2**63
#: The largest number; stands for infinity, which not every server takes.
LARGEST = 1.7976931348623157e308


class _Codecs(threading.local):
    """zstd contexts are not thread safe and not free: one pair for each thread."""

    def __init__(self) -> None:
        self.pack = zstandard.ZstdCompressor(level=3)
        self.unpack = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def packed(body: bytes) -> Binary:
    """Return the stored form of a body. JSON never starts like a zstd frame, so no flag is needed."""
    return Binary(_codecs.pack.compress(body) if len(body) > COMPRESS_ABOVE else body)


def unpacked(stored: bytes) -> bytes:
    """Return the body as it was accepted."""
    return _codecs.unpack.decompress(stored) if stored.startswith(_ZSTD_MAGIC) else bytes(stored)


def number(value: float) -> float:
    """Return a number that BSON can hold and every server compares (no infinity, no integer above 64 bits)."""
    if isinstance(value, int):
        return value if -_INT64 <= value < _INT64 else float(value)
    return max(-LARGEST, min(LARGEST, value))


def is_reference(token: str) -> bool:
    """Say whether a token is a local reference, which has an index of its own."""
    return token.partition("=")[2].startswith("r:")


def anchor(token: str) -> str | None:
    """Return the `Patient/id` that a token names as the resource's patient, None for any other token."""
    param, _, value = token.partition("=")
    return value[2:] if param in ANCHORS and value.startswith("r:Patient/") else None


def sort_field(param: str, part: str) -> str:
    """Return the path of a sort value. part: `a` ascending, `d` descending, `z` presence."""
    if param == "date" and part == "d":
        return "dt"
    return f"o.{_escaped(param)}.{part}"


def _escaped(param: str) -> str:
    """Return a name that is safe as a BSON key and inside a path."""
    plain = param.replace("%", "%25").replace(".", "%2e").replace("$", "%24").replace("\0", "%00")
    return plain or "%"


def patient_of(terms: Terms) -> str | None:
    """Return the value of `pat`: the one patient that the resource names, or SHARED when it names several.

    A query for `patient=r:P` looks only at rows whose `pat` is P or SHARED; this keeps that exact.
    """
    named = {patient for token in terms.tokens if (patient := anchor(token)) is not None}
    if len(named) > 1:
        return SHARED
    return named.pop() if named else terms.patient


def patient_bucket(patient: str) -> int:
    """Return the bucket of a `pat` value, or of the id of a resource that belongs to no patient."""
    return SHARED_BUCKET if patient == SHARED else bucket(patient.removeprefix("Patient/"))


def term_fields(id_: str, terms: Terms) -> Doc:
    """Return the fields that are derived from index terms, and nothing else."""
    words = {f"{param}#{word}" for param, text in terms.words for word in text.split()}
    strings = {f"{param}|{text}" for param, text in terms.strings}
    patient = patient_of(terms)
    doc: Doc = {
        "pat": patient,
        "pb": patient_bucket(patient or id_),
        "t": [token for token in terms.tokens if not is_reference(token)],
        "r": [token for token in terms.tokens if is_reference(token)],
        "x": sorted(strings | words),
        "q": [{"k": key, "lo": number(low), "hi": number(high)} for key, low, high in terms.spans],
        "o": {},
        "dt": None,
        "uq": list(terms.uniques),
        "cp": terms.patient,
    }
    if terms.sealed:
        doc["se"] = Binary(terms.sealed)
    for param, (ascending, descending) in terms.sort.items():
        doc["o"][_escaped(param)] = {"a": _sortable(ascending), "z": 1}
        if param == "date":
            doc["dt"] = _sortable(descending)
        else:
            doc["o"][_escaped(param)]["d"] = _sortable(descending)
    return doc


def _sortable(value: SortValue) -> SortValue:
    return value if isinstance(value, str) else number(value)


def _content(write: Write, sequence: int) -> Doc:
    doc: Doc = {
        "v": write.version,
        "u": write.updated_ms,
        "s": sequence,
        "m": write.method,
        "cp": write.terms.patient,
    }
    if write.deleted:
        doc["d"] = True
    if write.body:
        doc["b"] = packed(write.body)
    if write.blob is not None:
        doc["blob"] = write.blob
    return doc


def current_document(write: Write, sequence: int) -> Doc:
    """Return the row of a current version, without its `_id`."""
    return {**term_fields(write.id, write.terms), **_content(write, sequence)}


def history_document(write: Write, sequence: int) -> Doc:
    """Return the row of the append-only history, without its `_id`."""
    place = {"k": f"{write.type}/{write.id}", "type": write.type, "id": write.id}
    return {**place, "pb": patient_bucket(patient_of(write.terms) or write.id), **_content(write, sequence)}


def version_address(type_: str, id_: str, version: int) -> str:
    """Return the address of a row of the history."""
    return f"{type_}/{id_}/{version}"


def version_of(doc: Doc, type_: str, id_: str) -> Version:
    """Return the version that a row (current or history) stands for."""
    return Version(
        type=type_,
        id=id_,
        version=doc["v"],
        updated_ms=doc["u"],
        seq=doc["s"],
        body=unpacked(doc.get("b", b"")),
        method=doc["m"],
        deleted=doc.get("d", False),
        blob=doc.get("blob"),
        patient=doc.get("cp"),
    )


def audit_document(record: AuditRecord) -> Doc:
    """Return the row of an audit record: the bytes that are chained, and what the trail is searched by."""
    return {"pat": record.patient, "u": record.recorded_ms, "b": Binary(encode(record))}


def notice_document(notice: Notice) -> Doc:
    """Return a queued message."""
    return {
        "event": notice.event,
        "patient": notice.patient,
        "created_ms": notice.created_ms,
        "due": notice.due_ms,
        "done": None,
        "variables": [{"k": name, "v": value} for name, value in notice.variables],
    }


def notice_of(doc: Doc, id_: str) -> Notice:
    """Return the message that a document holds."""
    pairs = tuple((pair["k"], pair["v"]) for pair in doc["variables"])
    return Notice(id_, doc["event"], doc["patient"], doc["created_ms"], pairs, doc.get("due", 0))
