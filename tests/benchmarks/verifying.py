"""`audit`: filling, sealing and verifying a trail in this process; the machine has one core for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.audit.signing import CheckpointKeys, new_key
from fhir_dmp.bootstrap import RandomIds, SystemClock, open_store
from fhir_dmp.interactions.sealing import Sealer
from fhir_dmp.interactions.verifying import verify_trail
from fhir_dmp.ports import Commit, Ledger
from fhir_dmp.settings import Store
from tests.benchmarks import report

_BATCH = 500
_NOTE = (
    "One thread; verifying compares bytes and columns. It reads the trail in order and waits for nothing, so what lies"
    " between the rate and that by processor time was taken by other programs."
)
_PATIENTS = 1000


def measure(folder: Path, command: str, *, entries: int, url: str | None) -> report.Table:
    """Return the rates of one trail of so many records, which are those of reads of documents."""
    store = open_store(Store(url or f"sqlite:///{folder / f'trail-{time.time_ns()}.sqlite3'}"))
    keys = CheckpointKeys((new_key(),))
    try:
        written = _timed(lambda: _fill(store.commit, entries))
        sealed = _timed(lambda: _seal(Sealer(store.ledger, keys, SystemClock(), 0), entries))
        used = time.process_time()
        whole = _timed(lambda: _verify(store.ledger, keys, entries))
        used = time.process_time() - used
        middle = _timed(lambda: verify_trail(store.ledger, keys.verifiers(), start=entries - entries // 10 + 1))
    finally:
        store.close()
    kind = (url or "sqlite").partition(":")[0]
    cells = (report.rate(entries / written), report.rate(entries / sealed), report.rate(entries / whole))
    row = (kind, f"{entries:,}", *cells, report.rate(entries / used), f"{middle:.2f} s")
    columns = ("store", "records", "committed in 500s", "sealed", "verified", "by processor time", "the last tenth")
    return report.Table("Audit trail", command, columns, (row,), _NOTE)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _fill(commit: Callable[[Commit], object], entries: int) -> None:
    ids = RandomIds()
    for first in range(0, entries, _BATCH):
        commit(Commit(audit=tuple(_record(ids, number) for number in range(first, min(first + _BATCH, entries)))))


def _record(ids: RandomIds, number: int) -> AuditRecord:
    patient = f"Patient/0191a1b2-0000-7000-8000-{number % _PATIENTS:012d}"
    return AuditRecord(
        id=ids.resource(patient),
        kind="iti-68",
        recorded_ms=1_781_260_000_000 + number,
        patient=patient,
        what=(f"DocumentReference/0191a1b2-0000-7000-8000-{number:012d}/_history/1",),
        actor="PS",
        subject="8a4c1e0e-0000-4000-8000-000000000000",
        issuer="https://dmp.example/auth",
        client="lps-cabinet-42",
        name="CARLIER Hippolyte",
        professional="899700218896",
        structure="1750100125",
        roles=(("urn:oid:1.2.250.1.71.1.2.7", "10"),),
        jti=f"token-{number % 97}",
        address="192.0.2.7",
        request_id=f"{number:024x}",
    )


def _seal(sealer: Sealer, entries: int) -> None:
    done = sealer.run(everything=True)
    assert done == entries, f"{done} of {entries} records were sealed"


def _verify(ledger: Ledger, keys: CheckpointKeys, entries: int) -> None:
    verdict = verify_trail(ledger, keys.verifiers())
    assert verdict.whole, verdict.findings[:3]
    assert verdict.checked == entries
