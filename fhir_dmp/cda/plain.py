"""The words of a CDA document for people: its titles and its narrative, and the body of one that embeds a file.

Coded entries are left out: their words stand in the narrative. [cda 1.1]
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from fhir_dmp.cda.xml import V3, Element

_TITLE = f"{{{V3}}}title"
_TEXT = f"{{{V3}}}text"
_BODY = f"{{{V3}}}nonXMLBody"
#: A `text` below these belongs to an entry; of one directly below them, it is the narrative or an embedded file.
_HOLDERS = (f"{{{V3}}}section", f"{{{V3}}}ClinicalDocument")


def narrative(document: Element) -> str:
    """Return titles and narrative in the order of the document, separated by spaces."""
    return " ".join(_pieces(document))


def _pieces(document: Element) -> Iterator[str]:
    for element in document.iter(_TITLE, _TEXT):
        parent = element.getparent()
        if parent is not None and parent.tag in _HOLDERS:
            yield from (text for piece in element.itertext() if (text := str(piece).strip()))


def files_in(document: Element) -> Iterator[bytes]:
    """Yield the bytes of every file that a document holds in base64, wherever it stands."""
    for element in document.iter("*"):
        if element.get("representation") == "B64" and element.text:
            try:
                yield base64.b64decode("".join(element.text.split()), validate=True)
            except (binascii.Error, ValueError):
                continue


def embedded(document: Element) -> tuple[str, bytes] | None:
    """Return media type and bytes of the file that an unstructured document (level 1) holds, None without one."""
    body = next(document.iter(_BODY), None)
    text = body.find(_TEXT) if body is not None else None
    if text is None or not text.text:
        return None
    media_type = text.get("mediaType", "text/plain")
    if text.get("representation") != "B64":
        return media_type, text.text.encode()
    try:
        return media_type, base64.b64decode("".join(text.text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
