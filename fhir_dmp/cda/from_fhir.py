"""A FHIR document Bundle, or a DocumentReference with its content, as a CDA of the CI-SIS. [cda 6]

Deterministic: the same resources give the same bytes. What comes from a CDA goes back where it came from; what comes
from elsewhere is framed as the current edition asks.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from lxml import etree

from fhir_dmp.cda.acts import act_parts, wrapped_entries
from fhir_dmp.cda.datatypes import instant
from fhir_dmp.cda.elements import BOUND, first, make, name_of, sort, tag, tidy
from fhir_dmp.cda.header import UNSTRUCTURED
from fhir_dmp.cda.knowledge import Knowledge
from fhir_dmp.cda.narrative import generated
from fhir_dmp.cda.places import EXTENSIONS
from fhir_dmp.cda.reading import Reading
from fhir_dmp.cda.repair import repair
from fhir_dmp.cda.rules import BODY, REST, kept_of, write_children
from fhir_dmp.cda.scalars import back
from fhir_dmp.cda.xml import Element
from fhir_dmp.errors import Issue, Unprocessable
from fhir_dmp.fhir.resource import Json, Number
from fhir_dmp.terminology.ins_key import has_valid_key
from fhir_dmp.terminology.national import INS_SYSTEMS

#: What a level-1 body may be. [6.1]
MEDIA_TYPES = ("application/pdf", "text/plain", "text/rtf", "image/jpeg", "image/png", "image/tiff")
_BASE = ("2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1")
_NAMESPACE = uuid.UUID("0c7e7c8e-59b3-5d0b-a8f6-7d4c5e1b9a77")


@dataclass(frozen=True, slots=True)
class Written:
    """A CDA file. issues: what of the resources has no place in it."""

    data: bytes
    issues: tuple[Issue, ...]


class Writing:
    """One bundle being written."""

    def __init__(self, bundle: Json, knowledge: Knowledge, zone: tzinfo) -> None:
        self.knowledge = knowledge
        self.zone = zone
        self.issues: list[Issue] = []
        self.written: set[int] = set()
        self._resources: list[Json] = []
        self._by_url: dict[str, Json] = {}
        self._positions: dict[int, int] = {}
        self._owners: dict[int, int] = {}
        self._texts: dict[str, str | None] | None = None
        identifier = bundle.get("identifier")
        self.seed = repr(sorted(identifier.items())) if isinstance(identifier, dict) else ""
        for entry in bundle.get("entry", ()):
            resource = entry.get("resource")
            if isinstance(resource, dict):
                self._add(resource, entry.get("fullUrl"))
        self.patient = self._patient()

    def _add(self, resource: Json, url: str | None) -> None:
        self._positions[id(resource)] = len(self._resources)
        self._resources.append(resource)
        if url:
            self._by_url[url] = resource
        if resource.get("id"):
            self._by_url.setdefault(f"{resource.get('resourceType')}/{resource['id']}", resource)
        for part in resource.get("contained", ()):
            if isinstance(part, dict) and part.get("id"):
                self._by_url.setdefault(f"#{part['id']}", part)
                self._positions.setdefault(id(part), len(self._resources))

    def _patient(self) -> str | None:
        for url, resource in self._by_url.items():
            if resource.get("resourceType") == "Patient":
                return url
        return None

    def resolve(self, reference: Any) -> Json | None:
        """Return the resource that a Reference means, None when it is not in the bundle."""
        if not isinstance(reference, dict):
            return None
        text = reference.get("reference")
        found = self._by_url.get(text) if isinstance(text, str) else None
        if found is None and isinstance(text, str):
            tail = "/".join(text.split("/")[-2:])
            found = self._by_url.get(tail)
        return found

    def position(self, resource: Json) -> int:
        """Return where a resource stands in the bundle."""
        return self._positions.get(id(resource), 0)

    def own(self, sections: Sequence[Json]) -> None:
        """Give the entries of sections to their sections: another resource that refers to them does not hold them."""
        for section in sections:
            for reference in section.get("entry", ()):
                resource = self.resolve(reference)
                if resource is not None:
                    self._owners.setdefault(id(resource), -1)
            self.own(section.get("section", ()))

    def owner_of(self, resource: Json) -> int | None:
        """Return what holds a resource: -1 for a section, None for whoever asks first."""
        return self._owners.get(id(resource))

    def rereader(self) -> Reading:
        """Return a reader for elements that were kept, to see what they would mean."""
        reader = _Rereader(None, self.knowledge, self.zone, "again")
        reader.patient = self.patient
        reader.writer = self
        return reader

    def equal(self, ours: Any, theirs: Any, reader: Reading) -> bool:
        """Say whether a value of the bundle and one just read mean the same; references by what they lead to."""
        if only_unknown(theirs):
            return True
        if isinstance(ours, dict) and isinstance(theirs, dict):
            if "reference" in ours and "reference" in theirs:
                return self._same_target(ours, theirs, reader)
            known = {key: value for key, value in theirs.items() if key in ours or not only_unknown(value)}
            if ours.keys() != known.keys():
                return False
            return all(self.equal(value, known[key], reader) for key, value in ours.items())
        if isinstance(ours, list) and isinstance(theirs, list):
            return len(ours) == len(theirs) and all(
                self.equal(one, other, reader) for one, other in zip(ours, theirs, strict=True)
            )
        if isinstance(ours, Number) or isinstance(theirs, Number):
            return _digits(ours) == _digits(theirs)
        return bool(ours == theirs) and isinstance(ours, bool) == isinstance(theirs, bool)

    def _same_target(self, ours: Json, theirs: Json, reader: Reading) -> bool:
        one, other = self.resolve(ours), reader.resolve(theirs) or self.resolve(theirs)
        beside = (
            {k: v for k, v in ours.items() if k != "reference"},
            {k: v for k, v in theirs.items() if k != "reference"},
        )
        if not self.equal(*beside, reader):
            return False
        if one is None or other is None:
            return one is other and ours["reference"] == theirs["reference"]
        if one is other or one["resourceType"] == other["resourceType"] == "Patient":
            return True
        return self.equal(_bare(one), _bare(other), reader)

    def drop(self, where: str, reason: str) -> None:
        """Report what has no place in the CDA."""
        self.issues.append(Issue("not-supported", reason, "warning", (where,)))

    def unwritten(self, resource: Json) -> None:
        """Report an entry that no statement of CDA says."""
        self.drop(
            f"{resource.get('resourceType')}/{resource.get('id', '')}",
            "no statement of CDA says this; it stays out of the entries",
        )

    def narratives(self) -> Mapping[str, str | None]:
        """Return the texts of the narratives by their id, as the CDA's references name them."""
        if self._texts is None:
            self._texts = {}
            for resource in self._resources:
                if resource.get("resourceType") == "Composition":
                    _collect(resource.get("section", ()), self._texts)
        return self._texts

    def new_id(self, resource: Json, name: str) -> str:
        """Return a UUID for an element made for a resource, always the same."""
        return str(
            uuid.uuid5(_NAMESPACE, f"{self.seed}/{resource.get('resourceType')}/{resource.get('id')}/{name}")
        ).upper()

    def by_identifier(self, identifier: Json) -> str | None:
        """Return the URL of the statement with an identifier."""
        for url, resource in self._by_url.items():
            identifiers = resource.get("identifier")
            if identifier in (identifiers if isinstance(identifiers, list) else [identifiers]):
                return url
        return None


#: Stands for a text whose place in the narrative is not known any more: it is taken to be what FHIR says.
UNKNOWN = "\ue000"


def only_unknown(value: Any) -> bool:
    """Say whether a value reread says nothing but texts that cannot be found again."""
    if isinstance(value, dict):
        said = [one for key, one in value.items() if key != "url"]
        return bool(said) and all(only_unknown(one) for one in said)
    if isinstance(value, list):
        return bool(value) and all(only_unknown(one) for one in value)
    return isinstance(value, str) and UNKNOWN in value


class _Rereader(Reading):
    """A reader of kept elements: their acts are resources of the bundle already."""

    writer: Writing

    def target(self, id_: Element) -> str | None:
        from fhir_dmp.cda.parties import NO_PART
        from fhir_dmp.cda.scalars import read_id

        read = read_id([id_], NO_PART, self)
        return self.writer.by_identifier(read.value) if read is not None and read.value else None

    def text_of(self, reference: str, element: Element) -> str | None:
        return self.writer.narratives().get(reference.strip().lstrip("#")) or UNKNOWN

    def resolve(self, reference: Any) -> Json | None:
        return super().resolve(reference) or self.writer.resolve(reference)


def _bare(resource: Json) -> Json:
    return {key: value for key, value in resource.items() if key not in ("id", "meta")}


def _digits(value: Any) -> str:
    return value.text if isinstance(value, Number) else str(value)


def _collect(sections: Sequence[Json], found: dict[str, str | None]) -> None:
    from fhir_dmp.cda.elements import read_fragment, text_in

    for section in sections:
        div = read_fragment(str((section.get("text") or {}).get("div") or ""))
        for element in div.iter() if div is not None else ():
            name = element.get("id")
            if name and name not in found:
                found[str(name)] = text_in(element)
        _collect(section.get("section", ()), found)


def from_fhir(resource: Json, knowledge: Knowledge, zone: tzinfo | None = None) -> Written:
    """Return the CDA of a document Bundle.

    Raises:
        Unprocessable: no Composition first, a mandatory element without value (all of them are named), an INS with a
            wrong key, a body that the CI-SIS does not allow.
    """
    entries = resource.get("entry") or [{}]
    composition = entries[0].get("resource") if isinstance(entries[0], dict) else None
    if (
        resource.get("resourceType") != "Bundle"
        or not isinstance(composition, dict)
        or composition.get("resourceType") != "Composition"
    ):
        raise Unprocessable(
            "Give a Bundle of type document; its first entry is a Composition.",
            code="structure",
            expression="Bundle.entry[0]",
        )
    writer = Writing(resource, knowledge, zone or ZoneInfo("Europe/Paris"))
    document = _document(resource, composition, writer)
    _checked(document, writer, was_cda=bool(kept_of(composition)))
    repair(document, writer)
    sort(document, knowledge.order)
    tidy(document)
    etree.cleanup_namespaces(document, keep_ns_prefixes=["xsi"])
    data = etree.tostring(document, xml_declaration=True, encoding="UTF-8")
    return Written(data, tuple(writer.issues))


def _document(bundle: Json, composition: Json, writer: Writing) -> Element:
    document = etree.Element(tag("ClinicalDocument"), nsmap=BOUND)
    document.append(make("realmCode", {"code": "FR"}))
    document.append(make("typeId", {"root": "2.16.840.1.113883.1.3", "extension": "POCD_HD000040"}))
    document.extend(make("templateId", {"root": root}) for root in _BASE)
    kept = kept_of(composition)
    rest = [one for one in kept.get(REST, ()) if one is not None]
    body, unstructured = _body(composition, writer)
    if not any(name_of(one) == "templateId" for one in rest):
        rest = [*_model(composition, writer, unstructured=unstructured), *rest]
    root = {"Bundle": bundle, "Composition": composition}
    document.extend(rest)
    document.extend(write_children(root, writer.knowledge.mappings["document"], writer, kept))
    if not kept:
        _framed(document, bundle, composition, writer)
    document.append(make("component", None, body))
    return document


def _model(composition: Json, writer: Writing, *, unstructured: bool) -> list[Element]:
    """Return the template of the model of a document from elsewhere: by its type. [1.3]"""
    if unstructured:
        return [make("templateId", {"root": UNSTRUCTURED})]
    codes = [one.get("code") for one in (composition.get("type") or {}).get("coding", ())]
    models = writer.knowledge.tables.get("models", {})
    text = next((models[code] for code in codes if code in models), models.get("", ""))
    root, _, extension = text.partition("|")
    return [make("templateId", {"root": root, "extension": extension or None})] if root else []


def _body(composition: Json, writer: Writing) -> tuple[Element, bool]:
    sections = [one for one in composition.get("section", ()) if isinstance(one, dict)]
    binary = _only_content(sections, writer)
    if binary is not None:
        broken = next((one for one in kept_of(sections[0]).get(BODY, ()) if one is not None), None)
        if broken is not None and not binary.get("data"):
            return make("nonXMLBody", None, broken), True
        return make("nonXMLBody", None, _content(binary, was_cda=bool(kept_of(composition)))), True
    body = make("structuredBody")
    writer.own(sections)
    for section in sections:
        body.append(make("component", None, _section(section, writer)))
    return body, False


def _only_content(sections: Sequence[Json], writer: Writing) -> Json | None:
    if len(sections) == 1 and len(sections[0].get("entry", ())) == 1 and not sections[0].get("section"):
        resource = writer.resolve(sections[0]["entry"][0])
        if resource is not None and resource.get("resourceType") == "Binary":
            return resource
    return None


def _content(binary: Json, *, was_cda: bool) -> Element:
    media = str(binary.get("contentType") or "").partition(";")[0].strip().lower()
    if media not in MEDIA_TYPES:
        raise Unprocessable(
            f"A CDA body is one of {', '.join(MEDIA_TYPES)}.", code="not-supported", expression="Binary.contentType"
        )
    data = "".join(str(binary.get("data") or "").split())
    try:
        base64.b64decode(data, validate=True)
    except ValueError as error:
        raise Unprocessable("The content is not base64.", code="value", expression="Binary.data") from error
    if not data and not was_cda:
        raise Unprocessable("The content is empty.", code="required", expression="Binary.data")
    text = make("text", {"mediaType": media, "representation": "B64"})
    text.text = data
    return text


def _section(section: Json, writer: Writing) -> Element:
    element = make("section")
    kept = kept_of(section)
    entries = [found for one in section.get("entry", ()) if (found := writer.resolve(one)) is not None]
    missing = len(section.get("entry", ())) - len(entries)
    if missing:
        writer.drop("Composition.section.entry", f"{missing} entries are not in the bundle")
    if (section.get("text") or {}).get("status") == "empty":
        section = {name: value for name, value in section.items() if name != "text"}
    from_cda = bool(kept) or any(act_parts(one) for one in entries)
    said = section if "text" in section or not entries or from_cda else {**section, "text": generated(_rows(entries))}
    element.extend(one for one in kept.get(REST, ()) if one is not None)
    element.extend(write_children(said, writer.knowledge.mappings["section"], writer, kept))
    if section.get("id") and re.fullmatch(r"[A-Za-z_][\w.\-]*", str(section["id"])) and kept:
        element.set("ID", str(section["id"]))
    element.extend(wrapped_entries(entries, writer))
    for inner in section.get("section", ()):
        element.append(make("component", None, _section(inner, writer)))
    if first(element, "text") is None and not from_cda:
        element.append(make("text"))
    return element


def _rows(resources: Sequence[Json]) -> list[tuple[str, str]]:
    return [(_label(one), _value(one)) for one in resources]


def _label(resource: Json) -> str:
    for name in ("code", "vaccineCode", "medicationCodeableConcept", "type", "relationship", "event"):
        value = resource.get(name)
        concept = value[0] if isinstance(value, list) and value else value
        if isinstance(concept, dict):
            text = concept.get("text") or next(
                (one.get("display") or one.get("code") for one in concept.get("coding", ())), None
            )
            if text:
                return str(text)
    return str(resource.get("resourceType"))


def _value(resource: Json) -> str:
    for key, value in resource.items():
        if key.startswith("value") and key[5:6].isupper():
            if isinstance(value, dict) and "value" in value:
                return " ".join(filter(None, (value.get("comparator"), _digits(value["value"]), value.get("unit"))))
            if isinstance(value, dict):
                return str(
                    value.get("text")
                    or next((one.get("display") or one.get("code") for one in value.get("coding", ())), "")
                )
            return str(value)
    for key in ("effectiveDateTime", "onsetDateTime", "performedDateTime", "occurrenceDateTime", "status"):
        if resource.get(key):
            return str(resource[key])
    return ""


# --- the header of a document from elsewhere -------------------------------------------------------------------------


def _framed(document: Element, bundle: Json, composition: Json, writer: Writing) -> None:
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
        number = uuid.uuid5(_NAMESPACE, f"{writer.seed}/set").int
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
    from fhir_dmp.cda.parties import role_element

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
    from fhir_dmp.cda.parties import organization_element

    for _, resource in _parties(composition, writer):
        found = resource if resource["resourceType"] == "Organization" else writer.resolve(resource.get("organization"))
        if found is not None:
            held = organization_element(found, "representedCustodianOrganization", writer)
            document.append(make("custodian", None, make("assignedCustodian", None, held)))
            return


def _main_act(document: Element, composition: Json, created: Element | None, writer: Writing) -> None:
    """The first documented act has a performer with a practice setting, and begins. [2.6]"""
    from fhir_dmp.cda.parties import role_element

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
        from fhir_dmp.cda.scalars import concept_element

        organization = first(entity, "representedOrganization")
        if organization is None:
            organization = make("representedOrganization")
            entity.append(organization)
        if first(organization, "standardIndustryClassCode") is None:
            organization.append(concept_element(setting, "standardIndustryClassCode", writer))


def _stay(document: Element, bundle: Json, composition: Json, writer: Writing) -> None:
    """The encounter: when, and in what kind of facility. [2.7]"""
    from fhir_dmp.cda.scalars import concept_element

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
        place.append(concept_element(facility, "code", writer))
    document.append(make("componentOf", None, make("encompassingEncounter", None, time, make("location", None, place))))


def _context(composition: Json, name: str) -> Json | None:
    for extension in composition.get("extension", ()):
        if extension.get("url") == f"{EXTENSIONS}/cda-{name}":
            value: Json = extension["valueCodeableConcept"]
            return value
    return None


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


def _checked(document: Element, writer: Writing, *, was_cda: bool) -> None:
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
