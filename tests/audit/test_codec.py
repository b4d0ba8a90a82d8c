"""Bytes of audit records: exact both ways, stable, and quick enough for every read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.audit.codec import decode, encode
from fhir_dmp.audit.record import AuditRecord

text = st.text(st.characters(codec="utf-8"), max_size=12)
maybe = st.none() | text
pairs = st.lists(st.tuples(text, text), max_size=3).map(tuple)

records = st.builds(
    AuditRecord,
    id=text,
    kind=text,
    recorded_ms=st.integers(0, 2**45),
    outcome=st.sampled_from(["0", "4", "8", "12"]),
    reason=maybe,
    patient=maybe,
    what=st.lists(text, max_size=3).map(tuple),
    query=maybe,
    actor=text,
    subject=text,
    issuer=text,
    client=text,
    name=text,
    professional=maybe,
    structure=maybe,
    roles=pairs,
    mode=st.sampled_from(["normal", "bris_de_glace", "centre_15"]),
    motive=maybe,
    jti=maybe,
    address=text,
    request_id=text,
    details=pairs,
    given=st.none() | text.map(lambda value: value.encode()),
)


@given(records)
def test_a_record_comes_back_as_it_went(record: AuditRecord) -> None:
    assert decode(encode(record)) == record


@given(records)
def test_the_same_record_always_has_the_same_bytes(record: AuditRecord) -> None:
    assert encode(record) == encode(decode(encode(record)))


def test_defaults_at_the_end_are_left_out() -> None:
    assert encode(AuditRecord(id="a", kind="read", recorded_ms=5)) == b'[1,"a","read",5,"0",null,null,[]]'


def test_bytes_of_the_first_layout_stay_readable() -> None:
    stored = (
        b'[1,"e1","patch",1767261600000,"8","author-only","Patient/p",["DocumentReference/d/_history/2"],null,"PS",'
        b'"sub","https://dmp.example/auth","lps","MARTIN Claire","899700000001","1750100125",'
        b'[["urn:oid:1.2.250.1.71.1.2.7","10"]],"bris_de_glace","coma","j","192.0.2.1","r",[["labels","N"]],"{}"]'
    )
    assert decode(stored) == AuditRecord(
        id="e1",
        kind="patch",
        recorded_ms=1767261600000,
        outcome="8",
        reason="author-only",
        patient="Patient/p",
        what=("DocumentReference/d/_history/2",),
        actor="PS",
        subject="sub",
        issuer="https://dmp.example/auth",
        client="lps",
        name="MARTIN Claire",
        professional="899700000001",
        structure="1750100125",
        roles=(("urn:oid:1.2.250.1.71.1.2.7", "10"),),
        mode="bris_de_glace",
        motive="coma",
        jti="j",
        address="192.0.2.1",
        request_id="r",
        details=(("labels", "N"),),
        given=b"{}",
    )


def test_text_that_utf8_cannot_carry_is_replaced_and_never_lost_with_the_record() -> None:
    record = AuditRecord(id="a", kind="search-type", recorded_ms=1, query="GET /fhir/Patient?x=\udcff")
    assert decode(encode(record)).query == "GET /fhir/Patient?x=?"


@pytest.mark.parametrize("data", [b"{}", b"[]", b'[2,"a","read",5,"0",null,null,[]]', b"not json", b"[1]"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(data)
