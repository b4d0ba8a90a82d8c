"""Base64 in pieces of any size."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.fhir.base64_stream import Decoder, NotBase64, binary_json, encoded, encoded_length


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_encoding_in_pieces_is_encoding_at_once(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    assert b"".join(encoded(chunks)) == base64.b64encode(whole)
    assert encoded_length(len(whole)) == len(base64.b64encode(whole))


@given(st.binary(max_size=80), st.lists(st.integers(1, 7), max_size=30), st.sampled_from([b"", b"\n", b" \r\n\t"]))
def test_decoding_in_pieces_gives_the_content(content: bytes, sizes: list[int], space: bytes) -> None:
    text = space.join(base64.b64encode(content)[at : at + 5] for at in range(0, 120, 5))
    found = bytearray()
    decoder = Decoder(found.extend)
    at = 0
    for size in sizes:
        decoder.feed(text[at : at + size])
        at += size
    decoder.feed(text[at:])
    decoder.finish()
    assert bytes(found) == content


@pytest.mark.parametrize("text", [b"Q", b"QQ", b"QQ=", b"=", b"====", b"QQ==QQ==", b"QQ=Q", b"Q-__", b"QUJD="])
def test_what_is_no_base64_is_refused(text: bytes) -> None:
    with pytest.raises(NotBase64):
        _decode_by_character(text)


def _decode_by_character(text: bytes) -> None:
    decoder = Decoder(bytearray().extend)
    for character in text:
        decoder.feed(bytes((character,)))
    decoder.finish()


@pytest.mark.statement("fhir-rest I195")
def test_a_binary_is_sent_as_json_around_its_content() -> None:
    parts = list(binary_json(b'{"resourceType":"Binary","data":"', [b"Bon", b"jour"], b'"}'))
    assert json.loads(b"".join(parts)) == {"resourceType": "Binary", "data": "Qm9uam91cg=="}
    assert len(b"".join(parts)) == 33 + encoded_length(7) + 2
