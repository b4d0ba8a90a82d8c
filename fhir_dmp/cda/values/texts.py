"""ST and ED as string, Narrative and Attachment. [cda 4.4, 4.6]"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fhir_dmp.cda.elements import TYPE, first, make, text_in, with_text
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.values.codec import Codec, Read, Reader, Writer
from fhir_dmp.cda.values.concepts import spaced
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json


def read_text(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """ST -> string."""
    text = "".join(str(one) for one in elements[0].itertext())
    trimmed = text.strip()
    if not trimmed:
        reference = first(elements[0], "reference")
        found = reader.text_of(reference.get("value") or "", reference) if reference is not None else None
        return Read(found, False)
    return Read(trimmed, len(elements) == 1 and trimmed == text and not elements[0].attrib and not len(elements[0]))


def write_text(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """String -> ST."""
    return [with_text(name, str(value))]


_MARKED = re.compile(r'<p id="([^"]+)">')


def read_narrated(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """act/text -> Narrative of the resource: the text that it refers to, under the same id."""
    element = elements[0]
    reference = first(element, "reference")
    inline = text_in(element)
    if reference is not None and not inline:
        value = (reference.get("value") or "").strip()
        text = reader.text_of(value, reference)
        if not text:
            return Read(None, True)
        name = value.lstrip("#")
        return Read(_narrative(text, name), True)
    if not inline:
        return Read(None, False)
    return Read(_narrative(inline, None), not len(element) and not element.attrib)


def _narrative(text: str, name: str | None) -> Json:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    mark = f' id="{name}"' if name and re.fullmatch(r"[A-Za-z][\w.\-]*", name) else ""
    return {
        "status": "additional",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p{mark}>{escaped}</p></div>',
    }


def write_narrated(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """Narrative -> act/text; only what a CDA act said comes back here, other narratives go to the section."""
    div = str(value.get("div") or "")
    if value.get("status") != "additional":
        return []
    match = _MARKED.search(div)
    if match:
        return [make("text", None, make("reference", {"value": f"#{match[1]}"}))]
    bare = re.sub(r"<[^>]+>", "", div)
    for entity, letter in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        bare = bare.replace(entity, letter)
    return [with_text("text", bare)] if bare.strip() else []


def read_note(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """act/text -> plain text: the narrative that it refers to, or its own words."""
    element = elements[0]
    inline = text_in(element)
    reference = first(element, "reference")
    if not inline and reference is not None:
        return Read(reader.text_of(reference.get("value") or "", reference), False)
    return Read(inline, not len(element))


_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def read_attachment(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """ED -> Attachment: base64 without its line breaks, or the URL that it refers to."""
    element = elements[0]
    found: Json = {}
    if element.get("mediaType"):
        found["contentType"] = spaced(element.get("mediaType"))
    if element.get("language"):
        found["language"] = element.get("language")
    exact = True
    if element.get("representation") == "B64":
        data = "".join((element.text or "").split())
        if data and (len(data) % 4 or not _BASE64.fullmatch(data)):
            return None
        if data:
            found["data"] = data
        exact = set(map(str, element.keys())) - {TYPE} <= {"mediaType", "language", "representation"} and not len(
            element
        )
        exact = exact and not element.get(TYPE)
    else:
        reference = first(element, "reference")
        target = (reference.get("value") or "").strip() if reference is not None else ""
        inline = text_in(element)
        if target and not target.startswith("#") and not inline:
            found["url"] = target.replace(" ", "%20")
        elif inline:
            import base64

            found.setdefault("contentType", "text/plain")
            found["data"] = base64.b64encode(inline.encode()).decode()
        exact = False
    return Read(found or None, exact)


def write_attachment(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """Attachment -> ED."""
    if value.get("data"):
        element = make(name, {"mediaType": value.get("contentType"), "language": value.get("language")})
        element.set("representation", "B64")
        element.text = value["data"]
        return [element]
    if value.get("url"):
        element = make(name, {"mediaType": value.get("contentType"), "language": value.get("language")})
        element.append(make("reference", {"value": value["url"]}))
        return [element]
    return []


def _read_attribute(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    text = spaced(elements[0].get(part.attribute or "value"))
    return Read(text or None, len(elements[0].attrib) == 1 and not len(elements[0]))


def _write_attribute(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    return [make(name, {part.attribute or "value": str(value)})]


CODECS = {
    "text": Codec(read_text, write_text),
    "narrated": Codec(read_narrated, write_narrated),
    "note": Codec(read_note, write_text),
    "attachment": Codec(read_attachment, write_attachment),
    "attribute": Codec(_read_attribute, _write_attribute),
}
