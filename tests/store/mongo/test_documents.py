"""Versions and terms as documents: nothing is lost, and what patients share is found beside each of them."""

from __future__ import annotations

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_dmp.fhir.bucket import BUCKETS, bucket
from fhir_dmp.ports import Notice, Write
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.commits import written
from fhir_dmp.store.mongo import documents
from tests.store.samples import DOC, T0
from tests.store.strategies import terms


@settings(deadline=None)
@given(st.binary(max_size=5000), terms, st.booleans())
def test_a_version_survives_the_document(body: bytes, one: Terms, deleted: bool) -> None:
    stored = body if not body.startswith(b"\x28\xb5\x2f\xfd") else b"{"
    write = Write(DOC, "a", 3, T0, b"" if deleted else stored, one, "PUT", deleted, "f" * 64)
    for doc in (documents.current_document(write, 9), documents.history_document(write, 9)):
        again = bson.decode(bson.encode(doc))
        assert documents.version_of(again, DOC, "a") == written(write, 9)


def test_large_bodies_are_compressed_and_small_ones_are_not() -> None:
    small, large = b"{" + b" " * 1000 + b"}", b"{" + b" " * 5000 + b"}"
    assert bytes(documents.packed(small)) == small
    assert len(documents.packed(large)) < 100
    assert documents.unpacked(documents.packed(large)) == large


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 2**70, -(2**70), 1e300, 2**62, 0, -5.5])
def test_every_number_fits_and_keeps_its_place(value: float) -> None:
    stored = documents.number(value)
    assert bson.decode(bson.encode({"n": stored}))["n"] == stored
    assert abs(stored) <= documents.LARGEST
    assert (stored > 0) is (value > 0)


def test_a_resource_of_several_patients_is_kept_beside_all_of_them() -> None:
    shared = Terms(tokens=("patient=r:Patient/1", "subject=r:Patient/2"), patient="Patient/1")
    fields = documents.term_fields("a", shared)
    assert (fields["pat"], fields["cp"], fields["pb"]) == ("*", "Patient/1", -1)
    one = Terms(tokens=("patient=r:Patient/1", "subject=r:Patient/1", "author=r:Patient/9"), patient="Patient/7")
    assert documents.term_fields("a", one)["pat"] == "Patient/1"
    assert documents.term_fields("a", Terms(patient="Patient/7"))["pat"] == "Patient/7"
    assert documents.term_fields("a", Terms())["pat"] is None


def test_references_and_other_tokens_have_arrays_of_their_own() -> None:
    fields = documents.term_fields("a", Terms(tokens=("s=c:x", "author=r:Practitioner/1", "p=u:urn:r:1")))
    assert (fields["t"], fields["r"]) == (["s=c:x", "p=u:urn:r:1"], ["author=r:Practitioner/1"])


def test_names_of_sort_values_cannot_become_paths_or_operators() -> None:
    fields = documents.term_fields("a", Terms(sort={"a.b": (1, 2), "$x": (3, 4), "%2e": (5, 6), "date": (7, 8)}))
    assert set(fields["o"]) == {"a%2eb", "%24x", "%252e", "date"}
    assert fields["dt"] == 8
    assert documents.sort_field("a.b", "a") == "o.a%2eb.a"
    assert documents.sort_field("date", "d") == "dt"


def test_a_notice_survives_the_document() -> None:
    notice = Notice("n", "opened", "Patient/1", T0, (("a", "b"), ("c", "")))
    assert documents.notice_of(documents.notice_document(notice), "n") == notice


def test_an_id_carries_the_bucket_of_its_patient() -> None:
    assert bucket("01890a5d-ac96-7b3f-8cce-1f1c2d3e4f50") == 0xB3F
    assert documents.patient_bucket("Patient/01890a5d-ac96-7b3f-8cce-1f1c2d3e4f50") == 0xB3F
    assert documents.patient_bucket("01890a5d-ac96-7b3f-8cce-1f1c2d3e4f50") == 0xB3F


@settings(deadline=None)
@given(st.text())
def test_every_id_has_a_bucket_that_never_changes(id_: str) -> None:
    assert bucket(id_) == bucket(id_)
    assert 0 <= bucket(id_) < BUCKETS
