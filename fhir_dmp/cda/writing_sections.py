"""Sections and bodies: Composition.section as section or nonXMLBody. [cda 6.1, 6.2]"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from fhir_dmp.cda.care_plan import unfolded
from fhir_dmp.cda.elements import first, make
from fhir_dmp.cda.generated import rows_of, table
from fhir_dmp.cda.rules import BODY, REST, kept_of, write_children
from fhir_dmp.cda.shapes import act_parts
from fhir_dmp.cda.unsaid import unsaid
from fhir_dmp.cda.writing import Writing
from fhir_dmp.cda.writing_acts import wrapped_entries
from fhir_dmp.cda.xml import Element
from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.elements import object_of
from fhir_dmp.fhir.resource import Json

#: What a level-1 body may be. [6.1]
MEDIA_TYPES = ("application/pdf", "text/plain", "text/rtf", "image/jpeg", "image/png", "image/tiff")


def body_of(composition: Json, writer: Writing) -> tuple[Element, bool]:
    sections = [one for one in composition.get("section", ()) if isinstance(one, dict)]
    binary = _only_content(sections, writer)
    if binary is not None:
        broken = next((one for one in kept_of(sections[0]).get(BODY, ()) if one is not None), None)
        if broken is not None and not binary.get("data"):
            return make("nonXMLBody", None, broken), True
        return make("nonXMLBody", None, _content(binary, was_cda=bool(kept_of(composition)))), True
    body = make("structuredBody")
    writer.own(sections)
    for section in sections:
        body.append(make("component", None, _section(section, writer)))
    return body, False


def _only_content(sections: Sequence[Json], writer: Writing) -> Json | None:
    if len(sections) == 1 and len(sections[0].get("entry", ())) == 1 and not sections[0].get("section"):
        resource = writer.resolve(sections[0]["entry"][0])
        if resource is not None and resource.get("resourceType") == "Binary":
            return resource
    return None


def _content(binary: Json, *, was_cda: bool) -> Element:
    media = str(binary.get("contentType") or "").partition(";")[0].strip().lower()
    if media not in MEDIA_TYPES:
        raise Unprocessable(
            f"A CDA body is one of {', '.join(MEDIA_TYPES)}.", code="not-supported", expression="Binary.contentType"
        )
    data = "".join(str(binary.get("data") or "").split())
    try:
        base64.b64decode(data, validate=True)
    except ValueError as error:
        raise Unprocessable("The content is not base64.", code="value", expression="Binary.data") from error
    if not data and not was_cda:
        raise Unprocessable("The content is empty.", code="required", expression="Binary.data")
    text = make("text", {"mediaType": media, "representation": "B64"})
    text.text = data
    return text


def _narrative(section: Json, entries: Sequence[Json], writer: Writing) -> Json:
    """Return the text of a section from elsewhere: its own, with what no statement says; else made of entries."""
    language = writer.language[:2]
    own = object_of(section.get("text"))
    if not own.get("div"):
        return {"text": table(entries, writer, language)} if entries else {}
    orphans = [one for one in entries if writer.knowledge.for_resource(one) is None]
    inside, end, rest = str(own["div"]).rpartition("</div>")
    if not orphans or not end:
        return {}
    words = writer.knowledge.words.get(language, writer.knowledge.words["fr"])
    return {"text": {**own, "div": f"{inside}{rows_of(orphans, writer, words)}{end}{rest}"}}


#: Elements of a section that are written without a rule.
_BESIDE = frozenset(("entry", "section", "emptyReason"))


def _section(section: Json, writer: Writing) -> Element:
    element = make("section")
    kept = kept_of(section)
    named = [found for one in section.get("entry", ()) if (found := writer.resolve(one)) is not None]
    entries = unfolded(named, writer)
    missing = len(section.get("entry", ())) - len(named)
    if missing:
        writer.drop("Composition.section.entry", f"{missing} entries are not in the bundle")
    if (section.get("text") or {}).get("status") == "empty":
        section = {name: value for name, value in section.items() if name != "text"}
    from_cda = bool(kept) or any(act_parts(one) for one in entries)
    said = section if from_cda else {**section, **_narrative(section, entries, writer)}
    element.extend(one for one in kept.get(REST, ()) if one is not None)
    element.extend(write_children(said, writer.knowledge.mappings["section"], writer, kept))
    if section.get("id") and re.fullmatch(r"[A-Za-z_][\w.\-]*", str(section["id"])) and kept:
        element.set("ID", str(section["id"]))
    element.extend(wrapped_entries(entries, writer))
    for inner in section.get("section", ()):
        element.append(make("component", None, _section(inner, writer)))
    for where in unsaid(section, writer.knowledge.mappings["section"], _BESIDE):
        writer.drop(f"Composition.section.{where}", "no element of CDA says this")
    if first(element, "text") is None and not from_cda:
        element.append(make("text"))
    return element
