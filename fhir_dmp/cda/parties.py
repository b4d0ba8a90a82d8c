"""Participations as References, both ways. [cda 2.5, 4.7]

What a participation says beside the party (time, function, type) stands in extensions of the Reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_dmp.cda.elements import first, make, same
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.party_elements import FUNCTION_SET, organization_element, related_element, role_element
from fhir_dmp.cda.party_resources import read_organization, read_role
from fhir_dmp.cda.places import EXTENSIONS
from fhir_dmp.cda.values.codec import PLAIN, Codec, Read, Writer
from fhir_dmp.cda.values.concepts import concept_element, read_concept
from fhir_dmp.cda.values.moments import read_time, write_time
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

TIME, FUNCTION, KIND = (f"{EXTENSIONS}/cda-participation-{name}" for name in ("time", "function", "type"))
_ROLES = (
    "assignedAuthor",
    "assignedEntity",
    "participantRole",
    "associatedEntity",
    "intendedRecipient",
    "relatedEntity",
)


def _read(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """Participation -> Reference."""
    element = elements[0]
    role = next((child for child in element if str(child.tag).rpartition("}")[2] in _ROLES), None)
    reference = read_role(role, reader) if role is not None else None
    if reference is None:
        return None
    extensions: list[Json] = []
    time = first(element, "time")
    moment = read_time([time], PLAIN, reader) if time is not None else None
    if moment is not None and moment.value:
        extensions.append({"url": TIME, "valueDateTime": moment.value})
    function = first(element, "functionCode")
    concept = read_concept([function], PLAIN, reader) if function is not None else None
    if concept is not None and concept.value:
        extensions.append({"url": FUNCTION, "valueCodeableConcept": concept.value})
    if element.get("typeCode"):
        extensions.append({"url": KIND, "valueCode": element.get("typeCode")})
    value = {"extension": extensions, **reference} if extensions else reference
    return Read(value, reader.whole and _comes_back(element, value, part, reader))


def _comes_back(element: Element, value: Json, part: Part, reader: Any) -> bool:
    writer = reader.mirror()
    again = _write(value, part, str(element.tag).rpartition("}")[2], writer)
    return len(again) == 1 and same(again[0], element)


#: Participation -> the role it holds, the person in it, the organization of it.
_SHAPES = {
    "author": ("assignedAuthor", "assignedPerson", "representedOrganization"),
    "legalAuthenticator": ("assignedEntity", "assignedPerson", "representedOrganization"),
    "authenticator": ("assignedEntity", "assignedPerson", "representedOrganization"),
    "performer": ("assignedEntity", "assignedPerson", "representedOrganization"),
    "dataEnterer": ("assignedEntity", "assignedPerson", "representedOrganization"),
    "informant": ("assignedEntity", "assignedPerson", "representedOrganization"),
    "responsibleParty": ("assignedEntity", "assignedPerson", "representedOrganization"),
    "encounterParticipant": ("assignedEntity", "assignedPerson", "representedOrganization"),
    "informationRecipient": ("intendedRecipient", "informationRecipient", "receivedOrganization"),
    "participant": ("participantRole", "playingEntity", "scopingEntity"),
    "specimen": ("specimenRole", "specimenPlayingEntity", ""),
}


def _write(value: Json, part: Part, name: str, writer: Writer) -> list[Element]:
    """Reference -> participation."""
    resource = writer.resolve(value)
    if resource is None:
        writer.drop(name, "a party that is not in the bundle")
        return []
    role, person, structure = _SHAPES.get(name, _SHAPES["performer"])
    if name == "participant" and part.options.get("header"):
        role, person, structure = "associatedEntity", "associatedPerson", "scopingOrganization"
    extensions = {extension.get("url"): extension for extension in value.get("extension", ())}
    element = make(name, {"typeCode": extensions.get(KIND, {}).get("valueCode") or part.options.get("type")})
    if FUNCTION in extensions:
        element.append(
            concept_element(extensions[FUNCTION]["valueCodeableConcept"], "functionCode", writer, FUNCTION_SET)
        )
    if TIME in extensions:
        element.extend(write_time(extensions[TIME]["valueDateTime"], PLAIN, "time", writer))
    if part.options.get("signed"):
        element.append(make("signatureCode", {"code": "S"}))
    if resource["resourceType"] == "RelatedPerson" and name == "informant":
        element.append(related_element(resource, writer))
    else:
        element.append(role_element(resource, role, person, structure, writer))
    return [element]


def _read_structure(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """Organization element -> Reference."""
    url = read_organization(elements[0], reader)
    if url is None:
        return Read(None, False)
    value = {"reference": url}
    if not reader.whole:
        return Read(value, False)
    again = _write_structure(value, part, str(elements[0].tag).rpartition("}")[2], reader.mirror())
    return Read(value, bool(again) and same(again[0], elements[0]))


def _write_structure(value: Json, part: Part, name: str, writer: Writer) -> list[Element]:
    resource = writer.resolve(value)
    if resource is not None and resource["resourceType"] == "PractitionerRole":
        resource = writer.resolve(resource.get("organization"))
    return [organization_element(resource, name, writer)] if resource is not None else []


CODECS = {
    "party": Codec(_read, _write),
    "organization": Codec(_read_structure, _write_structure),
}
