"""Making valid what old documents got wrong: the schema is kept, and each change is reported. [cda 7]

What comes back from a CDA may hold what its own edition let through. The values are those of `mappings/cda.json`.
"""

from __future__ import annotations

import re

from fhir_dmp.cda.elements import TYPE, name_of, place_of, tag
from fhir_dmp.cda.values.codec import Writer
from fhir_dmp.cda.values.flavors import FLAVORS, REASONS
from fhir_dmp.cda.xml import Element

_TIME = re.compile(r"\d{4,14}(?:[+-]\d{4})?")
#: Elements of quantities that are CDA even inside the pharmacy extension.
_MISPLACED = {tag(f"pharm:{name}"): tag(name) for name in ("numerator", "denominator")}


def repair(document: Element, writer: Writer) -> None:
    """Correct what the schema refuses and whose meaning is plain."""
    for element in document.iter():
        if element.tag in _MISPLACED:
            _say(element, writer, "an element in the namespace of the pharmacy extension")
            element.tag = _MISPLACED[str(element.tag)]
            if element.get(TYPE):
                element.set(TYPE, str(element.get(TYPE)).rpartition(":")[2])
        flavor = element.get("nullFlavor")
        if flavor is not None and flavor not in writer.knowledge.allowed["@nullFlavor"]:
            _say(element, writer, "a nullFlavor that does not exist")
            del element.attrib["nullFlavor"]
            if flavor in REASONS:
                element.set("nullFlavor", FLAVORS[REASONS[flavor]])
            elif _TIME.fullmatch(flavor) and not element.get("value"):
                element.set("value", flavor)
        class_ = element.get("classCode")
        allowed = writer.knowledge.allowed.get(f"{name_of(element)}/@classCode")
        if class_ is not None and allowed is not None and class_ not in allowed:
            _say(element, writer, "a class that does not exist")
            del element.attrib["classCode"]


def _say(element: Element, writer: Writer, what: str) -> None:
    writer.drop(place_of(element), f"{what}: corrected")
