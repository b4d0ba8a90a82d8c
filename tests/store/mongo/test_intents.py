"""Commits without transactions, broken off and overtaken at every step: a reader sees all of a commit or nothing.

The protocol is described in docs/adr/0004-mongo-standalone-commits.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from pymongo import MongoClient

from fhir_dmp.errors import ClaimLost, DmpError, VersionConflict
from fhir_dmp.ports import AuditQuery, Claim, Commit, HistoryQuery, Key, Notice
from fhir_dmp.search.query import Everything, Search, Term
from fhir_dmp.store.mongo.intents import GRACE_MS, Intents
from fhir_dmp.store.mongo.store import MongoStore, Server
from tests.store.mongo import servers
from tests.store.mongo.fakes import FakeClient
from tests.store.mongo.mortal import Died, Fate, MortalDatabase
from tests.store.samples import DOC, T0, doc, gone, key, put, record

#: More than the writes of the commit under test.
STEPS = 40
ROWS = (DOC, "List", "history", "uniques", "claims", "outbox")


@dataclass
class Place:
    """One database, and processes that open it."""

    client: Any
    name: str
    stride: int = 1

    def steps(self) -> range:
        """Return the writes at which something happens: each one, or some where a step costs real time."""
        return range(1, STEPS, self.stride)

    def open(self, fate: Fate | None = None, patience_s: float = 0.0) -> MongoStore:
        """Return the store of a new process."""
        real = self.database()
        seen_as = MortalDatabase(real, fate) if fate else real
        return MongoStore(self.client, seen_as, Server(transactions=False), patience_s=patience_s)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return all rows of a collection, visible or not."""
        return list(self.database()[name].find())

    def database(self) -> Any:
        """Return the database."""
        return self.client.database(self.name) if isinstance(self.client, FakeClient) else self.client[self.name]


@pytest.fixture(params=["mongomock", "mongo-wire"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "mongomock":
        yield Place(FakeClient(), "dmp")
        return
    client: MongoClient[dict[str, Any]] = MongoClient(servers.ferretdb_url())
    yield Place(client, servers.new_name(), stride=4)
    client.close()


FIRST = Commit(
    writes=(doc("a", uniques=["u|a"], tokens=["n=c:old"]), doc("b", uniques=["u|b"]), doc("l", type_="List"))
)
#: Touches everything: update, deletion, creation, keys freed and taken over, claim, audit, notice.
SECOND = Commit(
    writes=(
        doc("a", 2, at=T0 + 9, uniques=["u|a2"], tokens=["n=c:new"]),
        gone("b", 2, at=T0 + 9),
        doc("c", at=T0 + 9, uniques=["u|a", "u|b"], tokens=["n=c:new"]),
        doc("l", 2, type_="List", at=T0 + 9),
    ),
    claims=(Claim("criterion", 3),),
    audit=(record("r1"), record("r2")),
    notices=(Notice("n", "published", "Patient/p1", T0),),
)


def seen(store: MongoStore) -> tuple[object, ...]:
    """Return everything by which a reader could notice a part of a commit."""
    versions = store.read_many([key("a"), key("b"), key("c"), Key("List", "l")])
    history = store.history(HistoryQuery(count=100)).versions
    page = store.search(Search((DOC, "List"), Everything(), total=True))
    return (
        {str(one): (v.version, v.deleted) for one, v in versions.items()},
        [store.holder(unique) for unique in ("u|a", "u|a2", "u|b")],
        [sorted(store.find(DOC, Term(token), 9)) for token in ("n=c:old", "n=c:new")],
        [(v.type, v.id, v.version) for v in page.versions],
        page.total,
        [(v.type, v.id, v.version) for v in history],
        [(v.id, v.version) for v in store.history(HistoryQuery(at=(T0 + 1, T0 + 2))).versions],
        [one.id for _, one in store.audit(AuditQuery()).records],
        [one.notice.id for one in store.outbox.due(2**62, 99)],
    )


def expected(place: Place) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """Return what is seen before and after SECOND."""
    twin = Place(place.client, f"{place.name}_twin") if place.name == "dmp" else Place(FakeClient(), "dmp")
    store = twin.open()
    store.commit(FIRST)
    old = seen(store)
    store.commit(SECOND)
    return old, seen(store)


def assert_clean(place: Place) -> None:
    """No attempt is left, and each address has one living row."""
    assert place.rows("intents") == []
    for name in ROWS:
        rows = place.rows(name)
        assert [row["_id"] for row in rows if "c" in row] == []
        living = [row["i"] for row in rows if "e" not in row]
        assert sorted(living) == sorted(set(living))


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_process_may_die_at_any_write(place: Place, late: bool) -> None:
    old, new = expected(place)
    outcomes = set()
    for step in place.steps():
        fresh = Place(place.client, f"{place.name}_{step}_{late}")
        fresh.open().commit(FIRST)
        witness = fresh.open()
        fate = Fate()

        def die(number: int, step: int = step, fate: Fate = fate) -> None:
            if number == step:
                fate.die()

        fate.before, fate.after = (fate.before, die) if late else (die, fate.after)
        store = fresh.open(fate)
        fate.armed = True
        try:
            store.commit(SECOND)
            break
        except Died:
            pass
        assert seen(witness) in (old, new)
        after = fresh.open()
        outcomes.add(seen(after) == new)
        assert seen(after) in (old, new)
        assert seen(witness) == seen(after)
        assert_clean(fresh)
        try:
            after.commit(SECOND)
        except (ClaimLost, VersionConflict):
            assert seen(after) == new
        assert seen(after) == new
        assert seen(witness) == new
    else:
        raise AssertionError("the commit has more writes than STEPS")
    assert outcomes == {False, True}


def test_readers_see_all_of_a_commit_or_nothing_at_each_of_its_writes(place: Place) -> None:
    old, new = expected(place)
    place.open().commit(FIRST)
    reader, views = place.open(), []
    fate = Fate(after=lambda _: views.append(seen(reader)))
    store = place.open(fate)
    fate.armed = True
    store.commit(SECOND)
    assert [view for view in views if view not in (old, new)] == []
    turn = views.index(new)
    assert views == [old] * turn + [new] * (len(views) - turn)
    assert 0 < turn < len(views)


def a_plain_commit(store: MongoStore) -> None:
    put(store, doc("other"))


def a_conflicting_commit(store: MongoStore) -> None:
    put(store, doc("a", 2, at=T0 + 5, uniques=["u|x"], text="other"))


def a_recovery(store: MongoStore) -> None:
    store.sweep()


def a_recovery_long_after(store: MongoStore) -> None:
    Intents(store._database, 0.0, lambda: T0 * 2 + GRACE_MS * 2).recover()


@pytest.mark.parametrize("action", [a_plain_commit, a_conflicting_commit, a_recovery, a_recovery_long_after])
def test_another_process_may_act_between_any_two_writes(place: Place, action: Callable[[MongoStore], None]) -> None:
    for step in place.steps():
        fresh = Place(place.client, f"{place.name}_{step}")
        fresh.open().commit(FIRST)
        other = fresh.open()
        overtaken: list[DmpError | None] = []

        def act(number: int, step: int = step, other: MongoStore = other, told: Any = overtaken) -> None:
            if number == step:
                try:
                    action(other)
                    told.append(None)
                except DmpError as error:
                    told.append(error)

        fate = Fate(before=act)
        store = fresh.open(fate)
        fate.armed = True
        mine: DmpError | None = None
        try:
            store.commit(SECOND)
        except DmpError as error:
            mine = error
        if not overtaken:
            break
        check_race(fresh, other, mine, overtaken[0], action)
    else:
        raise AssertionError("the commit has more writes than STEPS")


def check_race(
    place: Place, store: MongoStore, mine: DmpError | None, theirs: DmpError | None, action: Callable[..., None]
) -> None:
    """Whoever won, nothing is lost, nothing is doubled, and both see the same."""
    assert_clean(place)
    assert seen(store) == seen(place.open())
    history = store.history(HistoryQuery(count=100)).versions
    assert len({version.seq for version in history}) == len(history)
    assert history[0].seq <= store.sequence()
    if action is a_conflicting_commit:
        assert sorted(isinstance(error, VersionConflict) for error in (mine, theirs)) == [False, True]
        assert [v.version for v in history if v.id == "a"] == [2, 1]
        current = store.read(key("a"))
        assert current is not None
        assert (b"other" in current.body) is (theirs is None)
        assert store.holder("u|a") == key("c" if theirs else "zz") if theirs else store.holder("u|a") is None
    else:
        assert (mine, theirs) == (None, None)
        assert store.holder("u|a2") == key("a")
        assert [one.id for _, one in store.audit(AuditQuery()).records] == ["r2", "r1"]
        assert len(history) == 7 + (action is a_plain_commit)


def test_dead_rows_stay_for_slow_readers_and_then_go(place: Place) -> None:
    store = place.open()
    put(store, doc("a"))
    with store._view() as view:
        put(store, *(doc("a", n) for n in range(2, 5)))
        found = store._reader_of(view).read_many([key("a")])
        assert [version.version for version in found.values()] == [1]
    assert len(place.rows(DOC)) == 4
    Intents(store._database, 0.0, lambda: 10**15).recover()
    assert [row["v"] for row in place.rows(DOC)] == [4]
    assert len(place.rows("history")) == 4


def test_a_process_buries_its_own_dead_rows_in_time(place: Place) -> None:
    store = place.open()
    clock = [T0]
    intents = store._door._intents
    assert intents is not None
    intents._now_ms = lambda: clock[0]
    put(store, doc("a"), doc("a", 2))
    clock[0] += GRACE_MS + 1
    put(store, doc("b"))
    assert sorted(row["i"] for row in place.rows(DOC)) == ["a", "b"]


def test_two_processes_lose_no_update(place: Place) -> None:
    stores = [place.open(patience_s=2.0), place.open(patience_s=2.0)]
    put(stores[0], doc("a"))

    def update(number: int) -> list[int]:
        made: list[int] = []
        store = stores[number % 2]
        while len(made) < 5:
            current = store.read(key("a"))
            assert current is not None
            try:
                put(store, doc("a", current.version + 1))
                made.append(current.version + 1)
            except VersionConflict:
                continue
        return made

    with ThreadPoolExecutor(4) as pool:
        made = sorted(version for versions in pool.map(update, range(4)) for version in versions)
    assert made == list(range(2, 22))
    assert_clean(place)
