"""The header of a document that never was CDA: what the CI-SIS fixes, derives and demands. [cda 2, 3.6, 6.3]"""

from __future__ import annotations

import uuid
from datetime import tzinfo

from fhir_dmp.cda.datatypes import instant
from fhir_dmp.cda.elements import first, make, name_of, tag
from fhir_dmp.cda.party_elements import SETTING_SET, organization_element, role_element
from fhir_dmp.cda.places import EXTENSIONS
from fhir_dmp.cda.values.concepts import concept_element
from fhir_dmp.cda.values.moments import back
from fhir_dmp.cda.writing import NAMESPACE, Writing
from fhir_dmp.cda.xml import Element
from fhir_dmp.errors import Issue, Unprocessable
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.ins_key import has_valid_key
from fhir_dmp.terminology.national import INS_SYSTEMS


def complete(document: Element, bundle: Json, composition: Json, writer: Writing) -> None:
    """Complete a header that comes from FHIR alone: what the CI-SIS fixes, and what it derives. [6.1, 6.3, 3.6]"""
    created = first(document, "effectiveTime")
    if created is not None and len(created.get("value") or "") < _WITH_ZONE:
        created.set("value", _whole(created.get("value") or "", writer.zone))
    present = {name_of(child) for child in document}
    if "confidentialityCode" not in present:
        document.append(
            make("confidentialityCode", {"code": "N", "codeSystem": "2.16.840.1.113883.5.25", "displayName": "Normal"})
        )
    if "languageCode" not in present:
        document.append(make("languageCode", {"code": "fr-FR"}))
    if "setId" not in present:
        number = uuid.uuid5(NAMESPACE, f"{writer.seed}/set").int
        document.append(make("setId", {"root": f"2.25.{number}"}))
    if "versionNumber" not in present:
        document.append(make("versionNumber", {"value": "1"}))
    for element in document.iter(tag("setId"), tag("id")):
        if element.getparent() is document and (element.get("root") or "").islower():
            element.set("root", str(element.get("root")).upper())
    if "author" in present:
        for author in document.iterchildren(tag("author")):
            if first(author, "time") is None and created is not None:
                author.append(make("time", {"value": created.get("value")}))
    if "legalAuthenticator" not in present and created is not None:
        _signed_by_author(document, composition, created, writer)
    if "custodian" not in present:
        _kept_by_author(document, composition, writer)
    _main_act(document, composition, created, writer)
    if "componentOf" not in present:
        _stay(document, bundle, composition, writer)


_WITH_ZONE = len("20260612103000+0200")


def _whole(text: str, zone: tzinfo) -> str:
    """Return a time with seconds and zone: a partial date begins with its first moment. [2.3]"""
    return back(instant(text, zone)) or text


def _parties(composition: Json, writer: Writing) -> list[tuple[Json, Json]]:
    return [(one, found) for one in composition.get("author", ()) if (found := writer.resolve(one)) is not None]


def _signed_by_author(document: Element, composition: Json, created: Element, writer: Writing) -> None:

    person = next(
        (resource for _, resource in _parties(composition, writer) if resource["resourceType"] != "Device"), None
    )
    if person is None:
        return
    document.append(
        make(
            "legalAuthenticator",
            None,
            make("time", {"value": created.get("value")}),
            make("signatureCode", {"code": "S"}),
            role_element(person, "assignedEntity", "assignedPerson", "representedOrganization", writer),
        )
    )


def _kept_by_author(document: Element, composition: Json, writer: Writing) -> None:

    for _, resource in _parties(composition, writer):
        found = resource if resource["resourceType"] == "Organization" else writer.resolve(resource.get("organization"))
        if found is not None:
            held = organization_element(found, "representedCustodianOrganization", writer)
            document.append(make("custodian", None, make("assignedCustodian", None, held)))
            return


def _main_act(document: Element, composition: Json, created: Element | None, writer: Writing) -> None:
    """The first documented act has a performer with a practice setting, and begins. [2.6]"""

    acts = list(document.iterchildren(tag("documentationOf")))
    if not acts:
        acts = [make("documentationOf", None, make("serviceEvent"))]
        document.append(acts[0])
    event = first(acts[0], "serviceEvent")
    if event is None:
        return
    time = first(event, "effectiveTime")
    if time is None and created is not None:
        event.append(make("effectiveTime", None, make("low", {"value": created.get("value")})))
    if first(event, "performer") is None:
        party = next(
            (one for _, one in _parties(composition, writer) if one["resourceType"] == "PractitionerRole"), None
        )
        if party is not None:
            role = role_element(party, "assignedEntity", "assignedPerson", "representedOrganization", writer)
            event.append(make("performer", {"typeCode": "PRF"}, role))
    entity = first(event, "performer", "assignedEntity")
    setting = _context(composition, "practiceSetting")
    if entity is not None and setting is not None:
        organization = first(entity, "representedOrganization")
        if organization is None:
            organization = make("representedOrganization")
            entity.append(organization)
        if first(organization, "standardIndustryClassCode") is None:
            organization.append(concept_element(setting, "standardIndustryClassCode", writer, SETTING_SET))


def _stay(document: Element, bundle: Json, composition: Json, writer: Writing) -> None:
    """The encounter: when, and in what kind of facility. [2.7]"""

    facility = _context(composition, "facilityType")
    event = first(document, "documentationOf", "serviceEvent", "effectiveTime")
    low = first(event, "low")
    time = (
        make("effectiveTime", None, make("low", {"value": low.get("value")}))
        if low is not None
        else make("effectiveTime", {"nullFlavor": "UNK"})
    )
    place = make("healthCareFacility")
    if facility is not None:
        place.append(concept_element(facility, "code", writer, _FACILITIES))
    document.append(make("componentOf", None, make("encompassingEncounter", None, time, make("location", None, place))))


def _context(composition: Json, name: str) -> Json | None:
    for extension in composition.get("extension", ()):
        if extension.get("url") == f"{EXTENSIONS}/cda-{name}":
            value: Json = extension["valueCodeableConcept"]
            return value
    return None


_FACILITIES = "jdv-j02"
#: Elements that must have a code of their value set, and where it comes from. [2.3]
_CODED = (
    ("code", "JDV_J07", "Composition.type"),
    (
        "documentationOf/serviceEvent/performer/assignedEntity/representedOrganization/standardIndustryClassCode",
        "JDV_J04",
        "Composition.extension",
    ),
    ("componentOf/encompassingEncounter/location/healthCareFacility/code", "JDV_J02", "Encounter.location"),
)
#: Path of a mandatory element, the attribute that carries it ("" for any content), and where it comes from in FHIR.
_MANDATORY = (
    ("id", "root", "Bundle.identifier (or DocumentReference.masterIdentifier)"),
    ("code", "code", "Composition.type"),
    ("title", "", "Composition.title"),
    ("effectiveTime", "value", "Composition.date"),
    ("confidentialityCode", "code", "Composition.confidentiality"),
    ("languageCode", "code", "Composition.language"),
    ("setId", "root", "Composition.identifier"),
    ("versionNumber", "value", "Composition version"),
    ("recordTarget/patientRole/id", "root", "Patient.identifier"),
    ("recordTarget/patientRole/patient", "", "Composition.subject"),
    ("author/time", "", "Composition.date"),
    ("author/assignedAuthor/id", "", "Practitioner.identifier of Composition.author"),
    ("custodian/assignedCustodian/representedCustodianOrganization/id", "root", "Composition.custodian"),
    ("legalAuthenticator/assignedEntity/id", "", "Composition.attester (legal)"),
    ("documentationOf/serviceEvent", "", "Composition.event"),
    (
        "componentOf/encompassingEncounter/location/healthCareFacility/code",
        "",
        "type of the facility: Encounter.location of Composition.encounter (or context.facilityType)",
    ),
)


def check(document: Element, writer: Writing, *, was_cda: bool) -> None:
    """Refuse a header without what every document must have, naming each missing element.

    A document that was CDA before (older editions ask less) goes back as it was; the same faults are reported.
    """
    missing = []
    for path, attribute, source in _MANDATORY:
        element = first(document, *path.split("/"))
        if element is None or (attribute and not (element.get(attribute) or element.get("nullFlavor"))):
            missing.append(
                Issue("required", f"The CDA needs {path}: give {source}.", expression=(source.split(" ")[0],))
            )
    for path, set_, source in _CODED:
        element = first(document, *path.split("/"))
        if element is not None and not element.get("code"):
            text = f"{path.rpartition('/')[2]} must have a code of {set_}."
            missing.append(Issue("code-invalid", text, expression=(source,)))
    if was_cda:
        writer.issues += [Issue(one.code, one.diagnostics, "warning", one.expression) for one in missing]
    elif missing:
        raise Unprocessable("The document lacks mandatory metadata.", issues=missing)
    for one in document.iterfind("/".join(tag(name) for name in ("recordTarget", "patientRole", "id"))):
        system = f"urn:oid:{one.get('root')}"
        if system in INS_SYSTEMS and not has_valid_key(one.get("extension") or ""):
            if not was_cda:
                raise Unprocessable("The key of the INS is wrong.", code="value", expression="Patient.identifier")
            writer.issues.append(Issue("value", "The key of the INS is wrong.", "warning", ("Patient.identifier",)))
