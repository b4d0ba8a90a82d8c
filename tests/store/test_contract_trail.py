"""The contract of a store, fourth part: the audit trail and contents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.errors import NotFound
from fhir_dmp.ports import AuditPage, AuditQuery, Commit, Key, Notice, ResourceStore
from tests.store.samples import T0, doc, key, put, record

CHUNK = 256 * 1024


def audited(store: ResourceStore, *records: AuditRecord) -> None:
    for one in records:
        store.commit(Commit(audit=(one,)))


def names(page: AuditPage) -> list[str]:
    return [one.id for _, one in page.records]


def test_audit_records_come_back_as_they_were(store: ResourceStore) -> None:
    full = AuditRecord(
        id="r1",
        kind="search-type",
        recorded_ms=T0,
        outcome="4",
        reason="non-autorise",
        patient="Patient/p1",
        what=("DocumentReference/a/_history/1",),
        query="GET /fhir/DocumentReference?type=é",
        actor="urn:x",
        subject="sub",
        issuer="iss",
        client="soft",
        name="Dr Élodie Durand",
        professional="8101",
        structure="1750",
        roles=(("10", "g15"), ("SM26", "r38")),
        mode="emergency",
        motive="coma",
        jti="j",
        address="10.0.0.1",
        request_id="q",
        details=(("before", "N"), ("after", "R")),
        given=b'{"resourceType":"AuditEvent"}',
    )
    audited(store, full, record("r2", patient=None))
    assert [one for _, one in store.audit(AuditQuery()).records] == [record("r2", patient=None), full]
    found = store.audit_record("r1")
    assert found is not None
    assert found[1] == full
    assert found in store.audit(AuditQuery()).records
    assert store.audit_record("zz") is None


def test_audit_is_kept_with_the_writes_of_its_commit(store: ResourceStore) -> None:
    notice = Notice("n", "dmp-opened", "Patient/p1", T0, (("x", "y"),))
    store.commit(Commit(writes=(doc("a"),), audit=(record("r1"), record("r2")), notices=(notice,)))
    assert names(store.audit(AuditQuery())) == ["r2", "r1"]
    assert store.read(key("a")) is not None


def test_an_audit_only_commit_takes_no_sequence(store: ResourceStore) -> None:
    put(store, doc("a"))
    before = store.sequence()
    assert store.commit(Commit(audit=(record("r1"),))) == ()
    assert store.sequence() == before


@pytest.mark.parametrize("patient", [None, "Patient/p1"])
def test_audit_is_cut_by_time_and_patient_and_paged_by_position(store: ResourceStore, patient: str | None) -> None:
    audited(store, *(record(f"r{n:02}", T0 + n, f"Patient/p{n % 2}") for n in range(20)))
    wanted = [f"r{n:02}" for n in range(14, 4, -1) if patient is None or n % 2]
    query = AuditQuery(patient=patient, low_ms=T0 + 5, high_ms=T0 + 15, count=100)
    assert names(store.audit(query)) == wanted
    seen: list[str] = []
    before = None
    while True:
        page = store.audit(AuditQuery(patient, T0 + 5, T0 + 15, before, 3))
        seen += names(page)
        audited(store, record(f"late{len(seen)}", T0 + 6, "Patient/p1"))
        before = page.next
        if before is None:
            break
        assert before == page.records[-1][0]
    assert seen == wanted
    assert names(store.audit(AuditQuery(patient="Patient/p9"))) == []


def test_audit_keeps_what_a_predicate_keeps_and_pages_through_the_rest(store: ResourceStore) -> None:
    audited(store, *(record(f"r{n:02}", outcome="8" if n % 10 == 3 else "0") for n in range(40)))

    def refused(one: AuditRecord) -> bool:
        return one.outcome == "8"

    page = store.audit(AuditQuery(count=2, keep=refused))
    assert names(page) == ["r33", "r23"]
    page = store.audit(AuditQuery(count=2, keep=refused, before=page.next))
    assert names(page) == ["r13", "r03"]
    assert page.next is None
    assert names(store.audit(AuditQuery(count=3, keep=refused, patient="Patient/p1"))) == ["r33", "r23", "r13"]


def pieces(data: bytes, size: int = 100_000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [0, 1, 70_000, 5 * 1024 * 1024 + 3])
def test_contents_come_back_whole_and_in_ranges(store: ResourceStore, size: int) -> None:
    data = Random(7).randbytes(size)
    blob = store.blobs.stage(pieces(data))
    assert (blob.sha256, blob.sha1, blob.size) == (
        hashlib.sha256(data).hexdigest(),
        hashlib.sha1(data).digest(),
        size,
    )
    store.commit(Commit(blobs=(blob,)))
    assert store.blobs.size(blob.sha256) == size
    chunks = list(store.blobs.read(blob.sha256))
    assert b"".join(chunks) == data
    assert all(0 < len(chunk) <= CHUNK for chunk in chunks)
    for start, end in ((0, 1), (0, size), (size // 2, None), (size // 3, size // 3 + 300_000), (size, None), (5, 3)):
        assert b"".join(store.blobs.read(blob.sha256, start, end)) == data[start:end]
    assert b"".join(store.blobs.read(blob.sha256, 0, size + 1000)) == data


def test_compressible_contents_come_back_too(store: ResourceStore) -> None:
    data = b"<ClinicalDocument>" + b"<section>texte</section>" * 40_000
    blob = store.blobs.stage(pieces(data))
    store.commit(Commit(blobs=(blob,)))
    assert b"".join(store.blobs.read(blob.sha256)) == data
    assert b"".join(store.blobs.read(blob.sha256, 300_000, 300_010)) == data[300_000:300_010]


def test_a_small_content_is_not_stored_before_its_commit(store: ResourceStore) -> None:
    blob = store.blobs.stage(iter([b"abc", b"def"]))
    assert blob.data == b"abcdef"
    assert store.blobs.size(blob.sha256) is None
    with pytest.raises(NotFound):
        list(store.blobs.read(blob.sha256))


def test_the_same_content_may_be_stored_many_times(store: ResourceStore) -> None:
    for number in range(3):
        blob = store.blobs.stage(iter([b"abc"]))
        write = doc(f"b{number}", type_="Binary")
        store.commit(Commit(writes=(replace(write, blob=blob.sha256),), blobs=(blob,)))
    assert b"".join(store.blobs.read(blob.sha256)) == b"abc"
    version = store.read(Key("Binary", "b1"))
    assert version is not None
    assert version.blob == blob.sha256


def test_a_missing_content_is_said_to_be_missing(store: ResourceStore) -> None:
    absent = "0" * 64
    assert store.blobs.size(absent) is None
    with pytest.raises(NotFound):
        list(store.blobs.read(absent))
