"""Paging links: sealed, owned, limited in time."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.errors import BadRequest, Gone
from fhir_dmp.search.cursor import Cursor, seal, unseal
from fhir_dmp.search.query import Position

KEY = b"k" * 32
CURSOR = Cursor(
    path="DocumentReference",
    parameters=(("patient.identifier", "urn:oid:1.2.250.1.213.1.4.8|285047511200314"), ("_count", "20")),
    position=Position((1_714_557_600_123, "éa", None, 0.5), "DocumentReference", "d1"),
    backward=False,
    bound=42,
    caller="doctor",
    expires_ms=1000,
)


def test_a_link_says_again_what_was_sealed() -> None:
    assert unseal(seal(CURSOR, KEY), KEY, now_ms=1000, caller="doctor") == CURSOR
    start = replace(CURSOR, position=None, backward=True)
    assert unseal(seal(start, KEY), KEY, now_ms=0, caller="doctor") == start


@pytest.mark.statement("fhir-rest E134")
def test_a_link_shows_no_search_value_and_no_identity() -> None:
    link = seal(CURSOR, KEY)
    raw = base64.urlsafe_b64decode(link + "=" * (-len(link) % 4))
    for secret in (b"285047511200314", b"patient", b"doctor", b"DocumentReference"):
        assert secret not in link.encode()
        assert secret not in raw
    assert link.replace("-", "").replace("_", "").isalnum()


@pytest.mark.statement("fhir-rest E133")
def test_another_caller_may_not_use_a_link_and_an_old_one_has_expired() -> None:
    link = seal(CURSOR, KEY)
    with pytest.raises(BadRequest):
        unseal(link, KEY, now_ms=0, caller="nurse")
    with pytest.raises(Gone) as expired:
        unseal(link, KEY, now_ms=1001, caller="doctor")
    assert expired.value.issues[0].code == "expired"
    assert expired.value.status == 410


@pytest.mark.statement("fhir-rest E133")
@given(st.data())
def test_a_link_that_was_changed_is_refused(data: st.DataObject) -> None:
    link = seal(CURSOR, KEY)
    index = data.draw(st.integers(0, len(link) - 2))  # the last character may hold unused bits
    char = data.draw(st.sampled_from("AZaz09-_").filter(lambda char: char != link[index]))
    with pytest.raises(BadRequest):
        unseal(link[:index] + char + link[index + 1 :], KEY, now_ms=0, caller="doctor")


@pytest.mark.parametrize("text", ["", "A", "AAAA", "é", "!!!!", "A" * 5000, "=", "\x00"])
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        unseal(text, KEY, now_ms=0, caller="doctor")


def test_a_link_of_another_server_is_refused() -> None:
    with pytest.raises(BadRequest):
        unseal(seal(CURSOR, b"x" * 32), KEY, now_ms=0, caller="doctor")
