"""The admin API: the registry of clients over HTTP, for administrators. [security 1.2 I, 2.9]

A token with `__admin.clients` and the audience `[iss]/admin`; it opens nothing else, and no other token opens this.
Changes of redirect URIs, keys and scopes wait for a second administrator.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from flask import Blueprint, Response, request

from fhir_dmp.errors import DmpError, Unauthenticated, Unavailable
from fhir_dmp.http.oauth import Wire
from fhir_dmp.http.services import Services
from fhir_dmp.oauth import registration
from fhir_dmp.oauth.authority import Request
from fhir_dmp.oauth.clients import Status
from fhir_dmp.oauth.errors import OAuthError
from fhir_dmp.oauth.records import client_json, client_of

MAX_BODY: Final = 64 * 1024
SCOPE: Final = "__admin.clients"
Json = dict[str, Any]


class Admin:
    """One request of an administrator."""

    def __init__(self, services: Services, wire: Wire) -> None:
        self._services = services
        self._wire = wire
        self.authority = services.authority

    def answered(self, work: Any, status: int = 200) -> Response:
        """Run one request of an administrator and write its answer."""
        try:
            asked = self._wire.read(form=False)
            found, status = work(self._administrator(asked), asked), status
        except OAuthError as error:
            return self._wire.json(error.body, error.status, error.headers)
        except DmpError as error:
            problems = [{"place": list(issue.expression), "problem": issue.diagnostics} for issue in error.issues]
            return self._wire.json({"error": error.default_code, "problems": problems}, error.status, error.headers)
        return self._wire.json(found, status)

    def _administrator(self, asked: Request) -> str:
        """Return who asks.

        Raises:
            OAuthError: invalid_token, insufficient_scope.
        """
        challenge = {"WWW-Authenticate": 'Bearer realm="dmp-admin", error="invalid_token"'}
        scheme, _, token = asked.authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise OAuthError("invalid_token", "This needs a token of an administrator.", headers=challenge)
        guard = self._services.admin_guard
        try:
            opened = guard.open(token.strip())
            guard.check(opened, asked.certificate, self.authority.now_ms())
        except Unauthenticated as error:
            raise OAuthError("invalid_token", str(error), headers=challenge) from error
        if SCOPE not in opened.scope.split():
            raise OAuthError("insufficient_scope", f"The token lacks the scope {SCOPE}.")
        return opened.grant.caller.subject


def _body() -> Json:
    content = request.stream.read(MAX_BODY + 1)
    try:
        found = json.loads(content) if len(content) <= MAX_BODY else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise OAuthError("invalid_request", f"The body must be a JSON object of at most {MAX_BODY} bytes.")
    return found


def blueprint(services: Services, wire: Wire) -> Blueprint:
    """Return the routes below /auth/admin, and the door at which clients register themselves."""
    routes = Blueprint("admin", __name__)

    def run(work: Any, status: int = 200) -> Response:
        return Admin(services, wire).answered(work, status)

    @routes.get("/auth/admin/clients")
    def listed() -> Response:
        return run(lambda who, asked: {"clients": [registration.shown(each) for each in services.clients.all()]})

    @routes.get("/auth/admin/clients/<client_id>")
    def one(client_id: str) -> Response:
        return run(lambda who, asked: registration.shown(registration.known(services.authority, client_id)))

    @routes.post("/auth/admin/clients")
    def add() -> Response:
        return run(lambda who, asked: _added(services, who, asked), 201)

    @routes.put("/auth/admin/clients/<client_id>")
    def change(client_id: str) -> Response:
        return run(lambda who, asked: _changed(services, client_id, who, asked))

    @routes.post("/auth/admin/clients/<client_id>/<any(suspend, restore, secret):verb>")
    def act(client_id: str, verb: str) -> Response:
        return run(lambda who, asked: _acted(services, client_id, verb, who, asked))

    @routes.get("/auth/admin/changes")
    def waiting() -> Response:
        return run(lambda who, asked: {"changes": registration.proposals(services.authority)})

    @routes.post("/auth/admin/changes/<change_id>/agree")
    def agree(change_id: str) -> Response:
        return run(lambda who, asked: registration.agree(services.authority, change_id, who, asked))

    @routes.delete("/auth/admin/changes/<change_id>")
    def drop(change_id: str) -> Response:
        return run(lambda who, asked: _dropped(services, change_id, who, asked))

    @routes.post("/auth/register")
    def register() -> Response:
        return _registered(services, wire)

    return routes


def _registered(services: Services, wire: Wire) -> Response:
    if not services.settings.security.registration_token:
        return wire.json(OAuthError("invalid_request", "Clients do not register themselves here.").body, 404)
    try:
        asked = wire.read(form=False)
        return wire.json(registration.register_pending(services.authority, _body(), asked), 201)
    except OAuthError as error:
        return wire.json(error.body, error.status, error.headers)
    except Unavailable as error:
        return wire.json(OAuthError("temporarily_unavailable", str(error)).body, 503)


def _dropped(services: Services, change_id: str, who: str, asked: Request) -> Json:
    registration.withdraw(services.authority, change_id, who, asked)
    return {}


def _added(services: Services, who: str, asked: Request) -> Json:
    client, secret = registration.with_secret(_body())
    if services.clients.get(client.client_id) is not None:
        raise OAuthError("invalid_request", "The client exists already; change it with PUT.")
    found = registration.propose(services.authority, client, who, asked)
    return {**found, "client_secret": secret} if secret else found


def _changed(services: Services, client_id: str, who: str, asked: Request) -> Json:
    """Replace what is registered; what a client cannot be told (its secret) stays."""
    before = registration.known(services.authority, client_id)
    given: Mapping[str, Any] = {**_body(), "client_id": client_id}
    kept = {"secret_hash": client_json(before)["secret_hash"]} if before.secret_hash else {}
    after = client_of({**{name: value for name, value in given.items() if name != "secret_hash"}, **kept})
    return registration.propose(services.authority, after, who, asked)


def _acted(services: Services, client_id: str, verb: str, who: str, asked: Request) -> Json:
    authority = services.authority
    if verb == "secret":
        return {"client_id": client_id, "client_secret": registration.new_secret(authority, client_id, who, asked)}
    before = registration.known(authority, client_id)
    if verb == "restore" and before.status is Status.PENDING:
        raise OAuthError("invalid_request", "A pending client is approved by agreeing to its change.")
    status = Status.SUSPENDED if verb == "suspend" else Status.ACTIVE
    registration.set_status(authority, client_id, status, who, asked)
    return registration.shown(registration.known(authority, client_id))
