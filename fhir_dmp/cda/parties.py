"""People, structures and devices of header and body as resources of the bundle, both ways. [cda 2.5, 4.7]

A role met again with the same words is the same resource. What a participation says beside the party (time, function,
type) stands in extensions of the Reference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from fhir_dmp.cda.actors import ins_of, role_codes
from fhir_dmp.cda.elements import children, first, make, same, text_in, with_text
from fhir_dmp.cda.header import Id, Party, Person
from fhir_dmp.cda.header import _concept as header_concept
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.places import EXTENSIONS
from fhir_dmp.cda.scalars import (
    Codec,
    Read,
    Reader,
    Writer,
    concept_element,
    id_element,
    read_concept,
    read_id,
    read_time,
    write_time,
)
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

TIME, FUNCTION, TYPE = (f"{EXTENSIONS}/cda-participation-{name}" for name in ("time", "function", "type"))
_ROLE_CLASS = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"
ADDRESS_PARTS = f"{EXTENSIONS}/cda-address-parts"
_ROLES = (
    "assignedAuthor",
    "assignedEntity",
    "participantRole",
    "associatedEntity",
    "intendedRecipient",
    "relatedEntity",
)
_PERSONS = ("assignedPerson", "associatedPerson", "informationRecipient", "relatedPerson", "playingEntity")
_STRUCTURES = ("representedOrganization", "scopingOrganization", "receivedOrganization")
NO_PART = Part((), None, None, "", {})  # type: ignore[arg-type]  # the codecs used here look at options alone


class Cast(Reader, Protocol):
    """A reader that collects the resources of parties."""

    patient: str | None

    def actor(self, resource: Json) -> str:
        """Return the URL of a party's resource; the same content is one resource."""


# --- names, addresses, telecoms ------------------------------------------------------------------------------------

_USES = {"H": "home", "HP": "home", "HV": "home", "WP": "work", "DIR": "work", "PUB": "work", "EC": "work",
         "MC": "mobile", "TMP": "temp", "BAD": "old"}  # fmt: skip
_BACK_USES = {"home": "H", "work": "WP", "mobile": "MC", "temp": "TMP"}
_SCHEMES = {"tel": "phone", "fax": "fax", "mailto": "email", "http": "url", "https": "url", "ftp": "url"}
_BACK_SCHEMES = {"phone": "tel:", "fax": "fax:", "email": "mailto:", "pager": "tel:", "sms": "tel:"}
#: Names of the parts of an address are those of XML elements; anything else came from no CDA.
_PART_NAME = re.compile(r"[A-Za-z]{1,40}")
_LINE = ("houseNumber", "houseNumberNumeric", "streetNameType", "streetName")
_EXTRA = ("additionalLocator", "unitID", "postBox", "precinct")
_NAMED = {"postalCode": "postalCode", "city": "city", "county": "district", "state": "state", "country": "country"}
USE = f"{EXTENSIONS}/cda-use"


def read_telecom(element: Element) -> Json | None:
    """TEL -> ContactPoint; the exact @use stays in an extension when FHIR has a coarser word."""
    value = (element.get("value") or "").strip()
    if not value or element.get("nullFlavor"):
        return None
    scheme, mark, rest = value.partition(":")
    system = _SCHEMES.get(scheme.lower()) if mark else None
    use = element.get("use")
    found: Json = {}
    if use and _BACK_USES.get(_USES.get(use, "")) != use:
        found["extension"] = [{"url": USE, "valueString": use}]
    bare = rest.strip() if system in ("phone", "fax", "email") else value
    if not bare:
        return None
    found |= {"system": system or ("phone" if not mark else "other"), "value": bare}
    if use in _USES:
        found["use"] = _USES[use] if _USES[use] != "old" else "old"
    elif use == "PG":
        found["system"] = "pager"
    return found


def telecom_element(value: Json) -> Element | None:
    """ContactPoint -> TEL."""
    text = value.get("value")
    if not text:
        return None
    prefix = _BACK_SCHEMES.get(value.get("system") or "", "")
    if not prefix and ":" not in text:
        prefix = "tel:"
    return make("telecom", {"value": prefix + text, "use": _use_of(value)})


def _use_of(value: Json) -> str | None:
    for part in value.get("extension", ()):
        if part.get("url") == USE:
            return str(part.get("valueString"))
    return "PG" if value.get("system") == "pager" else _BACK_USES.get(value.get("use") or "")


def read_address(element: Element) -> Json | None:
    """AD -> Address; its parts stay apart in an extension, so that the way back is exact."""
    if element.get("nullFlavor"):
        return None
    parts = [(str(child.tag).rpartition("}")[2], text_in(child)) for child in element]
    said = [(name, text) for name, text in parts if text]
    if not said:
        bare = text_in(element)
        return {"text": bare} if bare else None
    found: Json = {}
    use = element.get("use")
    street = " ".join(text for name, text in said if name in _LINE)
    lines = [street] if street else []
    lines += [text for name, text in said if name in _EXTRA or name == "streetAddressLine"]
    if any(name in _LINE or name in _EXTRA for name, _ in said):
        found["extension"] = [
            {
                "url": ADDRESS_PARTS,
                "extension": [{"url": name, "valueString": text} for name, text in said],
            }
        ]
    if use and _BACK_USES.get(_USES.get(use, "")) != use:
        found.setdefault("extension", []).append({"url": USE, "valueString": use})
    if use in _USES:
        found["use"] = _USES[use] if _USES[use] != "mobile" else "home"
    if lines:
        found["line"] = lines
    for name, key in _NAMED.items():
        text = next((text for one, text in said if one == name), None)
        if text:
            found[key] = text
    return found


def address_element(value: Json) -> Element | None:
    """Address -> AD: its original parts while they still say what the address says, else lines and town."""
    element = make("addr", {"use": _use_of(value)})
    parts = next((part for part in value.get("extension", ()) if part.get("url") == ADDRESS_PARTS), None)
    if parts is not None:
        for part in parts.get("extension", ()):
            if _PART_NAME.fullmatch(part["url"]):
                element.append(with_text(part["url"], str(part.get("valueString"))))
        again = read_address(element)
        if again is not None and {**again, "extension": 0} == {**value, "extension": 0}:
            return element
        element = make("addr", {"use": _use_of(value)})
    lines = value.get("line") or ([value["text"]] if value.get("text") and not value.get("city") else [])
    element.extend(with_text("streetAddressLine", str(line)) for line in lines)
    for name, key in _NAMED.items():
        if value.get(key):
            element.append(with_text(name, str(value[key])))
    return element if len(element) else None


def read_name(element: Element | None) -> Json | None:
    """PN -> HumanName; every given element stays a value of its own."""
    if element is None or element.get("nullFlavor"):
        return None
    found: Json = {}
    family = text_in(first(element, "family"))
    if family:
        found["family"] = family
    for name in ("given", "prefix", "suffix"):
        texts = [text for child in children(element, name) if (text := text_in(child))]
        if texts:
            found[name] = texts
    if not found:
        bare = text_in(element)
        return {"text": bare} if bare else None
    return found


def name_element(value: Json) -> Element:
    """HumanName -> PN."""
    element = make("name")
    for name in ("prefix", "given"):
        element.extend(with_text(name, str(text)) for text in value.get(name, ()))
    if value.get("family"):
        element.append(with_text("family", str(value["family"])))
    element.extend(with_text("suffix", str(text)) for text in value.get("suffix", ()))
    if not len(element) and value.get("text"):
        element.text = str(value["text"])
    return element


def _contacts(element: Element) -> Json:
    found: Json = {}
    telecoms = [one for child in children(element, "telecom") if (one := read_telecom(child))]
    addresses = [one for child in children(element, "addr") if (one := read_address(child))]
    if telecoms:
        found["telecom"] = telecoms
    if addresses:
        found["address"] = addresses
    return found


def _identifiers(element: Element, reader: Reader) -> list[Json]:
    reads = (read_id([child], NO_PART, reader) for child in children(element, "id"))
    return [read.value for read in reads if read is not None and read.value is not None]


# --- parties -------------------------------------------------------------------------------------------------------


def read_organization(element: Element | None, reader: Cast) -> str | None:
    """Organization -> URL of its resource, None when nothing is said of it."""
    if element is None:
        return None
    found: Json = {"resourceType": "Organization"}
    ids = _identifiers(element, reader)
    if ids:
        found["identifier"] = ids
    industry = first(element, "standardIndustryClassCode")
    type_ = read_concept([industry], NO_PART, reader) if industry is not None else None
    if type_ is not None and type_.value:
        found["type"] = [type_.value]
    name = text_in(first(element, "name"))
    if name:
        found["name"] = name
    contacts = _contacts(element)
    found |= contacts
    if not ids and not name:
        # org-1 of FHIR wants one of them; a structure known by its setting alone is no structure.
        return None if not type_ else reader.actor({**found, "name": "-"}) if contacts else None
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
    contacts = _contacts(role)
    human |= contacts
    found: Json = {"resourceType": "PractitionerRole"}
    if len(human) > 1:
        found["practitioner"] = {"reference": reader.actor(human)}
    url = read_organization(organization, reader)
    if url:
        found["organization"] = {"reference": url}
    code = first(role, "code")
    concept = header_concept(code)
    if concept is not None:
        party = Party((), concept, None, None, None)
        found |= role_codes(party, reader.knowledge.codes)
    elif code is not None:
        read = read_concept([code], NO_PART, reader)
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
    read = read_concept([code], NO_PART, reader) if code is not None else None
    if read is not None and read.value:
        found["type"] = read.value
    url = read_organization(organization, reader)
    if url:
        found["owner"] = {"reference": url}
    telecoms = _contacts(role).get("telecom")
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
        relations.append({"coding": [{"system": _ROLE_CLASS, "code": role.get("classCode")}]})
    code = first(role, "code")
    read = read_concept([code], NO_PART, reader) if code is not None else None
    if read is not None and read.value:
        relations.append(read.value)
    if relations:
        found["relationship"] = relations
    name = read_name(first(role, "relatedPerson", "name"))
    if name:
        found["name"] = [name]
    found |= _contacts(role)
    return reader.actor(found)


def _read(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """Participation -> Reference."""
    element = elements[0]
    role = next((child for child in element if str(child.tag).rpartition("}")[2] in _ROLES), None)
    reference = read_role(role, reader) if role is not None else None
    if reference is None:
        return None
    extensions: list[Json] = []
    time = first(element, "time")
    moment = read_time([time], NO_PART, reader) if time is not None else None
    if moment is not None and moment.value:
        extensions.append({"url": TIME, "valueDateTime": moment.value})
    function = first(element, "functionCode")
    concept = read_concept([function], NO_PART, reader) if function is not None else None
    if concept is not None and concept.value:
        extensions.append({"url": FUNCTION, "valueCodeableConcept": concept.value})
    if element.get("typeCode"):
        extensions.append({"url": TYPE, "valueCode": element.get("typeCode")})
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
    element = make(name, {"typeCode": extensions.get(TYPE, {}).get("valueCode") or part.options.get("type")})
    if FUNCTION in extensions:
        element.append(concept_element(extensions[FUNCTION]["valueCodeableConcept"], "functionCode", writer))
    if TIME in extensions:
        element.extend(write_time(extensions[TIME]["valueDateTime"], NO_PART, "time", writer))
    if part.options.get("signed"):
        element.append(make("signatureCode", {"code": "S"}))
    if resource["resourceType"] == "RelatedPerson" and name == "informant":
        element.append(_related_element(resource, writer))
    else:
        element.append(role_element(resource, role, person, structure, writer))
    return [element]


def _ids_of(resource: Json | None) -> list[Element]:
    return [found for one in (resource or {}).get("identifier", ()) if (found := id_element(one)) is not None]


def _contact_elements(resource: Json | None) -> list[Element]:
    if resource is None:
        return []
    found = [one for value in resource.get("address", ()) if (one := address_element(value)) is not None]
    return found + [one for value in resource.get("telecom", ()) if (one := telecom_element(value)) is not None]


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
        main = {**concept, "coding": _composite(concept.get("coding", ()))} if concept.get("coding") else concept
        element.append(concept_element(main, "code", writer))
    element.extend(_contact_elements(resource if kind in ("Device", "Organization") else human))
    if kind == "Device":
        element.append(_device_element(resource, role, writer))
        organization = writer.resolve(resource.get("owner"))
    names = (human or {}).get("name") or ()
    if names:
        element.append(make(person, None, name_element(names[0])))
    if organization is not None and structure:
        element.append(organization_element(organization, structure, writer))
    return element


def _composite(codings: Sequence[Json]) -> list[Json]:
    """The profession that was derived from a composite speciality does not go back. [cda 3.5]"""
    if codings and re.fullmatch(r"(G15|G16)_\w+(/\w+)?", str(codings[0].get("code"))):
        return [codings[0]]
    return list(codings)


def _device_element(resource: Json, role: str, writer: Writer) -> Element:
    names = {one.get("type"): one.get("name") for one in resource.get("deviceName", ())}
    element = make("playingDevice" if role == "participantRole" else "assignedAuthoringDevice")
    if resource.get("type"):
        element.append(concept_element(resource["type"], "code", writer))
    for kind, name in (("model-name", "manufacturerModelName"), ("user-friendly-name", "softwareName")):
        if names.get(kind):
            element.append(with_text(name, str(names[kind])))
    return element


def _related_element(resource: Json, writer: Writer) -> Element:
    element = make("relatedEntity")
    for relation in resource.get("relationship", ()):
        coding: Json = next(iter(relation.get("coding", ())), {})
        if coding.get("system") == _ROLE_CLASS and element.get("classCode") is None:
            element.set("classCode", str(coding.get("code")))
        else:
            element.append(concept_element(relation, "code", writer))
    if element.get("classCode") is None:
        element.set("classCode", "CON")
    element.extend(_contact_elements(resource))
    if resource.get("name"):
        element.append(make("relatedPerson", None, name_element(resource["name"][0])))
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
        element.append(concept_element(concept, "standardIndustryClassCode", writer))
    return element


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


CODECS = {"party": Codec(_read, _write), "organization": Codec(_read_structure, _write_structure)}
