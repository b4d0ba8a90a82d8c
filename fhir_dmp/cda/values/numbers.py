"""INT, REAL, BL: decimals with their own digits. [cda 4.4]"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from fhir_dmp.cda.elements import first, make
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.values.codec import Codec, Read, Reader, Writer
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Number

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


def digits(value: Any) -> str:
    return value.text if isinstance(value, Number) else str(value)


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


CODECS = {
    "whole": Codec(read_whole, write_whole),
    "boolean": Codec(read_boolean, write_boolean),
}
