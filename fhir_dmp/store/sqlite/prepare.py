"""A commit made ready to be written: hashed, packed and compressed on the caller's thread, before it queues. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from fhir_dmp.audit import codec as audit_codec
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.ports import Commit, Notice, Write
from fhir_dmp.search.query import SortValue
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.sqlite.codec import Codec, IndexRows, indexed_type, pack, pack_terms, sort_date

#: Contents are cut into pieces of this size, so that a range needs only some of them.
CHUNK = 256 * 1024

AuditRow = tuple[str, int, int | None, bytes]


@dataclass(frozen=True, slots=True)
class ReadyWrite:
    """A write with the values of its columns."""

    write: Write
    body: bytes
    terms: bytes
    order: bytes | None
    date: SortValue
    rows: IndexRows

    @property
    def terms_row(self) -> tuple[bytes, bytes | None, bytes | None]:
        """The columns of `trm`, without its pk."""
        return self.terms, self.order, self.write.terms.sealed or None


@dataclass(frozen=True, slots=True)
class ReadyCommit:
    """A commit with the values of its rows. only_trail: it holds audit records and nothing else."""

    commit: Commit
    writes: tuple[ReadyWrite, ...]
    audit: tuple[AuditRow, ...]
    blobs: tuple[tuple[bytes, int, int, bytes, int], ...]
    notices: tuple[tuple[str, str, str, int, bytes, int], ...]
    only_trail: bool = False


def ready(commit: Commit, codec: Codec) -> ReadyCommit:
    """Return the commit with everything that can be computed before the lock is taken."""
    audit = tuple([_audit_row(record, codec) for record in commit.audit])
    if not (commit.writes or commit.claims or commit.requires or commit.blobs or commit.notices):
        return ReadyCommit(commit, (), audit, (), (), only_trail=True)
    return ReadyCommit(
        commit,
        tuple(ready_write(write, codec) for write in commit.writes),
        audit,
        tuple(row for blob in commit.blobs for row in _chunks(blob)),
        tuple(_notice_row(notice) for notice in commit.notices),
    )


def ready_write(write: Write, codec: Codec) -> ReadyWrite:
    """Return the columns of one write."""
    return ReadyWrite(
        write,
        pack(write.body),
        pack_terms(write.terms),
        order_of(write.terms),
        sort_date(write.terms),
        codec.rows(indexed_type(write.type, write.deleted), write.terms, write.updated_ms),
    )


def order_of(terms: Terms) -> bytes | None:
    """Return the sort values as JSON."""
    return orjson.dumps(terms.sort) if terms.sort else None


def patient_key(patient: str, codec: Codec) -> int:
    """Return the hash under which the trail of a patient is indexed."""
    return codec.key("AuditEvent", patient)


def _audit_row(record: AuditRecord, codec: Codec) -> AuditRow:
    patient = None if record.patient is None else patient_key(record.patient, codec)
    return record.id, record.recorded_ms, patient, audit_codec.encode(record)


def _chunks(blob: Blob) -> list[tuple[bytes, int, int, bytes, int]]:
    if blob.data is None:
        return []
    sha = bytes.fromhex(blob.sha256)
    rows = []
    for number, at in enumerate(range(0, max(len(blob.data), 1), CHUNK)):
        raw = blob.data[at : at + CHUNK]
        packed = pack(raw)
        smaller = len(packed) < 0.9 * len(raw)
        rows.append((sha, number, blob.size, packed if smaller else raw, int(smaller)))
    return rows


def _notice_row(notice: Notice) -> tuple[str, str, str, int, bytes, int]:
    return notice.id, notice.event, notice.patient, notice.created_ms, orjson.dumps(notice.variables), notice.due_ms
