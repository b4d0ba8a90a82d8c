"""Several processes on one file, and processes that die in the middle of a commit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fhir_dmp.ports import AuditQuery, HistoryQuery, Key
from fhir_dmp.search.query import Everything, Term
from fhir_dmp.store.sqlite import open_sqlite
from tests.store.samples import DOC, doc, put

ROOT = Path(__file__).resolve().parents[3]

#: Writes until it has made `count` commits (0: until it dies) and prints each id once it is acknowledged.
WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Lock
from fhir_dmp.errors import VersionConflict
from fhir_dmp.ports import Commit, Key
from fhir_dmp.store.sqlite import open_sqlite
from tests.store.samples import doc, record

path, name, most = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store, says = open_sqlite(path), Lock()

def write(number):
    id_ = f"{name}-{number}"
    terms = [f"writer=c:{name}", f"patient=r:Patient/{number % 7}", f"identifier=c:{id_}"]
    store.commit(Commit(writes=(doc(id_, tokens=terms, uniques=[id_], words=(("_text", id_),)),
                                doc(id_, type_="List", tokens=terms)), audit=(record(id_),)))
    while True:
        shared = store.read(Key("Basic", "shared"))
        version = 1 if shared is None else shared.version + 1
        try:
            store.commit(Commit(writes=(doc("shared", version, type_="Basic", text=id_),)))
            break
        except VersionConflict:
            continue
    with says:
        print(id_, version, flush=True)

with ThreadPoolExecutor(4) as pool:
    numbers = range(most) if most else count()
    batch = []
    for number in numbers:
        batch.append(pool.submit(write, number))
        if len(batch) >= 16:
            batch.pop(0).result()
    for future in batch:
        future.result()
store.close()
"""


def start(path: Path, name: str, count: int = 0) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def acknowledged(output: str) -> list[tuple[str, int]]:
    """Return the whole lines that a writer printed."""
    lines = output.rpartition("\n")[0].splitlines()
    return [(id_, int(version)) for id_, version in (line.split() for line in lines)]


@pytest.mark.slow
def test_two_processes_write_at_once_and_lose_nothing(path: Path) -> None:
    count = 60
    writers = [start(path, name, count) for name in ("one", "two")]
    outputs = [writer.communicate(timeout=90)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    store = open_sqlite(path)
    versions = sorted(version for output in outputs for _, version in acknowledged(output))
    assert versions == list(range(1, 2 * count + 1))
    assert [store.count((DOC, "List"), Term(f"writer=c:{name}")) for name in ("one", "two")] == [2 * count] * 2
    sequences = [v.seq for v in store.history(HistoryQuery(count=10_000)).versions]
    assert sequences == list(range(6 * count, 0, -1))
    assert len(store.audit(AuditQuery(count=1000)).records) == 2 * count
    assert store.verify() == []
    store.close()


@pytest.mark.slow
def test_a_reader_sees_what_another_process_commits(path: Path) -> None:
    store = open_sqlite(path)
    assert store.count((DOC,), Everything()) == 0
    with start(path, "one", 5) as writer:
        seen = [id_ for id_, _ in acknowledged(writer.communicate(timeout=60)[0])]
    assert len(seen) == 5
    assert all(store.read(Key(DOC, id_)) is not None for id_ in seen)
    assert store.count((DOC,), Everything()) == 5
    store.close()


@pytest.mark.slow
def test_every_acknowledged_write_survives_kill_9(path: Path) -> None:
    kept: list[tuple[str, int]] = []
    for number in range(5):
        with start(path, f"w{number}") as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(0.05 + 0.11 * number)
            writer.send_signal(signal.SIGKILL)
            kept += acknowledged(first + writer.stdout.read())
        store = open_sqlite(path)
        shared = store.read(Key("Basic", "shared"))
        assert shared is not None
        assert shared.version >= max(version for _, version in kept)
        for id_, version in kept:
            assert store.holder(id_) == Key(DOC, id_)
            assert store.find("List", Term(f"identifier=c:{id_}"), 5) == [id_]
            assert store.audit_record(id_) is not None
            assert store.read_version(Key("Basic", "shared"), version) is not None
        # A commit is whole or absent, acknowledged or not.
        assert store.count((DOC,), Everything()) == store.count(("List",), Everything())
        assert store.verify() == []
        store.close()
    assert len(kept) > 20


@pytest.mark.skipif(os.name != "posix", reason="modes of files are a matter of POSIX")
def test_a_new_store_is_its_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        store = open_sqlite(tmp_path / "var" / "dmp.sqlite3")
    finally:
        os.umask(old)
    put(store, doc("a"))
    found = {file.name: file.stat().st_mode & 0o077 for file in (tmp_path / "var").rglob("*")}
    store.close()
    assert "dmp.sqlite3-wal" in found
    assert not any(found.values()), found
    assert (tmp_path / "var").stat().st_mode & 0o077 == 0


#: Opens the file and closes it again.
VISITOR = """
import sys
from pathlib import Path
from fhir_dmp.store.sqlite import open_sqlite
open_sqlite(Path(sys.argv[1])).close()
"""


def test_a_file_that_is_open_twice_in_a_process_keeps_its_log_when_another_process_leaves(path: Path) -> None:
    stores = [open_sqlite(path), open_sqlite(path)]
    log = path.with_name(path.name + "-wal")
    try:
        put(stores[0], doc("a"))
        subprocess.run([sys.executable, "-c", VISITOR, str(path)], check=True, cwd=ROOT)
        assert log.exists(), "the visitor took itself for the last one: the locks of this process were gone"
        put(stores[0], doc("b"))
        assert stores[1].read(Key(DOC, "b")) is not None
        assert stores[1].verify() == []
    finally:
        for store in stores:
            store.close()
