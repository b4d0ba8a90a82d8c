"""The words of a document's content, for `_content`: what each media type says to people. fhir-rest 6.3

Whatever cannot be read has no words; it is no fault of a document to be a scan. PDF is read elsewhere, within bounds.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator

from fhir_dmp.cda.plain import embedded, narrative
from fhir_dmp.cda.xml import CLINICAL_DOCUMENT, Element, clinical_document, parse
from fhir_dmp.documents.metadata import media_type as bare
from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.elements import object_of
from fhir_dmp.fhir.resource import Json

#: Contents above this size are not read for their words.
MOST_BYTES = 20_000_000
#: So much text of one content is looked at, in characters.
LONGEST = 1_000_000

_XML = ("text/xml", "application/xml", "application/hl7-sda+xml", "application/cda+xml")
_PDF = "application/pdf"
_MARKUP = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^<>]*>", re.DOTALL | re.IGNORECASE)

#: Reads the text of a PDF; "" when there is none, or when it cannot be had within the bounds.
ReadPdf = Callable[[bytes], str]


def text_of(media_type: str, content: bytes, read_pdf: ReadPdf) -> str:
    """Return the words of a content, "" when it has none that can be read."""
    if len(content) > MOST_BYTES:
        return ""
    kind = bare(media_type)
    if kind == _PDF:
        return read_pdf(content)[:LONGEST]
    if kind in _XML or (kind is not None and kind.endswith("+xml")):
        return _of_xml(content, read_pdf)[:LONGEST]
    if kind in ("text/html", "application/xhtml+xml"):
        return html.unescape(_MARKUP.sub(" ", _decoded(content)))[:LONGEST]
    return _decoded(content)[:LONGEST] if kind == "text/plain" else ""


def _of_xml(content: bytes, read_pdf: ReadPdf) -> str:
    try:
        root = parse(content)
        document = clinical_document(root) if root.tag != CLINICAL_DOCUMENT else root
    except BadRequest:
        return ""
    return text_of_clinical(document, read_pdf)


def text_of_clinical(document: Element, read_pdf: ReadPdf) -> str:
    """Return the words of a CDA document that was parsed already: of its narrative and of the file it may hold."""
    words = narrative(document)
    inside = embedded(document)
    if inside is None or bare(inside[0]) in _XML:
        return words
    return f"{words} {text_of(*inside, read_pdf)}"


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def text_of_document(bundle: Json) -> str:
    """Return the words of a FHIR document: the narratives of its resources and the titles of its sections."""
    return html.unescape(_MARKUP.sub(" ", " ".join(_narratives(bundle))))[:LONGEST]


def _narratives(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key in ("div", "title") and isinstance(part, str):
                yield part
            else:
                yield from _narratives(part)
    elif isinstance(value, list):
        for part in value:
            yield from _narratives(part)


def contents_named(document: Json, base: str) -> list[tuple[str, str]]:
    """Return (media type, `Binary/id` or `Bundle/id`) of the contents of a DocumentReference that are kept here."""
    found = []
    listed = document.get("content")
    for content in listed if isinstance(listed, list) else ():
        attachment = object_of(object_of(content).get("attachment"))
        url, media_type = attachment.get("url"), attachment.get("contentType")
        if isinstance(url, str):
            place = url.removeprefix(f"{base}/").partition("/_history/")[0]
            if place.startswith(("Binary/", "Bundle/")) and place.count("/") == 1:
                found.append((media_type if isinstance(media_type, str) else "", place))
    return found
