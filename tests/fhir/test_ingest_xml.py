"""Big contents leave the XML while it arrives; everything else passes byte for byte."""

from __future__ import annotations

import base64
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.ingest_xml import XmlDiverter


class Bytes:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, data: bytes, /) -> None:
        self.content += data


def _ingest(body: bytes, sizes: list[int], threshold: int = 8) -> tuple[bytes, dict[str, bytes]]:
    diverter = XmlDiverter(Bytes, nonce="n0nce", threshold=threshold)
    at = 0
    for size in sizes:
        diverter.feed(body[at : at + size])
        at += size
    diverter.feed(body[at:])
    output, sinks = diverter.finish()
    return output, {marker: sink.content for marker, sink in sinks.items()}


_piece = st.one_of(
    st.sampled_from([
        '<Binary xmlns="http://hl7.org/fhir">', "<data/>", '<data id="QUJDREVGR0hJ"/>', "<dat value='QUJDREVGR0hJ'/>",
        '<!-- <data value="QUJDREVGR0hJ"/> -->', '<![CDATA[<data value="QUJDREVGR0hJ"/>]]>',
        '<?x data value="QUJDREVGR0hJ"?>',
        '<a b="<data value=\'QUJDREVGR0hJ\'" c=\'>\'/>', "text &lt;data&gt;", '<database value="QUJDREVGR0hJ"/>', "é\n",
        '<data xvalue="QUJDREVGR0hJ"/>', '<data value="QUJD"></data>', "-->", "]]>",
    ]),
    st.binary(min_size=7, max_size=40).map(lambda content: f'<data value="{base64.b64encode(content).decode()}"/>'),
    st.binary(min_size=7, max_size=40).map(
        lambda content: f"<f:data  id='1>' value = '{base64.b64encode(content).decode()}' x='y'>"
    ),
)  # fmt: skip


@given(st.lists(_piece, max_size=8), st.lists(st.integers(1, 9), max_size=120))
def test_markers_replaced_back_give_the_original(pieces: list[str], sizes: list[int]) -> None:
    body = "".join(pieces).encode()
    output, sinks = _ingest(body, sizes)
    restored = re.sub(rb":n0nce:\d+", lambda found: base64.b64encode(sinks[found.group().decode()]), output)
    assert restored == body
    wanted = [
        piece
        for piece in pieces
        if re.match(r"<(f:)?data .*\bvalue ?= ?['\"][^'\"]{9,}", piece) and "xvalue" not in piece
    ]
    assert len(sinks) == len(wanted)


@given(st.text(alphabet="<>!-[]?'\"&;= dataveluC/", max_size=60), st.lists(st.integers(1, 5), max_size=12))
def test_what_is_not_diverted_passes_even_when_it_is_no_xml(text: str, sizes: list[int]) -> None:
    assert _ingest(text.encode(), sizes, threshold=1000) == (text.encode(), {})


def test_a_content_leaves_a_marker_and_line_breaks_in_it_are_tolerated() -> None:
    body = b'<Binary><contentType value="text/plain"/><data value="QUJD&#10;REVG\n R0hJ&#xD;"/></Binary>'
    for size in (1, 2, 5, 200):
        output, sinks = _ingest(body, [size] * (len(body) // size))
        assert output == b'<Binary><contentType value="text/plain"/><data value=":n0nce:0"/></Binary>'
        assert sinks == {":n0nce:0": b"ABCDEFGHI"}


def test_invalid_base64_is_refused_with_its_place() -> None:
    with pytest.raises(BadRequest) as caught:
        _ingest(b'<data value="QUJDREVGR0hJ&amp;"/>', [])
    assert caught.value.issues[0].diagnostics == (
        "The base64 of 'data' number 1 of the body (from byte 13) is not valid: a character is not of base64."
    )


@pytest.mark.parametrize(
    "unit", [b"<", b"<data ", b'<data value="', b"<!--", b"&", b'<data value="QQ=="/>', b"<data value="]
)
def test_hostile_bodies_cost_linear_time(unit: bytes) -> None:
    diverter = XmlDiverter(Bytes, nonce="c")
    started = time.process_time()
    try:
        diverter.feed(unit * (1_000_000 // len(unit)))
        diverter.finish()
    except BadRequest:
        assert unit == b'<data value="'
    assert time.process_time() - started < 5
