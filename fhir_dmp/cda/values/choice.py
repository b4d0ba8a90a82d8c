"""A value of any type (xsi:type) as a choice element. [cda 4.4]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_dmp.cda.elements import TYPE, local_type
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.values.codec import Codec, Decoder, Encoder, Read, Reader, Writer
from fhir_dmp.cda.values.concepts import read_concept, write_concept
from fhir_dmp.cda.values.flavors import flavor_of
from fhir_dmp.cda.values.moments import back, read_time, read_when, write_period, write_time
from fhir_dmp.cda.values.numbers import digits, read_boolean, read_whole, write_boolean, write_whole
from fhir_dmp.cda.values.quantities import (
    quantity,
    read_dose,
    read_quantity,
    read_ratio,
    write_dose,
    write_quantity,
    write_ratio,
)
from fhir_dmp.cda.values.texts import read_note, read_text, write_text
from fhir_dmp.cda.xml import Element


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
        return digits(value.get("value", "")) == text
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


def _typed_concept(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """Value of any coded or textual type -> CodeableConcept."""
    read = read_any(elements, part, reader)
    if read is None or read.value is None:
        return Read(None, False)
    if "CodeableConcept" in read.value:
        return Read(read.value["CodeableConcept"], read.exact)
    if "String" in read.value:
        return Read({"text": read.value["String"]}, False)
    return None


def _write_typed(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    return write_any({"CodeableConcept": value}, part, name, writer)


CODECS = {
    "any": Codec(read_any, write_any),
    "typed-concept": Codec(_typed_concept, _write_typed),
}
