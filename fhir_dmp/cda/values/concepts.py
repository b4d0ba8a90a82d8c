"""CD, CE, CV, CS as CodeableConcept, Coding and code. [cda 4.4]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_dmp.cda.elements import TYPE, first, make, text_in, with_text
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.places import EXTENSIONS
from fhir_dmp.cda.values.codec import Codec, Read, Reader, Writer
from fhir_dmp.cda.values.flavors import absent, exact_flavor, flavor_of
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

QUALIFIER = f"{EXTENSIONS}/cda-qualifier"


def spaced(text: str | None) -> str:
    return " ".join((text or "").split())


def coding_of(element: Element, reader: Reader) -> tuple[Json | None, bool]:
    code, system = spaced(element.get("code")), (element.get("codeSystem") or "").strip()
    if not code:
        return None, False
    found: Json = {}
    exact = True
    if system:
        url = reader.knowledge.codes.system_of(system)
        found["system"] = url
        exact = reader.knowledge.oid_of(url) == system
    version = element.get("codeSystemVersion")
    if version:
        found["version"] = version
    found["code"] = code
    display = spaced(element.get("displayName"))
    if display:
        found["display"] = display
    return found, exact and (element.get("displayName") or "") == display and element.get("code") == code


_CODED = {"code", "codeSystem", "codeSystemName", "displayName", "codeSystemVersion"}


def read_concept(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """CD, CE, CS -> CodeableConcept: translations stay in order, originalText becomes the text."""
    element = elements[0]
    exact = len(elements) == 1
    codings: list[Json] = []
    found: Json = {}
    qualifiers: list[Json] = []
    main, fine = coding_of(element, reader)
    exact = exact and set(map(str, element.keys())) - {TYPE} <= _CODED
    if main is not None:
        codings.append(main)
        exact = exact and fine
    for child in element:
        name = str(child.tag).rpartition("}")[2]
        if name == "originalText":
            text = original_text(child, reader)
            if text:
                found["text"] = text
            exact = exact and text == child.text
        elif name == "translation":
            other, fine = coding_of(child, reader)
            if other is not None:
                codings.append(other)
            exact = exact and fine and main is not None and not len(child) and set(map(str, child.keys())) <= _CODED
        elif name == "qualifier":
            one = _qualifier(child, reader)
            exact = exact and bool(one)
            if one:
                qualifiers.append(one)
                exact = exact and not any(len(inner) for inner in child)
        else:
            exact = False
    if codings:
        found = {"coding": codings, **found}
    flavor = element.get("nullFlavor")
    if qualifiers:
        found = {"extension": qualifiers, **found}
    if not found:
        if flavor is None:
            return None if not element.attrib and not len(element) else Read(None, False)
        return Read(absent(flavor), exact_flavor(element))
    return Read(found, exact and flavor is None)


def original_text(element: Element, reader: Reader) -> str | None:
    reference = first(element, "reference")
    inline = text_in(element)
    if inline or reference is None:
        return inline
    return reader.text_of(reference.get("value") or "", reference)


def _qualifier(element: Element, reader: Reader) -> Json | None:
    parts: list[Json] = []
    for name, url in (("name", "name"), ("value", "value")):
        child = first(element, name)
        if child is None:
            continue
        coding, _ = coding_of(child, reader)
        if coding is None:
            return None
        parts.append({"url": url, "valueCoding": coding})
    return {"url": QUALIFIER, "extension": parts} if parts else None


def _code_attributes(coding: Json, writer: Writer) -> dict[str, str | None] | None:
    oid = writer.knowledge.oid_of(coding.get("system"))
    if not coding.get("code") or (coding.get("system") and oid is None):
        return None
    return {
        "code": str(coding["code"]),
        "codeSystem": oid,
        "codeSystemVersion": coding.get("version"),
        "displayName": coding.get("display"),
    }


def concept_element(value: Json, name: str, writer: Writer) -> Element:
    """Return the CD of a CodeableConcept; a coding of a system without OID has no place."""
    flavor = flavor_of(value)
    codings = [found for one in value.get("coding", ()) if (found := _code_attributes(one, writer)) is not None]
    if codings:
        element = make(name, codings[0])
    else:
        element = make(name, {"nullFlavor": flavor or ("OTH" if value.get("text") else "UNK")})
    if value.get("text"):
        element.append(with_text("originalText", str(value["text"])))
    for extension in value.get("extension", ()):
        if extension.get("url") == QUALIFIER:
            qualifier = make("qualifier")
            for one in extension.get("extension", ()):
                attributes = _code_attributes(one.get("valueCoding") or {}, writer)
                if attributes and one.get("url") in ("name", "value"):
                    qualifier.append(make(one["url"], attributes))
            element.append(qualifier)
    element.extend(make("translation", one) for one in codings[1:])
    return element


def write_concept(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """CodeableConcept -> CD."""
    return [concept_element(value, name, writer)]


def read_coding(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """CD -> Coding: the main code alone."""
    coding, exact = coding_of(elements[0], reader)
    if coding is None:
        return Read(None, False)
    return Read(coding, exact and not len(elements[0]) and set(map(str, elements[0].keys())) <= _CODED)


def write_coding(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """Coding -> CD."""
    attributes = _code_attributes(value, writer)
    return [make(name, attributes)] if attributes else []


def read_code(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """CS or CD -> code, by a table of `mappings/cda.json` when the part names one."""
    text = (elements[0].get(part.attribute or "code") or "").strip()
    table = reader.knowledge.tables.get(part.options.get("table", ""))
    if not text:
        return Read(None, False)
    value = text if table is None else table.get(text, part.options.get("otherwise"))
    if value is None:
        return None
    back = text if table is None else _reverse(table, value)
    known = {part.attribute or "code"}
    return Read(value, back == text and set(map(str, elements[0].keys())) <= known and not len(elements[0]))


def _reverse(table: Mapping[str, str], value: Any) -> str | None:
    return next((key for key, one in table.items() if one == value), None)


def write_code(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """Code -> CS."""
    table = writer.knowledge.tables.get(part.options.get("table", ""))
    text = str(value) if table is None else _reverse(table, value)
    return [make(name, {part.attribute or "code": text})] if text else []


def read_mapped(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """CD -> CodeableConcept of another system: by the table of codes; the original coding stays as a further one."""
    read = read_concept(elements, part, reader)
    if read is None or read.value is None or not read.value.get("coding"):
        return Read(None, False) if read is None or part.options.get("strict") else Read(read.value, False)
    table = reader.knowledge.tables[part.options["table"]]
    code = next((table[one["code"]] for one in read.value["coding"] if one.get("code") in table), None)
    if code is None:
        return None
    mapped = {"system": part.options["system"], "code": code}
    others = [one for one in read.value["coding"] if one.get("system") != mapped["system"]]
    found = {"coding": [mapped, *others]}
    if read.value.get("text"):
        found["text"] = read.value["text"]
    return Read(found, False)


def write_mapped(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """CodeableConcept -> CD, by the table read backwards when the original coding is not there."""
    codings = [one for one in value.get("coding", ()) if one.get("system") != part.options["system"]]
    if not codings:
        table = writer.knowledge.tables[part.options["table"]]
        main = next((one for one in value.get("coding", ())), None)
        code = _reverse(table, main.get("code")) if main else None
        if code is None:
            return write_concept(value, part, name, writer) if main or value.get("text") else []
        system = writer.knowledge.tables.get(part.options["table"] + "-oid", {}).get(code, part.options.get("oid"))
        return [make(name, {"code": code, "codeSystem": system, "displayName": main.get("display") if main else None})]
    return write_concept({**value, "coding": codings}, part, name, writer)


CODECS = {
    "concept": Codec(read_concept, write_concept),
    "coding": Codec(read_coding, write_coding),
    "code": Codec(read_code, write_code),
    "mapped": Codec(read_mapped, write_mapped),
}
