"""Contents: what is swept and what is not, deduplication, and memory while streaming."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from fhir_dmp.errors import Unavailable
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.ports import Commit
from fhir_dmp.store.mongo.blobs import INLINE_LIMIT, SWEEP_AFTER_MS, MongoBlobs
from fhir_dmp.store.mongo.store import MongoStore
from tests.store.mongo import servers
from tests.store.samples import doc

BIG = Random(3).randbytes(INLINE_LIMIT + 1000)


@pytest.fixture(params=["mongomock", "mongo-wire"])
def store(request: pytest.FixtureRequest) -> Iterator[MongoStore]:
    opened = servers.open_mongomock(10) if request.param == "mongomock" else servers.open_ferretdb(10)
    yield opened
    opened.close()


def staged(store: MongoStore, data: bytes) -> Blob:
    return store.blobs.stage(data[at : at + 100_000] for at in range(0, len(data), 100_000))


def binary(store: MongoStore, id_: str, blob: Blob) -> None:
    store.commit(Commit(writes=(replace(doc(id_, type_="Binary"), blob=blob.sha256),), blobs=(blob,)))


def later(store: MongoStore) -> MongoBlobs:
    """Return the contents as the sweep of the day after tomorrow sees them."""
    return MongoBlobs(store._database, lambda: MongoBlobs(store._database)._now_ms() + 2 * SWEEP_AFTER_MS)


def kept(store: MongoStore) -> list[int]:
    names = ("blobs", "blob_bytes", "contents.files", "contents.chunks")
    return [store._database[name].count_documents({}) for name in names]


def test_the_sweep_removes_only_what_nothing_refers_to(store: MongoStore) -> None:
    small, big, orphan = staged(store, b"small"), staged(store, BIG), staged(store, BIG[::-1])
    binary(store, "a", small)
    binary(store, "b", big)
    store.commit(Commit(blobs=(staged(store, b"unreferenced"),)))
    store.blobs.put([staged(store, b"refused")])
    assert kept(store)[:3] == [4, 3, 2]
    assert store.sweep() == 0
    assert kept(store)[:3] == [4, 3, 2]
    assert later(store).sweep() == 2
    assert kept(store)[:3] == [2, 1, 1]
    assert b"".join(store.blobs.read(small.sha256)) == b"small"
    assert b"".join(store.blobs.read(big.sha256)) == BIG
    assert store.blobs.size(orphan.sha256) is None
    assert later(store).sweep() == 0


def test_an_upload_that_broke_off_is_swept(store: MongoStore) -> None:
    def broken() -> Iterator[bytes]:
        yield BIG
        raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        store.blobs.stage(broken())
    assert kept(store)[3] > 0
    later(store).sweep()
    assert kept(store) == [0, 0, 0, 0]


def test_the_same_big_content_is_kept_once(store: MongoStore) -> None:
    first, second = staged(store, BIG), staged(store, BIG)
    assert first == second
    assert first.data is None
    assert kept(store)[:3] == [1, 0, 1]


def test_a_content_that_was_swept_meanwhile_must_be_sent_again(store: MongoStore) -> None:
    big = staged(store, BIG)
    later(store).sweep()
    with pytest.raises(Unavailable, match="send it again"):
        binary(store, "a", big)
    binary(store, "a", staged(store, BIG))


def test_a_content_that_is_used_again_is_not_swept(store: MongoStore) -> None:
    store.commit(Commit(blobs=(staged(store, b"x"),)))
    old = MongoBlobs(store._database, lambda: 0)
    old.keep([staged(store, b"x")])
    binary(store, "a", staged(store, b"x"))
    assert store.sweep() == 0
    assert store.blobs.size(staged(store, b"x").sha256) == 1


def test_a_content_streams_through_little_memory() -> None:
    store = servers.open_ferretdb(10)
    piece, pieces = Random(5).randbytes(64 * 1024), 320  # 20 MB
    tracemalloc.start()
    blob = store.blobs.stage(piece for _ in range(pieces))
    total = sum(len(chunk) for chunk in store.blobs.read(blob.sha256))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == blob.size == 64 * 1024 * pieces
    assert peak < 16 * 1024 * 1024
    store.close()
