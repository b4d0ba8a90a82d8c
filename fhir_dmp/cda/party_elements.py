"""Resources of people, structures and devices as the role elements of CDA. [cda 2.5, 4.7]"""

from __future__ import annotations

import re

from fhir_dmp.cda.elements import make, with_text
from fhir_dmp.cda.party_resources import ROLE_CLASS
from fhir_dmp.cda.values.codec import Writer
from fhir_dmp.cda.values.concepts import concept_element
from fhir_dmp.cda.values.contacts import address_element, contact_elements, name_element, telecom_element
from fhir_dmp.cda.values.identifiers import id_element
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import PROFESSION, TRAINING, canonical_system

#: Value sets of the header. [cda 2.3, 2.5]
SPECIALITY_SET, SETTING_SET, FUNCTION_SET, _RELATIONS = "jdv-j01", "jdv-j04", "jdv-j47", "jdv-j11"
_PROFESSIONS = {PROFESSION: "G15", TRAINING: "G16"}


def _ids_of(resource: Json | None) -> list[Element]:
    return [found for one in (resource or {}).get("identifier", ()) if (found := id_element(one)) is not None]


def role_element(resource: Json, role: str, person: str, structure: str, writer: Writer) -> Element:
    """Return the role element of a PractitionerRole, Practitioner, Organization, Device, Patient or RelatedPerson."""
    element = make(role)
    kind = resource["resourceType"]
    human = resource if kind in ("Practitioner", "Patient", "RelatedPerson") else None
    organization = resource if kind == "Organization" else None
    if kind == "PractitionerRole":
        human = writer.resolve(resource.get("practitioner"))
        organization = writer.resolve(resource.get("organization"))
    element.extend(_ids_of(resource if kind == "Device" else human))
    if not len(element) and kind == "PractitionerRole":
        element.extend(_ids_of(resource))
    if not len(element) and role in ("assignedEntity", "assignedAuthor"):
        element.append(make("id", {"nullFlavor": "UNK"}))
    for concept in resource.get("code", ())[:1] if kind == "PractitionerRole" else ():
        main = {**concept, "coding": _composite(concept, resource, writer)} if concept.get("coding") else concept
        element.append(concept_element(main, "code", writer, SPECIALITY_SET))
    element.extend(contact_elements(resource if kind in ("Device", "Organization") else human))
    if kind == "Device":
        element.append(_device_element(resource, role, writer))
        organization = writer.resolve(resource.get("owner"))
    names = (human or {}).get("name") or ()
    if names:
        element.append(make(person, None, name_element(names[0], writer)))
    if organization is not None and structure:
        element.append(organization_element(organization, structure, writer))
    return element


def _composite(concept: Json, role: Json, writer: Writer) -> list[Json]:
    """Return the codes of a role as CDA says them: profession and qualification are one code. [cda 3.5]"""
    codings = list(concept.get("coding", ()))
    if codings and re.fullmatch(r"(G15|G16)_\w+(/\w+)?", str(codings[0].get("code"))):
        # The profession was derived from the composite: it does not go back.
        return [codings[0]]
    for one in codings:
        prefix = _PROFESSIONS.get(canonical_system(str(one.get("system") or "")))
        if prefix is None:
            continue
        profession = f"{prefix}_{one.get('code')}"
        specialities = [coding for other in role.get("specialty", ()) for coding in other.get("coding", ())]
        wanted = [*(f"{profession}/{speciality.get('code')}" for speciality in specialities), profession]
        known = writer.knowledge.binding(SPECIALITY_SET).first_of(wanted)
        if known is not None:
            return [known]
    return codings


def _device_element(resource: Json, role: str, writer: Writer) -> Element:
    names = {one.get("type"): one.get("name") for one in resource.get("deviceName", ())}
    element = make("playingDevice" if role == "participantRole" else "assignedAuthoringDevice")
    if resource.get("type"):
        element.append(concept_element(resource["type"], "code", writer))
    for kind, name in (("model-name", "manufacturerModelName"), ("user-friendly-name", "softwareName")):
        if names.get(kind):
            element.append(with_text(name, str(names[kind])))
    return element


def related_element(resource: Json, writer: Writer) -> Element:
    element = make("relatedEntity")
    for relation in resource.get("relationship", ()):
        coding: Json = next(iter(relation.get("coding", ())), {})
        if coding.get("system") == ROLE_CLASS and element.get("classCode") is None:
            element.set("classCode", str(coding.get("code")))
        else:
            element.append(concept_element(relation, "code", writer, _RELATIONS))
    if element.get("classCode") is None:
        element.set("classCode", "CON")
    element.extend(contact_elements(resource))
    if resource.get("name"):
        element.append(make("relatedPerson", None, name_element(resource["name"][0], writer)))
    return element


def organization_element(resource: Json, name: str, writer: Writer) -> Element:
    """Organization -> element of a name."""
    element = make(name)
    element.extend(_ids_of(resource))
    if resource.get("name") and resource["name"] != "-":
        element.append(with_text("name", str(resource["name"])))
    element.extend(one for value in resource.get("telecom", ()) if (one := telecom_element(value)) is not None)
    element.extend(one for value in resource.get("address", ()) if (one := address_element(value)) is not None)
    for concept in resource.get("type", ())[:1] if name != "representedCustodianOrganization" else ():
        element.append(concept_element(concept, "standardIndustryClassCode", writer, SETTING_SET))
    return element
