"""Each row of the decision table through HTTP, and `explain` saying the same, on every store. [security 4.3, 4.7]"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fhir_dmp.access.rows import ROWS
from fhir_dmp.errors import StoreUnavailable
from fhir_dmp.identity.scopes import maximum
from fhir_dmp.interactions.explaining import explain
from fhir_dmp.ports import AuditQuery, Commit, Version
from tests import samples
from tests.corridor.stage import SAMU, Stage
from tests.flows.rows import CASES, SAME, Asked, Case
from tests.flows.steps import assert_refused, next_ins
from tests.flows.stores import STORES
from tests.world import World, make_world


@pytest.fixture(scope="module")
def rows_world(store_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server that knows a regulation centre."""
    store = STORES[store_kind](tmp_path_factory.mktemp("rows"))
    yield make_world(store, None, DMP_ACCESS_REGULATION_CENTRES=SAMU)
    store.close()


def named(case: Case) -> str:
    return f"{case.row}-{case.reason or case.status}"


@pytest.mark.statement("security P-1")
@pytest.mark.parametrize("case", CASES, ids=named)
def test_each_row_decides_as_the_table_says(rows_world: World, case: Case) -> None:
    stage = Stage(rows_world, next_ins())
    rows_world.open(stage.ins, **case.birth)
    asked = case.prepare(stage)
    client = rows_world.nobody if asked.caller is None else rows_world.as_(asked.caller)
    answer = asked.send(client)
    if case.reason is None and case.status < 300:
        assert answer.status in (200, 201), answer.body
    else:
        assert_refused(answer, case.status, *((case.reason,) if case.reason else ()))
    told = answer.headers.get("X-DMP-Warning", "")
    assert told == ", ".join(case.warnings)
    entry = rows_world.services.store.audit(AuditQuery(count=1)).records[0][1]
    if answer.status < 300 or answer.status in (401, 403):
        assert entry.outcome == ("0" if answer.status < 300 else "8")
    if asked.op is not None and asked.caller is not None:
        _explained(stage, case, asked)


def _explained(stage: Stage, case: Case, asked: Asked) -> None:
    caller, op = asked.caller, asked.op
    assert caller is not None
    assert op is not None
    scoped = caller if caller.scopes else replace(caller, scopes=maximum(caller.actor, caller.mode))
    found = explain(scoped, op, f"Patient/{stage.id}", stage.world.services, document=asked.document)
    assert SAME.get(case.row, case.row) in found.rows
    assert (found.effect == "permit") == (case.status < 300)
    assert found.status == case.status
    assert found.reason == case.reason
    assert set(case.obligations) <= set(found.obligations)
    assert tuple(sorted(case.warnings)) == tuple(sorted(found.warnings))


def test_no_row_of_the_table_is_without_a_case() -> None:
    numbered = {row for row in ROWS if row not in ("ADMIN", "4.5")}
    assert len(numbered) == 5 + 7 + 21 + 15 + 12
    assert {case.row for case in CASES} == numbered - {"A5"}


class Trailless:
    """Any store, whose trail can be made to fail."""

    broken = False

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, commit: Commit) -> tuple[Version, ...]:
        """Fail when asked to write the trail of a read."""
        if self.broken and not commit.writes:
            raise StoreUnavailable("The disk is full.")
        written: tuple[Version, ...] = self._store.commit(commit)
        return written


@pytest.mark.statement("security P-1", "security P-1 A5", "security P-45")
def test_a5_what_cannot_be_recorded_is_not_answered(store_kind: str, tmp_path: Any) -> None:
    store: Any = Trailless(STORES[store_kind](tmp_path))
    stage = Stage(make_world(store))
    stage.world.open(samples.ANOUK)
    id_ = stage.submit()
    stage.authorise()
    client, path = stage.ps(), stage.content(id_)
    store.broken = True
    for target in (f"/DocumentReference/{id_}", f"/DocumentReference?patient=Patient/{stage.id}", path, "/Patient/x"):
        answer = client.get(target)
        assert_refused(answer, 503, "audit-unavailable", "transient")
        assert id_ not in answer.body.decode()
    store.broken = False
    store.close()
