"""People, structures and devices of a CDA header as contained resources. [cda 2.4, 2.5, 3.1, 3.5]"""

from __future__ import annotations

import re
from datetime import tzinfo

from fhir_dmp.cda.datatypes import codeable, coding, date_time, human_name, identifier, pair_of
from fhir_dmp.cda.header import Id, Name, Organization, Party, Person
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.codes import Codes
from fhir_dmp.terminology.national import (
    BIRTH_LIST_GIVEN,
    FR_CORE,
    IDENTIFIER_TYPES,
    INS_DEMO,
    INS_FORMAT,
    INS_NIA,
    INS_NIR,
    INS_SYSTEMS,
    INS_TEST,
)

_INS_TYPES = {
    INS_NIR: ("INS-NIR", "official"),
    INS_NIA: ("INS-NIA", "temp"),
    INS_TEST: ("INS-NIR-TEST", "official"),
    INS_DEMO: ("INS-NIR-DEMO", "official"),
}
_GENDERS = {"M": "male", "F": "female", "UN": "unknown"}
BIRTH_PLACE = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"
_INSEE = f"{FR_CORE}/StructureDefinition/fr-core-address-insee-code"
_COMMUNES = "https://mos.esante.gouv.fr/NOS/TRE_R13-CommuneOM/FHIR/TRE-R13-CommuneOM"
#: A code of TRE_A02: profession (G15, or G16 in training) and qualification, for example G15_10/SM26.
_COMPOSITE = re.compile(r"(G15|G16)_(\w+)(?:/(\w+))?")
_COMPOSITES = "1.2.250.1.213.1.1.4.5"
_PROFESSIONS = {"G15": "1.2.250.1.71.1.2.7", "G16": "1.2.250.1.71.1.2.8"}
_SPECIALITIES = "1.2.250.1.213.2.28"
_PHARMACISTS, _SECTIONS = "21", "1.2.250.1.71.4.2.6"


class Contained:
    """The contained resources of one resource in the making: an identity met twice is written once."""

    def __init__(self, codes: Codes) -> None:
        self.resources: list[Json] = []
        self._codes = codes
        self._known: dict[object, str] = {}

    def _add(self, kind: str, resource: Json) -> str:
        local = f"{kind}-{sum(part['id'].startswith(kind + '-') for part in self.resources) + 1}"
        self.resources.append({"resourceType": resource["resourceType"], "id": local, **resource})
        return local

    def party(self, party: Party) -> Json:
        """Return a reference to an author or authenticator: a role with its person and structure, or a device."""
        # The same person signs and writes, often with less said the second time.
        key = party.ids or party
        local = self._known.get(key)
        if local is None:
            local = self._device(party) if party.device is not None else self._role(party)
            self._known[key] = local
        return {"reference": f"#{local}"}

    def organization(self, organization: Organization) -> Json:
        """Return a reference to a structure."""
        local = self._known.get(organization)
        if local is None:
            resource: Json = {"resourceType": "Organization"}
            if organization.ids:
                resource["identifier"] = [identifier(one) for one in organization.ids]
            if organization.name:
                resource["name"] = organization.name
            local = self._known[organization] = self._add("structure", resource)
        return {"reference": f"#{local}"}

    def patient(self, resource: Json) -> Json:
        """Return a reference to a contained Patient."""
        found = next((part for part in self.resources if part["resourceType"] == "Patient"), None)
        local = found["id"] if found else self._add("patient", resource)
        return {"reference": f"#{local}"}

    def _role(self, party: Party) -> str:
        role: Json = {"resourceType": "PractitionerRole"}
        if party.name is not None or party.ids:
            person: Json = {"resourceType": "Practitioner"}
            if party.ids:
                person["identifier"] = [identifier(one) for one in party.ids]
            if party.name is not None:
                person["name"] = [human_name(party.name)]
            role["practitioner"] = {"reference": f"#{self._add('person', person)}"}
        if party.organization is not None:
            role["organization"] = self.organization(party.organization)
        role.update(role_codes(party, self._codes))
        return self._add("role", role)

    def _device(self, party: Party) -> str:
        model, software = party.device or (None, None)
        names = [
            {"name": name, "type": kind}
            for name, kind in ((software, "user-friendly-name"), (model, "model-name"))
            if name
        ]
        device: Json = {"resourceType": "Device"}
        if party.ids:
            device["identifier"] = [identifier(one) for one in party.ids]
        if names:
            device["deviceName"] = names
        if party.organization is not None:
            device["owner"] = self.organization(party.organization)
        return self._add("device", device)


def role_codes(party: Party, codes: Codes) -> Json:
    """Return `code` and `specialty` of a role: the composite speciality, its profession, and the functional role."""
    found: Json = {}
    concepts: list[Json] = []
    if party.code is not None:
        listed = [coding(party.code, codes)]
        match = _COMPOSITE.fullmatch(party.code.code) if party.code.system == _COMPOSITES else None
        if match is not None:
            listed.append({"system": codes.system_of(_PROFESSIONS[match[1]]), "code": match[2]})
            qualification = _qualification(match[2], match[3], codes)
            if qualification is not None:
                found["specialty"] = [{"coding": [qualification]}]
        concepts.append({"coding": listed})
    if party.function is not None:
        concept = codeable(party.function, codes)
        concepts.append({**concept, "text": party.function.display} if party.function.display else concept)
    return {"code": concepts, **found} if concepts else found


def _qualification(profession: str, code: str | None, codes: Codes) -> Json | None:
    if code is None:
        return None
    if code.startswith(("SM", "SCD", "SI")):
        return {"system": codes.system_of(_SPECIALITIES), "code": code}
    return {"system": codes.system_of(_SECTIONS), "code": code} if profession == _PHARMACISTS else None


def patient_resource(person: Person, zone: tzinfo) -> Json:
    """Return the Patient as the producer knows him or her: every identifier, birth name and used name."""
    found: Json = {"resourceType": "Patient", "identifier": [patient_identifier(one) for one in person.ids]}
    names = [name for name in (official_name(person), used_name(person)) if name is not None]
    if names:
        found["name"] = names
    gender = _GENDERS.get(person.gender or "")
    if gender is not None:
        found["gender"] = gender
    birth_date = date_time((person.birth_time or "")[:8], zone)
    if birth_date is not None:
        found["birthDate"] = birth_date
    place = birth_place(person)
    return {**found, "extension": [place]} if place is not None else found


def patient_identifier(id_: Id) -> Json:
    system, _ = pair_of(id_)
    if system in _INS_TYPES:
        code, use = _INS_TYPES[system]
        return identifier(id_, use=use, type={"coding": [{"system": IDENTIFIER_TYPES, "code": code}]})
    return identifier(id_)


def official_name(person: Person) -> Json | None:
    """Return the birth name; the first given name alone stands in `given`, the whole list in its extension."""
    given = person.birth_given or (person.given or "").split(" ")[0] or person.used_given
    name = human_name(Name(person.birth_family, given), "official")
    if person.given:
        name["extension"] = [{"url": BIRTH_LIST_GIVEN, "valueString": person.given}]
    return name if len(name) > 1 else None


def used_name(person: Person) -> Json | None:
    if not person.used_family and not person.used_given:
        return None
    return human_name(Name(person.used_family or person.birth_family, person.used_given), "usual")


def birth_place(person: Person) -> Json | None:
    county, city = person.birth_place
    address: Json = {"city": city} if city else {}
    if county:
        address["extension"] = [{"url": _INSEE, "valueCoding": {"system": _COMMUNES, "code": county}}]
    return {"url": BIRTH_PLACE, "valueAddress": address} if address else None


def ins_of(person: Person) -> tuple[str, str] | None:
    """Return the INS that the header states; a malformed one (old documents hold some) counts as none."""
    pairs = [pair_of(one) for one in person.ids]
    return next((pair for pair in pairs if pair[0] in INS_SYSTEMS and INS_FORMAT.fullmatch(pair[1])), None)


def is_patient(party: Party) -> bool:
    """Say whether an author or authenticator is the patient."""
    return any(pair_of(one)[0] in INS_SYSTEMS for one in party.ids)
