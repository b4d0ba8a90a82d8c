"""PQ, IVL_PQ and RTO as Quantity, Range and Ratio; decimals keep their digits. [cda 4.4]"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fhir_dmp.cda.elements import TYPE, children, first, local_type, make, text_in
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.places import EXTENSIONS
from fhir_dmp.cda.values.codec import Codec, Read, Reader, Writer
from fhir_dmp.cda.values.concepts import coding_of, original_text, read_concept
from fhir_dmp.cda.values.numbers import digits, number
from fhir_dmp.cda.values.units import is_ucum
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import UCUM

EDQM = "http://standardterms.edqm.eu"
ORIGINAL_UNITS = f"{EXTENSIONS}/cda-translation"


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
    coding, _ = coding_of(element, reader)
    original = first(element, "originalText")
    text = original_text(original, reader) if original is not None else None
    if value is None and coding is None:
        return {"url": ORIGINAL_UNITS, "valueString": text} if text else None
    found: Json = {"value": value} if value is not None else {}
    if coding is not None:
        found["unit"] = coding.get("display") or coding["code"]
        if coding.get("system"):
            found.update(system=coding["system"], code=coding["code"])
    return {"url": ORIGINAL_UNITS, "valueQuantity": found}


def quantity_attributes(value: Json) -> dict[str, str | None]:
    """Return the attributes of a PQ."""
    unit = value.get("code") or value.get("unit")
    return {"value": digits(value["value"]) if "value" in value else None, "unit": unit and "".join(unit.split())}


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


def _range(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """Value of a reference range -> {low, high} or {text}."""
    element = elements[0]
    type_ = local_type(element)
    if type_ in ("IVL_PQ", "PQ", "IVL_INT", "IVL_REAL", None) and (len(element) or element.get("value")):
        if element.get("value"):
            found, _ = quantity(element, reader)
            return Read(
                {"text": " ".join(filter(None, (element.get("value"), element.get("unit"))))} if found else None, False
            )
        ends: Json = {}
        for name in ("low", "high"):
            bound = first(element, name)
            found, _ = quantity(bound, reader) if bound is not None else (None, False)
            if found is not None:
                ends[name] = found
        return Read(ends or None, False)
    if type_ in ("CD", "CE", "CV"):
        concept = read_concept([element], part, reader)
        text = None
        if concept is not None and concept.value:
            text = concept.value.get("text") or next(
                (one.get("display") for one in concept.value.get("coding", ())), None
            )
        return Read({"text": text} if text else None, False)
    text = text_in(element)
    return Read({"text": text} if text else None, False)


def _write_range(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    ends = {end: value[end] for end in ("low", "high") if end in value}
    if not ends:
        return []
    found = write_dose({"Range": ends}, part, name, writer)
    for element in found:
        element.set(TYPE, "IVL_PQ")
    return found


def _rate(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    read = read_dose(elements, part, reader)
    return read if read is None or read.value is None or "Quantity" in read.value else None


def _quantity_any(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    found, exact = quantity(elements[0], reader)
    return Read({"Quantity": found}, exact) if found else Read(None, False)


def _write_quantity_any(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    return write_quantity(value["Quantity"], part, name, writer) if "Quantity" in value else []


CODECS = {
    "quantity": Codec(read_quantity, write_quantity),
    "dose": Codec(read_dose, write_dose),
    "ratio": Codec(read_ratio, write_ratio),
    "range": Codec(_range, _write_range),
    "rate": Codec(_rate, write_dose),
    "quantity-any": Codec(_quantity_any, _write_quantity_any),
}
