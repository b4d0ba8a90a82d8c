"""Submissions (ITI-65) of the demonstration's documents."""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass

from fhir_dmp.demo.people import STRUCTURES, Person, Professional
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import (
    LOINC,
    MHD_LIST_TYPES,
    NOS,
    PROFESSIONAL,
    STRUCTURE,
    TRE_A03_CLASS,
    TRE_A05_TYPE,
    TRE_A06_FORMAT,
    TRE_A07_VISIBILITY,
    TRE_A08_CONFIDENTIALITY,
    TRE_A11_FORMAT,
    TRE_R02_SECTOR,
)
from fhir_dmp.terminology.national import INS_NIR, RFC_3986
from fhir_dmp.terminology.sharing import (
    COMPREHENSIVE,
    DESIGNATION_TYPE,
    IS_ARCHIVED,
    MHD_IDENTIFIER_TYPE,
    PROVIDE_BUNDLE,
    SOURCE_ID,
    SUBMISSION_SET,
)

ROOT = "2.25.113059749145936325402354257176981405697"


@dataclass(frozen=True, slots=True)
class Paper:
    """One document. number: last arc of its uniqueId. type: LOINC code, or a TRE_A05 code. labels: TRE_A07 codes.

    replaces: `DocumentReference/id` of its predecessor.
    """

    number: int
    patient: Person
    author: Professional | None
    type: str
    class_: str
    title: str
    date: str
    content: bytes
    media_type: str
    format: str = "urn:ihe:iti:xds:2017:mimeTypeSufficient"
    labels: tuple[str, ...] = ()
    archived: bool = False
    replaces: str | None = None
    native: Json | None = None

    @property
    def unique(self) -> str:
        """The uniqueId, an OID."""
        return f"{ROOT}.{self.number}"


def submission(paper: Paper) -> Json:
    """Return the provide-document bundle of one document."""
    urls = [
        f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'{paper.unique}/{part}')}" for part in ("set", "ref", "content")
    ]
    document = _document(paper, urls[2])
    entries = [
        _entry(urls[0], _set(paper, urls[1]), "List"),
        _entry(urls[1], document, "DocumentReference"),
        _entry(urls[2], _content(paper), "Bundle" if paper.native else "Binary"),
    ]
    if paper.replaces:
        document["relatesTo"] = [{"code": "replaces", "target": {"reference": paper.replaces}}]
        entries.append(_supersede(paper.replaces))
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [PROVIDE_BUNDLE]},
        "type": "transaction",
        "entry": entries,
    }


def _entry(url: str, resource: Json, type_: str) -> Json:
    return {"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": type_}}


def _supersede(reference: str) -> Json:
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "DocumentReference.status"},
        {"name": "value", "valueCode": "superseded"},
    ]
    patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    return {"resource": patch, "request": {"method": "PATCH", "url": reference}}


def _content(paper: Paper) -> Json:
    if paper.native:
        return paper.native
    data = base64.b64encode(paper.content).decode()
    return {"resourceType": "Binary", "contentType": paper.media_type, "data": data}


def _people(paper: Paper) -> list[Json]:
    """Return the contained author: a professional with the structure, or the patient."""
    by = paper.author
    if by is None:
        identifier = [{"system": INS_NIR, "value": paper.patient.ins}]
        return [{"resourceType": "Patient", "id": "author", "identifier": identifier}]
    person = {
        "resourceType": "Practitioner",
        "id": "person",
        "identifier": [{"system": PROFESSIONAL, "value": by.number}],
        "name": [{"family": by.family, "given": [by.given]}],
    }
    place = {
        "resourceType": "Organization",
        "id": "place",
        "identifier": [{"system": STRUCTURE, "value": by.structure}],
        "name": STRUCTURES[by.structure],
    }
    role = {
        "resourceType": "PractitionerRole",
        "id": "author",
        "practitioner": {"reference": "#person"},
        "organization": {"reference": "#place"},
    }
    return [person, place, role]


def _set(paper: Paper, document: str) -> Json:
    designation = {"coding": [{"system": TRE_R02_SECTOR, "code": "SA08"}]}
    source = {"system": RFC_3986, "value": f"urn:oid:{ROOT}"}
    unique = {"coding": [{"system": MHD_IDENTIFIER_TYPE, "code": "uniqueId"}]}
    return {
        "resourceType": "List",
        "meta": {"profile": [SUBMISSION_SET]},
        "contained": _people(paper),
        "extension": [
            {"url": DESIGNATION_TYPE, "valueCodeableConcept": designation},
            {"url": SOURCE_ID, "valueIdentifier": source},
        ],
        "identifier": [{"type": unique, "system": RFC_3986, "value": f"urn:oid:{paper.unique}.1"}],
        "status": "current",
        "mode": "working",
        "title": paper.title,
        "code": {"coding": [{"system": MHD_LIST_TYPES, "code": "submissionset"}]},
        "subject": _subject(paper),
        "date": paper.date,
        "source": {"reference": "#author"},
        "entry": [{"item": {"reference": document}}],
    }


def _format_system(code: str) -> str:
    """Return the table of a format: those of the CI-SIS are the nation's own, the others are IHE's."""
    return TRE_A06_FORMAT if code.startswith("urn:asip:") else TRE_A11_FORMAT


def _subject(paper: Paper) -> Json:
    return {"reference": f"Patient?identifier={INS_NIR}|{paper.patient.ins}"}


def _document(paper: Paper, url: str) -> Json:
    system = LOINC if paper.type[0].isdigit() else TRE_A05_TYPE
    labels = [*((TRE_A07_VISIBILITY, code) for code in paper.labels), (TRE_A08_CONFIDENTIALITY, "N")]
    attachment: Json = {
        "contentType": paper.media_type,
        "language": "fr-FR",
        "url": url,
        "title": paper.title,
        "creation": paper.date,
    }
    if not paper.native:
        attachment["size"] = len(paper.content)
        # XDS identifies contents by SHA-1; it protects nothing here.
        digest = hashlib.sha1(paper.content, usedforsecurity=False).digest()
        attachment["hash"] = base64.b64encode(digest).decode()
    patient: Json = {"resourceType": "Patient", "id": "source"}
    patient["identifier"] = [{"system": INS_NIR, "value": paper.patient.ins}]
    made: Json = {
        "resourceType": "DocumentReference",
        # The profile wants size and hash, which a FHIR document has not.
        **({} if paper.native else {"meta": {"profile": [COMPREHENSIVE]}}),
        "contained": [*_people(paper), patient],
        "masterIdentifier": {"system": RFC_3986, "value": f"urn:oid:{paper.unique}"},
        "status": "current",
        "type": {"coding": [{"system": system, "code": paper.type}]},
        "category": [{"coding": [{"system": TRE_A03_CLASS, "code": paper.class_}]}],
        "subject": _subject(paper),
        "date": paper.date,
        "author": [{"reference": "#author"}],
        # The profile wants a professional or a structure; a patient's deposit has the space that it was made in.
        "authenticator": {"reference": "#author"} if paper.author else {"display": "Mon espace santé"},
        "custodian": {"display": STRUCTURES[paper.author.structure] if paper.author else "Mon espace santé"},
        "description": paper.title,
        "securityLabel": [{"coding": [{"system": each, "code": code}]} for each, code in labels],
        "content": [
            {"attachment": attachment, "format": {"system": _format_system(paper.format), "code": paper.format}}
        ],
        "context": {
            "period": {"start": paper.date},
            "facilityType": {"coding": [{"system": TRE_R02_SECTOR, "code": "SA08" if paper.author else "EXP_PATIENT"}]},
            "practiceSetting": {
                "coding": [
                    {
                        "system": f"{NOS}/TRE_A01-CadreExercice/FHIR/TRE-A01-CadreExercice",
                        "code": "AMBULATOIRE" if paper.author else "EXP_PATIENT",
                    }
                ]
            },
            "sourcePatientInfo": {"reference": "#source"},
        },
    }
    if paper.archived:
        made["extension"] = [{"url": IS_ARCHIVED, "valueBoolean": True}]
    return made
