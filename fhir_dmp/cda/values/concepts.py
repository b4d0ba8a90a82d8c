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
    bound = part.options.get("set")
    exact = exact and (bound is None or (bool(codings) and reader.knowledge.binding(bound).holds(codings[0])))
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


def concept_element(value: Json, name: str, writer: Writer, bound: str | None = None) -> Element:
    """Return the CD of a CodeableConcept; a coding of a system without OID has no place.

    bound: value set that the code must be of; any other code is written as a translation, and reported.
    """
    flavor = flavor_of(value)
    stated, fits = list(value.get("coding", ())), True
    if bound is not None and stated:
        stated, fits = writer.knowledge.binding(bound).arranged(stated)
        if not fits:
            set_ = writer.knowledge.binding(bound).name
            writer.drop(name, f"no code is in {set_}: what was given stands as a translation")
    codings = [found for one in stated if (found := _code_attributes(one, writer)) is not None]
    if codings and fits:
        element = make(name, codings.pop(0))
    else:
        element = make(name, {"nullFlavor": flavor or ("OTH" if value.get("text") or codings else "UNK")})
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
    element.extend(make("translation", one) for one in codings)
    return element


def write_concept(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """CodeableConcept -> CD."""
    return [concept_element(value, name, writer, part.options.get("set"))]


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
    """Code -> CS, or CD when the part names a value set; a code that CDA has no word for is reported."""
    candidates = _candidates(value, part, writer)
    if "set" in part.options:
        coding = writer.knowledge.binding(part.options["set"]).first_of(candidates)
        attributes = _code_attributes(coding, writer) if coding else None
        if attributes:
            return [make(name, attributes)]
        candidates = []
    if candidates:
        return [make(name, {part.attribute or "code": candidates[0]})]
    nearest = writer.knowledge.tables.get(f"{part.options.get('table')}-nearest", {}).get(str(value))
    writer.drop(name, f"CDA has no word for {value}" + (f": it is written as {nearest}" if nearest else ""))
    return [make(name, {part.attribute or "code": nearest})] if nearest else []


def _candidates(value: Any, part: Part, writer: Writer) -> list[str]:
    """Return the CDA codes of a FHIR code, by the table of the part."""
    table = writer.knowledge.tables.get(part.options.get("table", ""))
    return [str(value)] if table is None else [code for code, one in table.items() if one == value]


def read_mapped(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """CD -> CodeableConcept of another system: by the table of codes; the original coding stays as a further one."""
    read = read_concept(elements, part, reader)
    if read is None or read.value is None or not read.value.get("coding"):
        return Read(None, False) if read is None or part.options.get("strict") else Read(read.value, False)
    table = reader.knowledge.tables[part.options["table"]]
    system, codings = part.options["system"], read.value["coding"]
    words = set(table.values())
    # A translation into the very system is more precise than what stands for it in the value set of the CI-SIS.
    told = next((one["code"] for one in codings[1:] if one.get("system") == system and one.get("code") in words), None)
    code = told or next((table[one["code"]] for one in codings if one.get("code") in table), None)
    if code is None:
        return None
    found: Json = {
        "coding": [{"system": system, "code": code}, *(one for one in codings if one.get("system") != system)]
    }
    if read.value.get("text"):
        found["text"] = read.value["text"]
    return Read(found, False)


def write_mapped(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """CodeableConcept -> CD: in the value set of the part; else its other coding, or the table read backwards."""
    system, stated = part.options["system"], list(value.get("coding", ()))
    own = next((one for one in stated if one.get("system") == system), None)
    if "set" in part.options:
        known = writer.knowledge.binding(part.options["set"])
        codes = _candidates(own.get("code"), part, writer) if own is not None else []
        meant = known.first_of(codes)
        if meant is not None and not any(known.holds(one) for one in stated):
            stated = [meant, *(one for one in stated if one is not own)]
        return [concept_element({**value, "coding": stated}, name, writer, part.options["set"])]
    others = [one for one in stated if one.get("system") != system]
    if not others and own is not None:
        code = next(iter(_candidates(own.get("code"), part, writer)), None)
        if code is not None:
            attributes = {"code": code, "codeSystem": part.options.get("oid"), "displayName": own.get("display")}
            return [make(name, attributes)]
    return write_concept({**value, "coding": others or stated}, part, name, writer)


CODECS = {
    "concept": Codec(read_concept, write_concept),
    "coding": Codec(read_coding, write_coding),
    "code": Codec(read_code, write_code),
    "mapped": Codec(read_mapped, write_mapped),
}
