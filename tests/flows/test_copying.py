"""A whole store copied into another one: nothing is lost, nothing is changed, and an interruption does no harm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fhir_dmp.errors import ConfigurationError
from fhir_dmp.interactions.copying import copy
from fhir_dmp.ports import AuditQuery, Commit, HistoryQuery, Key, Notice, ResourceStore, StateRecord
from fhir_dmp.search.query import Everything
from fhir_dmp.signin import accounts
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.store.sealed import SealedStore
from fhir_dmp.store.sealed.versions import owner_of
from fhir_dmp.store.sqlite import open_sqlite
from tests import samples
from tests.flows import dumps
from tests.flows.test_at_rest import BIG, INS, SECRETS, encrypted, lived
from tests.store.mongo import servers
from tests.world import World, make_world


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A store in clear with a record that had a life, a deleted resource and notices in every state."""
    with closing(open_sqlite(tmp_path_factory.mktemp("source") / "dmp.sqlite3")) as store:
        world = make_world(store)
        dossier = lived(world).dossier
        gone = dossier.submit(content=b"A supprimer.")
        dossier.delete(gone)
        patient = f"Patient/{dossier.id}"
        for name in ("sent", "tried"):
            notice = Notice(name, "new-document", patient, 5, (("n", name),))
            store.commit(Commit(notices=(notice,)))
        store.outbox.settle("sent", "sent", 77)
        store.outbox.defer("tried", 99, 3)
        world.patients[INS] = dossier.id
        yield world


def everything(store: ResourceStore) -> list[Any]:
    """Return every version, oldest first, as it was written."""
    found: list[Any] = []
    before = None
    while True:
        page = store.history(HistoryQuery(count=500, before_seq=before))
        found += [
            (v.type, v.id, v.version, v.updated_ms, v.method, v.deleted, v.blob, v.patient, v.body)
            for v in page.versions
        ]
        before = page.next_seq
        if before is None:
            return found[::-1]


def trail(store: ResourceStore) -> list[Any]:
    """Return every audit record, newest first."""
    return [record for _, record in store.audit(AuditQuery(count=10_000)).records]


def assert_same(source: ResourceStore, target: ResourceStore, patient: str) -> None:
    """Compare all that two stores hold."""
    assert everything(target) == everything(source)
    assert trail(target) == trail(source)
    assert target.types() == source.types()
    assert target.outbox.inbox(patient, 100) == source.outbox.inbox(patient, 100)
    for kind in source.state.kinds():
        there, here = (
            sorted((r.key, r.body, r.expires_ms, r.tags) for r in store.state.listed(kind, 0))
            for store in (target, source)
        )
        assert there == here
    assert target.state.kinds() == source.state.kinds()


@pytest.mark.parametrize("kind", ["encrypted", "mongomock", "clear"])
def test_a_copy_holds_the_same(source: World, kind: str, tmp_path: Path) -> None:
    below = servers.open_mongomock(10_000) if kind == "mongomock" else open_sqlite(tmp_path / "dmp.sqlite3")
    with closing(below):
        target = encrypted(below) if kind == "encrypted" else below
        counts: dict[str, int] = {}
        copy(source.services, target, lambda what, count: counts.update({what: counts.get(what, 0) + count}))
        store = source.services.store
        assert_same(store, target, f"Patient/{source.patients[INS]}")
        assert counts["versions"] == len(everything(store))
        assert counts["audit records"] == len(trail(store))
        assert counts["notices"] >= 3
        if isinstance(target, SealedStore):
            binaries = [target.inner.read(Key("Binary", id_)) for id_ in target.find("Binary", Everything(), 100)]
            assert {owner_of(each) for each in binaries if each} == {f"Patient/{source.patients[INS]}"}
            assert dumps.found(SECRETS, dumps.of_folder(tmp_path)) == set()
        copied = make_world(target)
        copied.patients.update(source.patients)
        mine = f"patient.identifier={samples.INS}|{INS}"
        for query in (mine, f"{mine}&_content=osteodystrophie", f"{mine}&status=superseded"):
            answers = [world.admin.get(f"/DocumentReference?{query}&_sort=date").entries for world in (source, copied)]
            assert answers[0] == answers[1]
            assert answers[0]
        url = copied.admin.get(f"/DocumentReference?{mine}&_sort=date").entries
        contents = [
            copied.doctor().get(each["content"][0]["attachment"]["url"].removeprefix(copied.services.base))
            for each in url
        ]
        assert BIG in [each.body for each in contents]
        assert accounts.of_login("theodule", copied.services.desk) is not None


def test_an_interrupted_copy_goes_on(source: World) -> None:
    target = MemoryStore()

    class Stopped(Exception):
        """The power fails."""

    def stopping(what: str, count: int) -> None:
        raise Stopped

    for _ in range(4):  # each time one piece further
        with pytest.raises(Stopped):
            copy(source.services, target, stopping)
    copy(source.services, target)
    assert_same(source.services.store, target, f"Patient/{source.patients[INS]}")


def test_what_was_copied_but_not_noted_is_not_copied_twice(source: World) -> None:
    target = MemoryStore()
    copy(source.services, target)
    target.state._records.clear()
    target.state.put(source_mark(), 0)
    copy(source.services, target)
    assert_same(source.services.store, target, f"Patient/{source.patients[INS]}")


def source_mark() -> StateRecord:
    """Return the mark of a copy that has noted nothing yet."""
    return StateRecord("copy", "progress", '{"seq": 0, "position": 0}')


def test_a_store_that_holds_something_is_refused(source: World) -> None:
    target = MemoryStore()
    make_world(target).open()
    with pytest.raises(ConfigurationError, match="not empty"):
        copy(source.services, target)
    copied = MemoryStore()
    copy(source.services, copied)
    with pytest.raises(ConfigurationError, match="not empty"):
        copy(source.services, copied)
