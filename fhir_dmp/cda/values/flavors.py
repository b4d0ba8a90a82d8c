"""nullFlavor as data-absent-reason, both ways. [cda 4.5]"""

from __future__ import annotations

from typing import Any

from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
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


def exact_flavor(element: Element) -> bool:
    """Say whether an empty element comes back with the same nullFlavor."""
    flavor = element.get("nullFlavor") or ""
    only = set(map(str, element.keys())) == {"nullFlavor"} and not len(element)
    return only and FLAVORS.get(REASONS.get(flavor, ""), "") == flavor
