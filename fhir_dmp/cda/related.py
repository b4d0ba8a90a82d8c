"""Codecs for what an act refers to: another act, something elsewhere, a relative, a specimen. [cda 4.7]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_dmp.cda.elements import children, first, make
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.values.codec import PLAIN, Codec, Read, Reader, Writer
from fhir_dmp.cda.values.concepts import concept_element, read_concept
from fhir_dmp.cda.values.contacts import read_name
from fhir_dmp.cda.values.identifiers import id_element, read_id, write_id
from fhir_dmp.cda.values.moments import moment
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json


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
        ids = [
            one
            for child in person.iterchildren("{urn:hl7-org:sdtc}id")
            if (read := read_id([child], PLAIN, reader)) and (one := read.value)
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
    ids = [read.value for child in children(role, "id") if (read := read_id([child], PLAIN, reader)) and read.value]
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


CODECS = {
    "internal": Codec(_internal, _nothing),
    "external": Codec(_external, _write_external),
    "subject": Codec(_subject, _write_subject),
    "specimen": Codec(_specimen, _write_specimen),
}
