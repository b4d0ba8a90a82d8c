"""A stored document as an IHE_XDM.ZIP: its bytes, and METADATA.XML made of its DocumentReference. [cda 3.1]

Composite values have the forms of the CI-SIS; what the DocumentReference does not say is left out.
"""

from __future__ import annotations

import hashlib
import io
import uuid
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from lxml import etree

from fhir_dmp.cda.knowledge import Knowledge
from fhir_dmp.cda.xdm import CONFIDENTIALITY, METADATA, PATIENT_ID, RIM, ROOT
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.resource import Json

_LCM = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
_SPACES: Any = {"lcm": _LCM, None: RIM}
_HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
_DOCUMENT = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
_UNIQUE_ID = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
_AUTHOR = "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"
_CLASS = "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a"
_EVENT = "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4"
_FORMAT = "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d"
_FACILITY = "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1"
_PRACTICE = "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead"
_TYPE = "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983"
_SET = "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"
_SET_AUTHOR = "urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d"
_SET_CONTENT = "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500"
_SET_PATIENT = "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446"
_SET_SOURCE = "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832"
_SET_UNIQUE = "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8"
_NAMESPACE = uuid.UUID("2d5f3f0a-6c1b-5d1e-9a55-7f0a4b0e6c33")
_PERSONS = "1.2.250.1.71.4.2.1"
_STRUCTURES = "1.2.250.1.71.4.2.2"
_XML = ("application/xml", "text/xml")
_SUFFIXES = {"application/pdf": "PDF", "text/plain": "TXT", "text/rtf": "RTF", "image/jpeg": "JPG", "image/tiff": "TIF"}
#: Files of an archive carry no date: the same document gives the same archive.
_NO_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Sending:
    """Who makes an archive: the OID of the system, and when (FHIR instant)."""

    source: str
    submitted: str


def archive(reference: Json, data: bytes, sending: Sending, knowledge: Knowledge) -> bytes:
    """Return the IHE_XDM.ZIP of one document; the same arguments give the same bytes.

    reference: its DocumentReference. data: its content, which goes into the archive untouched.
    """
    media_type = _bare(_attachment(reference).get("contentType"))
    suffix = "XML" if media_type in _XML else _SUFFIXES.get(media_type, "BIN")
    name = f"DOC00001.{suffix}"
    title = str(_attachment(reference).get("title") or name)
    index = (
        '<!DOCTYPE html>\n<html lang="fr"><head><meta charset="utf-8"><title>IHE XDM</title></head><body>'
        f'<p><a href="{ROOT}SUBSET01/{name}">{escape(title)}</a></p>'
        '<p><a href="README.TXT">README.TXT</a></p></body></html>\n'
    )
    readme = (
        f"Archive IHE XDM (fhir-dmp, {sending.source}).\r\nINDEX.HTM : contenu. IHE_XDM : documents et métadonnées.\r\n"
    )
    subset = f"{ROOT}SUBSET01/"
    files = {
        "INDEX.HTM": index.encode(),
        "README.TXT": readme.encode(),
        subset + METADATA: _Writing(reference, knowledge).metadata(name, data, sending),
        subset + name: data,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for path, content in files.items():
            made.writestr(zipfile.ZipInfo(path, _NO_DATE), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _attachment(reference: Json) -> Json:
    return object_of(object_of(next(iter(objects_of(reference.get("content"))), {})).get("attachment"))


def _bare(media_type: object) -> str:
    return str(media_type or "").partition(";")[0].strip().lower()


def _make(tag: str, /, *inside: Element, **attributes: str) -> Element:
    element = etree.Element(f"{{{RIM}}}{tag}", nsmap=_SPACES)
    for key, value in attributes.items():
        element.set(key, _legal(value))
    element.extend(inside)
    return element


def _legal(text: str) -> str:
    """Return a text without the characters that XML cannot say."""
    return "".join(one for one in text if one in "\t\n\r" or (one >= " " and one not in "\ufffe\uffff"))


def _slot(name: str, *values: str) -> list[Element]:
    kept = [value for value in values if value]
    if not kept:
        return []
    listed = _make("ValueList")
    for value in kept:
        element = _make("Value")
        element.text = _legal(value)
        listed.append(element)
    return [_make("Slot", listed, name=name)]


def _text(name: str, value: str) -> list[Element]:
    return [_make(name, _make("LocalizedString", value=value))] if value else []


def _part(text: object) -> str:
    """Return a component of a composite value: its separators cannot stand in it."""
    return " ".join(str(text or "").translate({ord(one): " " for one in "^&|~\\"}).split())


def time_of(text: object) -> str:
    """Return the XDS time (UTC) of a FHIR dateTime.

    >>> time_of("2026-06-12T10:30:00+02:00"), time_of("2026-06"), time_of(None)
    ('20260612083000', '202606', '')
    """
    written = str(text or "")
    if "T" not in written:
        return written.replace("-", "")
    try:
        return datetime.fromisoformat(written).astimezone(UTC).strftime("%Y%m%d%H%M%S")
    except ValueError:
        return ""


class _Writing:
    """METADATA.XML being made of a DocumentReference."""

    def __init__(self, reference: Json, knowledge: Knowledge) -> None:
        self._reference = reference
        self._knowledge = knowledge
        self._inside = {f"#{one.get('id')}": one for one in objects_of(reference.get("contained"))}

    def metadata(self, name: str, data: bytes, sending: Sending) -> bytes:
        """Return METADATA.XML of a submission set with this document."""
        document = self._document(name, data)
        member = _make(
            "Association",
            *_slot("SubmissionSetStatus", "Original"),
            id="Association01",
            associationType=_HAS_MEMBER,
            sourceObject="SubmissionSet01",
            targetObject="Document01",
        )
        listed = _make("RegistryObjectList", document, self._set(data, sending), member)
        listed.append(_make("Classification", id="Set01", classifiedObject="SubmissionSet01", classificationNode=_SET))
        root = etree.Element(f"{{{_LCM}}}SubmitObjectsRequest", nsmap=_SPACES)
        root.append(listed)
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8")

    def _document(self, name: str, data: bytes) -> Element:
        reference, attachment = self._reference, _attachment(self._reference)
        context = object_of(reference.get("context"))
        period = object_of(context.get("period"))
        media_type = _bare(attachment.get("contentType"))
        patient = self._patient()
        content = object_of(next(iter(objects_of(reference.get("content"))), {}))
        return _make(
            "ExtrinsicObject",
            *_slot("creationTime", time_of(attachment.get("creation") or reference.get("date"))),
            *_slot("hash", hashlib.sha1(data, usedforsecurity=False).hexdigest()),
            *_slot("languageCode", str(attachment.get("language") or "")),
            *_slot("legalAuthenticator", self._person(object_of(reference.get("authenticator")))),
            *_slot("serviceStartTime", time_of(period.get("start"))),
            *_slot("serviceStopTime", time_of(period.get("end"))),
            *_slot("size", str(len(data))),
            *_slot("sourcePatientId", self._source_id() or patient),
            *_slot("sourcePatientInfo", *self._source_patient()),
            *_slot("URI", name),
            *_text("Name", str(attachment.get("title") or "")),
            *_text("Description", str(reference.get("description") or "")),
            *self._authors(_AUTHOR, "Document01"),
            *self._codes(_CLASS, objects_of(reference.get("category"))),
            *self._codes(CONFIDENTIALITY, objects_of(reference.get("securityLabel"))),
            *self._codes(_EVENT, objects_of(context.get("event"))),
            *self._codes(_FORMAT, [{"coding": [content["format"]]}] if content.get("format") else []),
            *self._codes(_FACILITY, [object_of(context.get("facilityType"))]),
            *self._codes(_PRACTICE, [object_of(context.get("practiceSetting"))]),
            *self._codes(_TYPE, [object_of(reference.get("type"))]),
            *self._identifier(PATIENT_ID, "XDSDocumentEntry.patientId", patient, "Document01"),
            *self._identifier(_UNIQUE_ID, "XDSDocumentEntry.uniqueId", self._unique_id(), "Document01"),
            id="Document01",
            objectType=_DOCUMENT,
            mimeType="text/xml" if media_type in _XML else media_type,
        )

    def _set(self, data: bytes, sending: Sending) -> Element:
        number = uuid.uuid5(_NAMESPACE, f"{sending.source}/{sending.submitted}/{hashlib.sha256(data).hexdigest()}").int
        facility = object_of(object_of(self._reference.get("context")).get("facilityType"))
        of = "SubmissionSet01"
        return _make(
            "RegistryPackage",
            *_slot("submissionTime", time_of(sending.submitted)),
            *self._authors(_SET_AUTHOR, of),
            *self._codes(_SET_CONTENT, [facility], of),
            *self._identifier(_SET_PATIENT, "XDSSubmissionSet.patientId", self._patient(), of),
            *self._identifier(_SET_SOURCE, "XDSSubmissionSet.sourceId", sending.source, of),
            *self._identifier(_SET_UNIQUE, "XDSSubmissionSet.uniqueId", f"2.25.{number}", of),
            id=of,
            objectType="urn:oasis:names:tc:ebxml-regrep:ObjectType:RegistryObject:RegistryPackage",
        )

    def _codes(self, scheme: str, concepts: Iterable[Json], of: str = "Document01") -> list[Element]:
        found: list[Element] = []
        for concept in concepts:
            coding = next((one for one in objects_of(concept.get("coding")) if one.get("code")), None)
            if coding is None:
                continue
            system = str(coding.get("system") or "")
            found.append(
                _make(
                    "Classification",
                    *_slot("codingScheme", self._knowledge.oid_of(system) or system),
                    *_text("Name", str(coding.get("display") or coding["code"])),
                    id=f"{of}-{scheme[9:17]}-{len(found)}",
                    classificationScheme=scheme,
                    classifiedObject=of,
                    nodeRepresentation=str(coding["code"]),
                )
            )
        return found

    def _identifier(self, scheme: str, name: str, value: str, of: str) -> list[Element]:
        if not value:
            return []
        return [
            _make(
                "ExternalIdentifier",
                *_text("Name", name),
                id=f"{of}-{scheme[9:17]}",
                identificationScheme=scheme,
                registryObject=of,
                value=value,
            )
        ]

    def _unique_id(self) -> str:
        root, value = self._pair(object_of(self._reference.get("masterIdentifier")))
        return f"{root}^{value}" if root and value else root or value

    def _pair(self, identifier: Json) -> tuple[str, str]:
        """Return root and extension of an identifier; a URN alone is its root."""
        system, value = str(identifier.get("system") or ""), str(identifier.get("value") or "")
        if value.startswith(("urn:oid:", "urn:uuid:")):
            return value.rpartition(":")[2], ""
        return self._knowledge.oid_of(system) or "", value

    def _patient(self) -> str:
        root, value = self._pair(object_of(object_of(self._reference.get("subject")).get("identifier")))
        return f"{value}^^^&{root}&ISO^NH" if root and value else ""

    def _source(self) -> Json:
        return self._target(object_of(object_of(self._reference.get("context")).get("sourcePatientInfo")))

    def _source_id(self) -> str:
        """Return the number that the producer gives the patient: one that is not the INS."""
        ins = object_of(object_of(self._reference.get("subject")).get("identifier")).get("value")
        for one in objects_of(self._source().get("identifier")):
            root, value = self._pair(one)
            if root and value and value != ins:
                return f"{_part(value)}^^^&{root}&ISO^PI"
        return ""

    def _source_patient(self) -> list[str]:
        patient = self._source()
        names = [
            f"PID-5|{_part(one.get('family'))}^{_part(' '.join(map(str, one.get('given') or ())))}^^^^^{kind}"
            for one in objects_of(patient.get("name"))
            for kind in ({"official": "L", "usual": "D"}.get(str(one.get("use")), "U"),)
        ]
        sex = {"male": "M", "female": "F"}.get(str(patient.get("gender")), "U") if patient else ""
        birth = time_of(patient.get("birthDate"))
        return [*names, *([f"PID-7|{birth}"] if birth else []), *([f"PID-8|{sex}"] if sex else [])]

    def _target(self, reference: Json) -> Json:
        return self._inside.get(str(reference.get("reference") or ""), {})

    def _authors(self, scheme: str, of: str) -> list[Element]:
        return [
            _make(
                "Classification",
                *_slot("authorPerson", self._person(one)),
                *_slot("authorInstitution", self._institution(one)),
                *_slot("authorSpecialty", self._speciality(one)),
                id=f"{of}-author-{number}",
                classificationScheme=scheme,
                classifiedObject=of,
                nodeRepresentation="",
            )
            for number, one in enumerate(objects_of(self._reference.get("author")))
        ]

    def _person(self, reference: Json) -> str:
        """Return the XCN of a person or a device."""
        role = self._target(reference)
        person = self._target(object_of(role.get("practitioner"))) or role
        if person.get("resourceType") not in ("Practitioner", "Patient", "Device"):
            return ""
        if person["resourceType"] == "Device":
            return f"^{_part(next((one.get('name') for one in objects_of(person.get('deviceName'))), ''))}"
        name = next(iter(objects_of(person.get("name"))), {})
        root, value = self._pair(next(iter(objects_of(person.get("identifier"))), {}))
        given = _part(" ".join(map(str, name.get("given") or ())))
        kind = "EI" if "/" in value else "IDNPS" if root == _PERSONS else "NH"
        authority = f"&{root}&ISO" if root else ""
        return f"{_part(value)}^{_part(name.get('family'))}^{given}^^^^^^{authority}^D^^^{kind}"

    def _institution(self, reference: Json) -> str:
        """Return the XON of the structure of an author."""
        role = self._target(reference)
        structure = role if role.get("resourceType") == "Organization" else {}
        structure = structure or self._target(object_of(role.get("organization") or role.get("owner")))
        if not structure:
            return ""
        root, value = self._pair(next(iter(objects_of(structure.get("identifier"))), {}))
        authority = f"^^^^^&{root}&ISO^{'IDNST' if root == _STRUCTURES else 'XX'}^^^{_part(value)}" if root else ""
        return f"{_part(structure.get('name'))}{authority}"

    def _speciality(self, reference: Json) -> str:
        code = next(iter(objects_of(self._target(reference).get("code"))), {})
        coding = next((one for one in objects_of(code.get("coding")) if one.get("code")), None)
        if coding is None:
            return ""
        system = self._knowledge.oid_of(str(coding.get("system") or "")) or ""
        return f"{_part(coding['code'])}^{_part(coding.get('display'))}^{system}"
