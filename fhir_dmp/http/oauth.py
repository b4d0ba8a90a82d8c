"""The endpoints of the authorization server that software calls: token, introspect, revoke, userinfo, keys, metadata.

[security 2.1]. Only wire matters here: forms, headers, JSON. The pages that people see are elsewhere.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request

from fhir_dmp.errors import StoreUnavailable, TooMany, Unavailable
from fhir_dmp.http import cors, discovery
from fhir_dmp.http.limits import RateLimits
from fhir_dmp.http.meter import shared_meters
from fhir_dmp.http.request import proxies, request_id_of
from fhir_dmp.http.services import Services
from fhir_dmp.oauth.authenticate import client_of
from fhir_dmp.oauth.authority import Request
from fhir_dmp.oauth.errors import OAuthError
from fhir_dmp.oauth.introspect import introspect, userinfo
from fhir_dmp.oauth.revoke import revoke
from fhir_dmp.oauth.token_endpoint import token

MAX_FORM: Final = 64 * 1024
MAX_PARAMETERS: Final = 100
_FORM: Final = "application/x-www-form-urlencoded"
_PRIVATE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
log = logging.getLogger("fhir_dmp.http")

Answer = Callable[[Request], Mapping[str, Any]]


class Wire:
    """Reads requests of one server and writes answers."""

    def __init__(self, services: Services) -> None:
        server = services.settings.server
        self._proxies = proxies(server.trusted_proxies, services.base, base_follows_host=not server.base_url)
        self._certificate = self._proxies.certificate_from(services.settings.security.client_certificate_header)
        self._https = services.issuer.startswith("https:")
        self._limits = RateLimits(services.settings.limits, shared_meters())
        self._now_ms = services.clock.now_ms
        self.origins = cors.Origins(server.allowed_origins, services.clients.has_origin)

    def answered(self, answer: Answer, *, form: bool = True) -> Response:
        """Run one endpoint and turn what comes of it into JSON."""
        try:
            values, status, headers = answer(self.read(form=form)), 200, {}
        except OAuthError as error:
            values, status, headers = error.body, error.status, dict(error.headers)
        except TooMany as error:
            values, status, headers = OAuthError("slow_down", str(error)).body, 429, dict(error.headers)
        except (StoreUnavailable, Unavailable) as error:
            down = OAuthError("temporarily_unavailable", str(error))
            values, status, headers = down.body, down.status, {"Retry-After": "5"}
        return self.json(values, status, headers)

    def json(self, values: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Return a JSON answer that nobody keeps."""
        content = json.dumps(values)
        return self.shared(Response(content, status, {**_PRIVATE, **(headers or {})}, mimetype="application/json"))

    def shared(self, response: Response) -> Response:
        """Let the pages of registered clients read the answer."""
        response.headers.extend(cors.shared_with(request.environ, self.origins, public=False))
        return response

    def preflight(self) -> Response:
        """Answer OPTIONS."""
        response = Response(status=204)
        response.headers.extend(cors.preflight(request.environ, self.origins, public=False))
        return response

    def read(self, *, form: bool) -> Request:
        """Read the request, its form too when it has one.

        Raises:
            OAuthError: invalid_request; plain http where only https is served, parameters in the URL, no form.
        """
        environ = request.environ
        if self._https and self._proxies.is_plain(environ):
            raise OAuthError(
                "invalid_request",
                "Only https is served here; a proxy that ends TLS must be named in server.trusted_proxies.",
            )
        if request.query_string:
            raise OAuthError("invalid_request", "Parameters are sent in the body, never in the URL.")
        address = self._proxies.client(environ)
        return Request(
            parameters=read_form() if form else {},
            authorization=environ.get("HTTP_AUTHORIZATION", ""),
            certificate=self._certificate(environ),
            address=address,
            request_id=request_id_of(environ),
            proven=lambda client_id: self._limits.proven(client_id, self._now_ms() / 1000),
            failed=lambda: self._limits.failed(address, self._now_ms() / 1000),
        )


def read_form() -> dict[str, str]:
    """Return the form of the request, each parameter once.

    Raises:
        OAuthError: invalid_request; another media type, too big, not UTF-8, or a parameter that is repeated.
    """
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise OAuthError("invalid_request", f"The body must be {_FORM}.")
    content = request.stream.read(MAX_FORM + 1)
    if len(content) > MAX_FORM:
        raise OAuthError("invalid_request", f"The body is bigger than {MAX_FORM} bytes.")
    try:
        pairs = parse_qsl(
            content.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except (UnicodeError, ValueError) as error:
        raise OAuthError("invalid_request", "The body is no form in UTF-8 of at most 100 parameters.") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise OAuthError("invalid_request", f"The parameter {name[:60]!r} is given twice.")
        found[name] = value
    return found


def blueprint(services: Services, wire: Wire) -> Blueprint:
    """Return the endpoints below /auth."""
    routes = Blueprint("oauth", __name__)

    @routes.post("/auth/token", provide_automatic_options=False)
    def issue() -> Response:
        return wire.answered(lambda asked: token(asked, services.authority))

    @routes.post("/auth/introspect", provide_automatic_options=False)
    def look() -> Response:
        return wire.answered(lambda asked: introspect(asked, services.guard, services.authority))

    @routes.post("/auth/revoke", provide_automatic_options=False)
    def end() -> Response:
        return wire.answered(lambda asked: _revoke(asked, services))

    @routes.post("/auth/userinfo", provide_automatic_options=False)
    @routes.get("/auth/userinfo", provide_automatic_options=False)
    def person() -> Response:
        return wire.answered(lambda asked: userinfo(asked, services.guard, services.authority), form=False)

    @routes.route("/auth/token", methods=["OPTIONS"])
    @routes.route("/auth/introspect", methods=["OPTIONS"])
    @routes.route("/auth/revoke", methods=["OPTIONS"])
    @routes.route("/auth/userinfo", methods=["OPTIONS"])
    def options() -> Response:
        return wire.preflight()

    _add_public(routes, services)
    return routes


def _revoke(asked: Request, services: Services) -> dict[str, Any]:
    authority = services.authority
    client = client_of(asked, authority)
    if not asked.get("token"):
        raise OAuthError("invalid_request", "token is required.")
    try:
        what = revoke(asked.get("token"), client, authority)
    except OAuthError as error:
        authority.record(asked, "token-revoked", client_id=client.client_id, outcome="8", reason=error.error)
        raise
    if what is not None:
        authority.record(asked, "token-revoked", client_id=client.client_id, details=(("token", what),))
    return {}


def _add_public(routes: Blueprint, services: Services) -> None:
    """Add what everybody may read: keys and metadata."""

    def public(document: dict[str, Any], max_age_s: int) -> Response:
        response = Response(json.dumps(document), mimetype="application/json")
        response.headers["Cache-Control"] = f"max-age={max_age_s}"
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    @routes.get("/auth/jwks")
    @routes.get("/auth/jwks.json")
    def keys() -> Response:
        return public(discovery.keys(services), discovery.JWKS_MAX_AGE_S)

    @routes.get("/.well-known/openid-configuration")
    @routes.get("/auth/.well-known/openid-configuration")
    def openid() -> Response:
        return public(discovery.openid(services), discovery.METADATA_MAX_AGE_S)

    @routes.get("/.well-known/oauth-authorization-server")
    @routes.get("/.well-known/oauth-authorization-server/auth")
    @routes.get("/auth/.well-known/oauth-authorization-server")
    def server() -> Response:
        return public(discovery.document(services), discovery.METADATA_MAX_AGE_S)
