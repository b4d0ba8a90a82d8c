"""Small resources of the generic surface. Nobody here exists."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.world import Client, Json, Response

SYSTEM = "https://example.org/numbers"
BASE = "http://127.0.0.1:8000/fhir"
LOINC = "http://loinc.org"


def patient(family: str = "ESSAI", number: str | None = None, **more: Any) -> Json:
    """Return a plain Patient; `number` becomes its identifier."""
    shown: Json = {"resourceType": "Patient", "name": [{"family": family, "given": ["Zoé"]}], **more}
    if number is not None:
        shown["identifier"] = [{"system": SYSTEM, "value": number}]
    return shown


def organization(name: str = "Clinique des Essais", number: str | None = None, **more: Any) -> Json:
    """Return an Organization."""
    shown: Json = {"resourceType": "Organization", "name": name, **more}
    if number is not None:
        shown["identifier"] = [{"system": SYSTEM, "value": number}]
    return shown


def observation(subject: str | None = None, code: str = "8867-4", **more: Any) -> Json:
    """Return an Observation about `Type/id`."""
    shown: Json = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        **more,
    }
    if subject is not None:
        shown["subject"] = {"reference": subject}
    return shown


def made(client: Client, resource: Json) -> Json:
    """Create a resource and return it as stored."""
    answer = client.post(f"/{resource['resourceType']}", resource)
    assert answer.status == 201, answer.body
    return answer.json


def named(resource: Json) -> str:
    """Return `Type/id`."""
    return f"{resource['resourceType']}/{resource['id']}"


def bare(resource: Json) -> Json:
    """Return a resource without what the server made of it (id, version, time)."""
    meta = {key: part for key, part in resource.get("meta", {}).items() if key not in ("versionId", "lastUpdated")}
    kept = {key: part for key, part in resource.items() if key not in ("id", "meta")}
    return {**kept, "meta": meta} if meta else kept


def bundle(kind: str, *entries: Json) -> Json:
    """Return a request Bundle."""
    return {"resourceType": "Bundle", "type": kind, **({"entry": list(entries)} if entries else {})}


def entry(method: str, url: str, resource: Json | None = None, full_url: str | None = None, **request: str) -> Json:
    """Return one entry of a request Bundle."""
    shown: Json = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        shown["resource"] = resource
    if full_url is not None:
        shown["fullUrl"] = full_url
    return shown


def statuses(answer: Response) -> list[str]:
    """Return the status of every entry of a response Bundle."""
    return [each["response"]["status"] for each in answer.json.get("entry", [])]


def link(answer: Response, relation: str) -> str | None:
    """Return the path (below /fhir) of a link of a Bundle."""
    for each in answer.json.get("link", []):
        if each["relation"] == relation:
            url: str = each["url"]
            assert url.startswith(BASE), url
            return url.removeprefix(BASE)
    return None


def created(answer: Any, index: int) -> str:
    """Return `Type/id` of what an entry made."""
    location: str = answer.json["entry"][index]["response"]["location"]
    return location.partition("/_history/")[0]


def json_patch(operations: list[Json]) -> Json:
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}


def fhirpath_patch(path: str, value: str) -> Json:
    parts = [{"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": path}]
    parts.append({"name": "value", "valueString": value})
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
