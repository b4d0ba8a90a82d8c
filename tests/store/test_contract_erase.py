"""The contract of a store, last part: what is destroyed is gone with all that was made of it, and nothing else is."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from fhir_dmp.fhir.draft import Blob
from fhir_dmp.ports import AuditQuery, Commit, HistoryQuery, Key, ResourceStore
from fhir_dmp.search.query import Everything, Prefix, Span, Term, Words
from fhir_dmp.search.query import Op as Relation
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.mongo.blobs import DROP_AFTER_MS, MongoBlobs
from fhir_dmp.store.mongo.erase import erase
from fhir_dmp.store.mongo.store import MongoStore
from fhir_dmp.store.mongo.views import View
from fhir_dmp.store.sqlite import Limits, open_sqlite
from tests.store.samples import DOC, T0, doc, gone, ids, key, put, record

WHOLE: dict[str, Any] = {
    "strings": (("title", "compte rendu"),),
    "spans": (("date", 1.0, 2.0),),
    "words": (("_text", "compte rendu fictif"),),
    "date": T0,
    "patient": "Patient/p1",
}


def blob(data: bytes) -> Blob:
    """Return a staged content."""
    return Blob(hashlib.sha256(data).hexdigest(), hashlib.sha1(data).digest(), len(data), data)


def binary(store: ResourceStore, id_: str, content: Blob) -> None:
    """Store a content and the Binary that names it."""
    write = replace(doc(id_, type_="Binary"), blob=content.sha256)
    store.commit(Commit(writes=(write,), blobs=(content,)))


def test_an_erased_resource_is_as_if_it_had_never_been(store: ResourceStore) -> None:
    tokens = ("patient=r:Patient/p1", "status=c:current")
    put(store, doc("a", tokens=tokens, uniques=("doc|1",), **WHOLE), doc("a", 2, tokens=tokens, uniques=("doc|1",)))
    put(store, doc("b", tokens=tokens, uniques=("doc|2",), **WHOLE))
    assert store.erase([key("a"), key("never")]) == 1
    assert store.read(key("a")) is None
    assert store.read_many([key("a"), key("b")]).keys() == {key("b")}
    assert [store.read_version(key("a"), number) for number in (1, 2)] == [None, None]
    assert store.history(HistoryQuery(DOC, "a")).versions == ()
    assert ids(store.history(HistoryQuery()).versions) == ["b"]
    assert store.holder("doc|1") is None
    nodes = (
        Everything(),
        Term("status=c:current"),
        Term("patient=r:Patient/p1"),
        Prefix("title", "compte"),
        Span("date", Relation.EQ, 0, 5),
        Words("_text", ("fictif",)),
    )
    for node in nodes:
        assert store.find(DOC, node, 10) == ["b"]
        assert store.count((DOC,), node) == 1
    assert store.types() == {DOC: 1}
    assert store.erase([key("a")]) == 0


def test_an_erased_id_and_its_business_key_are_free_again(store: ResourceStore) -> None:
    put(store, doc("a", uniques=("doc|1",)), doc("a", 2, uniques=("doc|1",)))
    store.erase([key("a")])
    (made,) = put(store, doc("a", uniques=("doc|1",), text="neuf"))
    assert store.read(key("a")) == made
    assert store.holder("doc|1") == key("a")


def test_another_resource_under_the_same_id_and_the_trail_stay(store: ResourceStore) -> None:
    put(store, doc("a"), doc("a", type_="List"), doc("ab"))
    store.commit(Commit(audit=(record("e1"),)))
    store.erase([key("a")])
    assert store.types() == {DOC: 1, "List": 1}
    assert store.read(Key("List", "a")) is not None
    assert [each.id for _, each in store.audit(AuditQuery(patient="Patient/p1")).records] == ["e1"]


def test_tombstones_of_a_patient_are_found_and_erased(store: ResourceStore) -> None:
    mine, others = Terms(patient="Patient/p1"), Terms(patient="Patient/p2")
    put(store, doc("a", patient="Patient/p1"), gone("a", 2, terms=mine))
    put(store, doc("b", patient="Patient/p2"), gone("b", 2, terms=others), doc("c", patient="Patient/p1"))
    assert store.deleted("Patient/p1") == [key("a")]
    assert store.erase(store.deleted("Patient/p1")) == 1
    assert store.deleted("Patient/p1") == []
    assert store.history(HistoryQuery(DOC, "a")).versions == ()
    assert store.deleted("Patient/p2") == [key("b")]


def test_a_content_that_another_version_names_is_kept(store: ResourceStore) -> None:
    shared = blob(b"partage")
    binary(store, "one", shared)
    binary(store, "two", shared)
    store.erase([Key("Binary", "one")])
    assert b"".join(store.blobs.read(shared.sha256)) == b"partage"


def test_contents_that_nothing_names_are_destroyed_at_once(store: ResourceStore) -> None:
    own = blob(b"seul")
    binary(store, "one", own)
    if isinstance(store, MongoStore):  # what was staged of late may be on its way into a commit
        later = MongoBlobs(store._database, lambda: MongoBlobs(store._database)._now_ms() + DROP_AFTER_MS + 1000)
        horizon = store._database.sequence() if store._database.versioned else None
        assert erase(store._database, later, View(horizon), [Key("Binary", "one")]) == 1
    else:
        store.erase([Key("Binary", "one")])
    assert store.blobs.size(own.sha256) is None


def test_an_erased_text_leaves_no_trace_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dmp.sqlite3"
    opened = open_sqlite(path, Limits())
    put(opened, doc("a", text="secretissime", **WHOLE), doc("b", text="autre"))
    binary(opened, "c", blob(b"contenusecret"))
    opened.erase([key("a"), Key("Binary", "c")])
    assert opened.verify() == []
    opened.close()
    for file in tmp_path.rglob("*"):
        data = file.read_bytes() if file.is_file() else b""
        assert b"secretissime" not in data, file.name
        assert b"contenusecret" not in data, file.name


def test_a_big_content_lies_in_a_file_that_goes_when_it_is_old(tmp_path: Path) -> None:
    import os
    import time

    opened = open_sqlite(tmp_path / "dmp.sqlite3", Limits(inline_limit=10))
    staged = [opened.blobs.stage(iter([text])) for text in (b"un contenu ancien", b"un contenu recent")]
    for number, one in enumerate(staged):
        binary(opened, f"b{number}", one)
    old = opened.blobs.path(staged[0].sha256)
    os.utime(old, (time.time() - 90_000,) * 2)
    opened.erase([Key("Binary", "b0"), Key("Binary", "b1")])
    assert opened.blobs.size(staged[0].sha256) is None
    assert opened.blobs.size(staged[1].sha256) is not None
    assert opened.sweep(older_than_s=-10) == 1
    opened.close()
