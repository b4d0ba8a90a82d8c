"""The contract of a store, first part: versions and the one door. Every sentence of ports/store.py is a test here.

Searches are in test_contract_search.py, history in test_contract_history.py, audit and contents in
test_contract_trail.py, the comparison with the reference in test_contract_reference.py.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from fhir_dmp.errors import (
    ClaimLost,
    DmpError,
    DuplicateKey,
    KeyHolder,
    NotImplementedHere,
    StaleVersion,
    VersionConflict,
)
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.ports import MARK, AuditQuery, Claim, Commit, HistoryQuery, Key, Require, ResourceStore, Version, Write
from fhir_dmp.search.query import Everything, Term
from fhir_dmp.search.terms import Terms
from tests.store.samples import DOC, T0, body_of, doc, gone, key, put, record, refusal


def test_what_is_read_is_byte_for_byte_what_was_written(store: ResourceStore) -> None:
    for text in ("", "court", "é" * 5000):
        id_ = f"a{len(text)}"
        put(store, doc(id_, text=text, patient="Patient/p1"))
        version = store.read(key(id_))
        assert version is not None
        assert version.body == body_of(DOC, id_, 1, text)
        assert (version.type, version.id, version.version) == (DOC, id_, 1)
        assert (version.updated_ms, version.method, version.deleted) == (T0, "POST", False)
        assert (version.blob, version.patient) == (None, "Patient/p1")


def test_a_commit_returns_its_versions_as_a_read_gives_them(store: ResourceStore) -> None:
    (made,) = put(store, doc("a", patient="Patient/p1"))
    assert store.read(key("a")) == made
    assert store.read_version(key("a"), 1) == made


def test_what_never_existed_is_none(store: ResourceStore) -> None:
    put(store, doc("a"))
    assert store.read(key("b")) is None
    assert store.read(Key("Patient", "a")) is None
    assert store.read_version(key("a"), 2) is None
    assert store.read_version(key("a"), 0) is None
    assert store.read_version(key("b"), 1) is None


def test_every_version_stays_readable(store: ResourceStore) -> None:
    made = put(store, *(doc("a", n, at=T0 + n, text=str(n)) for n in range(1, 5)))
    assert [store.read_version(key("a"), n) for n in range(1, 5)] == made
    assert store.read(key("a")) == made[-1]


def test_a_deletion_leaves_a_tombstone_and_the_old_versions(store: ResourceStore) -> None:
    first, second = put(store, doc("a"), gone("a", 2, at=T0 + 5))
    assert store.read(key("a")) == second
    assert (second.deleted, second.body, second.method, second.version) == (True, b"", "DELETE", 2)
    assert store.read_version(key("a"), 1) == first
    assert store.read_version(key("a"), 2) == second


def test_a_deleted_resource_is_brought_back_by_a_next_version(store: ResourceStore) -> None:
    put(store, doc("a"), gone("a", 2))
    assert isinstance(refusal(store, Commit(writes=(doc("a"),))), VersionConflict)
    put(store, doc("a", 3))
    assert store.count((DOC,), Everything()) == 1


def test_many_are_read_at_once_tombstones_included(store: ResourceStore) -> None:
    a, b, *_ = put(store, doc("a"), doc("b", type_="List"), doc("c"))
    (tomb,) = put(store, gone("c", 2))
    asked = [key("a"), Key("List", "b"), key("c"), key("a"), key("absent")]
    assert store.read_many(asked) == {key("a"): a, Key("List", "b"): b, key("c"): tomb}
    assert store.read_many([]) == {}


def test_a_write_must_follow_the_current_version(store: ResourceStore) -> None:
    put(store, doc("a"), doc("a", 2))
    for version, expected in ((1, 0), (2, 1), (4, 3)):
        error = refusal(store, Commit(writes=(doc("a", version),), audit=(record("r"),)))
        assert isinstance(error, VersionConflict)
        assert error.stale == StaleVersion(DOC, "a", expected, 2)
    error = refusal(store, Commit(writes=(doc("b", 2),)))
    assert isinstance(error, VersionConflict)
    assert error.stale == StaleVersion(DOC, "b", 1, None)
    assert store.audit(AuditQuery()).records == ()
    assert [v.version for v in store.history(HistoryQuery()).versions] == [2, 1]


def test_sequences_increase_and_are_visible(store: ResourceStore) -> None:
    assert store.sequence() == 0
    seen = []
    for number in range(5):
        (version,) = put(store, doc(f"a{number}"))
        assert store.sequence() == version.seq
        seen.append(version.seq)
    assert seen == sorted(set(seen))
    assert seen[0] > 0


def test_each_write_of_a_commit_has_its_own_sequence_in_order(atomic: ResourceStore) -> None:
    versions = atomic.commit(Commit(writes=(doc("b"), doc("a"), doc("c"))))
    assert [v.id for v in versions] == ["b", "a", "c"]
    assert versions[0].seq < versions[1].seq < versions[2].seq == atomic.sequence()


def test_a_commit_is_applied_entirely_or_not_at_all(atomic: ResourceStore) -> None:
    put(atomic, doc("taken", uniques=["u|1"]))
    before = atomic.sequence()
    content = Blob(hashlib.sha256(b"x").hexdigest(), b"", 1, b"x")
    for bad in (doc("taken"), doc("new2", uniques=["u|1"]), doc("absent", 2)):
        writes: tuple[Write, ...] = (doc("new", tokens=["t=c:1"]), gone("taken", 2), bad)
        if bad.terms.uniques:
            writes = (writes[0], bad)
        error = refusal(
            atomic, Commit(writes=writes, blobs=(content,), audit=(record("r"),), claims=(Claim("k", before),))
        )
        assert isinstance(error, (VersionConflict, DuplicateKey))
    assert atomic.read(key("new")) is None
    assert atomic.find(DOC, Term("t=c:1"), 10) == []
    assert atomic.read_version(key("taken"), 2) is None
    assert atomic.holder("u|1") == key("taken")
    assert atomic.audit(AuditQuery()).records == ()
    assert atomic.blobs.size(content.sha256) is None
    assert atomic.sequence() == before
    atomic.commit(Commit(claims=(Claim("k", before),)))


def test_a_store_without_transactions_refuses_several_writes(store: ResourceStore) -> None:
    if store.transactional:
        assert len(store.commit(Commit(writes=(doc("a"), doc("b"))))) == 2
    else:
        assert isinstance(refusal(store, Commit(writes=(doc("a"), doc("b")))), NotImplementedHere)
        assert store.read(key("a")) is None


def test_a_requirement_holds_or_nothing_is_written(store: ResourceStore) -> None:
    put(store, doc("a"), doc("a", 2), doc("d"), gone("d", 2))
    for id_, version, current in (("a", 1, 2), ("a", 0, 2), ("d", 1, 2), ("x", 1, None)):
        error = refusal(store, Commit(writes=(doc("new"),), requires=(Require(key(id_), version),)))
        assert isinstance(error, VersionConflict)
        assert error.stale == StaleVersion(DOC, id_, version, current)
        assert store.read(key("new")) is None
    requires = (Require(key("a"), 2), Require(key("d"), 2), Require(key("x"), 0))
    store.commit(Commit(writes=(doc("new"),), requires=requires))
    assert store.read(key("new")) is not None


def test_a_unique_key_has_one_holder(store: ResourceStore) -> None:
    put(store, doc("a", uniques=["oid|1", "oid|2"]))
    assert store.holder("oid|1") == key("a")
    assert store.holder("oid|3") is None
    error = refusal(store, Commit(writes=(doc("b", type_="List", uniques=["oid|3", "oid|2"]),)))
    assert isinstance(error, DuplicateKey)
    assert (error.key, error.holder) == ("oid|2", KeyHolder(DOC, "a"))
    assert store.holder("oid|3") is None


def test_a_unique_key_follows_updates_and_is_freed_by_a_deletion(store: ResourceStore) -> None:
    put(store, doc("a", uniques=["u|1", "u|2"]), doc("a", 2, uniques=["u|2", "u|3"]))
    assert [store.holder(f"u|{n}") for n in (1, 2, 3)] == [None, key("a"), key("a")]
    put(store, doc("b", uniques=["u|1"]), gone("a", 3), doc("c", uniques=["u|2"]))
    assert [store.holder(f"u|{n}") for n in (1, 2, 3)] == [key("b"), key("c"), None]


def test_a_commit_may_take_the_key_that_it_frees_first(atomic: ResourceStore) -> None:
    put(atomic, doc("a", uniques=["u|1"]))
    atomic.commit(Commit(writes=(gone("a", 2), doc("b", uniques=["u|1"]))))
    assert atomic.holder("u|1") == key("b")
    error = refusal(atomic, Commit(writes=(doc("c", uniques=["u|9"]), doc("d", uniques=["u|9"]))))
    assert isinstance(error, DuplicateKey)
    assert error.holder == KeyHolder(DOC, "c")


def test_a_claim_is_lost_to_a_later_commit_only(store: ResourceStore) -> None:
    seen = store.sequence()
    store.commit(Commit(writes=(doc("a"),), claims=(Claim("criterion", seen),)))
    assert isinstance(refusal(store, Commit(writes=(doc("b"),), claims=(Claim("criterion", seen),))), ClaimLost)
    assert store.read(key("b")) is None
    store.commit(Commit(writes=(doc("b"),), claims=(Claim("other", seen),)))
    store.commit(Commit(writes=(doc("c"),), claims=(Claim("criterion", store.sequence()),)))
    assert store.read(key("c")) is not None


def test_a_claim_without_writes_counts_as_a_commit(store: ResourceStore) -> None:
    seen = store.sequence()
    store.commit(Commit(claims=(Claim("criterion", seen),)))
    assert store.sequence() > seen
    assert isinstance(refusal(store, Commit(claims=(Claim("criterion", seen),))), ClaimLost)


def test_marks_are_never_lost_and_stamp_their_commit(store: ResourceStore) -> None:
    assert store.stamps(("m", "n")) == (0, 0)
    for number in range(3):
        store.commit(Commit(writes=(doc(f"a{number}"),), claims=(Claim("m", MARK),)))
    first = store.stamps(("n", "m"))
    assert first[0] == 0
    assert 0 < first[1] <= store.sequence()
    store.commit(Commit(writes=(doc("b"),), claims=(Claim("n", MARK),)))
    second = store.stamps(("n", "m"))
    assert second[0] > first[1]
    assert second[1] == first[1]
    store.commit(Commit(writes=(doc("c"),)))
    assert store.stamps(("n", "m")) == second


@pytest.mark.statement("fhir-rest C63")
def test_of_many_racing_claims_one_wins(store: ResourceStore) -> None:
    threads = 16
    barrier, seen = Barrier(threads), store.sequence()

    def create(number: int) -> bool:
        barrier.wait()
        try:
            store.commit(Commit(writes=(doc(f"a{number}"),), claims=(Claim("criterion", seen),)))
        except ClaimLost:
            return False
        return True

    with ThreadPoolExecutor(threads) as pool:
        assert sum(pool.map(create, range(threads))) == 1
    assert store.count((DOC,), Everything()) == 1


@pytest.mark.statement("fhir-rest C61")
def test_sixteen_threads_lose_no_update(store: ResourceStore) -> None:
    threads, rounds = 16, 4
    put(store, doc("a"))

    def update(number: int) -> list[int]:
        made: list[int] = []
        while len(made) < rounds:
            current = store.read(key("a"))
            assert current is not None
            try:
                store.commit(Commit(writes=(doc("a", current.version + 1, text=f"{number}"),)))
                made.append(current.version + 1)
            except VersionConflict:
                continue
        return made

    with ThreadPoolExecutor(threads) as pool:
        made = sorted(version for versions in pool.map(update, range(threads)) for version in versions)
    assert made == list(range(2, threads * rounds + 2))
    history = store.history(HistoryQuery(type=DOC, id="a", count=1000)).versions
    assert [v.version for v in history] == list(range(threads * rounds + 1, 0, -1))


@pytest.mark.statement("fhir-rest C60")
def test_of_two_equal_updates_exactly_one_succeeds(store: ResourceStore) -> None:
    put(store, doc("a"))
    barrier = Barrier(8)

    def update(number: int) -> bool:
        barrier.wait()
        try:
            store.commit(Commit(writes=(doc("a", 2, text=str(number)),)))
        except VersionConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(update, range(8))) == 1


def test_a_failed_commit_does_not_spoil_its_neighbours(store: ResourceStore) -> None:
    put(store, doc("taken", uniques=["u|1"]))
    barrier = Barrier(8)

    def write(number: int) -> DmpError | None:
        barrier.wait()
        uniques = ["u|1"] if number % 2 else []
        try:
            store.commit(Commit(writes=(doc(f"a{number}", uniques=uniques, tokens=[f"n=c:{number}"]),)))
        except DmpError as error:
            return error
        return None

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(write, range(8)))
    assert [isinstance(result, DuplicateKey) for result in results] == [bool(n % 2) for n in range(8)]
    assert [len(store.find(DOC, Term(f"n=c:{n}"), 5)) for n in range(8)] == [1 - n % 2 for n in range(8)]


def test_types_count_current_resources(store: ResourceStore) -> None:
    put(store, doc("a"), doc("b"), doc("b", 2), doc("c"), gone("c", 2), doc("p", type_="Patient"))
    assert store.types() == {DOC: 2, "Patient": 1}


def test_the_store_answers(store: ResourceStore) -> None:
    store.ping()


def test_reindex_replaces_terms_in_steps_and_can_restart(store: ResourceStore) -> None:
    put(store, *(doc(f"a{n:02}", tokens=["old=c:1"], uniques=[f"u|{n}"]) for n in range(10)), doc("p", type_="Patient"))
    put(store, gone("a03", 2))

    def terms(version: Version) -> Terms:
        return Terms(tokens=("new=c:1",), uniques=(f"v|{version.id}",), patient="Patient/p")

    steps = [store.reindex(DOC, terms, None, 4)]
    assert steps == ["a04"]
    assert len(store.find(DOC, Term("new=c:1"), 100)) == 4
    assert store.reindex(DOC, terms, None, 4) == "a04"
    steps.append(store.reindex(DOC, terms, "a04", 4))
    steps.append(store.reindex(DOC, terms, "a08", 4))
    assert steps == ["a04", "a08", None]
    assert store.reindex(DOC, terms, "zz", 4) is None
    assert len(store.find(DOC, Term("new=c:1"), 100)) == 9
    assert store.find(DOC, Term("old=c:1"), 100) == []
    assert (store.holder("u|2"), store.holder("v|a02")) == (None, key("a02"))
    version = store.read(key("a02"))
    assert version is not None
    assert (version.version, version.patient) == (1, "Patient/p")
    assert store.find("Patient", Term("new=c:1"), 5) == []


def test_reindex_keeps_what_only_the_moment_of_writing_knew(store: ResourceStore) -> None:
    put(store, doc("a", tokens=["old=c:1", "~creator=x"]), doc("b", tokens=["old=c:1"]))
    assert store.reindex(DOC, lambda version: Terms(tokens=("new=c:1",)), None, 10) is None
    assert store.find(DOC, Term("~creator=x"), 5) == ["a"]
    assert sorted(store.find(DOC, Term("new=c:1"), 5)) == ["a", "b"]
    assert store.find(DOC, Term("old=c:1"), 5) == []
