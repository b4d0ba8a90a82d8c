"""Submissions as literal FHIR, with hooks to spoil them. Fictitious people only."""

from __future__ import annotations

import base64
import copy
import hashlib
from typing import Any

from fhir_dmp.fhir.resource import Json

INS_SYSTEM = "urn:oid:1.2.250.1.213.1.4.8"
INS = "285047511200314"
OTHER_INS = "155067200010159"
MHD = "https://profiles.ihe.net/ITI/MHD"
PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition"
NOS = "https://mos.esante.gouv.fr/NOS"
CLASSES = f"{NOS}/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument"
VISIBILITY = f"{NOS}/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
CDA = b'<ClinicalDocument xmlns="urn:hl7-org:v3"><title>Compte rendu</title></ClinicalDocument>'

SET_URL = "urn:uuid:0b3cb0a6-5b1f-4b7e-9a52-000000000001"
DOCUMENT_URL = "urn:uuid:0b3cb0a6-5b1f-4b7e-9a52-000000000002"
BINARY_URL = "urn:uuid:0b3cb0a6-5b1f-4b7e-9a52-000000000003"
FOLDER_URL = "urn:uuid:0b3cb0a6-5b1f-4b7e-9a52-000000000004"


def base_label(code: str = "N") -> Json:
    return {"coding": [{"system": CONFIDENTIALITY, "code": code}]}


def visibility(code: str) -> Json:
    return {"coding": [{"system": VISIBILITY, "code": code}]}


def practitioner_role() -> list[Json]:
    return [
        {
            "resourceType": "PractitionerRole",
            "id": "auteur",
            "practitioner": {"reference": "#medecin"},
            "organization": {"reference": "#cabinet"},
        },
        {
            "resourceType": "Practitioner",
            "id": "medecin",
            "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "899700218896"}],
            "name": [{"family": "LEROY", "given": ["Camille"]}],
        },
        {
            "resourceType": "Organization",
            "id": "cabinet",
            "identifier": [{"system": "https://finess.esante.gouv.fr", "value": "750100125"}],
            "name": "Centre de santé des Lilas",
        },
    ]


def source_patient(**elements: Any) -> Json:
    return {
        "resourceType": "Patient",
        "id": "source",
        "identifier": [{"system": INS_SYSTEM, "value": INS}],
        "name": [{"use": "official", "family": "BELLANGER", "given": ["Anouk"]}],
        "birthDate": "1985-04-17",
        "gender": "female",
        **elements,
    }


def docref(number: str = "1.2.250.1.999.1.1", data: bytes = CDA, **elements: Any) -> Json:
    digest = base64.b64encode(hashlib.sha1(data).digest()).decode()
    return {
        "resourceType": "DocumentReference",
        "meta": {"profile": [f"{PDSM}/pdsm-comprehensive-document-reference"]},
        "contained": [*practitioner_role(), source_patient()],
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{number}"},
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]},
        "category": [{"coding": [{"system": CLASSES, "code": "10"}]}],
        "subject": {"reference": f"Patient?identifier={INS_SYSTEM}|{INS}"},
        "date": "2026-06-12T10:00:00+02:00",
        "author": [{"reference": "#auteur"}],
        "authenticator": {"reference": "#auteur"},
        "custodian": {"display": "Centre de santé des Lilas"},
        "securityLabel": [base_label()],
        "content": [
            {
                "attachment": {
                    "contentType": "application/xml",
                    "language": "fr-FR",
                    "url": BINARY_URL,
                    "size": len(data),
                    "hash": digest,
                    "title": "Compte rendu de consultation",
                    "creation": "2026-06-12T10:00:00+02:00",
                },
                "format": {
                    "system": f"{NOS}/TRE_A11-IheFormatCode/FHIR/TRE-A11-IheFormatCode",
                    "code": "urn:ihe:iti:xds-sd:pdf:2008",
                },
            }
        ],
        "context": {
            "period": {"start": "2026-06-12T09:30:00+02:00", "end": "2026-06-12T10:00:00+02:00"},
            "facilityType": {
                "coding": [{"system": f"{NOS}/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite", "code": "SA05"}]
            },
            "practiceSetting": {
                "coding": [{"system": f"{NOS}/TRE_A01-CadreExercice/FHIR/TRE-A01-CadreExercice", "code": "AMBULATOIRE"}]
            },
            "sourcePatientInfo": {"reference": "#source"},
        },
        **elements,
    }


def submission_set(*items: str, **elements: Any) -> Json:
    return {
        "resourceType": "List",
        "meta": {"profile": [f"{PDSM}/pdsm-submissionset-comprehensive"]},
        "contained": [practitioner_role()[1] | {"id": "source"}],
        "extension": [
            {
                "url": f"{MHD}/StructureDefinition/ihe-designationType",
                "valueCodeableConcept": {"coding": [{"system": CLASSES, "code": "10"}]},
            },
            {
                "url": f"{MHD}/StructureDefinition/ihe-sourceId",
                "valueIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.999.9"},
            },
        ],
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"system": f"{MHD}/CodeSystem/MHDlistTypes", "code": "submissionset"}]},
        "subject": {"reference": f"Patient?identifier={INS_SYSTEM}|{INS}"},
        "date": "2026-06-12T10:00:00+02:00",
        "source": {"reference": "#source"},
        "entry": [{"item": {"reference": item}} for item in items or (DOCUMENT_URL,)],
        **elements,
    }


def folder(*items: str, **elements: Any) -> Json:
    return {
        "resourceType": "List",
        "extension": [
            {
                "url": f"{MHD}/StructureDefinition/ihe-designationType",
                "valueCodeableConcept": {"coding": [{"code": "suivi"}]},
            }
        ],
        "status": "current",
        "mode": "working",
        "title": "Suivi de grossesse",
        "code": {"coding": [{"system": f"{MHD}/CodeSystem/MHDlistTypes", "code": "folder"}]},
        "subject": {"reference": f"Patient?identifier={INS_SYSTEM}|{INS}"},
        "date": "2026-06-12T10:00:00+02:00",
        "entry": [{"item": {"reference": item}} for item in items],
        **elements,
    }


def binary(data: bytes = CDA, media_type: str = "application/xml") -> Json:
    return {"resourceType": "Binary", "contentType": media_type, "data": base64.b64encode(data).decode()}


def entry(resource: Json, url: str | None = None, method: str = "POST", target: str | None = None, **more: Any) -> Json:
    request = {"method": method, "url": target or resource["resourceType"], **more}
    return {**({"fullUrl": url} if url else {}), "resource": resource, "request": request}


def bundle(*entries: Json, **elements: Any) -> Json:
    profile = [f"{PDSM}/pdsm-comprehensive-provide-document-bundle"]
    return {
        "resourceType": "Bundle",
        "meta": {"profile": profile},
        "type": "transaction",
        "entry": copy.deepcopy(list(entries)),
        **elements,
    }


def submission(document: Json | None = None, *more: Json, data: bytes = CDA, **set_elements: Any) -> Json:
    return bundle(
        entry(submission_set(**set_elements), SET_URL),
        entry(document or docref(data=data), DOCUMENT_URL),
        entry(binary(data), BINARY_URL),
        *more,
    )


def publication(number: str = "1.2.250.1.999.1.1", data: bytes = CDA, **elements: Any) -> Json:
    return {
        "resourceType": "DocumentReference",
        "meta": {"profile": [f"{PDSM}/pdsm-simplified-publish"]},
        "contained": practitioner_role(),
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{number}"},
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]},
        "subject": {"reference": f"Patient?identifier={INS_SYSTEM}|{INS}"},
        "date": "2026-06-12T10:00:00+02:00",
        "author": [{"reference": "#auteur"}],
        "content": [
            {
                "attachment": {
                    "contentType": "application/xml",
                    "data": base64.b64encode(data).decode(),
                    "title": "Compte rendu",
                }
            }
        ],
        **elements,
    }


def superseding_patch() -> Json:
    return {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "replace"},
                    {"name": "path", "valueString": "DocumentReference.status"},
                    {"name": "value", "valueCode": "superseded"},
                ],
            }
        ],
    }


def replaces(target: Json | str) -> list[Json]:
    return [{"code": "replaces", "target": {"reference": target} if isinstance(target, str) else target}]
