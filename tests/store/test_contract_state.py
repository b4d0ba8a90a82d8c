"""The contract of a store, last part: what the authorization server remembers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from fhir_dmp.errors import StateConflict
from fhir_dmp.ports import ResourceStore, StateRecord, StateStore

NOW = 1_781_260_000_000
RECORD = StateRecord("code", "abc", '{"a": "é"}', NOW + 60_000, ("sub:7", "client:x"))


@pytest.fixture
def state(store: ResourceStore) -> StateStore:
    """The state of a new store."""
    return store.state


def keys(records: tuple[StateRecord, ...]) -> list[str]:
    """Return the keys by the alphabet; the order of a store is fixed, but its own."""
    return sorted(record.key for record in records)


def test_what_is_read_is_what_was_put(state: StateStore) -> None:
    stored = state.put(RECORD, NOW)
    assert stored == replace(RECORD, version=1, updated_ms=NOW)
    assert state.get("code", "abc", NOW) == stored


def test_a_kind_is_a_room_of_its_own(state: StateStore) -> None:
    state.put(RECORD, NOW)
    assert state.get("token", "abc", NOW) is None
    assert state.listed("token", NOW) == ()
    assert state.take("token", "abc", NOW) is None


def test_each_change_is_one_version_more(state: StateStore) -> None:
    state.put(RECORD, NOW)
    assert state.put(replace(RECORD, body="{}"), NOW + 5) == replace(RECORD, body="{}", version=2, updated_ms=NOW + 5)


def test_a_change_that_expects_another_version_is_refused(state: StateStore) -> None:
    state.put(RECORD, NOW, 0)
    for expected in (0, 2):
        with pytest.raises(StateConflict):
            state.put(replace(RECORD, body="{}"), NOW, expected)
    assert state.put(replace(RECORD, body="{}"), NOW, 1).version == 2
    with pytest.raises(StateConflict):
        state.put(replace(RECORD, key="other"), NOW, 1)


def test_an_expired_record_is_absent(state: StateStore) -> None:
    state.put(RECORD, NOW)
    late = NOW + 60_000
    assert state.get("code", "abc", late - 1) is not None
    assert state.get("code", "abc", late) is None
    assert state.listed("code", late) == ()
    assert state.listed("code", late, tag="sub:7") == ()
    assert state.take("code", "abc", late) is None


def test_the_place_of_an_expired_record_is_free(state: StateStore) -> None:
    state.put(RECORD, NOW)
    late = NOW + 60_000
    stored = state.put(replace(RECORD, expires_ms=None, tags=("new",)), late, 0)
    assert (stored.version, state.get("code", "abc", late)) == (1, stored)
    assert (keys(state.listed("code", late, tag="new")), state.listed("code", late, tag="sub:7")) == (["abc"], ())


def test_what_is_taken_is_gone(state: StateStore) -> None:
    stored = state.put(RECORD, NOW)
    assert state.take("code", "abc", NOW) == stored
    assert state.take("code", "abc", NOW) is None
    assert state.listed("code", NOW, tag="sub:7") == ()


def test_what_is_removed_is_gone_and_may_be_absent(state: StateStore) -> None:
    state.put(RECORD, NOW)
    state.remove("code", "abc")
    state.remove("code", "abc")
    assert state.get("code", "abc", NOW) is None


def test_of_many_that_take_a_record_one_gets_it(state: StateStore) -> None:
    state.put(RECORD, NOW)
    together = Barrier(8)

    def take(_: int) -> StateRecord | None:
        together.wait()
        return state.take("code", "abc", NOW)

    with ThreadPoolExecutor(8) as pool:
        won = [found for found in pool.map(take, range(8)) if found is not None]
    assert len(won) == 1


def test_of_many_that_change_a_version_one_succeeds(state: StateStore) -> None:
    state.put(RECORD, NOW)
    together = Barrier(8)

    def change(number: int) -> str | None:
        together.wait()
        try:
            return state.put(replace(RECORD, body=str(number)), NOW, 1).body
        except StateConflict:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = [body for body in pool.map(change, range(8)) if body is not None]
    final = state.get("code", "abc", NOW)
    assert final is not None
    assert ([final.body], final.version) == (won, 2)


def test_of_many_that_make_a_record_one_succeeds(state: StateStore) -> None:
    together = Barrier(8)

    def make(number: int) -> bool:
        together.wait()
        try:
            state.put(replace(RECORD, body=str(number)), NOW, 0)
        except StateConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(make, range(8))) == 1


def test_records_are_listed_by_key_page_by_page(state: StateStore) -> None:
    for name in ("d", "b", "a", "c"):
        state.put(StateRecord("client", name, "{}"), NOW)
    listed = [record.key for record in state.listed("client", NOW)]
    assert sorted(listed) == ["a", "b", "c", "d"]
    assert [record.key for record in state.listed("client", NOW, count=2)] == listed[:2]
    assert [record.key for record in state.listed("client", NOW, after=listed[1])] == listed[2:]


def test_records_are_listed_by_a_tag_that_they_carry_now(state: StateStore) -> None:
    state.put(StateRecord("refresh", "a", "{}", None, ("sub:1", "family:x")), NOW)
    state.put(StateRecord("refresh", "b", "{}", None, ("sub:1",)), NOW)
    state.put(StateRecord("code", "c", "{}", None, ("sub:1",)), NOW)
    assert keys(state.listed("refresh", NOW, tag="sub:1")) == ["a", "b"]
    first, second = state.listed("refresh", NOW, tag="sub:1")
    assert state.listed("refresh", NOW, tag="sub:1", after=first.key) == (second,)
    assert keys(state.listed("refresh", NOW, tag="family:x")) == ["a"]
    state.put(StateRecord("refresh", "a", "{}", None, ("sub:2",)), NOW)
    assert keys(state.listed("refresh", NOW, tag="sub:1")) == ["b"]
    assert keys(state.listed("refresh", NOW, tag="sub:2")) == ["a"]


def test_the_kinds_are_told(state: StateStore) -> None:
    assert state.kinds() == ()
    state.put(RECORD, NOW)
    state.put(replace(RECORD, kind="account", expires_ms=None), NOW)
    state.put(replace(RECORD, key="other"), NOW)
    assert state.kinds() == ("account", "code")


def test_what_was_written_since_is_listed(state: StateStore) -> None:
    state.put(StateRecord("denied", "a", "{}"), NOW)
    state.put(StateRecord("denied", "b", "{}"), NOW + 10)
    assert keys(state.listed("denied", NOW + 20, since_ms=NOW + 1)) == ["b"]
    assert keys(state.listed("denied", NOW + 20, since_ms=NOW)) == ["a", "b"]
    state.put(StateRecord("denied", "a", "{}"), NOW + 15)
    assert keys(state.listed("denied", NOW + 20, since_ms=NOW + 11)) == ["a"]


def test_a_sweep_removes_what_is_expired_and_nothing_else(state: StateStore) -> None:
    state.put(RECORD, NOW)
    state.put(replace(RECORD, key="later", expires_ms=NOW + 120_000), NOW)
    state.put(replace(RECORD, key="ever", expires_ms=None), NOW)
    assert state.sweep(NOW + 60_000) == 1
    assert keys(state.listed("code", NOW, tag="sub:7")) == ["ever", "later"]
    assert state.sweep(NOW + 60_000) == 0


def test_a_sweep_removes_as_many_as_there_are(state: StateStore) -> None:
    for number in range(600):
        state.put(StateRecord("assertion", f"a{number}", "{}", NOW + 1), NOW)
    assert state.sweep(NOW + 1) == 600
    assert state.listed("assertion", NOW) == ()
