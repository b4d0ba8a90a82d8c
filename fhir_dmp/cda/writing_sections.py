"""Sections and bodies: Composition.section as section or nonXMLBody. [cda 6.1, 6.2]"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from fhir_dmp.cda.elements import first, make
from fhir_dmp.cda.narrative import generated
from fhir_dmp.cda.rules import BODY, REST, kept_of, write_children
from fhir_dmp.cda.shapes import act_parts
from fhir_dmp.cda.unsaid import unsaid
from fhir_dmp.cda.values.numbers import digits
from fhir_dmp.cda.writing import Writing
from fhir_dmp.cda.writing_acts import wrapped_entries
from fhir_dmp.cda.xml import Element
from fhir_dmp.errors import Unprocessable
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


#: Elements of a section that are written without a rule.
_BESIDE = frozenset(("entry", "section", "emptyReason"))


def _section(section: Json, writer: Writing) -> Element:
    element = make("section")
    kept = kept_of(section)
    entries = [found for one in section.get("entry", ()) if (found := writer.resolve(one)) is not None]
    missing = len(section.get("entry", ())) - len(entries)
    if missing:
        writer.drop("Composition.section.entry", f"{missing} entries are not in the bundle")
    if (section.get("text") or {}).get("status") == "empty":
        section = {name: value for name, value in section.items() if name != "text"}
    from_cda = bool(kept) or any(act_parts(one) for one in entries)
    said = section if "text" in section or not entries or from_cda else {**section, "text": generated(_rows(entries))}
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


def _rows(resources: Sequence[Json]) -> list[tuple[str, str]]:
    return [(_label(one), _value(one)) for one in resources]


def _label(resource: Json) -> str:
    for name in ("code", "vaccineCode", "medicationCodeableConcept", "type", "relationship", "event"):
        value = resource.get(name)
        concept = value[0] if isinstance(value, list) and value else value
        if isinstance(concept, dict):
            text = concept.get("text") or next(
                (one.get("display") or one.get("code") for one in concept.get("coding", ())), None
            )
            if text:
                return str(text)
    return str(resource.get("resourceType"))


def _value(resource: Json) -> str:
    for key, value in resource.items():
        if key.startswith("value") and key[5:6].isupper():
            if isinstance(value, dict) and "value" in value:
                return " ".join(filter(None, (value.get("comparator"), digits(value["value"]), value.get("unit"))))
            if isinstance(value, dict):
                return str(
                    value.get("text")
                    or next((one.get("display") or one.get("code") for one in value.get("coding", ())), "")
                )
            return str(value)
    for key in ("effectiveDateTime", "onsetDateTime", "performedDateTime", "occurrenceDateTime", "status"):
        if resource.get(key):
            return str(resource[key])
    return ""
