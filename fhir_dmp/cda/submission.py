"""A CDA file as a submission (ITI-65): its header gives the metadata, its bytes are the content, untouched.

Every generated id derives from the bytes, so that the same file always gives the same submission.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo

from fhir_dmp.cda.actors import Contained, ins_of, patient_resource
from fhir_dmp.cda.datatypes import instant
from fhir_dmp.cda.header import Header, Party, read_header
from fhir_dmp.cda.metadata import author_reference, document_reference, facility_coding
from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import MHD_LIST_TYPES, TRE_A07_VISIBILITY, TRE_R02_SECTOR
from fhir_dmp.terminology.codes import Codes
from fhir_dmp.terminology.national import IDENTITY_RELIABILITY, IDENTITY_STATUS, RFC_3986
from fhir_dmp.terminology.sharing import (
    DESIGNATION_TYPE,
    INTENDED_RECIPIENT,
    MHD_IDENTIFIER_TYPE,
    PROVIDE_BUNDLE,
    SOURCE_ID,
    SUBMISSION_SET,
)

_NAMESPACE = uuid.UUID("9d0c4c1e-6f0b-5d3e-8f5c-2b1f6b6f2a51")
#: Sector "not defined" of TRE_R02: what a submission set says of a document without facility.
_UNDEFINED_SECTOR = "SA43"
DEFAULT_SOURCE = "2.25.287306243198211374602197231406178533376"


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How to wrap: whose dossier (system, value) when the CDA must not decide, when it is submitted (FHIR instant),
    by which system (OID), the zone of times without offset, and the masking codes that came beside the CDA.
    """

    patient: tuple[str, str] | None = None
    submitted: str | None = None
    source: str = DEFAULT_SOURCE
    zone: tzinfo | None = None
    visibility: tuple[str, ...] = ()


ORDINARY = Wrapping()


def wrap(
    data: bytes,
    codes: Codes,
    wrapping: Wrapping = ORDINARY,
    header: Header | None = None,
    *,
    content: str | None = None,
) -> Json:
    """Return the transaction Bundle that submits a CDA file.

    content: what stands for the file in `Binary.data`, instead of its base64, when it travels beside the Bundle.

    Raises:
        BadRequest: not one well-formed ClinicalDocument.
        Unprocessable: no INS and no patient given, no type, no creation time.
    """
    header = header or read_header(data)
    zone = wrapping.zone or ZoneInfo("Europe/Paris")
    digest = hashlib.sha256(data).hexdigest()
    set_url, document_url, binary_url = (_url(digest, name) for name in ("set", "document", "binary"))
    subject = _subject(header, wrapping)
    attachment = {
        "url": binary_url,
        "size": len(data),
        "hash": base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode("ascii"),
    }
    document = document_reference(header, subject, attachment, codes, zone)
    document["securityLabel"] += [
        {"coding": [{"system": TRE_A07_VISIBILITY, "code": code}]} for code in wrapping.visibility
    ]
    binary = {
        "resourceType": "Binary",
        "contentType": "application/xml",
        "data": base64.b64encode(data).decode("ascii") if content is None else content,
    }
    submission_set = _submission_set(header, document, document_url, digest, codes, wrapping, zone)
    entries = ((set_url, submission_set), (document_url, document), (binary_url, binary))
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [PROVIDE_BUNDLE]},
        "type": "transaction",
        "entry": [
            {"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
            for url, resource in entries
        ],
    }


def _url(digest: str, name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{digest}/{name}')}"


def _subject(header: Header, wrapping: Wrapping) -> Json:
    ins = wrapping.patient or ins_of(header.patient)
    if ins is None:
        raise Unprocessable(
            "The CDA states no well-formed INS; say whose document it is.",
            code="required",
            expression="ClinicalDocument.recordTarget.patientRole.id",
        )
    return {"identifier": {"system": ins[0], "value": ins[1]}}


def _submission_set(
    header: Header,
    document: Json,
    document_url: str,
    digest: str,
    codes: Codes,
    wrapping: Wrapping,
    zone: tzinfo,
) -> Json:
    inside = Contained(codes)
    author = header.authors[0] if header.authors else Party((), None, None, None, None)
    source = author_reference(author, inside, patient_resource(header.patient, zone))
    designation = facility_coding(header, codes) or {"system": TRE_R02_SECTOR, "code": _UNDEFINED_SECTOR}
    number = uuid.uuid5(_NAMESPACE, f"{digest}/set").int
    recipients = [
        {"url": INTENDED_RECIPIENT, "valueReference": inside.party(party)}
        for party in header.recipients
        if party.ids or party.name
    ]
    return {
        "resourceType": "List",
        "meta": {"profile": [SUBMISSION_SET]},
        "contained": inside.resources,
        "extension": [
            {
                "url": DESIGNATION_TYPE,
                "valueCodeableConcept": {"coding": [designation]},
            },
            {
                "url": SOURCE_ID,
                "valueIdentifier": {"system": RFC_3986, "value": f"urn:oid:{wrapping.source}"},
            },
            *recipients,
        ],
        "identifier": [
            {
                "use": "usual",
                "type": {"coding": [{"system": MHD_IDENTIFIER_TYPE, "code": "uniqueId"}]},
                "system": RFC_3986,
                "value": f"urn:oid:2.25.{number}",
            }
        ],
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"system": MHD_LIST_TYPES, "code": "submissionset"}]},
        "subject": document["subject"],
        "date": wrapping.submitted or instant(header.created, zone),
        "source": source,
        "entry": [{"item": {"reference": document_url}}],
    }


def patient_of(header: Header, ins: tuple[str, str], zone: tzinfo | None = None) -> Json:
    """Return the Patient under which a dossier can be opened for a CDA: its traits, this INS alone.

    A CI-SIS document states an INS only for a qualified identity, hence the status.
    """
    known = patient_resource(header.patient, zone or ZoneInfo("Europe/Paris"))
    identifiers = [one for one in known["identifier"] if (one["system"], one["value"]) == ins]
    status = {"url": "identityStatus", "valueCoding": {"system": IDENTITY_STATUS, "code": "QUAL"}}
    return {
        **known,
        "identifier": identifiers[:1] or [{"use": "official", "system": ins[0], "value": ins[1]}],
        "gender": known.get("gender", "unknown"),
        "extension": [{"url": IDENTITY_RELIABILITY, "extension": [status]}, *known.get("extension", [])],
    }
