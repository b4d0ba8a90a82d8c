"""A database goes from a plain server to a replica set, and back, with all its data."""

from __future__ import annotations

from fhir_dmp.ports import AuditQuery, Claim, Commit, HistoryQuery, Notice
from fhir_dmp.search.query import Everything, Search, Term
from fhir_dmp.store.mongo.store import MongoStore, Server
from tests.store.mongo.fakes import FakeClient
from tests.store.samples import DOC, T0, doc, gone, key, put, record, refusal


def opened(client: FakeClient, *, transactions: bool) -> MongoStore:
    return MongoStore(client, client.database(), Server(transactions), patience_s=0.0)


def seen(store: MongoStore) -> tuple[object, ...]:
    page = store.search(Search((DOC,), Everything(), total=True))
    return (
        [(v.id, v.version, v.seq, v.body) for v in page.versions],
        page.total,
        store.history(HistoryQuery(count=50)).versions,
        [store.holder(f"u|{n}") for n in range(4)],
        [one.id for _, one in store.audit(AuditQuery()).records],
        [one.notice.id for one in store.outbox.due(2**62, 99)],
        store.find(DOC, Term("s=c:x"), 9),
        store.read(key("b")),
        store.sequence(),
    )


def fill(store: MongoStore) -> None:
    put(store, doc("a", uniques=["u|0"]), doc("a", 2, uniques=["u|1"], tokens=["s=c:x"]), doc("b"), gone("b", 2))
    notice = Notice("n", "opened", "Patient/1", T0)
    claims = (Claim("criterion", store.sequence()),)
    store.commit(Commit(writes=(doc("c"), doc("d")), audit=(record("r1"),), notices=(notice,), claims=claims))
    store.commit(Commit(audit=(record("r2"),)))


def test_a_plain_server_becomes_a_replica_set_and_back() -> None:
    client = FakeClient()
    store = opened(client, transactions=False)
    fill(store)
    before = seen(store)
    moved = opened(client, transactions=True)
    assert seen(moved) == before
    assert refusal(moved, Commit(claims=(Claim("criterion", 1),))).__class__.__name__ == "ClaimLost"
    rows = list(client.mock["dmp"][DOC].find())
    assert sorted(row["_id"] for row in rows) == ["a", "b", "c", "d"]
    assert [name for row in rows for name in ("i", "c", "e", "w") if name in row] == []
    put(moved, doc("a", 3, uniques=["u|1"]), doc("e"))
    now = seen(moved)
    back = opened(client, transactions=False)
    assert seen(back) == now
    put(back, doc("a", 4), doc("e", 2))
    now = seen(back)
    assert seen(opened(client, transactions=True)) == now


def test_moving_twice_does_nothing() -> None:
    client = FakeClient()
    fill(opened(client, transactions=False))
    first, second = opened(client, transactions=True), opened(client, transactions=True)
    assert seen(first) == seen(second)
