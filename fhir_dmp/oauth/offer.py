"""What the authorization server offers, as one table: metadata and CapabilityStatement are made from it.

[security 2.2]; SMART App Launch 2.2 (conformance), RFC 8414, OpenID Connect Discovery. Paths are below the issuer.
"""

from __future__ import annotations

from typing import Any, Final

from fhir_dmp.oauth.assertions import ALGORITHMS
from fhir_dmp.oauth.clients import AUTHORIZATION_CODE, CLIENT_CREDENTIALS, REFRESH_TOKEN, TOKEN_EXCHANGE, Method

#: The pages for people that this server serves, among authorize, launch, manage and logout: a page that is added is
#: named here, and every document tells of it.
PAGES: Final[frozenset[str]] = frozenset({"authorize", "launch", "logout", "manage"})
AUTHORIZES: Final = "authorize" in PAGES
_FOR_SOFTWARE: Final = {
    "jwks_uri": "jwks",
    "token_endpoint": "token",
    "introspection_endpoint": "introspect",
    "revocation_endpoint": "revoke",
}
_FOR_PEOPLE: Final = {"authorization_endpoint": "authorize", "management_endpoint": "manage"}
#: Member of the metadata -> name in the extension oauth-uris of a CapabilityStatement.
OAUTH_URIS: Final = {
    "authorization_endpoint": "authorize",
    "token_endpoint": "token",
    "introspection_endpoint": "introspect",
    "management_endpoint": "manage",
    "revocation_endpoint": "revoke",
    "registration_endpoint": "register",
}
_SCOPES: Final = (
    "openid fhirUser profile launch launch/patient launch/encounter offline_access online_access",
    "patient/*.rs patient/*.read patient/DocumentReference.crus",
    "user/*.rs user/*.read user/DocumentReference.cruds user/Consent.cru user/AuditEvent.rs",
    "system/DocumentReference.c system/Binary.c system/List.c system/Patient.rs",
    "__access_mode.normal __access_mode.bris_de_glace __access_mode.centre_15 __secret_connection",
)
_CAPABILITIES: Final = ("client-confidential-asymmetric", "permission-patient", "permission-user", "permission-v1",
                        "permission-v2")  # fmt: skip
_CAPABILITIES_OF_PAGES: Final = {
    "authorize": (
        *("launch-standalone", "authorize-post", "client-public", "client-confidential-symmetric"),
        *("sso-openid-connect", "context-standalone-patient", "permission-offline", "permission-online"),
    ),
    "launch": ("launch-ehr", "context-banner", "context-style", "context-ehr-patient", "context-ehr-encounter"),
}
Json = dict[str, Any]


def endpoints(issuer: str) -> dict[str, str]:
    """Return the endpoints by their name in the metadata."""
    offered = {**_FOR_SOFTWARE, **{name: path for name, path in _FOR_PEOPLE.items() if path in PAGES}}
    return {name: f"{issuer}/{path}" for name, path in offered.items()}


def smart_configuration(issuer: str) -> Json:
    """Return the SMART configuration."""
    return {
        "issuer": issuer,
        **endpoints(issuer),
        "grant_types_supported": [
            *([AUTHORIZATION_CODE, REFRESH_TOKEN] if AUTHORIZES else []),
            CLIENT_CREDENTIALS,
            TOKEN_EXCHANGE,
        ],
        "response_types_supported": ["code"] if AUTHORIZES else [],
        "token_endpoint_auth_methods_supported": [Method.JWT, Method.BASIC, Method.TLS, Method.NONE],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": " ".join(_SCOPES).split(),
        "capabilities": [
            *_CAPABILITIES,
            *(each for page, found in _CAPABILITIES_OF_PAGES.items() if page in PAGES for each in found),
        ],
    }


def server_metadata(issuer: str) -> Json:
    """Return the metadata of RFC 8414, without what only SMART knows."""
    found = smart_configuration(issuer)
    del found["capabilities"]
    return {
        **found,
        "introspection_endpoint_auth_methods_supported": [Method.JWT, Method.BASIC, Method.TLS],
        "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": [Method.JWT, Method.BASIC, Method.TLS, Method.NONE],
        "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": True,
        "access_token_format": ["ihe-jwt"],
        **({"authorization_response_iss_parameter_supported": True} if AUTHORIZES else {}),
    }


def openid_configuration(issuer: str) -> Json:
    """Return the metadata of OpenID Connect Discovery."""
    return {
        **server_metadata(issuer),
        "userinfo_endpoint": f"{issuer}/userinfo",
        **({"end_session_endpoint": f"{issuer}/logout"} if "logout" in PAGES else {}),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash",
                             "sid", "fhirUser", "name", "given_name", "family_name"],
        "acr_values_supported": ["eidas1", "eidas2", "eidas3", "mfa"],
    }  # fmt: skip


def oauth_uris(issuer: str) -> list[Json]:
    """Return the extensions of a CapabilityStatement that repeat the endpoints for older clients."""
    found = endpoints(issuer)
    inner = [{"url": short, "valueUri": found[name]} for name, short in OAUTH_URIS.items() if name in found]
    return [{"url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris", "extension": inner}]
