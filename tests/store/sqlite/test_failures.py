"""What happens when the disk is full, the file is locked, newer, or something else; and in a group of commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from fhir_dmp.errors import ClaimLost, ConfigurationError, StoreUnavailable, VersionConflict
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.ports import AuditQuery, Claim, Commit, Key, Version
from fhir_dmp.search.query import Everything
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.sqlite import Limits, SqliteStore, open_sqlite
from fhir_dmp.store.sqlite.apply import Applier
from fhir_dmp.store.sqlite.schema import VERSION
from tests.store.samples import DOC, doc, gone, key, put, record


def full_after(store: SqliteStore, pages: int) -> None:
    """Let the disk be full once the database has grown by so many pages."""
    con = store._writer._con
    used = con.execute("PRAGMA page_count").fetchone()[0]
    con.execute(f"PRAGMA max_page_count = {used + pages}")


def big(id_: str) -> Commit:
    """Return a commit that needs many pages."""
    blob = Blob("ab" * 32, b"", 400_000, bytes(range(256)) * 1600)
    incompressible = replace(blob, data=b"".join(str(n * 7919 % 100003).encode() for n in range(80_000)))
    return Commit(writes=(doc(id_),), blobs=(incompressible,), audit=(record(id_),))


def test_a_full_disk_refuses_the_commit_and_writes_nothing(sqlite: SqliteStore) -> None:
    put(sqlite, doc("a"))
    full_after(sqlite, 3)
    with pytest.raises(StoreUnavailable) as caught:
        sqlite.commit(big("b"))
    assert caught.value.status == 503
    assert "SQLITE_FULL" in caught.value.issues[0].diagnostics
    assert sqlite.read(key("b")) is None
    assert sqlite.audit(AuditQuery()).records == ()
    full_after(sqlite, 10_000)
    sqlite.commit(big("b"))
    assert sqlite.count((DOC,), Everything()) == 2
    assert sqlite.verify() == []


def hold_the_lead(store: SqliteStore) -> tuple[Event, Event, Callable[[Applier], tuple[Version, ...]]]:
    """Return a task that stays in its transaction until told, so that others queue behind it as one group."""
    started, release = Event(), Event()

    def task(_: Applier) -> tuple[Version, ...]:
        started.set()
        assert release.wait(10)
        return ()

    return started, release, task


def as_one_group(store: SqliteStore, commits: list[Commit]) -> list[BaseException | None]:
    """Commit all at once, in one group, and return how each ended."""
    started, release, task = hold_the_lead(store)

    def run(commit: Commit) -> BaseException | None:
        try:
            store.commit(commit)
        except Exception as error:
            return error
        return None

    with ThreadPoolExecutor(len(commits) + 1) as pool:
        leader = pool.submit(store._writer.commit, task)
        assert started.wait(10)
        waiting = [pool.submit(run, commit) for commit in commits]
        while len(store._writer._groups._queue) < len(commits):
            pass
        release.set()
        leader.result()
        return [future.result() for future in waiting]


def test_commits_that_queue_share_a_transaction_and_fail_alone(sqlite: SqliteStore) -> None:
    put(sqlite, doc("a"), doc("u", uniques=["k"]))
    seen: list[str] = []
    sqlite._writer._con.set_trace_callback(seen.append)
    ends = as_one_group(
        sqlite,
        [
            Commit(writes=(doc("b"),), audit=(record("r1"),)),
            Commit(writes=(doc("c"), doc("a")), audit=(record("r2"),)),
            Commit(writes=(doc("d"), doc("d", 2))),
        ],
    )
    assert seen.count("BEGIN IMMEDIATE") == 2
    assert [type(end) for end in ends] == [type(None), VersionConflict, type(None)]
    assert [sqlite.read(key(id_)) is not None for id_ in "bcd"] == [True, False, True]
    assert [one.id for _, one in sqlite.audit(AuditQuery()).records] == ["r1"]
    assert sqlite.sequence() == 5
    assert sqlite.verify() == []


def test_a_commit_that_does_not_fit_lets_its_neighbours_in(sqlite: SqliteStore) -> None:
    put(sqlite, doc("a"))
    full_after(sqlite, 12)
    ends = as_one_group(sqlite, [Commit(writes=(doc("b"),)), big("c"), Commit(writes=(doc("d"),))])
    assert [type(end) for end in ends] == [type(None), StoreUnavailable, type(None)]
    assert [sqlite.read(key(id_)) is not None for id_ in "bcd"] == [True, False, True]


def test_a_defect_in_one_commit_is_its_own(sqlite: SqliteStore) -> None:
    strange = replace(doc("b"), updated_ms=2**70)
    ends = as_one_group(sqlite, [Commit(writes=(doc("a"),)), Commit(writes=(strange,)), Commit(writes=(doc("c"),))])
    assert [type(end) for end in ends] == [type(None), OverflowError, type(None)]
    assert sqlite.count((DOC,), Everything()) == 2


def test_a_file_locked_by_another_program_is_unavailable_for_writing_only(path: Path) -> None:
    store = open_sqlite(path, Limits(busy_ms=50))
    try:
        put(store, doc("a"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable) as caught:
            store.commit(Commit(writes=(doc("b"),)))
        assert "SQLITE_BUSY" in caught.value.issues[0].diagnostics
        assert store.read(key("a")) is not None
        store.ping()
        other.execute("ROLLBACK")
        other.close()
        put(store, doc("b"))
    finally:
        store.close()


def test_a_closed_store_is_unavailable(path: Path) -> None:
    store = open_sqlite(path)
    store.close()
    for call in (
        lambda: store.ping(),
        lambda: store.read(key("a")),
        lambda: store.commit(Commit(audit=(record("r"),))),
    ):
        with pytest.raises(StoreUnavailable):
            call()


def test_a_damaged_table_is_unavailable_not_a_crash(path: Path) -> None:
    store = open_sqlite(path)
    try:
        store._writer._con.execute("DROP TABLE doc")
        with pytest.raises(StoreUnavailable):
            store.read(key("a"))
        with pytest.raises(StoreUnavailable):
            store.commit(Commit(writes=(doc("a"),)))
    finally:
        store.close()


def test_a_content_that_vanished_before_its_commit_is_refused(sqlite: SqliteStore) -> None:
    with pytest.raises(StoreUnavailable, match="Send it again"):
        sqlite.commit(Commit(writes=(doc("a"),), blobs=(Blob("cd" * 32, b"", 9_000_000),)))
    assert sqlite.read(key("a")) is None


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (f"PRAGMA user_version = {VERSION + 1}", "newer release"),
        ("CREATE TABLE other (x)", "another program"),
    ],
)
def test_a_file_that_is_not_ours_stops_the_start(path: Path, prepare: str, words: str) -> None:
    con = sqlite3.connect(path)
    con.execute(prepare)
    con.commit()
    con.close()
    with pytest.raises(ConfigurationError, match=words):
        open_sqlite(path)


def test_a_path_that_is_no_database_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"This is no database, and it is long enough to be one." * 50)
    for path in (tmp_path / "x", tmp_path):
        with pytest.raises(ConfigurationError, match=r"store\.url: cannot be opened"):
            open_sqlite(path)


def test_opening_again_keeps_everything(path: Path) -> None:
    store = open_sqlite(path)
    (made,) = put(store, doc("a", tokens=["s=c:x"]))
    store.close()
    assert not path.with_name(path.name + "-wal").exists()
    store = open_sqlite(path)
    assert store.read(key("a")) == made
    assert store.sequence() == made.seq
    assert put(store, doc("b"))[0].seq == made.seq + 1
    store.close()


def damage(store: SqliteStore, statement: str) -> list[str]:
    store._writer._con.execute(statement)
    return store.verify()


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("DELETE FROM tok", "tok lacks an index row"),
        ("INSERT INTO tok VALUES (1, 1)", "tok: 3 rows, 2 expected"),
        ("UPDATE tl SET date = 5", "tl lacks an index row"),
        ("DELETE FROM span", "span lacks an index row"),
        ("DELETE FROM str", "str lacks an index row"),
        ("INSERT INTO fts (fts) VALUES ('delete-all')", "fts lacks an index row"),
        ("DELETE FROM uq", "a unique key is not reserved"),
        ("DELETE FROM hist", "history has a gap"),
        ("UPDATE hist SET until = 1", "does not end where"),
        ("DELETE FROM doc", "body or terms are missing"),
        ("UPDATE res SET date = 3", "sort values or patient differ"),
        ("INSERT INTO doc VALUES (99, x'00')", "doc: 1 rows without a resource"),
        ("UPDATE meta SET value = 1 WHERE name = 'seq'", "the sequence is behind"),
        (f"UPDATE res SET blob = '{'ef' * 32}'", "missing or incomplete"),
    ],
)
def test_the_self_check_finds_each_kind_of_damage(sqlite: SqliteStore, statement: str, finding: str) -> None:
    full = doc(
        "a",
        tokens=["s=c:x", "t=c:y", "patient=r:Patient/p"],
        strings=(("n", "x"),),
        spans=(("d", 1, 2),),
        words=(("_text", "un mot"),),
        uniques=["k"],
        sort={"date": (1, 2)},
    )
    put(sqlite, full, replace(full, version=2))
    assert sqlite.verify() == []
    assert any(finding in problem for problem in damage(sqlite, statement))


def test_the_self_check_compares_terms_with_bodies(sqlite: SqliteStore) -> None:
    put(sqlite, doc("a", tokens=["s=c:x"]), doc("b", tokens=["s=c:y"]), doc("c"), gone("c", 2))

    def terms(version: Version) -> Terms:
        return Terms(tokens=("s=c:x",))

    assert sqlite.verify(terms) == [f"{DOC}/b: the stored terms are not those of the body (reindex)"]


def test_contents_that_nobody_refers_to_are_swept(sqlite: SqliteStore) -> None:
    kept = [sqlite.blobs.stage(iter([b"small"])), sqlite.blobs.stage(iter([b"x" * 5_000_000]))]
    loose = [sqlite.blobs.stage(iter([b"loose"])), sqlite.blobs.stage(iter([b"y" * 5_000_000]))]
    for number, blob in enumerate(kept):
        sqlite.commit(Commit(writes=(replace(doc(f"b{number}", type_="Binary"), blob=blob.sha256),), blobs=(blob,)))
    put(sqlite, replace(doc("b0", 2, type_="Binary"), blob=None))
    sqlite.commit(Commit(blobs=tuple(loose)))
    assert sqlite.sweep(older_than_s=3600) == 1
    assert sqlite.sweep(older_than_s=-1) == 1
    assert [sqlite.blobs.size(blob.sha256) for blob in kept] == [5, 5_000_000]
    assert [sqlite.blobs.size(blob.sha256) for blob in loose] == [None, None]
    assert sqlite.read(Key("Binary", "b1")) is not None
    assert sqlite.verify() == []


def test_old_claims_are_forgotten_without_being_forgiven(path: Path) -> None:
    store = open_sqlite(path, Limits(claims_kept=3))
    try:
        store.commit(Commit(claims=(Claim("old", 0),)))
        put(store, *(doc(f"a{n}") for n in range(5)))
        store.commit(Commit(claims=(Claim("young", 0),)))
        store.sweep()
        count = store._writer._con.execute("SELECT count(*) FROM claim").fetchone()[0]
        assert count == 1
        for lost in (Claim("old", 0), Claim("young", 5), Claim("never seen", 1)):
            with pytest.raises(ClaimLost):
                store.commit(Commit(claims=(lost,)))
        store.commit(Commit(claims=(Claim("old", store.sequence()),)))
    finally:
        store.close()
