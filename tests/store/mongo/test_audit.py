"""The trail over months and processes."""

from __future__ import annotations

import mongomock

from fhir_dmp.ports import AuditQuery
from fhir_dmp.store.mongo.audit import Trail
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.views import View
from tests.store.samples import record

MONTH = 31 * 24 * 3600 * 1000


def trail(database: Database, clock: list[int]) -> Trail:
    return Trail(database, lambda: clock[0])


def test_months_have_collections_of_their_own_and_are_read_as_one() -> None:
    database, clock = Database(mongomock.MongoClient()["x"], versioned=False), [1_700_000_000_000]
    one = trail(database, clock)
    for number in range(6):
        one.append(record(f"r{number}"))
        clock[0] += MONTH // 2
    assert database.audit_names() == ["audit_202401", "audit_202312", "audit_202311"]
    page = one.page(AuditQuery(count=4), View())
    assert [found.id for _, found in page.records] == ["r5", "r4", "r3", "r2"]
    rest = one.page(AuditQuery(count=4, before=page.next), View())
    assert [found.id for _, found in rest.records] == ["r1", "r0"]
    assert one.record("r0", View()) == rest.records[-1]


def test_positions_increase_even_when_the_clock_does_not() -> None:
    database, clock = Database(mongomock.MongoClient()["x"], versioned=False), [1_700_000_000_000]
    one = trail(database, clock)
    places = [one.place()[1] for _ in range(5000)]
    clock[0] -= 1000
    places += [one.place()[1] for _ in range(10)]
    assert places == sorted(set(places))
    assert max(places) < 2**63


def test_two_processes_that_draw_the_same_number_do_not_collide() -> None:
    database, clock = Database(mongomock.MongoClient()["x"], versioned=False), [1_700_000_000_000]
    one, two = trail(database, clock), trail(database, clock)
    two._process = one._process
    one.append(record("r1"))
    two.append(record("r2"))
    found = one.page(AuditQuery(), View()).records
    assert [record.id for _, record in found] in (["r1", "r2"], ["r2", "r1"])
    assert found[0][0] != found[1][0]
