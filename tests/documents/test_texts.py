"""The words of contents: what each media type says to people, and nothing of how it is coded."""

from __future__ import annotations

import base64

import pytest

from fhir_dmp.documents.texts import MOST_BYTES, contents_named, text_of, text_of_document

CDA = b"""<?xml version="1.0"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><title>Lettre de liaison</title>
<recordTarget><patientRole><patient><name><family>SECRET</family></name></patient></patientRole></recordTarget>
<component><structuredBody><component><section><title>Conclusion</title>
<text><paragraph>Fracture du <content styleCode="Bold">scapho\xc3\xafde</content></paragraph></text>
<entry><observation classCode="OBS" moodCode="EVN"><text>coded words</text></observation></entry>
</section></component></structuredBody></component></ClinicalDocument>"""


def _no_pdf(content: bytes) -> str:
    raise AssertionError("nothing here is a PDF")


def test_a_cda_has_the_words_of_its_titles_and_narrative() -> None:
    assert text_of("text/xml", CDA, _no_pdf) == "Lettre de liaison Conclusion Fracture du scaphoïde"
    assert text_of("application/xml; charset=utf-8", CDA, _no_pdf).startswith("Lettre")


@pytest.mark.parametrize(("media_type", "shown"), [("text/plain", b"plain words"), ("application/pdf", b"%PDF words")])
def test_a_cda_that_embeds_a_file_has_its_words_too(media_type: str, shown: bytes) -> None:
    inside = base64.b64encode(shown).decode()
    body = (
        '<ClinicalDocument xmlns="urn:hl7-org:v3"><title>T</title><component><nonXMLBody>'
        f'<text mediaType="{media_type}" representation="B64">{inside}</text>'
        "</nonXMLBody></component></ClinicalDocument>"
    )
    found = text_of("text/xml", body.encode(), lambda content: f"read {len(content)}")
    assert found == ("T plain words" if media_type == "text/plain" else f"T read {len(shown)}")


@pytest.mark.parametrize(
    ("media_type", "content", "words"),
    [
        ("text/plain;charset=UTF-8", "é à".encode(), "é à"),
        ("text/plain", "é".encode("cp1252"), "é"),
        ("text/html", b"<html><script>evil()</script><p>un &amp; deux</p></html>", "un & deux"),
        ("text/xml", b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>", ""),
        ("text/xml", b"<broken", ""),
        ("text/xml", b"<other/>", ""),
        ("image/jpeg", b"words", ""),
        ("", b"words", ""),
        ("text/plain", b"x" * (MOST_BYTES + 1), ""),
    ],
)
def test_the_words_of_a_media_type(media_type: str, content: bytes, words: str) -> None:
    assert " ".join(text_of(media_type, content, _no_pdf).split()) == words


def test_a_fhir_document_has_the_words_of_its_narratives_and_titles() -> None:
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {
                "resource": {
                    "title": "Note",
                    "text": {"div": "<div>un <b>deux</b></div>"},
                    "section": [{"title": "Trois", "code": {"text": "quatre"}}],
                }
            }
        ],
    }
    assert text_of_document(bundle).split() == ["Note", "un", "deux", "Trois"]


def test_only_contents_that_are_kept_here_are_named() -> None:
    urls = ["Binary/1", "https://me/fhir/Bundle/2", "https://other/fhir/Binary/3", "Patient/4", "Binary/1/x", None]
    content = [{"attachment": {"contentType": "text/plain", "url": url}} for url in urls]
    assert [place for _, place in contents_named({"content": content}, "https://me/fhir")] == ["Binary/1", "Bundle/2"]
    assert contents_named({"content": "x"}, "") == []
    assert contents_named({}, "") == []
