"""`audit.durability = batched`: records of reads wait a little; neither a stop nor a store that is away loses them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.bootstrap import BatchedTrail, build
from fhir_dmp.errors import StoreUnavailable
from fhir_dmp.ports import AuditQuery, Commit, Version
from fhir_dmp.settings import Settings
from fhir_dmp.store.memory import MemoryStore


def record(id_: str) -> AuditRecord:
    return AuditRecord(id_, "read", 1_781_260_000_000)


def kept(store: MemoryStore) -> list[str]:
    return [entry.id for _, entry in reversed(store.audit(AuditQuery()).records)]


class Away(MemoryStore):
    """A store that does not answer at first."""

    refusals = 2

    def commit(self, commit: Commit) -> tuple[Version, ...]:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("The database does not answer.")
        return super().commit(commit)


def test_records_are_written_by_themselves() -> None:
    store = MemoryStore()
    trail = BatchedTrail(store, every_s=0.01)
    trail((record("a"), record("b")))
    deadline = time.monotonic() + 10
    while kept(store) != ["a", "b"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stop_writes_what_waits(tmp_path: Path) -> None:
    store = MemoryStore()
    environ = {"DMP_AUDIT_DURABILITY": "batched", "DMP_SECURITY_KEYS_DIR": str(tmp_path)}
    services = build(Settings.load(environ), store=store)
    services.trail((record("a"),))
    services.close()
    assert kept(store) == ["a"]


def test_a_store_that_is_away_loses_nothing_and_keeps_the_order(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "fhir_dmp")
    store = Away()
    trail = BatchedTrail(store, every_s=3600)
    for id_ in "abc":
        trail((record(id_),))
        trail.flush()
    assert kept(store) == ["a", "b", "c"]
    first, last = (entry.getMessage() for entry in caplog.records)
    assert first.startswith("audit-trail failed, and will be tried again (1 audit records wait for the store): ")
    assert last.startswith("audit-trail works again")
