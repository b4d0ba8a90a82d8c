"""The contract of a store, fifth part: the trail as evidence, and the outbox of notices."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from fhir_dmp.audit.chain import decode
from fhir_dmp.audit.codec import decode as decode_record
from fhir_dmp.audit.signing import CheckpointKeys, new_key
from fhir_dmp.interactions.sealing import Sealer, rows_from
from fhir_dmp.interactions.verifying import verify_trail
from fhir_dmp.ports import Commit, Notice, ResourceStore
from tests.store.samples import T0, doc, record
from tests.world import FixedClock

KEYS = CheckpointKeys((new_key(),))


def audited(store: ResourceStore, first: int, last: int) -> None:
    for number in range(first, last):
        store.commit(Commit(audit=(record(f"r{number}", T0 + number),)))


def test_rows_come_in_the_order_of_their_position_and_agree_with_their_columns(store: ResourceStore) -> None:
    audited(store, 0, 5)
    store.commit(Commit(writes=(doc("a"),), audit=(record("w1", patient=None), record("w2"))))
    rows = list(store.ledger.rows(0, 100))
    assert [position for position, _, _ in rows] == sorted({position for position, _, _ in rows})
    assert {decode_record(data).id for _, data, _ in rows} == {"r0", "r1", "r2", "r3", "r4", "w1", "w2"}
    assert all(agrees for _, _, agrees in rows)
    assert list(store.ledger.rows(rows[2][0], 2)) == rows[3:5]
    assert list(store.ledger.rows(rows[-1][0], 9)) == []


def test_a_number_is_sealed_once(store: ResourceStore) -> None:
    assert store.ledger.last_seal() is None
    assert store.ledger.seal_of(1) is None
    assert store.ledger.add_seal(1, 10, b"one")
    assert not store.ledger.add_seal(1, 12, b"another")
    assert store.ledger.add_seal(2, 15, b"two")
    assert store.ledger.last_seal() == b"two"
    assert [store.ledger.seal_of(seq) for seq in (0, 1, 10, 11, 15, 16)] == [
        None, b"one", b"one", b"two", b"two", None,
    ]  # fmt: skip
    assert list(store.ledger.seals(0, 9)) == [b"one", b"two"]
    assert list(store.ledger.seals(1, 9)) == [b"two"]


def test_what_is_sealed_bit_by_bit_is_whole(store: ResourceStore) -> None:
    sealer = Sealer(store.ledger, KEYS, FixedClock(), every_ms=10_000)
    audited(store, 0, 3)
    assert sealer.run(everything=True) == 3
    audited(store, 3, 7)
    assert sealer.run() == 0  # too few, and the last seal is young
    assert sealer.run(everything=True) == 4
    audited(store, 7, 9)
    verdict = verify_trail(store.ledger, KEYS.verifiers())
    assert (verdict.findings, verdict.checked, verdict.checkpoints, verdict.unsealed) == ([], 7, 2, 2)
    later = verify_trail(store.ledger, KEYS.verifiers(), start=4)
    assert (later.findings, later.checked) == ([], 4)
    earlier = verify_trail(store.ledger, KEYS.verifiers(), end=2)
    assert (earlier.findings, earlier.checked) == ([], 3)


def test_several_sealers_make_one_chain(store: ResourceStore) -> None:
    audited(store, 0, 12)
    clocks = [FixedClock() for _ in range(4)]
    sealers = [Sealer(store.ledger, KEYS, clock, every_ms=0) for clock in clocks]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda sealer: sealer.run(everything=True), sealers))
    assert sum(counts) == 12
    assert verify_trail(store.ledger, KEYS.verifiers()).findings == []


def test_records_that_appear_late_are_sealed_too(store: ResourceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    if not store.ledger.slack:
        pytest.skip("in this store records appear in the order of their position")
    audited(store, 0, 4)
    sealer = Sealer(store.ledger, KEYS, FixedClock(), every_ms=0)
    hidden = list(rows_from(store.ledger, 0))[1]
    whole: Callable[..., object] = store.ledger.rows
    monkeypatch.setattr(
        store.ledger,
        "rows",
        lambda after, count: [row for row in whole(after, count) if row != hidden],  # type: ignore[attr-defined]
    )
    assert sealer.run(everything=True) == 3
    monkeypatch.undo()
    assert verify_trail(store.ledger, KEYS.verifiers()).unsealed == 1
    assert sealer.run(everything=True) == 1
    verdict = verify_trail(store.ledger, KEYS.verifiers())
    assert (verdict.findings, verdict.checked, verdict.unsealed) == ([], 4, 0)
    last = store.ledger.last_seal()
    assert last is not None
    assert decode(last).positions == (hidden[0],)
    assert verify_trail(store.ledger, KEYS.verifiers(), start=4).findings == []


def notice(id_: str, *, due: int = 0, patient: str = "Patient/p1") -> Notice:
    return Notice(id_, "N3", patient, T0, (("count", "1"),), due)


def waiting(store: ResourceStore, now: int = T0) -> list[str]:
    return [each.notice.id for each in store.outbox.due(now, 99)]


def test_a_notice_waits_from_its_commit_until_it_is_due(store: ResourceStore) -> None:
    store.commit(Commit(writes=(doc("a"),), notices=(notice("n1"), notice("n2", due=T0 + 5))))
    assert waiting(store) == ["n1"]
    assert waiting(store, T0 + 5) == ["n1", "n2"]
    found = store.outbox.find("n2")
    assert found is not None
    assert found.notice == notice("n2", due=T0 + 5)
    assert store.outbox.find("n3") is None
    assert store.outbox.waiting() == 2


def test_the_same_notice_is_queued_once_whatever_came_of_it(store: ResourceStore) -> None:
    store.commit(Commit(audit=(record("r1"),), notices=(notice("n1"),)))
    store.commit(Commit(audit=(record("r2"),), notices=(notice("n1"), notice("n2"), notice("n2"))))
    assert waiting(store) == ["n1", "n2"]
    assert store.outbox.lease("n1", 0, T0, T0 + 100)
    store.outbox.settle("n1", "sent", T0 + 1)
    store.commit(Commit(notices=(notice("n1"),)))
    assert waiting(store) == ["n2"]
    assert store.audit_record("r2") is not None


def test_a_lease_belongs_to_one_until_it_runs_out(store: ResourceStore) -> None:
    store.commit(Commit(notices=(notice("n1"),)))
    assert store.outbox.lease("n1", 0, T0, T0 + 100)
    assert not store.outbox.lease("n1", 0, T0 + 99, T0 + 300)
    assert waiting(store, T0 + 99) == []
    assert waiting(store, T0 + 100) == ["n1"]
    assert store.outbox.lease("n1", 0, T0 + 100, T0 + 200)
    store.outbox.defer("n1", T0 + 500, 1)
    assert waiting(store, T0 + 499) == []
    found = store.outbox.due(T0 + 500, 1)[0]
    assert (found.attempts, found.due_ms, found.done_ms) == (1, T0 + 500, None)
    assert not store.outbox.lease("n1", 0, T0 + 500, T0 + 600)  # seen before it was deferred
    assert store.outbox.lease("n1", 1, T0 + 500, T0 + 600)
    store.outbox.settle("n1", "sent", T0 + 501)
    assert waiting(store, T0 + 9999) == []
    assert not store.outbox.lease("n1", 1, T0 + 9999, T0 + 99999)
    assert store.outbox.waiting() == 0


def test_of_many_who_lease_at_once_one_wins(store: ResourceStore) -> None:
    store.commit(Commit(notices=tuple(notice(f"n{number}") for number in range(6))))
    with ThreadPoolExecutor(6) as pool:
        for number in range(6):
            won = list(pool.map(lambda _, n=number: store.outbox.lease(f"n{n}", 0, T0, T0 + 9), range(6)))
            assert won.count(True) == 1


def test_the_inbox_keeps_what_was_sent(store: ResourceStore) -> None:
    for number in range(4):
        store.commit(Commit(notices=(notice(f"n{number}"), notice(f"o{number}", patient="Patient/p2"))))
    store.outbox.lease("n1", 0, T0, T0 + 9)
    store.outbox.settle("n1", "sent", T0 + 7)
    inbox = store.outbox.inbox("Patient/p1", 3)
    assert [each.notice.id for each in inbox] == ["n3", "n2", "n1"]
    assert [(each.done_ms, each.outcome) for each in inbox] == [(None, ""), (None, ""), (T0 + 7, "sent")]
