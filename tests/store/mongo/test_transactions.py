"""Transactions against an imitated replica set that injects faults: retries are bounded, nothing is applied twice.

Isolation between transactions is proved on a real replica set (DMP_TEST_MONGO_URL), by the contract suite.
"""

from __future__ import annotations

import pytest
from pymongo.errors import AutoReconnect, DuplicateKeyError, PyMongoError

from fhir_dmp.errors import DuplicateKey, StoreUnavailable, VersionConflict
from fhir_dmp.ports import AuditQuery, Claim, Commit, HistoryQuery
from fhir_dmp.search.query import Everything
from fhir_dmp.store.mongo import group
from fhir_dmp.store.mongo.store import MongoStore, Server
from fhir_dmp.store.mongo.transactions import COMMIT_ATTEMPTS
from tests.store.mongo.fakes import TRANSIENT, UNKNOWN, FakeClient, fault
from tests.store.samples import DOC, doc, key, put, record, refusal

WRITE_CONFLICT = 112


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def store(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> MongoStore:
    monkeypatch.setattr(group, "LONGEST_PAUSE_S", 0.0)
    opened = MongoStore(client, client.database(), Server(transactions=True))
    client.script.calls.clear()
    return opened


def everything(store: MongoStore) -> tuple[object, ...]:
    """Return what a half-applied commit would show in."""
    return (
        store.sequence(),
        store.count((DOC,), Everything()),
        [(v.id, v.version, v.seq) for v in store.history(HistoryQuery(count=100)).versions],
        [one.id for _, one in store.audit(AuditQuery()).records],
        store.outbox.waiting(),
    )


def test_a_commit_is_one_transaction(store: MongoStore, client: FakeClient) -> None:
    store.commit(Commit(writes=(doc("a"), doc("b")), audit=(record("r"),)))
    assert client.script.calls[0] == "start"
    assert client.script.calls[1] == "find_one_and_update"
    assert client.script.calls[-1] == "commit"
    assert client.script.calls.count("start") == 1
    assert "abort" not in client.script.calls


def test_a_refused_commit_is_aborted(store: MongoStore, client: FakeClient) -> None:
    put(store, doc("a", uniques=["u"]))
    before = everything(store)
    client.script.calls.clear()
    assert isinstance(refusal(store, Commit(writes=(doc("b", uniques=["u"]),))), DuplicateKey)
    assert (client.script.calls[-1], client.script.calls.count("commit")) == ("abort", 0)
    assert everything(store) == before


@pytest.mark.parametrize("operation", ["find_one_and_update", "bulk_write", "update_one", "commit"])
def test_a_transient_error_anywhere_starts_again_and_applies_once(
    store: MongoStore, client: FakeClient, operation: str
) -> None:
    put(store, doc("a", uniques=["u|1"]))
    client.script.calls.clear()
    conflict = fault(WRITE_CONFLICT, TRANSIENT)
    client.script.plan(operation, conflict, conflict)
    store.commit(Commit(writes=(doc("a", 2, uniques=["u|2"]), doc("b")), audit=(record("r"),)))
    assert client.script.calls.count("start") == 3
    assert client.script.calls.count("commit") == (3 if operation == "commit" else 1)
    assert client.script.calls.count("abort") == (0 if operation == "commit" else 2)
    sequence, count, history, audit, _ = everything(store)
    assert (sequence, count, audit) == (3, 2, ["r"])
    assert history == [("b", 1, 3), ("a", 2, 2), ("a", 1, 1)]
    assert (store.holder("u|1"), store.holder("u|2")) == (None, key("a"))


def test_an_unknown_result_is_asked_again_and_never_written_again(store: MongoStore, client: FakeClient) -> None:
    lost = fault(91, UNKNOWN)
    client.script.plan("commit", lost, lost)
    (version,) = store.commit(Commit(writes=(doc("a"),), audit=(record("r"),)))
    assert client.script.calls.count("commit") == 3
    assert client.script.calls.count("start") == 1
    assert store.read(key("a")) == version
    assert everything(store)[2:4] == ([("a", 1, 1)], ["r"])


def test_a_result_that_stays_unknown_is_said_to_be_unknown(store: MongoStore, client: FakeClient) -> None:
    client.script.plan("commit", *(fault(91, UNKNOWN) for _ in range(COMMIT_ATTEMPTS)))
    with pytest.raises(StoreUnavailable, match="did not say whether"):
        store.commit(Commit(writes=(doc("a"),)))
    assert client.script.calls.count("commit") == COMMIT_ATTEMPTS
    assert client.script.calls.count("start") == 1
    assert isinstance(refusal(store, Commit(writes=(doc("a"),))), VersionConflict)


def test_retries_are_bounded(store: MongoStore, client: FakeClient) -> None:
    conflict = fault(WRITE_CONFLICT, TRANSIENT)
    client.script.plan("find_one_and_update", *(conflict for _ in range(group.ATTEMPTS)))
    before = everything(store)
    with pytest.raises(StoreUnavailable, match="Too many writers"):
        store.commit(Commit(writes=(doc("a"),)))
    assert client.script.calls.count("start") == group.ATTEMPTS
    assert everything(store) == before
    put(store, doc("a"))


@pytest.mark.parametrize("error", [AutoReconnect("gone"), fault(13, "SomethingElse"), fault(50)])
@pytest.mark.parametrize("operation", ["find_one_and_update", "find", "bulk_write"])
def test_other_errors_are_not_retried_and_leave_nothing(
    store: MongoStore, client: FakeClient, operation: str, error: PyMongoError
) -> None:
    put(store, doc("a"))
    before = everything(store)
    client.script.calls.clear()
    client.script.plan(operation, error)
    with pytest.raises(StoreUnavailable) as caught:
        store.commit(Commit(writes=(doc("a", 2), doc("b")), audit=(record("r"),), claims=(Claim("k", 9),)))
    assert caught.value.__cause__ is error
    assert client.script.calls.count("start") == 1
    assert everything(store) == before


def test_a_write_conflict_ends_as_the_refusal_that_the_new_state_asks_for(
    store: MongoStore, client: FakeClient
) -> None:
    put(store, doc("a"))
    other = MongoStore(client, client.database(), Server(transactions=True))
    client.script.plan("bulk_write", fault(WRITE_CONFLICT, TRANSIENT))
    real = client.script.called

    def overtaken(operation: str) -> None:
        real(operation)
        if operation == "abort" and client.script.calls.count("abort") == 1:
            put(other, doc("a", 2, text="other"))

    client.script.called = overtaken  # type: ignore[method-assign]  # the other process commits in between
    error = refusal(store, Commit(writes=(doc("a", 2, text="mine"),)))
    assert isinstance(error, VersionConflict)
    assert (error.stale.expected, error.stale.current) == (1, 2)
    assert [v.version for v in store.history(HistoryQuery()).versions] == [2, 1]


def test_a_duplicate_key_of_the_database_starts_again_from_the_facts(store: MongoStore, client: FakeClient) -> None:
    client.script.plan("bulk_write", DuplicateKeyError("E11000", 11000))
    put(store, doc("a"))
    assert client.script.calls.count("start") == 2
    assert everything(store)[2] == [("a", 1, 1)]


def test_an_audited_read_takes_no_transaction(store: MongoStore, client: FakeClient) -> None:
    store.commit(Commit(audit=(record("r"),)))
    assert client.script.calls == []
    assert everything(store)[3] == ["r"]
