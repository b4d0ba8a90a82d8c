"""`[base]/brands`: under which name people know this server, for applications that let them choose where to connect.

SMART App Launch 2.2, User-access Brands and Endpoints; [security 2.1, S-13]. Public, with a weak ETag.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from fhir_dmp.errors import MethodNotAllowed
from fhir_dmp.fhir.dates import instant
from fhir_dmp.http.render import Reply
from fhir_dmp.http.request import Request
from fhir_dmp.http.services import Services
from fhir_dmp.terminology.national import RFC_3986

PATH: Final = "brands"
MAX_AGE_S: Final = 3600
_PROFILES: Final = "http://hl7.org/fhir/smart-app-launch/StructureDefinition/user-access"
_TERMS: Final = "http://terminology.hl7.org/CodeSystem"
Json = dict[str, Any]


def identifier(services: Services) -> Json:
    """Return the identifier of the brand."""
    return {"system": RFC_3986, "value": f"urn:oid:{services.settings.documents.operator_oid}"}


class Brands:
    """The document of one server; its timestamp is when this process first told it."""

    def __init__(self, services: Services) -> None:
        entries = _entries(services)
        digest = hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()[:32]
        self._etag = f'W/"{digest}"'
        bundle = {
            "resourceType": "Bundle",
            "id": "brands",
            "meta": {"profile": [f"{_PROFILES}-brands-bundle"]},
            "type": "collection",
            "timestamp": instant(services.clock.now_ms()),
            "entry": entries,
        }
        self._body = json.dumps(bundle, ensure_ascii=False).encode()

    def answer(self, request: Request) -> Reply:
        """Answer a read, or that nothing has changed.

        Raises:
            MethodNotAllowed: anything but a read.
        """
        if request.method != "GET":
            raise MethodNotAllowed("This document can only be read.", headers={"Allow": "GET, HEAD, OPTIONS"})
        headers = [
            ("X-Request-Id", request.request_id),
            ("ETag", self._etag),
            ("Cache-Control", f"max-age={MAX_AGE_S}"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if self._etag in [each.strip() for each in request.header("IF_NONE_MATCH").split(",")]:
            return Reply(304, headers, [])
        headers += [("Content-Type", "application/fhir+json"), ("Content-Length", str(len(self._body)))]
        return Reply(200, headers, [] if request.head else [self._body])


def _entries(services: Services) -> list[Json]:
    base = services.base
    home = base.removesuffix("/fhir") + "/"
    name = services.settings.documents.operator_name
    brand = {
        "resourceType": "Organization",
        "id": "brand",
        "meta": {"profile": [f"{_PROFILES}-brand"]},
        "identifier": [identifier(services)],
        "active": True,
        "name": name,
        "telecom": [{"system": "url", "value": home}],
        "endpoint": [{"reference": "Endpoint/access"}],
    }
    access = {
        "resourceType": "Endpoint",
        "id": "access",
        "meta": {"profile": [f"{_PROFILES}-endpoint"]},
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/endpoint-fhir-version", "valueCode": "4.0.1"}],
        "status": "active",
        "connectionType": {"system": f"{_TERMS}/endpoint-connection-type", "code": "hl7-fhir-rest"},
        "name": name,
        "contact": [{"system": "url", "value": home}],
        "payloadType": [{"coding": [{"system": f"{_TERMS}/endpoint-payload-type", "code": "none"}]}],
        "address": base,
    }
    return [{"fullUrl": f"{base}/{each['resourceType']}/{each['id']}", "resource": each} for each in (brand, access)]
