"""People, structures and devices of header and body as resources of the bundle. [cda 2.5, 4.7]

A role met again with the same words is the same resource.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fhir_dmp.cda.actors import ins_of, role_codes
from fhir_dmp.cda.elements import children, first, text_in
from fhir_dmp.cda.header import Id, Party, Person, concept_of
from fhir_dmp.cda.values.codec import PLAIN, Reader
from fhir_dmp.cda.values.concepts import read_concept
from fhir_dmp.cda.values.contacts import contacts, read_name
from fhir_dmp.cda.values.identifiers import read_id
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

ROLE_CLASS = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"
_PERSONS = ("assignedPerson", "associatedPerson", "informationRecipient", "relatedPerson", "playingEntity")
_STRUCTURES = ("representedOrganization", "scopingOrganization", "receivedOrganization")


class Cast(Reader, Protocol):
    """A reader that collects the resources of parties."""

    patient: str | None

    def actor(self, resource: Json) -> str:
        """Return the URL of a party's resource; the same content is one resource."""


def _identifiers(element: Element, reader: Reader) -> list[Json]:
    reads = (read_id([child], PLAIN, reader) for child in children(element, "id"))
    return [read.value for read in reads if read is not None and read.value is not None]


def read_organization(element: Element | None, reader: Cast) -> str | None:
    """Organization -> URL of its resource, None when nothing is said of it."""
    if element is None:
        return None
    found: Json = {"resourceType": "Organization"}
    ids = _identifiers(element, reader)
    if ids:
        found["identifier"] = ids
    industry = first(element, "standardIndustryClassCode")
    type_ = read_concept([industry], PLAIN, reader) if industry is not None else None
    if type_ is not None and type_.value:
        found["type"] = [type_.value]
    name = text_in(first(element, "name"))
    if name:
        found["name"] = name
    said = contacts(element)
    found |= said
    if not ids and not name:
        # org-1 of FHIR wants one of them; a structure known by its setting alone is no structure.
        return None if not type_ else reader.actor({**found, "name": "-"}) if said else None
    return reader.actor(found)


def read_role(role: Element, reader: Cast) -> Json | None:
    """Return the Reference to whom a role element describes."""
    name = str(role.tag).rpartition("}")[2]
    organization = next((found for one in _STRUCTURES if (found := first(role, one)) is not None), None)
    device = first(role, "assignedAuthoringDevice")
    if device is None:
        device = first(role, "playingDevice")
    ids = _identifiers(role, reader)
    if name == "relatedEntity":
        return {"reference": _related(role, reader)}
    if device is not None:
        return {"reference": _device(role, device, organization, ids, reader)}
    person = next((found for one in _PERSONS if (found := first(role, one)) is not None), None)
    if reader.patient is not None and _is_ins(ids):
        return {"reference": reader.patient}
    if person is None and not ids and organization is not None and first(role, "code") is None:
        url = read_organization(organization, reader)
        return {"reference": url} if url else None
    return _practitioner(role, person, organization, ids, reader)


def _is_ins(ids: Sequence[Json]) -> bool:
    pairs = tuple(
        Id(str(one["system"])[8:], one["value"]) for one in ids if str(one.get("system")).startswith("urn:oid:")
    )
    return ins_of(Person(pairs, None, None, None, None, None, None, None, (None, None))) is not None


def _practitioner(
    role: Element, person: Element | None, organization: Element | None, ids: list[Json], reader: Cast
) -> Json | None:
    human: Json = {"resourceType": "Practitioner"}
    if ids:
        human["identifier"] = ids
    name = read_name(first(person, "name"))
    if name:
        human["name"] = [name]
    said = contacts(role)
    human |= said
    found: Json = {"resourceType": "PractitionerRole"}
    if len(human) > 1:
        found["practitioner"] = {"reference": reader.actor(human)}
    url = read_organization(organization, reader)
    if url:
        found["organization"] = {"reference": url}
    code = first(role, "code")
    concept = concept_of(code)
    if concept is not None:
        party = Party((), concept, None, None, None)
        found |= role_codes(party, reader.knowledge.codes)
    elif code is not None:
        read = read_concept([code], PLAIN, reader)
        if read is not None and read.value:
            found["code"] = [read.value]
    return {"reference": reader.actor(found)} if len(found) > 1 else None


def _device(role: Element, device: Element, organization: Element | None, ids: list[Json], reader: Cast) -> str:
    found: Json = {"resourceType": "Device"}
    if ids:
        found["identifier"] = ids
    names = [
        {"name": text, "type": kind}
        for one, kind in (("softwareName", "user-friendly-name"), ("manufacturerModelName", "model-name"))
        if (text := text_in(first(device, one)))
    ]
    if names:
        found["deviceName"] = names
    code = first(device, "code")
    if code is None:
        code = first(role, "code")
    read = read_concept([code], PLAIN, reader) if code is not None else None
    if read is not None and read.value:
        found["type"] = read.value
    url = read_organization(organization, reader)
    if url:
        found["owner"] = {"reference": url}
    telecoms = contacts(role).get("telecom")
    if telecoms:
        found["contact"] = telecoms
    return reader.actor(found)


def _related(role: Element, reader: Cast) -> str:
    found: Json = {"resourceType": "RelatedPerson"}
    ids = _identifiers(role, reader)
    if ids:
        found["identifier"] = ids
    found["patient"] = {"reference": reader.patient} if reader.patient else {"display": "-"}
    relations = []
    if role.get("classCode"):
        relations.append({"coding": [{"system": ROLE_CLASS, "code": role.get("classCode")}]})
    code = first(role, "code")
    read = read_concept([code], PLAIN, reader) if code is not None else None
    if read is not None and read.value:
        relations.append(read.value)
    if relations:
        found["relationship"] = relations
    name = read_name(first(role, "relatedPerson", "name"))
    if name:
        found["name"] = [name]
    found |= contacts(role)
    return reader.actor(found)
