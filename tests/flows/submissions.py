"""Submissions (ITI-65) made for tests, and what is in them."""

from __future__ import annotations

import base64
from typing import Any

from tests import samples
from tests.flows.steps import (
    Dossier,
    attachment,
    next_content,
    next_oid,
)
from tests.samples import Json
from tests.world import Response

URI = "urn:ietf:rfc:3986"


LIST, DOCUMENT, BINARY = 0, 1, 2


def submission(dossier: Dossier, **more: Any) -> Json:
    """Return a submission of one new document with one new content."""
    more.setdefault("content", next_content())
    return samples.submission(next_oid(), ins=dossier.ins, **more)


def post(dossier: Dossier, body: object, **headers: str) -> Response:
    """Submit as the author."""
    return dossier.world.doctor().post("", body, **headers)


def ids(answer: Response) -> list[str]:
    """Return `Type/id` of each entry of a transaction-response."""
    return [entry["response"]["location"].split("/_history")[0] for entry in answer.json["entry"]]


def resource(bundle: Json, index: int) -> Json:
    """Return the resource of an entry."""
    found: Json = bundle["entry"][index]["resource"]
    return found


def content_of(bundle: Json) -> bytes:
    """Return the content that a submission carries."""
    return base64.b64decode(resource(bundle, BINARY)["data"])


def folder(dossier: Dossier, items: list[str], **more: Any) -> Json:
    """Return a folder."""
    made = samples.submission_set(next_oid(), items, ins=dossier.ins)
    for name in ("source", "contained"):
        del made[name]
    made["meta"] = {"profile": [f"{samples.PDSM}/pdsm-folder-comprehensive"]}
    made["code"] = {"coding": [{"system": f"{samples.MHD}/CodeSystem/MHDlistTypes", "code": "folder"}]}
    made["extension"] = made["extension"][:1]
    return {**made, "title": "Suivi", **more}


def with_entry(bundle: Json, made: Json, method: str = "POST", url: str | None = None) -> Json:
    """Return the bundle with one more entry."""
    request = {"method": method, "url": url or made["resourceType"]}
    full = "urn:uuid:6f1f1a3c-3b0a-4b52-9a51-a36d1a1f3c77"
    return {**bundle, "entry": [*bundle["entry"], {"fullUrl": full, "resource": made, "request": request}]}


def fhir_document(dossier: Dossier) -> Json:
    """Return a native FHIR document."""
    composition = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"coding": [{"system": samples.LOINC, "code": "60591-5"}]},
        "subject": {"reference": "urn:uuid:0b1b1a3c-3b0a-4b52-9a51-a36d1a1f3c02"},
        "date": "2026-06-12T10:00:00+02:00",
        "author": [{"display": "CARLIER Hippolyte"}],
        "title": "Synthèse médicale",
    }
    patient = {"resourceType": "Patient", "identifier": [{"system": samples.INS, "value": dossier.ins}]}
    return {
        "resourceType": "Bundle",
        "identifier": {"system": URI, "value": f"urn:oid:{next_oid()}"},
        "type": "document",
        "timestamp": "2026-06-12T10:00:00+02:00",
        "entry": [
            {"fullUrl": "urn:uuid:0b1b1a3c-3b0a-4b52-9a51-a36d1a1f3c01", "resource": composition},
            {"fullUrl": "urn:uuid:0b1b1a3c-3b0a-4b52-9a51-a36d1a1f3c02", "resource": patient},
        ],
    }


def fhir_submission(dossier: Dossier) -> Json:
    """Return a submission whose document is a native FHIR one."""
    body = submission(dossier, content_type="application/fhir+json", type_=(samples.LOINC, "60591-5"), class_="11")
    body["entry"][BINARY] = {
        **body["entry"][BINARY],
        "resource": fhir_document(dossier),
        "request": {"method": "POST", "url": "Bundle"},
    }
    for name in ("hash", "size"):
        del attachment(resource(body, DOCUMENT))[name]
    return body
