"""Big contents leave the JSON while it arrives; everything else passes byte for byte."""

from __future__ import annotations

import base64
import json
import os
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.ingest import Diverter


class Bytes:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, data: bytes, /) -> None:
        self.content += data


class Counter:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes, /) -> None:
        self.size += len(data)


def _ingest(body: bytes, sizes: list[int], threshold: int = 8) -> tuple[bytes, dict[str, Bytes]]:
    diverter = Diverter(Bytes, nonce="n0nce", threshold=threshold)
    at = 0
    for size in sizes:
        diverter.feed(body[at : at + size])
        at += size
    diverter.feed(body[at:])
    return diverter.finish()


def _restored(value: Any, sinks: dict[str, Bytes]) -> Any:
    if isinstance(value, dict):
        return {key: _restored(part, sinks) for key, part in value.items()}
    if isinstance(value, list):
        return [_restored(part, sinks) for part in value]
    if isinstance(value, str) and value in sinks:
        return base64.b64encode(sinks[value].content).decode()
    return value


_texts = st.one_of(
    st.text(max_size=12), st.sampled_from(['"data":"QUJD"', "\\", '\\"data\\":', "data", 'a"', "\\\\", "é\u2028"])
)
_base64 = st.binary(max_size=60).map(lambda content: base64.b64encode(content).decode())
_other = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), _texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(_texts.filter(lambda key: key != "data"), inner, max_size=3),
        st.fixed_dictionaries({"data": st.one_of(_base64, inner.filter(lambda value: not isinstance(value, str)))}),
    ),
    max_leaves=12,
)


@given(_other, st.lists(st.integers(1, 9), max_size=80), st.booleans(), st.sampled_from([None, 1]), st.booleans())
def test_markers_replaced_back_give_the_original(
    value: Any, sizes: list[int], escaped: bool, indent: int | None, slashes: bool
) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=indent)
    body = (text.replace("/", "\\/") if slashes else text).encode("utf-8", "surrogatepass")
    output, sinks = _ingest(body, sizes)
    assert _restored(json.loads(output), sinks) == value


@given(st.text(alphabet='"dat:\\ ,{}x/', max_size=40), st.lists(st.integers(1, 5), max_size=12))
def test_what_is_not_diverted_passes_byte_for_byte_even_when_it_is_no_json(text: str, sizes: list[int]) -> None:
    assert _ingest(text.encode(), sizes, threshold=1000) == (text.encode(), {})


def test_a_short_content_stays_and_a_long_one_leaves_a_marker() -> None:
    body = b'{"resourceType":"Bundle","a":{"data":"QUJD"},"b":{"data" : "QUJDREVGR0hJ"},"c":{"data":"QUJDREVGR0g="}}'
    output, sinks = _ingest(body, [])
    assert output == b'{"resourceType":"Bundle","a":{"data":"QUJD"},"b":{"data" : ":n0nce:0"},"c":{"data":":n0nce:1"}}'
    assert {marker: sink.content for marker, sink in sinks.items()} == {
        ":n0nce:0": b"ABCDEFGHI",
        ":n0nce:1": b"ABCDEFGH",
    }


def test_the_word_data_inside_strings_fools_nobody() -> None:
    body = b'{"x":"\\"data\\":\\"QUJDREVGR0hJ\\"","y":"data","z":["data","QUJDREVGR0hJ"],"data":["QUJDREVGR0hJ"]}'
    assert _ingest(body, []) == (body, {})


def test_white_space_and_escapes_in_the_base64_are_tolerated() -> None:
    output, sinks = _ingest(b'{"data":" QU\\nJD\\r\\n RE\\u0056G\\tR\\/8= "}', [9, 1, 1, 1, 1])
    assert output == b'{"data":":n0nce:0"}'
    assert sinks[":n0nce:0"].content == base64.b64decode("QUJDREVGR/8=")


def test_the_numbers_of_sampled_data_are_left_alone() -> None:
    body = b'{"valueSampledData":{"data":"2041 2043 2037 2047 2060 2062"}}'
    assert _ingest(body, [30]) == (body, {})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("QUJDREVGR0h_", "a character is not of base64"),
        ("QUJDREVGR0hJQQ", "the length is no multiple of four"),
        ("QUJDREVGRw==QUJD", "something follows the padding"),
        ("QUJDREVG====", "a character is not of base64"),
        ("QUJDREVGR0hJ<<é", "a character is not of base64"),
        ("QUJDREVG\\u00e9AAA", "a character is not of base64"),
    ],
)
def test_invalid_base64_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        _ingest(b'{"data":"QUJDREVGR0hJ","e":{"data":"' + text.encode() + b'"}}', [7, 30])
    issue = caught.value.issues[0]
    assert issue.code == "value"
    assert issue.diagnostics == f"The base64 of 'data' number 2 of the body (from byte 36) is not valid: {why}."


def test_a_body_that_breaks_off_is_left_to_the_parser() -> None:
    output, _ = _ingest(b'{"data":"QUJDREVGR0hJ', [])
    assert output == b'{"data":":n0nce:0'
    assert _ingest(b'{"data":"QU', [])[0] == b'{"data":"QU'
    assert _ingest(b'{"dat', [])[0] == b'{"dat'


def test_a_nonce_must_not_break_the_json() -> None:
    with pytest.raises(ValueError, match="letters and digits"):
        Diverter(Bytes, nonce='"')


@pytest.mark.statement("fhir-rest I201")
def test_a_large_content_passes_fast_and_in_little_memory() -> None:
    text = base64.b64encode(os.urandom(12_000_000))
    body = b'{"resourceType":"Binary","contentType":"application/pdf","data":"' + text + b'"}'
    started = time.process_time()
    plain = Diverter(Counter, nonce="a")
    plain.feed(body)
    assert plain.finish()[1][":a:0"].size == 12_000_000
    assert len(body) / (time.process_time() - started) > 20e6  # hundreds on a quiet machine
    tracemalloc.start()
    try:
        diverter = Diverter(Counter, nonce="b")
        for at in range(0, len(body), 65_536):
            diverter.feed(body[at : at + 65_536])
        diverter.finish()
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("unit", [b'{"data":"AAAA"},', b'"data"', b'"\\', b'"data":"\\/', b'"data" ', b"\\"])
def test_hostile_bodies_cost_linear_time(unit: bytes) -> None:
    diverter = Diverter(Counter, nonce="c")
    started = time.process_time()
    diverter.feed(unit * (1_000_000 // len(unit)))
    diverter.finish()
    assert time.process_time() - started < 5
