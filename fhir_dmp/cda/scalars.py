"""CDA data types as FHIR data types, both ways, one pair of functions for each. [cda 4.4, 4.5]

A reader returns the value and whether the writer makes the same element of it again; when it does not, the engine
keeps the element beside the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, Protocol

from fhir_dmp.cda.datatypes import date_time, uri_of
from fhir_dmp.cda.elements import TYPE, children, first, local_type, make, text_in, with_text
from fhir_dmp.cda.knowledge import Knowledge, Part
from fhir_dmp.cda.places import EXTENSIONS
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json, Number
from fhir_dmp.terminology.aliases import UCUM
from fhir_dmp.terminology.national import RFC_3986

ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
EDQM = "http://standardterms.edqm.eu"
QUALIFIER = f"{EXTENSIONS}/cda-qualifier"
ORIGINAL_UNITS = f"{EXTENSIONS}/cda-translation"

REASONS = {
    "UNK": "unknown",
    "NI": "unknown",
    "NP": "unknown",
    "ASKU": "asked-unknown",
    "NAV": "temp-unknown",
    "NASK": "not-asked",
    "NA": "not-applicable",
    "MSK": "masked",
    "OTH": "unsupported",
    "NINF": "negative-infinity",
    "PINF": "positive-infinity",
    "TRC": "as-text",
}
FLAVORS = {
    "unknown": "UNK",
    "asked-unknown": "ASKU",
    "temp-unknown": "NAV",
    "not-asked": "NASK",
    "not-applicable": "NA",
    "masked": "MSK",
    "unsupported": "OTH",
    "negative-infinity": "NINF",
    "positive-infinity": "PINF",
    "as-text": "TRC",
}


class Read(NamedTuple):
    """A value read. exact: the writer gives the same elements back. value None: the elements say that there is none."""

    value: Any
    exact: bool


class Reader(Protocol):
    """What reading a value may need of the document around it."""

    knowledge: Knowledge
    zone: tzinfo

    def text_of(self, reference: str, element: Element) -> str | None:
        """Return the narrative text that a reference (`#id` or `id`) names, None when there is none."""

    def lose(self, element: Element, reason: str, *, kept: bool = False) -> None:
        """Report what has no place in FHIR."""


class Writer(Protocol):
    """What writing a value may need of the bundle around it."""

    knowledge: Knowledge

    def resolve(self, reference: Any) -> Json | None:
        """Return the resource that a Reference names, None when it is not in the bundle."""

    def drop(self, where: str, reason: str) -> None:
        """Report what has no place in CDA."""


Decoder = Callable[[Sequence[Element], Part, Reader], Read | None]


def absent(flavor: str) -> Json:
    """Return an element that says why it is empty."""
    return {"extension": [{"url": ABSENT_REASON, "valueCode": REASONS.get(flavor, "unknown")}]}


def flavor_of(value: Any) -> str | None:
    """Return the nullFlavor of an element that says why it is empty."""
    if not isinstance(value, dict):
        return None
    for part in value.get("extension", ()):
        if part.get("url") == ABSENT_REASON:
            return FLAVORS.get(part.get("valueCode"), "UNK")
    return None


# --- II ------------------------------------------------------------------------------------------------------------


def read_id(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """II -> Identifier; a root alone is itself the value."""
    element = elements[0]
    root, extension = (element.get("root") or "").strip(), (element.get("extension") or "").strip()
    if not root:
        if extension and not element.get("nullFlavor"):
            return Read({"value": extension}, set(element.keys()) <= {"extension"})
        return Read(None, False)
    exact = set(element.keys()) <= {"root", "extension"} and not any(letter.isupper() for letter in root)
    more = {key: value for key, value in part.options.items() if key in ("use", "type")}
    if extension:
        return Read({**more, "system": uri_of(root), "value": extension}, exact)
    return Read({**more, "system": RFC_3986, "value": uri_of(root)}, exact)


def id_element(value: Json, name: str = "id") -> Element | None:
    """Return the II of an Identifier, None when its system is no OID or UUID."""
    system, text = str(value.get("system") or ""), str(value.get("value") or "")
    if system == RFC_3986 or not system:
        found = re.fullmatch(r"urn:(?:oid|uuid):(.+)", text)
        if found:
            root = found[1].upper() if "uuid" in text[:9] else found[1]
            return make(name, {"root": root})
        return make(name, {"extension": text}) if text and not system else None
    found = re.fullmatch(r"urn:(?:oid|uuid):(.+)", system)
    return make(name, {"root": found[1], "extension": text}) if found and text else None


def write_id(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """Identifier -> II."""
    found = id_element(value, name)
    return [] if found is None else [found]


# --- CD ------------------------------------------------------------------------------------------------------------


def _spaced(text: str | None) -> str:
    return " ".join((text or "").split())


def _coding(element: Element, reader: Reader) -> tuple[Json | None, bool]:
    code, system = _spaced(element.get("code")), (element.get("codeSystem") or "").strip()
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
    display = _spaced(element.get("displayName"))
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
    main, fine = _coding(element, reader)
    exact = exact and set(map(str, element.keys())) - {TYPE} <= _CODED
    if main is not None:
        codings.append(main)
        exact = exact and fine
    for child in element:
        name = str(child.tag).rpartition("}")[2]
        if name == "originalText":
            text = _original_text(child, reader)
            if text:
                found["text"] = text
            exact = exact and text == child.text
        elif name == "translation":
            other, fine = _coding(child, reader)
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


def exact_flavor(element: Element) -> bool:
    """Say whether an empty element comes back with the same nullFlavor."""
    flavor = element.get("nullFlavor") or ""
    only = set(map(str, element.keys())) == {"nullFlavor"} and not len(element)
    return only and FLAVORS.get(REASONS.get(flavor, ""), "") == flavor


def _original_text(element: Element, reader: Reader) -> str | None:
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
        coding, _ = _coding(child, reader)
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
    coding, exact = _coding(elements[0], reader)
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


# --- ST, ED --------------------------------------------------------------------------------------------------------


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
        found["contentType"] = _spaced(element.get("mediaType"))
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


# --- numbers -------------------------------------------------------------------------------------------------------

_DECIMAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")


def number(text: str | None) -> Number | None:
    """Return a decimal with its own digits; None when the text is no number. `007` and `,5` are repaired."""
    bare = (text or "").strip()
    if _DECIMAL.fullmatch(bare):
        return Number(bare)
    try:
        value = Decimal(bare.lstrip("+"))
    except InvalidOperation:
        return None
    return Number(f"{value:f}") if value.is_finite() else None


_ATOM = re.compile(r"\{[^{}]*\}|\[[^\[\]]+\]|10[*^]|[A-Za-z%'\"][A-Za-z%'\"_]*(?:\[[^\[\]]+\])?")
_PREFIXES = ("da", "Y", "Z", "E", "P", "T", "G", "M", "k", "h", "d", "c", "m", "u", "n", "p", "f", "a", "z", "y")


def is_ucum(unit: str, atoms: frozenset[str]) -> bool:
    """Say whether a unit reads as UCUM: atoms of the table, prefixed or not, with exponents, joined by `.` and `/`.

    >>> is_ucum("mmol/L", frozenset({"mol", "L"})), is_ucum("30067000", frozenset()), is_ucum("10*9/L", frozenset("L"))
    (True, False, True)
    """
    if unit == "1":
        return True
    if not unit or re.search(r"\s", re.sub(r"\{[^{}]*\}", "", unit)):
        return False
    position, expects = 0, True
    text = unit.replace("(", "").replace(")", "") if unit.count("(") == unit.count(")") else ""
    if text.startswith("/"):
        position = 1
    while position < len(text):
        if not expects:
            if text[position] in "./":
                position, expects = position + 1, True
                continue
            if text[position] == "{":
                match = _ATOM.match(text, position)
                if match is None:
                    return False
                position = match.end()
                continue
            return False
        match = _ATOM.match(text, position)
        if match is None:
            digits = re.compile(r"\d+").match(text, position)
            if digits is None or digits.end() == len(text):
                return False
            position, expects = digits.end(), False
            continue
        if not _is_atom(match[0], atoms):
            return False
        position, expects = match.end(), False
        exponent = re.compile(r"[+-]?\d+").match(text, position)
        if exponent:
            position = exponent.end()
    return not expects


def _is_atom(atom: str, atoms: frozenset[str]) -> bool:
    if atom[0] == "{" or atom in ("10*", "10^") or atom in atoms:
        return True
    return any(atom.startswith(prefix) and atom[len(prefix) :] in atoms for prefix in _PREFIXES)


def quantity(element: Element, reader: Reader) -> tuple[Json | None, bool]:
    """Return the Quantity of a PQ: decimal text as written; UCUM only when the unit is UCUM, else EDQM or no system."""
    value = number(element.get("value"))
    unit = (element.get("unit") or "").strip()
    if value is None:
        return None, False
    found: Json = {"value": value}
    exact = set(map(str, element.keys())) - {TYPE} <= {"value", "unit"} and not len(element)
    exact = exact and value.text == element.get("value") and unit == (element.get("unit") or "")
    if unit:
        found["unit"] = unit
        if re.fullmatch(r"\d{8}", unit):
            found.update(system=EDQM, code=unit)
        elif is_ucum(unit, reader.knowledge.units):
            found.update(system=UCUM, code=unit)
    translations = [extra for child in children(element, "translation") if (extra := _translation(child, reader))]
    if translations:
        found = {"extension": translations, **found}
    return found, exact


def _translation(element: Element, reader: Reader) -> Json | None:
    value = number(element.get("value"))
    coding, _ = _coding(element, reader)
    original = first(element, "originalText")
    text = _original_text(original, reader) if original is not None else None
    if value is None and coding is None:
        return {"url": ORIGINAL_UNITS, "valueString": text} if text else None
    found: Json = {"value": value} if value is not None else {}
    if coding is not None:
        found["unit"] = coding.get("display") or coding["code"]
        if coding.get("system"):
            found.update(system=coding["system"], code=coding["code"])
    return {"url": ORIGINAL_UNITS, "valueQuantity": found}


def _number_text(value: Any) -> str:
    return value.text if isinstance(value, Number) else str(value)


def quantity_attributes(value: Json) -> dict[str, str | None]:
    """Return the attributes of a PQ."""
    unit = value.get("code") or value.get("unit")
    return {"value": _number_text(value["value"]) if "value" in value else None, "unit": unit and "".join(unit.split())}


def read_quantity(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """PQ (or an IVL_PQ that is one value) -> Quantity."""
    element = elements[0]
    if first(element, "low") is not None or first(element, "high") is not None:
        return _interval_quantity(element, reader, single=True)
    found, exact = quantity(element, reader)
    return Read(found, exact and len(elements) == 1)


def write_quantity(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """Quantity -> PQ, or IVL_PQ with one bound for a comparator."""
    comparator = value.get("comparator")
    if comparator:
        bound = "high" if comparator.startswith("<") else "low"
        inner = make(bound, quantity_attributes(value))
        if len(comparator) == 1:
            inner.set("inclusive", "false")
        return [make(name, None, inner)]
    return [make(name, quantity_attributes(value))]


def _interval_quantity(element: Element, reader: Reader, *, single: bool = False) -> Read | None:
    low, high = first(element, "low"), first(element, "high")
    ends = {}
    exact = set(map(str, element.keys())) - {TYPE} == set() and len(element) == (low is not None) + (high is not None)
    for name, bound in (("low", low), ("high", high)):
        if bound is None:
            continue
        found, fine = quantity(bound, reader)
        inclusive = bound.get("inclusive")
        if inclusive is not None:
            fine = inclusive == "false" and set(map(str, bound.keys())) <= {"value", "unit", "inclusive"}
        exact = exact and fine
        if found is not None:
            ends[name] = found
    if not ends:
        return Read(None, False)
    if len(ends) == 2:
        if single and ends["low"] == ends["high"]:
            return Read(ends["low"], False)
        strict = any(bound is not None and bound.get("inclusive") == "false" for bound in (low, high))
        return Read(ends, exact and not strict)
    (name, value), bound = next(iter(ends.items())), low if "low" in ends else high
    assert bound is not None  # it gave the value
    comparator = ("<" if name == "high" else ">") + ("" if bound.get("inclusive") == "false" else "=")
    return Read({**value, "comparator": comparator}, exact and (low is None or high is None))


def read_dose(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """PQ or IVL_PQ -> {Quantity: ...} or {Range: ...}."""
    element = elements[0]
    if first(element, "low") is None and first(element, "high") is None:
        found, exact = quantity(element, reader)
        return Read({"Quantity": found} if found else None, exact)
    read = _interval_quantity(element, reader, single=True)
    if read is None or read.value is None:
        return read
    return Read({"Range" if "low" in read.value or "high" in read.value else "Quantity": read.value}, read.exact)


def write_dose(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """{Quantity} or {Range} -> PQ or IVL_PQ."""
    if "Quantity" in value:
        return write_quantity(value["Quantity"], part, name, writer)
    if "Range" in value:
        ends = [make(end, quantity_attributes(value["Range"][end])) for end in ("low", "high") if end in value["Range"]]
        return [make(name, None, *ends)]
    return []


def read_ratio(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """RTO -> Ratio."""
    found: Json = {}
    exact = len(elements[0]) == 2 and not len(elements[0].attrib)
    for name in ("numerator", "denominator"):
        child = first(elements[0], name)
        value, fine = quantity(child, reader) if child is not None else (None, False)
        exact = exact and fine and child is not None and child.get(TYPE) is None
        if value is not None:
            found[name] = value
    return Read(found if len(found) == 2 else None, exact)


def write_ratio(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """Ratio -> RTO."""
    ends = [make(end, quantity_attributes(value[end])) for end in ("numerator", "denominator") if end in value]
    return [make(name, None, *ends)] if len(ends) == 2 else []


def read_whole(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """INT or the value of a PQ -> integer."""
    element = elements[0]
    text = (element.get("value") or "").strip()
    if not text and (high := first(element, "high")) is not None:
        text = (high.get("value") or "").strip()
    if not re.fullmatch(r"-?\d{1,9}", text):
        return Read(None, False)
    value = int(text)
    if part.options.get("positive") and value < 1:
        return Read(None, False)
    return Read(value, str(value) == element.get("value") and len(element.attrib) == 1 and not len(element))


def write_whole(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """Integer -> INT."""
    return [make(name, {"value": str(value)})]


def read_boolean(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """BL -> boolean."""
    text = (elements[0].get("value") or "").strip()
    if text not in ("true", "false"):
        return Read(None, False)
    return Read(text == "true", set(map(str, elements[0].keys())) <= {"value"})


def write_boolean(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """Boolean -> BL."""
    return [make(name, {"value": "true" if value else "false"})]


# --- TS ------------------------------------------------------------------------------------------------------------

_EXACT_TIME = re.compile(r"\d{4}(?:(?!00)\d\d(?:(?!00)\d\d(?:\d{6}[+-]\d{4})?)?)?")


def moment(element: Element | None, zone: tzinfo) -> tuple[str | None, bool]:
    """Return the dateTime of a TS at its own precision, and whether it comes back the same."""
    text = (element.get("value") or "").strip() if element is not None else ""
    found = date_time(text, zone) if text else None
    if found is not None and not _is_real(found):
        found = None
    return found, bool(found) and bool(_EXACT_TIME.fullmatch(text)) and back(found) == text


def _is_real(text: str) -> bool:
    try:
        if "T" in text:
            datetime.fromisoformat(text)
        else:
            numbers = [int(part) for part in text.split("-")]
            date(*[*numbers, 1, 1][:3])
    except ValueError:
        return False
    return not text.startswith("0000")


def back(text: str | None) -> str:
    """Return the TS of a FHIR date, dateTime or instant.

    >>> back("2024-01-06T11:36:23+01:00"), back("2024-01"), back("2024-01-06T11:36:23.5Z")
    ('20240106113623+0100', '202401', '20240106113623+0000')
    """
    day, mark, time = (text or "").partition("T")
    if not mark:
        return day.replace("-", "")
    match = re.fullmatch(r"(\d\d):(\d\d)(?::(\d\d))?(?:\.\d+)?(Z|[+-]\d\d:\d\d)?", time)
    if match is None:
        return day.replace("-", "")
    offset = (match[4] or "Z").replace("Z", "+0000").replace(":", "")
    return f"{day.replace('-', '')}{match[1]}{match[2]}{match[3] or '00'}{offset}"


def read_time(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """TS, or the first bound of an IVL_TS -> dateTime (or date, or instant, by the option)."""
    element = elements[0]
    found, exact = moment(element, reader.zone)
    if found is None:
        for name in ("low", "center", "high"):
            found, _ = moment(first(element, name), reader.zone)
            if found is not None:
                break
        exact = False
    if found is None:
        flavored = element.get("nullFlavor") or any(child.get("nullFlavor") for child in element)
        return Read(None, False) if flavored or (not element.get("value") and not len(element)) else None
    kind = part.options.get("kind")
    if kind == "date" and "T" in found:
        found, exact = found[:10], False
    if kind == "instant" and "T" not in found:
        return None
    return Read(found, exact and set(map(str, element.keys())) == {"value"} and not len(element))


def write_time(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """dateTime -> TS."""
    return [make(name, {"value": back(str(value))})]


def read_when(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """IVL_TS -> {DateTime: ...} or {Period: ...}."""
    element = elements[0]
    found, exact = moment(element, reader.zone)
    if found is not None:
        return Read({"DateTime": found}, exact and set(map(str, element.keys())) == {"value"} and len(elements) == 1)
    period, exact = bounds(element, reader)
    if period is None:
        flavored = element.get("nullFlavor") or any(child.get("nullFlavor") for child in element)
        return Read(None, False) if flavored or (not element.get("value") and not len(element)) else None
    return Read({"Period": period}, exact and len(elements) == 1)


def bounds(element: Element, reader: Reader) -> tuple[Json | None, bool]:
    """Return the Period of an IVL_TS; a width gives the missing bound."""
    low, high, width = first(element, "low"), first(element, "high"), first(element, "width")
    found: Json = {}
    exact = len(element.attrib) == 0 and len(element) == (low is not None) + (high is not None)
    for name, bound in (("start", low), ("end", high)):
        if bound is not None:
            value, fine = moment(bound, reader.zone)
            exact = exact and fine and set(map(str, bound.keys())) == {"value"}
            if value is not None:
                found[name] = value
    if width is not None and len(found) == 1:
        missing = _other_bound(found, width)
        if missing:
            found |= missing
        else:
            reader.lose(width, "a width without another meaning for it", kept=True)
    if len(found) == 2 and _starts_after(found["start"], found["end"]):
        reader.lose(element, "an interval that ends before it begins", kept=True)
        del found["end"]
        exact = False
    return (dict(sorted(found.items(), reverse=True)) if found else None), exact


def _starts_after(start: str, end: str) -> bool:
    if "T" in start and "T" in end:
        return datetime.fromisoformat(start) > datetime.fromisoformat(end)
    length = min(len(start.partition("T")[0]), len(end.partition("T")[0]))
    return start[:length] > end[:length]


_DAYS = {"d": 1, "wk": 7}


def _other_bound(found: Json, width: Element) -> Json | None:
    days, value = _DAYS.get(width.get("unit") or ""), number(width.get("value"))
    (name, text) = next(iter(found.items()))
    if days is None or value is None or len(text) < 10 or value != int(value):
        return None
    day = date.fromisoformat(text[:10]) + timedelta(days=int(value) * days * (1 if name == "start" else -1))
    return {"end" if name == "start" else "start": day.isoformat() + text[10:]}


def period_element(value: Json, name: str) -> Element:
    """Return the IVL_TS of a Period."""
    ends = [
        make(tag_, {"value": back(value[end])}) for end, tag_ in (("start", "low"), ("end", "high")) if value.get(end)
    ]
    return make(name, None, *ends)


def write_when(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """{DateTime} or {Period} -> IVL_TS."""
    for key in ("DateTime", "Instant", "Date"):
        if key in value:
            return [make(name, {"value": back(value[key])})]
    return write_period(value["Period"], part, name, writer) if value.get("Period") else []


def read_period(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """IVL_TS -> Period; a single moment is its start."""
    found, exact = bounds(elements[0], reader)
    if found is None:
        single, _ = moment(elements[0], reader.zone)
        found, exact = ({"start": single} if single else None), False
    return Read(found, exact)


def write_period(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """Period -> IVL_TS."""
    if not (value.get("start") or value.get("end")):
        return []
    element = period_element(value, name)
    if part.options.get("typed"):
        # Where times of several kinds may stand, the schema wants to know which one this is.
        element.set(TYPE, "IVL_TS")
    return [element]


# --- value of any type ---------------------------------------------------------------------------------------------


def read_any(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """Return value with xsi:type -> {type: value} of a choice element."""
    element = elements[0]
    type_ = local_type(element) or _guessed(element)
    if element.get("nullFlavor") and type_ not in ("CD", "CE", "CV", "CS", "CO") and not len(element):
        return Read(None, False)
    if type_ in ("CD", "CE", "CV", "CS") or (type_ == "CO" and element.get("code")):
        read = read_concept(elements[:1], part, reader)
        if read is None or read.value is None or (set(read.value) == {"extension"} and flavor_of(read.value)):
            return Read(None, False)
        return Read({"CodeableConcept": read.value}, read.exact and type_ == "CD" and len(elements) == 1)
    fhir, reading = _VALUES.get(type_ or "", ("", None))
    if reading is None:
        return None
    found = reading(elements[:1], part, reader)
    if found is None or found.value is None:
        return found
    if fhir == "":
        fhir_value, exact = found.value, _dress(found, type_, element)
        return Read(fhir_value, exact and len(elements) == 1)
    return Read({fhir: found.value}, _dress(found, type_, element) and len(elements) == 1)


def _dress(read: Read, type_: str | None, element: Element) -> bool:
    """Say whether a value comes back exactly; its readers look at the element without xsi:type."""
    if type_ in ("PQ", "IVL_PQ", "RTO"):
        return read.exact
    if type_ in ("INT", "BL", "TS"):
        return set(map(str, element.keys())) == {TYPE, "value"} and not len(element) and _plain(read, element)
    if type_ == "ST":
        return set(map(str, element.keys())) == {TYPE} and not len(element) and element.text == read.value
    return False


def _plain(read: Read, element: Element) -> bool:
    value = read.value
    text = element.get("value") or ""
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    if isinstance(value, dict):
        return _number_text(value.get("value", "")) == text
    return str(value) == text or back(str(value)) == text


def _guessed(element: Element) -> str | None:
    if element.get("code"):
        return "CD"
    if element.get("unit"):
        return "PQ"
    return "ST" if (element.text or "").strip() else None


def _read_co(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    return read_whole(elements, part, reader)


def _read_range(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """IVL_PQ -> {Range} or {Quantity}."""
    read = read_dose(elements, part, reader)
    # One value, or twice the same: no longer an interval for the writer.
    return (
        read
        if read is None or read.value is None or "Range" in read.value
        else Read(read.value, "comparator" in read.value["Quantity"] and read.exact)
    )


def _read_duration(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    found, _ = quantity(elements[0], reader)
    return Read(found, True) if found else Read(None, False)


_VALUES: Mapping[str, tuple[str, Decoder | None]] = {
    "ST": ("String", read_text),
    "SC": ("String", read_text),
    "ED": ("String", read_note),
    "BL": ("Boolean", read_boolean),
    "BN": ("Boolean", read_boolean),
    "INT": ("Integer", read_whole),
    "REAL": ("Quantity", _read_duration),
    "PQ": ("Quantity", read_quantity),
    "CO": ("Integer", _read_co),
    "PQR": ("Quantity", read_quantity),
    "MO": ("Quantity", read_quantity),
    "TS": ("DateTime", read_time),
    "IVL_TS": ("", read_when),
    "IVL_PQ": ("", _read_range),
    "IVL_INT": ("", _read_range),
    "IVL_REAL": ("", _read_range),
    "RTO": ("Ratio", read_ratio),
    "RTO_PQ_PQ": ("Ratio", read_ratio),
    "TEL": ("String", lambda elements, part, reader: Read(elements[0].get("value"), False)),
    "URL": ("String", lambda elements, part, reader: Read(elements[0].get("value"), False)),
    "II": (
        "String",
        lambda elements, part, reader: Read(elements[0].get("extension") or elements[0].get("root"), False),
    ),
}


def write_any(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """{type: value} -> value with xsi:type."""
    for type_, one in value.items():
        found, kind = _typed(type_, one, part, name, writer)
        for element in found:
            element.set(TYPE, kind)
        return found
    return []


def _typed(type_: str, value: Any, part: Part, name: str, writer: Writer) -> tuple[list[Element], str]:
    if type_ == "Quantity":
        if value.get("comparator"):
            return write_quantity(value, part, name, writer), "IVL_PQ"
        return write_quantity(value, part, name, writer), "PQ"
    if type_ in ("Range",):
        return write_dose({"Range": value}, part, name, writer), "IVL_PQ"
    if type_ == "Period":
        return write_period(value, part, name, writer), "IVL_TS"
    writers: Mapping[str, tuple[Encoder, str]] = {
        "CodeableConcept": (write_concept, "CD"),
        "String": (write_text, "ST"),
        "Boolean": (write_boolean, "BL"),
        "Integer": (write_whole, "INT"),
        "DateTime": (write_time, "TS"),
        "Ratio": (write_ratio, "RTO_PQ_PQ"),
    }
    if type_ in writers:
        write, kind = writers[type_]
        return write(value, part, name, writer), kind
    return [], ""


Encoder = Callable[[Any, Part, str, Writer], list[Element]]


@dataclass(frozen=True, slots=True)
class Codec:
    """One data type, both ways."""

    read: Decoder
    write: Encoder


def _never(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    return []


def _read_attribute(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    text = _spaced(elements[0].get(part.attribute or "value"))
    return Read(text or None, len(elements[0].attrib) == 1 and not len(elements[0]))


def _write_attribute(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    return [make(name, {part.attribute or "value": str(value)})]


CODECS: Mapping[str, Codec] = {
    "id": Codec(read_id, write_id),
    "concept": Codec(read_concept, write_concept),
    "coding": Codec(read_coding, write_coding),
    "code": Codec(read_code, write_code),
    "mapped": Codec(read_mapped, write_mapped),
    "text": Codec(read_text, write_text),
    "narrated": Codec(read_narrated, write_narrated),
    "note": Codec(read_note, write_text),
    "attachment": Codec(read_attachment, write_attachment),
    "quantity": Codec(read_quantity, write_quantity),
    "dose": Codec(read_dose, write_dose),
    "ratio": Codec(read_ratio, write_ratio),
    "whole": Codec(read_whole, write_whole),
    "boolean": Codec(read_boolean, write_boolean),
    "time": Codec(read_time, write_time),
    "when": Codec(read_when, write_when),
    "period": Codec(read_period, write_period),
    "any": Codec(read_any, write_any),
    "attribute": Codec(_read_attribute, _write_attribute),
}
