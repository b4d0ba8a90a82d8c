"""Codecs for what is more than one data type: a resource of its own, a reference, a class. [cda 4.7]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_dmp.cda.actors import _patient_identifier, official_name
from fhir_dmp.cda.actors import _used_name as used_name
from fhir_dmp.cda.datatypes import date_time
from fhir_dmp.cda.elements import TYPE, children, first, local_type, make, same, tag, text_in, with_text
from fhir_dmp.cda.header import Id, _person
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.parties import CODECS as PARTIES
from fhir_dmp.cda.parties import (
    NO_PART,
    address_element,
    read_address,
    read_role,
    read_telecom,
    role_element,
    telecom_element,
)
from fhir_dmp.cda.scalars import (
    Codec,
    Read,
    Reader,
    Writer,
    concept_element,
    id_element,
    moment,
    quantity,
    read_any,
    read_attachment,
    read_concept,
    read_dose,
    read_id,
    read_period,
    read_time,
    read_when,
    write_any,
    write_attachment,
    write_concept,
    write_dose,
    write_id,
    write_period,
    write_quantity,
    write_time,
    write_when,
)
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import TRE_A08_CONFIDENTIALITY
from fhir_dmp.terminology.national import BIRTH_LIST_GIVEN

_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
BIRTH_PLACE = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"


# --- references to other acts --------------------------------------------------------------------------------------


def _internal(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """Id of another act of the document -> Reference to what became of it. [cda E36]"""
    for element in elements:
        url = reader.target(element)
        if url is not None:
            return Read({"reference": url}, False)
    if elements:
        reader.lose(elements[0], "a reference to an act that is not in this document", kept=True)
    return Read(None, False)


def _external(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """Id of something elsewhere -> logical Reference."""
    read = read_id(elements, part, reader)
    return Read({"identifier": read.value}, False) if read is not None and read.value is not None else Read(None, False)


def _write_external(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    return write_id(value["identifier"], part, name, writer) if isinstance(value.get("identifier"), dict) else []


def _nothing(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    return []


# --- subject, specimen ---------------------------------------------------------------------------------------------


def _subject(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """Subject other than the patient (a relative, an unborn child) -> Reference to a RelatedPerson."""
    role = first(elements[0], "relatedSubject")
    if role is None:
        return None
    found: Json = {
        "resourceType": "RelatedPerson",
        "patient": {"reference": reader.patient} if reader.patient else {"display": "-"},
    }
    person = first(role, "subject")
    relations = []
    if role.get("classCode"):
        relations.append(
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleClass", "code": role.get("classCode")}
                ]
            }
        )
    code = first(role, "code")
    concept = read_concept([code], part, reader) if code is not None else None
    if concept is not None and concept.value:
        relations.append(concept.value)
    if relations:
        found["relationship"] = relations
    if person is not None:
        from fhir_dmp.cda.parties import read_name

        ids = [
            one
            for child in person.iterchildren("{urn:hl7-org:sdtc}id")
            if (read := read_id([child], NO_PART, reader)) and (one := read.value)
        ]
        if ids:
            found["identifier"] = ids
        name = read_name(first(person, "name"))
        if name:
            found["name"] = [name]
        gender = first(person, "administrativeGenderCode")
        table = reader.knowledge.tables["gender"]
        if gender is not None and gender.get("code") in table:
            found["gender"] = table[str(gender.get("code"))]
        born, _ = moment(first(person, "birthTime"), reader.zone)
        if born:
            found["birthDate"] = born[:10]
    return Read({"reference": reader.actor(found)}, False)


def _write_subject(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    resource = writer.resolve(value)
    if resource is None or resource["resourceType"] != "RelatedPerson":
        writer.drop("focus", "only a related person can be the subject of a statement in CDA")
        return []
    role = make("relatedSubject", {"classCode": "PRS"})
    for concept in resource.get("relationship", ()):
        coding: Json = next(iter(concept.get("coding", ())), {})
        if str(coding.get("system")).endswith("v3-RoleClass"):
            role.set("classCode", str(coding.get("code")))
        else:
            role.append(concept_element(concept, "code", writer))
    return [make("subject", None, role)]


def _specimen(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """Specimen participation -> Reference to a Specimen."""
    role = first(elements[0], "specimenRole")
    if role is None:
        return None
    found: Json = {"resourceType": "Specimen"}
    ids = [read.value for child in children(role, "id") if (read := read_id([child], NO_PART, reader)) and read.value]
    if ids:
        found["identifier"] = ids
    code = first(role, "specimenPlayingEntity", "code")
    concept = read_concept([code], part, reader) if code is not None else None
    if concept is not None and concept.value:
        found["type"] = concept.value
    if reader.patient:
        found["subject"] = {"reference": reader.patient}
    return Read({"reference": reader.actor(found)}, False) if len(found) > 1 else None


def _write_specimen(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    resource = writer.resolve(value)
    if resource is None:
        return []
    role = make("specimenRole", None)
    role.extend(found for one in resource.get("identifier", ()) if (found := id_element(one)) is not None)
    if resource.get("type"):
        role.append(make("specimenPlayingEntity", None, concept_element(resource["type"], "code", writer)))
    return [make("specimen", None, role)] if len(role) else []


# --- values with a type --------------------------------------------------------------------------------------------


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


def _family_code(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """Value of a family history observation -> CodeableConcept; words become its text."""
    return _typed_concept(elements, part, reader)


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


# --- classes -------------------------------------------------------------------------------------------------------


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
    display = writer.knowledge.codes.display("jdv-j08", TRE_A08_CONFIDENTIALITY, str(value)) or {
        "N": "Normal",
        "R": "Restreint",
        "V": "Très restreint",
    }.get(str(value))
    return [make(name, {"code": str(value), "codeSystem": "2.16.840.1.113883.5.25", "displayName": display})]


def _uid(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    root = (elements[0].get("root") or "").strip()
    return Read(root or None, True)


def _write_uid(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    return [make(name, {"root": str(value).removeprefix("urn:oid:")})]


# --- header --------------------------------------------------------------------------------------------------------


def _attester(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """legalAuthenticator, authenticator -> attester."""
    element = elements[0]
    role = first(element, "assignedEntity")
    reference = read_role(role, reader) if role is not None else None
    found: Json = {"mode": part.options["mode"]}
    time, _ = moment(first(element, "time"), reader.zone)
    if time:
        found["time"] = time
    if reference is not None:
        found["party"] = reference
    if not reader.whole:
        return Read(found, False)
    again = _write_attester(found, part, str(element.tag).rpartition("}")[2], reader.mirror())
    return Read(found, bool(again) and same(again[0], element))


def _write_attester(value: Any, part: Part, name: str, writer: Any) -> list[Element]:
    element = make(name)
    if value.get("time"):
        element.extend(write_time(value["time"], part, "time", writer))
    element.append(make("signatureCode", {"code": "S"}))
    resource = writer.resolve(value.get("party"))
    if resource is None:
        return []
    element.append(role_element(resource, "assignedEntity", "assignedPerson", "representedOrganization", writer))
    return [element]


PERFORMER = "https://dmp-fhir.example/ig/StructureDefinition/cda-performer"


def _event(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """serviceEvent -> event: code, period, performer."""
    element = elements[0]
    found: Json = {}
    code, time, performer = (first(element, name) for name in ("code", "effectiveTime", "performer"))
    concept = read_concept([code], part, reader) if code is not None else None
    period = read_period([time], part, reader) if time is not None else None
    party = PARTIES["party"].read([performer], part, reader) if performer is not None else None
    if party is not None and party.value:
        found["extension"] = [{"url": PERFORMER, "valueReference": party.value}]
    if concept is not None and concept.value:
        found["code"] = [concept.value]
    if period is not None and period.value:
        found["period"] = period.value
    return Read(found or None, False)


def _write_event(value: Any, part: Part, name: str, writer: Any) -> list[Element]:
    element = make(name)
    for concept in value.get("code", ())[:1]:
        element.extend(write_concept(concept, part, "code", writer))
    if value.get("period"):
        element.extend(write_period(value["period"], part, "effectiveTime", writer))
    for extension in value.get("extension", ()):
        if extension.get("url") == PERFORMER:
            options = Part((), None, part.to, "party", {"type": "PRF"})
            element.extend(PARTIES["party"].write(extension["valueReference"], options, "performer", writer))
    return [element]


def _patient_id(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    read = read_id(elements, part, reader)
    if read is None or read.value is None:
        return read
    root, extension = (elements[0].get("root") or "").strip(), (elements[0].get("extension") or "").strip()
    return Read(_patient_identifier(Id(root, extension or None)), read.exact) if root else read


def _traits(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """patient -> names, gender, birth date and place."""
    role = make("patientRole")
    role.append(_copied(elements[0]))
    person = _person(role)
    found: Json = {}
    names = [name for name in (official_name(person), used_name(person)) if name]
    prefix = [text for child in at(elements[0], "name", "prefix") if (text := text_in(child))]
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
    from fhir_dmp.cda.actors import _birth_place

    place = _birth_place(person)
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


def at(element: Element, *path: str) -> list[Element]:
    """Return the elements at a path."""
    found = [element]
    for name in path:
        found = [child for parent in found for child in parent.iterchildren(tag(name))]
    return found


def _copied(element: Element) -> Element:
    from fhir_dmp.cda.elements import clone

    return clone(element)


_QUALIFIED = {"family": "BR", "given": "BR"}


def _write_traits(value: Any, part: Part, name: str, writer: Any) -> list[Element]:
    element = make(name)
    names = make("name")
    official = next((one for one in value.get("name", ()) if one.get("use") == "official"), None)
    official = official or next(iter(value.get("name", ())), None)
    usual = next((one for one in value.get("name", ()) if one.get("use") == "usual"), None)
    if official:
        names.extend(with_text("prefix", str(text)) for text in official.get("prefix", ()))
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
    codes = {one: code for code, one in reader_gender(writer).items()}
    gender = codes.get(value.get("gender") or "")
    element.append(
        make("administrativeGenderCode", {"code": gender, "codeSystem": "2.16.840.1.113883.5.1"})
        if gender and gender != "UNK"
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


def reader_gender(writer: Any) -> Any:
    """Return the table of genders."""
    return writer.knowledge.tables["gender"]


def _qualified(name: str, text: str, qualifier: str) -> Element:
    element = with_text(name, text)
    element.set("qualifier", qualifier)
    return element


# --- whole resources -----------------------------------------------------------------------------------------------


def _resource(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """Element with a mapping of its own -> Reference to the resource that it makes."""
    from fhir_dmp.cda.rules import REST, read_children, source_extension

    mapping = reader.knowledge.mappings[part.options["mapping"]]
    element = elements[0]
    resource: Json = {"resourceType": mapping.resource}
    resource.update(mapping.fixed)
    if mapping.patient and reader.patient:
        resource[mapping.patient] = {"reference": reader.patient}
    keep: list[tuple[str, str]] = []
    for child in read_children(element, mapping, reader, resource, keep):
        keep.append((REST, reader.kept(child)))
        if str(child.tag).rpartition("}")[2] != "templateId" and (child.attrib or len(child) or text_in(child)):
            reader.lose(child, "no element of the resource says this", kept=True)
    if element.attrib:
        attributes = {str(key): str(value) for key, value in element.attrib.items()}
        keep.append(("attributes", reader.kept(make("x", attributes))))
    source = source_extension(keep)
    if source is not None:
        resource["extension"] = [*resource.get("extension", []), source]
    if len(resource) == 1 + (source is not None) and source is None:
        return None
    return Read({"reference": reader.actor(resource)}, True)


def _write_resource(value: Any, part: Part, name: str, writer: Any) -> list[Element]:
    from fhir_dmp.cda.rules import REST, kept_of, write_children

    resource = writer.resolve(value)
    if resource is None:
        return []
    mapping = writer.knowledge.mappings[part.options["mapping"]]
    if resource["resourceType"] != mapping.resource:
        writer.drop(name, f"{mapping.resource} is expected here")
        return []
    kept = kept_of(resource)
    element = make(name)
    for one in kept.get("attributes", ()):
        for key, text in one.attrib.items() if one is not None else ():
            element.set(key, text)
    element.extend(write_children(resource, mapping, writer, kept))
    element.extend(one for one in kept.get(REST, ()) if one is not None)
    return [element]


def _media(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """component with observationMedia -> content of a DocumentReference."""
    value = first(elements[0], "observationMedia", "value")
    read = read_attachment([value], part, reader) if value is not None else None
    if read is None:
        return None
    attachment = read.value or {"title": "-"}
    return Read({"attachment": attachment}, False)


def _write_media(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    found = write_attachment(value.get("attachment") or {}, part, "value", writer)
    media = make("observationMedia", {"classCode": "OBS", "moodCode": "EVN"}, *found)
    return [make(name, None, media)] if found else []


def _address(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    value = read_address(elements[0])
    if value is None:
        return Read(None, False)
    again = address_element(value)
    return Read(value, again is not None and same(again, elements[0]))


def _write_address(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    found = address_element(value)
    return [found] if found is not None else []


def _telecom(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    value = read_telecom(elements[0])
    if value is None:
        return Read(None, False)
    again = telecom_element(value)
    return Read(value, again is not None and same(again, elements[0]))


def _write_telecom(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    found = telecom_element(value)
    return [found] if found is not None else []


CODECS = {
    "internal": Codec(_internal, _nothing),
    "external": Codec(_external, _write_external),
    "subject": Codec(_subject, _write_subject),
    "specimen": Codec(_specimen, _write_specimen),
    "typed-concept": Codec(_typed_concept, _write_typed),
    "family-code": Codec(_family_code, _write_typed),
    "onset": Codec(_onset, _write_onset),
    "moment": Codec(_moment, write_when),
    "range": Codec(_range, _write_range),
    "rate": Codec(_rate, write_dose),
    "quantity-any": Codec(_quantity_any, _write_quantity_any),
    "allergy-kind": Codec(_allergy_kind, _write_allergy_kind),
    "encounter-class": Codec(_encounter_class, _write_encounter_class),
    "confidentiality": Codec(_confidentiality, _write_confidentiality),
    "uid": Codec(_uid, _write_uid),
    "attester": Codec(_attester, _write_attester),
    "event": Codec(_event, _write_event),
    "patient-id": Codec(_patient_id, write_id),
    "traits": Codec(_traits, _write_traits),
    "resource": Codec(_resource, _write_resource),
    "media": Codec(_media, _write_media),
    "address": Codec(_address, _write_address),
    "telecom": Codec(_telecom, _write_telecom),
}
