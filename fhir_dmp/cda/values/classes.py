"""Codes that say what kind of resource it is: several elements at once. [cda 4.7]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_dmp.cda.elements import make
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.values.codec import Codec, Read, Reader, Writer
from fhir_dmp.cda.values.concepts import concept_element, read_concept, write_concept
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

_CONFIDENTIALITY = "jdv-hl7-v3-xBasicConfidentialityKind-cisis"
_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def _allergy_kind(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """Code of an allergy -> {type, category, the code itself}."""
    read = read_concept(elements, part, reader)
    if read is None or not read.value:
        return Read(None, False)
    found: Json = {}
    codes = [one.get("code") for one in read.value.get("coding", ())]
    for table, place in (("allergy-type", "type"), ("allergy-category", "category")):
        value = next(
            (reader.knowledge.tables[table][code] for code in codes if code in reader.knowledge.tables[table]), None
        )
        if value:
            found[place] = [value] if place == "category" else value
    found["extension"] = [{"url": ALLERGY_CODE, "valueCodeableConcept": read.value}]
    return Read(found, False)


ALLERGY_CODE = "https://dmp-fhir.example/ig/StructureDefinition/cda-code"


def _write_allergy_kind(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    for extension in value.get("extension", ()):
        if extension.get("url") == ALLERGY_CODE:
            return write_concept(extension["valueCodeableConcept"], part, name, writer)
    category = next(iter(value.get("category", ())), None)
    codes = {"medication": "DALG", "food": "FALG", "environment": "EALG"}
    code = codes.get(category or "", "ALG" if value.get("type") != "intolerance" else "OINT")
    return [make(name, {"code": code, "codeSystem": "2.16.840.1.113883.5.4"})]


def _encounter_class(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """Code of an encounter -> {class} when it is an ActCode, else {type}."""
    read = read_concept(elements, part, reader)
    if read is None or not read.value or not read.value.get("coding"):
        return Read({"type": [read.value]}, read.exact) if read is not None and read.value else Read(None, False)
    coding = read.value["coding"][0]
    if coding.get("system") == _ACT_CODE:
        plain = set(read.value) == {"coding"} and len(read.value["coding"]) == 1
        return Read({"class": coding}, read.exact and plain)
    return Read({"type": [read.value]}, read.exact)


def _write_encounter_class(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    if value.get("type"):
        return write_concept(value["type"][0], part, name, writer)
    coding = value.get("class") or {}
    return write_concept({"coding": [coding]}, part, name, writer) if coding.get("system") == _ACT_CODE else []


def _confidentiality(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    code = (elements[0].get("code") or "").strip()
    return Read(code or None, False)


def _write_confidentiality(value: Any, part: Part, name: str, writer: Any) -> list[Element]:
    known = writer.knowledge.binding(_CONFIDENTIALITY)
    coding = known.coding(str(value))
    if coding is None:
        # FHIR has finer grades below normal: nobody sees less than before, and the report says so.
        coding = known.coding("N")
        writer.drop(name, f"{value} is not in {known.name}: written as N")
    return [concept_element({"coding": [coding]}, name, writer)]


CODECS = {
    "allergy-kind": Codec(_allergy_kind, _write_allergy_kind),
    "encounter-class": Codec(_encounter_class, _write_encounter_class),
    "confidentiality": Codec(_confidentiality, _write_confidentiality),
}
