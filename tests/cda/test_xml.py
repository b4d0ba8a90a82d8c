"""CDA bytes are parsed without DTD, entities or network, and the one ClinicalDocument is found."""

from __future__ import annotations

import pytest

from fhir_dmp.cda.xml import CLINICAL_DOCUMENT, MAX_DEPTH, clinical_document, parse
from fhir_dmp.errors import BadRequest

SMALL = '<ClinicalDocument xmlns="urn:hl7-org:v3"><title>Été</title></ClinicalDocument>'


@pytest.mark.parametrize(
    "data",
    [
        SMALL.encode(),
        b"\xef\xbb\xbf" + SMALL.encode(),
        f'<?xml version="1.0" encoding="UTF-16"?>{SMALL}'.encode("utf-16"),
        f"<?xml version='1.0'?>\n<!-- comment <!DOCTYPE --><?style sheet?>\n{SMALL}".encode(),
    ],
)
def test_every_usual_encoding_is_read(data: bytes) -> None:
    document = clinical_document(parse(data))
    assert document.tag == CLINICAL_DOCUMENT
    assert document[0].text == "Été"


@pytest.mark.parametrize("wrapper", ["<x:stylesheet xmlns:x='urn:x'><a>{}</a></x:stylesheet>", "<signed>{}</signed>"])
def test_a_self_presenting_file_holds_its_document_somewhere(wrapper: str) -> None:
    assert clinical_document(parse(wrapper.format(SMALL).encode())).tag == CLINICAL_DOCUMENT


@pytest.mark.parametrize("content", ["<a/>", f"<a>{SMALL}{SMALL}</a>"])
def test_exactly_one_document_is_expected(content: str) -> None:
    with pytest.raises(BadRequest):
        clinical_document(parse(content.encode()))


BOMB = "<!DOCTYPE a [<!ENTITY x 'xxxxxxxxxx'><!ENTITY y '&x;&x;&x;'>]>"


@pytest.mark.parametrize(
    "data",
    [
        f"{BOMB}<a>&y;</a>".encode(),
        f'<?xml version="1.0"?>\n<!-- c -->\n{BOMB}<a b="&y;"/>'.encode(),
        f"\ufeff<?xml version='1.0' encoding='UTF-16'?>{BOMB}<a>&y;</a>".encode("utf-16-le"),
        b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        b"<!-- " + b"x" * 70_000 + b" --><!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
    ],
)
def test_a_dtd_is_refused_before_it_is_read(data: bytes) -> None:
    with pytest.raises(BadRequest, match="DTD"):
        parse(data)


@pytest.mark.parametrize("data", [b"", b"<a>", b"<a>&undefined;</a>", b"not xml", b"\x00\x01", b"<a>\xff</a>"])
def test_what_is_not_xml_is_refused_with_a_position_and_no_content(data: bytes) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse(data)
    assert "undefined" not in refusal.value.issues[0].diagnostics


def test_depth_and_size_are_bounded() -> None:
    with pytest.raises(BadRequest):
        parse(b"<a>" * 5000 + b"</a>" * 5000)
    with pytest.raises(BadRequest) as refusal:
        parse(SMALL.encode(), max_bytes=10)
    assert refusal.value.issues[0].code == "too-long"


def test_a_long_embedded_document_is_read() -> None:
    body = b"<ClinicalDocument xmlns='urn:hl7-org:v3'><text>" + b"A" * 12_000_000 + b"</text></ClinicalDocument>"
    assert len(clinical_document(parse(body))[0].text or "") == 12_000_000


def test_a_long_file_may_not_be_deeper_than_a_short_one() -> None:
    """The parser's own bound on depth does not hold for files as long as those that embed a PDF."""
    depth = MAX_DEPTH + 1
    padding = f"<!--{'x' * 10_100_000}-->"
    for levels, is_read in ((depth - 3, True), (depth, False), (2000, False)):
        data = SMALL.replace("Été", padding + "<a>" * levels + "</a>" * levels).encode()
        if is_read:
            assert parse(data).tag == CLINICAL_DOCUMENT
        else:
            with pytest.raises(BadRequest):
                parse(data)
