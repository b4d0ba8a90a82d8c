"""Where clients find the keys and capabilities of the authorization side: only what is really offered.

SMART App Launch (http://hl7.org/fhir/smart-app-launch/conformance.html), RFC 8414.
"""

from __future__ import annotations

import json
from typing import Any

from fhir_dmp.errors import MethodNotAllowed, NotFound
from fhir_dmp.http import brands
from fhir_dmp.http.render import Reply
from fhir_dmp.http.request import Request
from fhir_dmp.http.services import Services
from fhir_dmp.oauth import offer

JWKS_MAX_AGE_S = 3600
METADATA_MAX_AGE_S = 300


def keys(services: Services) -> dict[str, Any]:
    """Return every public key: those of access tokens, and those of id_tokens."""
    both = (services.verifier.keys.public()["keys"], services.authority.id_keys.public()["keys"])
    return {"keys": [key for each in both for key in each]}


def document(services: Services) -> dict[str, Any]:
    """Return the metadata of the authorization server (RFC 8414)."""
    return offer.server_metadata(services.issuer)


def openid(services: Services) -> dict[str, Any]:
    """Return the metadata of the OpenID provider."""
    return offer.openid_configuration(services.issuer)


def smart_configuration(services: Services) -> dict[str, Any]:
    """Return the SMART configuration of the FHIR base."""
    return {
        **offer.smart_configuration(services.issuer),
        "user_access_brand_bundle": f"{services.base}/{brands.PATH}",
        "user_access_brand_identifier": brands.identifier(services),
    }


def smart(request: Request, services: Services) -> Reply:
    """Answer below `.well-known` of the FHIR base: always JSON, whatever Accept says.

    Raises:
        NotFound: another document.
        MethodNotAllowed: anything but a read.
    """
    if request.segments != (".well-known", "smart-configuration"):
        raise NotFound("There is no such document.")
    if request.method != "GET":
        raise MethodNotAllowed("This document can only be read.", headers={"Allow": "GET, HEAD, OPTIONS"})
    body = json.dumps(smart_configuration(services)).encode()
    headers = [
        ("X-Request-Id", request.request_id),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return Reply(200, headers, [] if request.head else [body])
