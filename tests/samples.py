"""Fictitious people, structures and documents, written for these tests. Nobody here exists."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

Json = dict[str, Any]

INS = "urn:oid:1.2.250.1.213.1.4.8"
ANOUK = "285047511200314"
BASILE = "155067200010159"
CORSICAN = "185032A12345601"

DOCTOR = "899700218896"
OTHER_DOCTOR = "899700218904"
NURSE = "899700218912"
HOSPITAL = "1750100125"
CLINIC = "1690000151"

PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition"
FRC = "https://hl7.fr/ig/fhir/core"
NOS = "https://mos.esante.gouv.fr/NOS"
LOINC = "http://loinc.org"
MHD = "https://profiles.ihe.net/ITI/MHD"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
VISIBILITY = f"{NOS}/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
CLASSES = f"{NOS}/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument"
SECTORS = f"{NOS}/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite"
SETTINGS = f"{NOS}/TRE_A01-CadreExercice/FHIR/TRE-A01-CadreExercice"
FORMATS = "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode"

#: Classes of the types of the tests' CDA documents; of any other, reports.
_CLASSES_OF = {"60591-5": "11", "34133-9": "11", "57833-6": "42", "11369-6": "52"}

TEXT = b"Compte rendu de consultation. Examen sans particularite."


def patient(ins: str = ANOUK, family: str = "BELLANGER", given: str = "Anouk", **more: Any) -> Json:
    """Return a Patient that conforms to FR Core Patient INS, with a qualified identity."""
    return {
        "resourceType": "Patient",
        "meta": {"profile": [f"{FRC}/StructureDefinition/fr-core-patient-ins"]},
        "extension": [
            {
                "url": f"{FRC}/StructureDefinition/fr-core-identity-reliability",
                "extension": [
                    {
                        "url": "identityStatus",
                        "valueCoding": {"system": f"{FRC}/CodeSystem/fr-core-cs-identity-status", "code": "QUAL"},
                    }
                ],
            },
            {
                "url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace",
                "valueAddress": {
                    "city": "Paris 12e",
                    "extension": [
                        {
                            "url": f"{FRC}/StructureDefinition/fr-core-address-insee-code",
                            "valueCoding": {
                                "system": f"{NOS}/TRE_R13-CommuneOM/FHIR/TRE-R13-CommuneOM",
                                "code": "75112",
                            },
                        }
                    ],
                },
            },
        ],
        "identifier": [
            {
                "use": "official",
                "type": {"coding": [{"system": f"{FRC}/CodeSystem/fr-core-cs-v2-0203", "code": "INS-NIR"}]},
                "system": INS,
                "value": ins,
            }
        ],
        "active": True,
        "name": [
            {
                "use": "official",
                "family": family,
                "given": [given],
                "extension": [
                    {
                        "url": f"{FRC}/StructureDefinition/fr-core-patient-birth-list-given-name",
                        "valueString": given,
                    }
                ],
            }
        ],
        "gender": "female" if ins.startswith("2") else "male",
        "birthDate": "1985-04-17",
        **more,
    }


def opening(subject: Json | None = None, **values: bool) -> Json:
    """Return the Parameters of $dmp-ouvrir."""
    flags = [{"name": name, "valueBoolean": value} for name, value in values.items()]
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "patient", "resource": subject or patient()},
            {"name": "consentement", "valueBoolean": True},
            *flags,
        ],
    }


def author(professional: str = DOCTOR, structure: str | None = HOSPITAL) -> list[Json]:
    """Return the contained resources of an author: a role, the person, the structure."""
    contained: list[Json] = [
        {
            "resourceType": "Practitioner",
            "id": "person",
            "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": professional}],
            "name": [{"family": "CARLIER", "given": ["Hippolyte"]}],
        }
    ]
    role: Json = {"resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "#person"}}
    if structure is not None:
        contained.append(
            {
                "resourceType": "Organization",
                "id": "structure",
                "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.2", "value": structure}],
                "name": "Hôpital des Tilleuls",
            }
        )
        role["organization"] = {"reference": "#structure"}
    return [*contained, role]


def document(
    unique: str,
    *,
    ins: str = ANOUK,
    content: bytes = TEXT,
    content_type: str = "text/plain",
    professional: str = DOCTOR,
    structure: str | None = HOSPITAL,
    labels: tuple[tuple[str, str], ...] = ((CONFIDENTIALITY, "N"),),
    type_: tuple[str, str] | None = None,
    class_: str | None = None,
    date: str = "2026-06-12T10:00:00+02:00",
    **more: Any,
) -> Json:
    """Return a comprehensive PDSm DocumentReference; `unique` is an OID. Its attachment has no url yet.

    Of a CDA, type and class are those of its header, as a publication wants it.
    """
    code = re.search(rb'<code code="([0-9]+-[0-9])"[^>]*/>', content) if b"<ClinicalDocument" in content else None
    stated = code[1].decode() if code else "11488-4"
    type_ = type_ or (LOINC, stated)
    class_ = class_ or _CLASSES_OF.get(stated, "10")
    return {
        "resourceType": "DocumentReference",
        "meta": {"profile": [f"{PDSM}/pdsm-comprehensive-document-reference"]},
        "contained": [
            *author(professional, structure),
            {"resourceType": "Patient", "id": "source", "identifier": [{"system": INS, "value": ins}]},
        ],
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{unique}"},
        "status": "current",
        "type": {"coding": [{"system": type_[0], "code": type_[1]}]},
        "category": [{"coding": [{"system": CLASSES, "code": class_}]}],
        "subject": {"reference": f"Patient?identifier={INS}|{ins}"},
        "date": date,
        "author": [{"reference": "#role"}],
        "authenticator": {"reference": "#role"},
        "custodian": {"display": "Hôpital des Tilleuls"},
        "securityLabel": [{"coding": [{"system": system, "code": code}]} for system, code in labels],
        "content": [
            {
                "attachment": {
                    "contentType": content_type,
                    "language": "fr-FR",
                    "size": len(content),
                    "hash": base64.b64encode(hashlib.sha1(content).digest()).decode(),
                    "title": "Compte rendu de consultation",
                    "creation": date,
                },
                "format": {"system": FORMATS, "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient"},
            }
        ],
        "context": {
            "period": {"start": date},
            "facilityType": {"coding": [{"system": SECTORS, "code": "SA01"}]},
            "practiceSetting": {"coding": [{"system": SETTINGS, "code": "ETABLISSEMENT"}]},
            "sourcePatientInfo": {"reference": "#source"},
        },
        **more,
    }


def submission_set(unique: str, items: list[str], *, ins: str = ANOUK, professional: str = DOCTOR, **more: Any) -> Json:
    """Return a submission set that lists the items (fullUrls)."""
    return {
        "resourceType": "List",
        "meta": {"profile": [f"{PDSM}/pdsm-submissionset-comprehensive"]},
        "contained": author(professional),
        "extension": [
            {
                "url": f"{MHD}/StructureDefinition/ihe-designationType",
                "valueCodeableConcept": {"coding": [{"system": SECTORS, "code": "SA01"}]},
            },
            {
                "url": f"{MHD}/StructureDefinition/ihe-sourceId",
                "valueIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.999.1.1"},
            },
        ],
        "identifier": [
            {
                "type": {"coding": [{"system": f"{MHD}/CodeSystem/IHE.MHD.MHDIdentifierType", "code": "uniqueId"}]},
                "system": "urn:ietf:rfc:3986",
                "value": f"urn:oid:{unique}",
            }
        ],
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"system": f"{MHD}/CodeSystem/MHDlistTypes", "code": "submissionset"}]},
        "subject": {"reference": f"Patient?identifier={INS}|{ins}"},
        "date": "2026-06-12T10:05:00+02:00",
        "source": {"reference": "#role"},
        "entry": [{"item": {"reference": item}} for item in items],
        **more,
    }


def submission(unique: str, *, ins: str = ANOUK, content: bytes = TEXT, **more: Any) -> Json:
    """Return an ITI-65 Bundle with one document."""
    name = hashlib.md5(unique.encode()).hexdigest()
    urn = f"urn:uuid:{name[:8]}-{name[8:12]}-4{name[13:16]}-a{name[17:20]}-{name[20:]}"
    set_url, doc_url, binary_url = (urn[:-1] + end for end in "123")
    doc = document(unique, ins=ins, content=content, **more)
    doc["content"][0]["attachment"]["url"] = binary_url
    binary = {
        "resourceType": "Binary",
        "contentType": doc["content"][0]["attachment"]["contentType"],
        "data": base64.b64encode(content).decode(),
    }
    professional = more.get("professional", DOCTOR)
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{PDSM}/pdsm-comprehensive-provide-document-bundle"]},
        "type": "transaction",
        "entry": [
            {
                "fullUrl": set_url,
                "resource": submission_set(f"{unique}.9", [doc_url], ins=ins, professional=professional),
                "request": {"method": "POST", "url": "List"},
            },
            {"fullUrl": doc_url, "resource": doc, "request": {"method": "POST", "url": "DocumentReference"}},
            {"fullUrl": binary_url, "resource": binary, "request": {"method": "POST", "url": "Binary"}},
        ],
    }


def consent_actor(professional: str, system: str = "urn:oid:1.2.250.1.71.4.2.1") -> Json:
    """Return a provision.actor that names a professional (or a structure, by its system)."""
    return {
        "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
        "reference": {"identifier": {"system": system, "value": professional}},
    }


def consent(patient_id: str, kind: str, *, deny: bool = False, **provision: Any) -> Json:
    """Return a Consent of a kind, as the record's own rules want it."""
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [
            {"coding": [{"system": LOINC, "code": "59284-0"}]},
            {"coding": [{"system": "https://dmp-fhir.example/ig/CodeSystem/dmp-consent-kind", "code": kind}]},
        ],
        "patient": {"reference": f"Patient/{patient_id}"},
        "dateTime": "2026-01-02T10:00:00+01:00",
        "performer": [{"reference": f"Patient/{patient_id}"}],
        "organization": [{"display": "Opérateur du DMP"}],
        "sourceAttachment": {"title": "Recueilli en consultation"},
        "policy": [{"uri": "urn:oid:1.2.250.1.213.4.1.2.3"}],
        "provision": {"type": "deny" if deny else "permit", **provision},
    }
