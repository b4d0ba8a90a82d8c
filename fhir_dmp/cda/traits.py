"""The patient's identity in the header, both ways. [cda 2.4]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_dmp.cda.actors import BIRTH_PLACE, birth_place, official_name, patient_identifier, used_name
from fhir_dmp.cda.datatypes import date_time
from fhir_dmp.cda.elements import at_path, clone, make, same, text_in, with_text
from fhir_dmp.cda.header import Id, person_of
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.values.codec import Codec, Read, Reader
from fhir_dmp.cda.values.concepts import concept_element
from fhir_dmp.cda.values.contacts import titles
from fhir_dmp.cda.values.identifiers import read_id, write_id
from fhir_dmp.cda.values.moments import moment, write_time
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.national import BIRTH_LIST_GIVEN


def _patient_id(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    read = read_id(elements, part, reader)
    if read is None or read.value is None:
        return read
    root, extension = (elements[0].get("root") or "").strip(), (elements[0].get("extension") or "").strip()
    return Read(patient_identifier(Id(root, extension or None)), read.exact) if root else read


def _traits(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """patient -> names, gender, birth date and place."""
    role = make("patientRole")
    role.append(clone(elements[0]))
    person = person_of(role)
    found: Json = {}
    names = [name for name in (official_name(person), used_name(person)) if name]
    prefix = [text for child in at_path(elements[0], ("name", "prefix")) if (text := text_in(child))]
    if prefix and names:
        names[0]["prefix"] = prefix
    if names:
        found["name"] = names
    gender = reader.knowledge.tables["gender"].get(person.gender or "")
    if gender:
        found["gender"] = gender
    born = date_time((person.birth_time or "")[:8], reader.zone) if person.birth_time else None
    born = born if born and moment(make("x", {"value": (person.birth_time or "")[:8]}), reader.zone)[0] else None
    if born:
        found["birthDate"] = born

    place = birth_place(person)
    if place is not None:
        found["extension"] = [place]
    deceased = elements[0].find("{urn:hl7-org:sdtc}deceasedInd")
    died = elements[0].find("{urn:hl7-org:sdtc}deceasedTime")
    when, _ = moment(died, reader.zone)
    if when:
        found["deceasedDateTime"] = when
    elif deceased is not None and deceased.get("value") in ("true", "false"):
        found["deceasedBoolean"] = deceased.get("value") == "true"
    if not reader.whole:
        return Read(found or None, False)
    again = _write_traits(found, part, "patient", reader.mirror())
    return Read(found or None, bool(again) and same(again[0], elements[0]))


def _write_traits(value: Any, part: Part, name: str, writer: Any) -> list[Element]:
    element = make(name)
    names = make("name")
    official = next((one for one in value.get("name", ()) if one.get("use") == "official"), None)
    official = official or next(iter(value.get("name", ())), None)
    usual = next((one for one in value.get("name", ()) if one.get("use") == "usual"), None)
    if official:
        names.extend(with_text("prefix", text) for text in titles(official, writer)[0])
        if official.get("family"):
            names.append(_qualified("family", str(official["family"]), "BR"))
        listed = next(
            (one["valueString"] for one in official.get("extension", ()) if one.get("url") == BIRTH_LIST_GIVEN), None
        )
        given = " ".join(official.get("given", ()))
        if listed or given:
            names.append(with_text("given", str(listed or given)))
        if given:
            names.append(_qualified("given", given.split(" ")[0] if not listed else given, "BR"))
    if usual:
        if usual.get("family"):
            names.append(_qualified("family", str(usual["family"]), "CL"))
        names.extend(_qualified("given", str(text), "CL") for text in usual.get("given", ()))
    if len(names):
        element.append(names)
    codes = {one: code for code, one in writer.knowledge.tables["gender"].items()}
    gender = writer.knowledge.binding("jdv-j143").coding(codes.get(value.get("gender") or "", ""))
    element.append(
        concept_element({"coding": [gender]}, "administrativeGenderCode", writer)
        if gender
        else make("administrativeGenderCode", {"nullFlavor": "UNK"})
    )
    born = value.get("birthDate")
    element.append(make("birthTime", {"value": born.replace("-", "")} if born else {"nullFlavor": "UNK"}))
    if value.get("deceasedDateTime"):
        element.extend(write_time(value["deceasedDateTime"], part, "sdtc:deceasedTime", writer))
    if "deceasedBoolean" in value:
        element.append(make("sdtc:deceasedInd", {"value": "true" if value["deceasedBoolean"] else "false"}))
    place = next((one.get("valueAddress") for one in value.get("extension", ()) if one.get("url") == BIRTH_PLACE), None)
    if place:
        address = make("addr")
        county = next((one.get("valueCoding", {}).get("code") for one in place.get("extension", ())), None)
        if county:
            address.append(with_text("county", str(county)))
        if place.get("city"):
            address.append(with_text("city", str(place["city"])))
        element.append(make("birthplace", None, make("place", None, address)))
    return [element]


def _qualified(name: str, text: str, qualifier: str) -> Element:
    element = with_text(name, text)
    element.set("qualifier", qualifier)
    return element


CODECS = {
    "patient-id": Codec(_patient_id, write_id),
    "traits": Codec(_traits, _write_traits),
}
