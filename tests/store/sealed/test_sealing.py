"""What holds an encrypted store together: envelopes that open only where they belong, keys, contents in chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_dmp.errors import ConfigurationError, Gone, NotFound, StoreUnavailable, Unprocessable
from fhir_dmp.ports import AuditQuery, Commit, HistoryQuery, Key, StateRecord
from fhir_dmp.search.query import Contains, Everything, Not, Prefix, Search, SortKey, Term, Words
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.store.sealed import DataKeys, Masters, SealedStore, refuse_sealed, seal
from fhir_dmp.store.sealed.contents import CHUNK, Content, SealedBlobs
from fhir_dmp.store.sealed.envelope import TAG_BYTES, sealed, unsealed
from fhir_dmp.store.sealed.versions import owner_of, owners
from tests.store.samples import DOC, doc, gone, ids, key, put, record

ONE = Masters((("one", bytes(range(32))),))
TWO = Masters((("two", bytes(range(1, 33))), *ONE.keys))
ONLY_TWO = Masters(TWO.keys[:1])


def opened(inner: MemoryStore, masters: Masters = ONE, elsewhere: MemoryStore | None = None) -> SealedStore:
    """Return a store in memory behind its seal."""
    return seal(inner, lambda: masters, elsewhere)


class OneKey:
    """Every name has the same key."""

    aead = AESGCM(bytes(32))

    def of(self, name: str) -> AESGCM:
        return self.aead


@given(st.binary(max_size=300), st.data())
@settings(max_examples=60)
def test_an_envelope_opens_where_it_belongs_and_in_no_other_place_or_shape(value: bytes, data: st.DataObject) -> None:
    envelope = sealed(value, OneKey.aead, "Patient/p1", "body", "Basic/1/1")
    assert unsealed(envelope, OneKey(), "body", "Basic/1/1") == value
    place = data.draw(st.sampled_from([("body", "Basic/1/2"), ("terms", "Basic/1/1"), ("body", "Basic/2/1")]))
    with pytest.raises(StoreUnavailable):
        unsealed(envelope, OneKey(), *place)
    at = data.draw(st.integers(0, len(envelope) - 1))
    changed = bytearray(envelope)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(StoreUnavailable):
        unsealed(bytes(changed), OneKey(), "body", "Basic/1/1")
    with pytest.raises(StoreUnavailable):
        unsealed(envelope[: data.draw(st.integers(0, len(envelope) - 1))], OneKey(), "body", "Basic/1/1")


def test_a_body_that_was_moved_to_another_resource_does_not_open() -> None:
    inner = MemoryStore()
    store = opened(inner)
    put(store, doc("a", patient="Patient/p1", text="un"), doc("b", patient="Patient/p1", text="deux"))
    rows = inner._current
    rows[key("a")] = replace(rows[key("a")], version=replace(rows[key("a")].version, body=rows[key("b")].version.body))
    with pytest.raises(StoreUnavailable, match=r"body of DocumentReference/a/1 was changed or moved"):
        store.read(key("a"))


def test_an_audit_record_given_to_another_patient_does_not_open() -> None:
    inner = MemoryStore()
    store = opened(inner)
    store.commit(Commit(audit=(record("r1", actor="PS"),)))
    inner._audit[0] = replace(inner._audit[0], patient="Patient/p2")
    with pytest.raises(StoreUnavailable):
        store.audit(AuditQuery())
    assert [agrees for _, _, agrees in store.ledger.rows(0, 10)] == [False]


# --- keys -----------------------------------------------------------------------------------------------------------


def test_each_patient_has_a_key_and_a_content_that_of_the_patient_who_names_it() -> None:
    inner = MemoryStore()
    store = opened(inner)
    blob = store.blobs.stage(iter([b"contenu"]))
    document = replace(doc("d", patient="Patient/p1"), body=b'{"url":"https://x.example/fhir/Binary/b"}')
    binary = replace(doc("b", type_="Binary"), blob=blob.sha256)
    store.commit(Commit(writes=(document, binary, doc("o", type_="Organization")), blobs=(blob,)))
    names = {each: inner._current[Key(*each)].version for each in ((DOC, "d"), ("Binary", "b"), ("Organization", "o"))}
    assert [owner_of(version) for version in names.values()] == ["Patient/p1", "Patient/p1", "~shared"]
    put(store, replace(doc("b", 2, type_="Binary"), blob=blob.sha256))
    assert owner_of(inner._current[Key("Binary", "b")].version) == "Patient/p1"


def test_a_content_that_two_patients_name_belongs_to_none() -> None:
    naming = [replace(doc(name, patient=f"Patient/{name}"), body=b'{"url":"Binary/b"}') for name in "pq"]
    assert Key("Binary", "b") not in owners((*naming, doc("b", type_="Binary")))


def test_a_destroyed_key_takes_everything_sealed_with_it() -> None:
    store = opened(MemoryStore())
    put(store, doc("a", patient="Patient/p1", tokens=["t=c:1"], strings=(("title", "fracture"),)), doc("b"))
    store.keys.destroy("Patient/p1")
    assert store.read(key("a")) is None
    assert store.read_many([key("a"), key("b")]).keys() == {key("b")}
    assert store.read_version(key("a"), 1) is None
    assert store.search(Search((DOC,), Term("t=c:1"))).versions == ()
    assert store.find(DOC, Prefix("title", "fracture"), 5) == []
    assert store.history(HistoryQuery(DOC)).versions == (store.read(key("b")),)
    with pytest.raises(Gone):
        put(store, doc("c", patient="Patient/p1"))


def test_an_erased_patient_has_no_key_any_more() -> None:
    store = opened(MemoryStore())
    put(store, doc("p1", type_="Patient", patient="Patient/p1"), doc("a", patient="Patient/p1"))
    assert store.erase([key("a")]) == 1
    assert store.erase([Key("Patient", "p1")]) == 1
    with pytest.raises(Gone):
        store.keys.secret("Patient/p1")


def test_a_new_master_key_wraps_the_data_keys_again_and_touches_no_data() -> None:
    inner = MemoryStore()
    store = opened(inner)
    put(store, doc("a", patient="Patient/p1", text="un"))
    body = inner._current[key("a")].version.body
    rotated = opened(inner, TWO)
    assert set(rotated.keys.rewrap()) == {"Patient/p1", "~index", "~shared", "~trail", "~state", "~outbox"}
    assert list(rotated.keys.rewrap()) == []
    assert rotated.keys.masters_in_use() == {"two": 6}
    assert inner._current[key("a")].version.body == body
    alone = opened(inner, ONLY_TWO)
    assert alone.read(key("a")) == store.read(key("a"))


def test_a_running_server_follows_a_rotation_by_reading_the_file_again() -> None:
    inner = MemoryStore()
    file = [ONE]
    running = seal(inner, lambda: file[0])
    put(opened(inner), doc("a", patient="Patient/p1"))
    file[0] = TWO
    assert "Patient/p1" in set(opened(inner, TWO).keys.rewrap())
    file[0] = ONLY_TWO
    assert running.read(key("a")) is not None


def test_several_processes_make_one_key_for_a_patient() -> None:
    inner = MemoryStore()
    opened(inner)
    makers = [DataKeys(inner.state, lambda: ONE) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda keys: keys.ensured("Patient/p1"), makers))
    assert len({keys.secret("Patient/p1") for keys in makers}) == 1


# --- the start --------------------------------------------------------------------------------------------------------


def refused(inner: MemoryStore, masters: Masters, elsewhere: MemoryStore | None = None) -> str:
    """Return why a store does not open, having checked that nothing in it changed."""
    before = repr((inner.state._records, inner._current, inner._audit))
    with pytest.raises(ConfigurationError) as error:
        opened(inner, masters, elsewhere)
    assert repr((inner.state._records, inner._current, inner._audit)) == before
    return str(error.value)


def test_a_wrong_or_lost_key_is_refused_and_changes_nothing() -> None:
    inner = MemoryStore()
    put(opened(inner), doc("a"))
    assert "lacks the master key one" in refused(inner, ONLY_TWO)
    assert "another master key one" in refused(inner, Masters((("one", bytes(32)),)))
    with pytest.raises(ConfigurationError, match="this store is encrypted"):
        refuse_sealed(inner)


def test_a_store_in_clear_is_not_encrypted_on_the_way() -> None:
    for commit in (Commit(writes=(doc("a"),)), Commit(audit=(record("r"),))):
        inner = MemoryStore()
        inner.commit(commit)
        assert "holds data in clear" in refused(inner, ONE)
    inner = MemoryStore()
    inner.state.put(StateRecord("client", "lps", "{}"), 1)
    assert "holds data in clear" in refused(inner, ONE)


def test_lost_data_keys_are_told_and_never_made_again() -> None:
    inner, keys = MemoryStore(), MemoryStore()
    put(opened(inner, ONE, keys), doc("a", patient="Patient/p1"))
    assert not [each for each in inner.state._records if each[0] == "data-key"]
    empty = MemoryStore()
    assert "~index of this store is missing" in refused(inner, ONE, empty)
    assert empty.state._records == {}
    assert "are kept in a store of their own" in refused(inner, ONE)
    keys.state.remove("data-key", "Patient/p1")
    with pytest.raises(StoreUnavailable, match="restore them"):
        opened(inner, ONE, keys).read(key("a"))


# --- contents ---------------------------------------------------------------------------------------------------------


class Kept:
    """Contents by address, always durable at once."""

    def __init__(self) -> None:
        self.memory = MemoryStore(inline_limit=-1)

    def blobs(self) -> SealedBlobs:
        return SealedBlobs(self.memory.blobs, lambda sha256: None, in_memory=1000)


EDGES = [0, 1, 999, 1000, 1001, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 77]


@pytest.mark.parametrize("size", EDGES)
def test_every_range_of_a_content_comes_back(size: int) -> None:
    data = bytes(number * number // 251 % 256 for number in range(size))
    kept = Kept()
    blobs = kept.blobs()
    blob = blobs.stage(iter([data[: size // 3], b"", data[size // 3 :]]))
    assert (str(blob.sha256), blob.size) == (hashlib.sha256(data).hexdigest(), size)
    assert (blob.data is None) == (size > 1000)
    kept.memory.blobs.keep([blobs.below(blob)[1]])
    for start, end in (
        (0, None),
        (0, 1),
        (size // 2, size // 2 + 5),
        (CHUNK - 1, CHUNK + 1),
        (size - 1, size + 9),
        (3, 3),
    ):
        got = b"".join(blobs.read(blob.sha256, max(start, 0), end))
        assert got == data[max(start, 0) : end]
    stored = b"".join(kept.memory.blobs._contents.values())
    assert size < 64 or data[-64:] not in stored


def test_a_content_that_was_cut_reordered_or_changed_is_refused() -> None:
    kept = Kept()
    blobs = kept.blobs()
    blob = blobs.stage(iter([bytes(3 * CHUNK)]))
    address = blobs.handle(blob.sha256).content.address  # type: ignore[union-attr]  # it was staged here
    contents = kept.memory.blobs._contents
    good, step = contents[address], CHUNK + TAG_BYTES
    swapped = good[step : 2 * step] + good[:step] + good[2 * step :]
    for bad in (good[:-1], good[:-step], good[: 2 * step], swapped, good[:5] + bytes((good[5] ^ 1,)) + good[6:]):
        contents[address] = bad
        with pytest.raises(StoreUnavailable):
            list(blobs.read(blob.sha256, 0, None))
    contents[address] = good
    assert sum(map(len, blobs.read(blob.sha256))) == 3 * CHUNK


def test_a_big_content_passes_without_being_in_memory() -> None:
    seen: list[int] = []

    def chunks() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(CHUNK)

    class Below:
        def stage(self, chunks: Iterator[bytes]) -> object:
            seen.extend(len(chunk) for chunk in chunks)
            return MemoryStore(inline_limit=-1).blobs.stage(iter([b"x"]))

    SealedBlobs(Below(), lambda sha256: None, in_memory=CHUNK).stage(chunks())  # type: ignore[arg-type]  # stage only
    assert len(seen) == 64
    assert max(seen) <= CHUNK + TAG_BYTES


def test_the_same_content_of_two_patients_lies_there_twice_under_two_keys() -> None:
    inner = MemoryStore()
    store = opened(inner)
    kept = []
    for name in "pq":
        blob = store.blobs.stage(iter([b"le meme contenu"]))
        document = replace(doc(f"d{name}", patient=f"Patient/{name}"), body=f'{{"u":"Binary/b{name}"}}'.encode())
        binary = replace(doc(f"b{name}", type_="Binary"), blob=blob.sha256)
        store.commit(Commit(writes=(document, binary), blobs=(blob,)))
        kept.append(store.read(Key("Binary", f"b{name}")))
    first, second = (version.blob.content for version in kept)  # type: ignore[union-attr]  # both were stored
    assert isinstance(first, Content)
    assert first.address != second.address
    store.keys.destroy("Patient/p")
    assert b"".join(store.blobs.read(kept[1].blob)) == b"le meme contenu"  # type: ignore[union-attr,arg-type]


def test_a_content_that_was_never_staged_cannot_be_named() -> None:
    store = opened(MemoryStore())
    with pytest.raises(NotFound):
        put(store, replace(doc("b", type_="Binary"), blob="0" * 64))
    assert store.read(Key("Binary", "b")) is None


# --- searches ---------------------------------------------------------------------------------------------------------


def texts(count: int) -> SealedStore:
    """Return a store with so many titles, which opens the texts of ten at most."""
    inner = seal(MemoryStore(), lambda: ONE)
    store = SealedStore(inner.inner, inner.keys, cap=10)
    for number in range(count):
        title = f"{'fracture' if number % 5 == 0 else 'synthese'} {number:02d}"
        put(store, doc(f"d{number:02d}", strings=(("title", title),), tokens=[f"n=c:{number % 3}"],
                       sort={"title": (title, title)}))  # fmt: skip
    return store


def test_a_beginning_narrows_what_must_be_opened() -> None:
    store = texts(12)
    assert sorted(store.find(DOC, Prefix("title", "fracture 1"), 20)) == ["d10"]
    assert sorted(store.find(DOC, Prefix("title", "fract"), 20)) == ["d00", "d05", "d10"]


def test_too_many_texts_are_refused_with_what_to_do() -> None:
    store = texts(12)
    for node in (Contains("title", "ture"), Not(Prefix("title", "fracture 1")), Not(Words("title", ("x",)))):
        with pytest.raises(Unprocessable, match="make the search narrower"):
            store.find(DOC, node, 20)
    with pytest.raises(Unprocessable, match="make the search narrower"):
        store.search(Search((DOC,), Everything(), (SortKey("title"),)))


def test_the_rest_of_a_search_makes_it_possible() -> None:
    store = texts(12)
    page = store.search(Search((DOC,), Term("n=c:0"), (SortKey("title", descending=True),), count=2))
    assert ids(page.versions) == ["d09", "d06"]


def test_a_history_narrowed_by_a_text_is_that_of_the_resources_that_have_it() -> None:
    store = texts(7)
    put(store, doc("d05", 2, strings=(("title", "fracture 05"),)), gone("d00", 2))
    found = store.history(HistoryQuery(DOC, node=Prefix("title", "fracture 0")))
    assert ids(found.versions) == ["d05", "d05"]
    one = store.history(HistoryQuery(DOC, "d05", node=Contains("title", "05")))
    assert (ids(one.versions), one.total) == (["d05", "d05"], 2)
    assert store.history(HistoryQuery(DOC, "d06", node=Contains("title", "05"))).total == 0


def test_a_reindex_seals_the_new_terms() -> None:
    store = opened(MemoryStore())
    put(store, doc("a", patient="Patient/p1", strings=(("title", "avant"),), tokens=["~creator=x"]))
    new = replace(doc("a").terms, strings=(("title", "apres"),), patient="Patient/p1")
    store.reindex(DOC, lambda version: new, None, 10)
    assert store.find(DOC, Prefix("title", "ap"), 5) == ["a"]
    assert store.find(DOC, Prefix("title", "av"), 5) == []
    assert store.find(DOC, Term("~creator=x"), 5) == ["a"]
