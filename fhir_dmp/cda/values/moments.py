"""TS and IVL_TS as date, dateTime, instant and Period, each at its own precision. [cda 4.4]"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from fhir_dmp.cda.datatypes import date_time
from fhir_dmp.cda.elements import TYPE, first, make
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.values.codec import Codec, Read, Reader, Writer
from fhir_dmp.cda.values.numbers import number
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

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


def _onset(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """effectiveTime -> {String} (partial and full dates) or {Period}."""
    read = read_when(elements, part, reader)
    if read is None or read.value is None:
        return Read(None, False)
    if "DateTime" in read.value:
        return Read({"String": read.value["DateTime"]}, False)
    return Read(read.value, False)


def _write_onset(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    if "Period" in value:
        return write_when(value, part, name, writer)
    text = str(value.get("String", ""))
    return write_time(text, part, name, writer) if text[:4].isdigit() else []


def _moment(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """TS or IVL_TS -> {DateTime}: one moment, the first that is said."""
    read = read_time(elements, part, reader)
    return None if read is None else Read({"DateTime": read.value} if read.value else None, read.exact)


CODECS = {
    "time": Codec(read_time, write_time),
    "when": Codec(read_when, write_when),
    "period": Codec(read_period, write_period),
    "onset": Codec(_onset, _write_onset),
    "moment": Codec(_moment, write_when),
}
