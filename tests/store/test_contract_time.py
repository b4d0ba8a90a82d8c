"""The contract, part time: a query that takes too long is refused in words, and the store goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import NetworkTimeout

from fhir_dmp.errors import ConfigurationError, StoreUnavailable, Unprocessable
from fhir_dmp.ports import Commit, Key, ResourceStore
from fhir_dmp.search.query import Contains, Search, SortKey
from fhir_dmp.settings import Settings
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.store.mongo import open_mongo
from fhir_dmp.store.sqlite import Limits, open_sqlite
from fhir_dmp.store.sqlite.connections import Readers
from tests import samples
from tests.store.mongo import servers
from tests.store.samples import DOC, doc
from tests.world import make_world

MANY = {"memory": 3000, "sqlite": 3000, "mongo-wire": 40}
#: Looks at every resource, whatever indexes there are.
LONG = Search((DOC,), Contains("name", "z"), sort=(SortKey("name"),), total=True)

#: Gives two views of one store: with the usual time, and with none to spare.
Pair = tuple[ResourceStore, ResourceStore]


def in_memory(folder: Path) -> Pair:
    store = MemoryStore()
    hurried = MemoryStore(query_ms=0)
    hurried.__dict__.update({**store.__dict__, "_query_s": 0.0})
    return store, hurried


def in_sqlite(folder: Path) -> Pair:
    path = folder / "dmp.sqlite3"
    return open_sqlite(path), open_sqlite(path, Limits(query_ms=0))


def in_mongo(folder: Path) -> Pair:
    url = f"{servers.ferretdb_url()}/{servers.new_name()}"
    usual = open_mongo(url, allow_standalone=True, listeners=[servers.WATCH])
    return usual, open_mongo(url, allow_standalone=True, listeners=[servers.WATCH], query_ms=4)


PAIRS: dict[str, Callable[[Path], Pair]] = {"memory": in_memory, "sqlite": in_sqlite, "mongo-wire": in_mongo}


@pytest.fixture(params=sorted(PAIRS))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    usual, hurried = PAIRS[request.param](tmp_path)
    writes = tuple(
        doc(f"d{number}", strings=(("name", f"durand {number} " + "x" * 200),), words=(("_text", "mot " * 50),))
        for number in range(MANY[request.param])
    )
    for start in range(0, len(writes), 500):
        usual.commit(Commit(writes=writes[start : start + 500]))
    yield usual, hurried
    hurried.close()
    usual.close()


@pytest.mark.statement("security H-28", "security TH41", "security H-19")
def test_a_search_that_takes_too_long_is_refused_and_the_store_goes_on(pair: Pair) -> None:
    usual, hurried = pair
    with pytest.raises((Unprocessable, StoreUnavailable)) as refused:
        hurried.search(LONG)
    if isinstance(refused.value, StoreUnavailable):
        # the server did not even say in time that it gave up: then nobody knows whether another search would do better
        assert isinstance(refused.value.__cause__, NetworkTimeout)
    else:
        assert (refused.value.issues[0].code, "narrower" in str(refused.value)) == ("too-costly", True)
    assert usual.search(LONG).total == 0
    assert usual.read(Key(DOC, "d7")) is not None


@pytest.mark.statement("security H-28")
def test_a_statement_of_sqlite_that_never_ends_is_interrupted(tmp_path: Path) -> None:
    open_sqlite(tmp_path / "dmp.sqlite3").close()
    readers = Readers(tmp_path / "dmp.sqlite3", mmap_bytes=0, cache_kib=1024, busy_ms=100, query_ms=100)
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    for snapshot in (False, True):
        started = time.monotonic()
        with pytest.raises(Unprocessable), readers.borrow(snapshot=snapshot) as con:
            con.execute(endless).fetchone()
        assert time.monotonic() - started < 5
    with readers.borrow() as con:
        assert con.execute("SELECT count(*) FROM res").fetchone() == (0,)
        assert not con.in_transaction
    readers.close()


@pytest.mark.statement("security H-28")
def test_every_kind_of_command_to_mongodb_carries_its_limit() -> None:
    before = servers.WATCH.seen.copy()
    world = make_world(servers.open_ferretdb(30))
    world.open()
    world.submit("1.2.250.1.999.28.1")
    admin, patient = world.admin, world.patients[samples.ANOUK]
    assert admin.get(f"/Patient/{patient}/$everything").status == 200
    assert admin.get("/DocumentReference?_sort=_lastUpdated&_total=accurate&_content=examen").status == 200
    assert admin.get(f"/AuditEvent?patient={patient}").status == 200
    assert admin.get("/Patient/_history").status == 200
    world.services.store.sweep()
    world.services.store.close()
    sent = set((servers.WATCH.seen - before).keys()) - servers.Watch.EXEMPT
    assert {"find", "aggregate", "insert", "update", "delete", "listCollections", "createIndexes"} <= sent
    assert servers.WATCH.untimed == []


@pytest.mark.statement("security H-28")
def test_the_watch_of_these_tests_sees_a_command_without_limit() -> None:
    watch = servers.Watch()
    client: MongoClient[dict[str, object]] = MongoClient(servers.ferretdb_url(), event_listeners=[watch])
    client["nobody"]["nothing"].find_one({})
    client.close()
    assert watch.untimed == ["find"]


@pytest.mark.parametrize("value", ["0", "99", "-1"])
def test_a_time_in_which_nothing_can_be_read_stops_the_start(value: str) -> None:
    with pytest.raises(ConfigurationError, match="DMP_STORE_QUERY_TIMEOUT_MS"):
        Settings.load({"DMP_STORE_URL": "memory:", "DMP_STORE_QUERY_TIMEOUT_MS": value})


@pytest.mark.statement("security H-28", "security TH41", "security H-19")
def test_a_search_that_takes_too_long_is_422_and_says_what_to_do(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "dmp.sqlite3", Limits(query_ms=0))  # whatever is not done at once is too long
    world = make_world(store, DMP_VALIDATION_MODE="off")  # what these resources hold is of no matter
    writes = tuple(doc(f"o{n}", type_="Observation", strings=(("code", "x" * 300),)) for n in range(2000))
    store.commit(Commit(writes=writes))
    answer = world.admin.get("/Observation?_sort=-status,code&_total=accurate&status:not=final")
    assert (answer.status, "narrower" in answer.json["issue"][0]["diagnostics"]) == (422, True)
    assert answer.codes >= {"too-costly"}
    assert world.admin.get("/Observation/o7").status == 200
    store.close()
