"""When a medication is taken: PIVL_TS, EIVL_TS and their intersections as Timing.repeat. [cda 4.4]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhir_dmp.cda.elements import TYPE, children, first, local_type, make
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.values.codec import Codec, Read, Reader, Writer
from fhir_dmp.cda.values.moments import bounds, period_element
from fhir_dmp.cda.values.numbers import number
from fhir_dmp.cda.values.quantities import quantity_attributes
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

_UNITS = {"s": "s", "min": "min", "h": "h", "d": "d", "wk": "wk", "mo": "mo", "a": "a", "j": "d"}
_EVENTS = frozenset({"HS", "WAKE", "C", "CM", "CD", "CV", "AC", "ACM", "ACD", "ACV", "PC", "PCM", "PCD", "PCV"})
_OFFSET_MINUTES: Mapping[str, int] = {"min": 1, "h": 60}


def _read(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    found: Json = {}
    for element in _terms(elements):
        type_ = local_type(element)
        if type_ == "PIVL_TS":
            found.update(_periodic(element))
        elif type_ == "EIVL_TS":
            found.update(_event(element))
        elif type_ in ("IVL_TS", None) and len(element):
            period, _ = bounds(element, reader)
            if period is not None:
                found["boundsPeriod"] = period
    single = len(elements) == 1 and _is_plain(elements[0])
    return Read(found or None, single and bool(found))


def _terms(elements: Sequence[Element]) -> list[Element]:
    found: list[Element] = []
    for element in elements:
        found += list(children(element, "comp")) if local_type(element) == "SXPR_TS" else [element]
    return found


def _is_plain(element: Element) -> bool:
    """A period with value and unit, as the writer makes it."""
    period = first(element, "period")
    known = set(map(str, element.keys())) <= {TYPE, "operator"} and element.get("operator") == "A"
    return known and period is not None and len(element) == 1 and not len(period) and period.get("unit") in _UNITS


def _periodic(element: Element) -> Json:
    period = first(element, "period")
    value = number(period.get("value")) if period is not None else None
    unit = _UNITS.get((period.get("unit") or "") if period is not None else "")
    if value is None or unit is None or value <= 0:
        return {}
    return {"frequency": 1, "period": value, "periodUnit": unit}


def _event(element: Element) -> Json:
    event = first(element, "event")
    code = (event.get("code") or "") if event is not None else ""
    if code not in _EVENTS:
        return {}
    found: Json = {"when": [code]}
    offset = first(element, "offset")
    low = offset if offset is None or offset.get("value") else first(offset, "low")
    value = number(low.get("value")) if low is not None else None
    factor = _OFFSET_MINUTES.get((low.get("unit") or "") if low is not None else "")
    if value is not None and factor and value == int(value) and code not in ("C", "CM", "CD", "CV"):
        found["offset"] = abs(int(value)) * factor
    return found


def _write(value: Json, part: Part, name: str, writer: Writer) -> list[Element]:
    """Timing.repeat -> effectiveTime elements: bounds first, then what repeats within them."""
    found: list[Element] = []
    if value.get("boundsPeriod"):
        element = period_element(value["boundsPeriod"], name)
        element.set(TYPE, "IVL_TS")
        found.append(element)
    if value.get("period") and value.get("periodUnit"):
        period = number(str(value["period"]))
        frequency = int(value.get("frequency") or 1)
        assert period is not None  # a JSON number
        each = period / frequency
        text = value["period"] if frequency == 1 else number(format(each.normalize(), "f"))
        attributes = quantity_attributes({"value": text, "unit": value["periodUnit"]})
        found.append(make(name, {TYPE: "PIVL_TS", "operator": "A"}, make("period", attributes)))
        if frequency > 1 and each * frequency != period:
            writer.drop("timing.repeat", "a frequency that no period of CDA says exactly")
    for event in value.get("when", ()):
        element = make(name, {TYPE: "EIVL_TS", "operator": "A"}, make("event", {"code": str(event)}))
        if value.get("offset"):
            element.append(make("offset", {"value": str(value["offset"]), "unit": "min"}))
        found.append(element)
    return found


CODECS = {
    "timing": Codec(_read, _write),
}
