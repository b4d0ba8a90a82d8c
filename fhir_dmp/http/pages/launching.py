"""`POST /auth/launch`: a business software asks for the handle of an EHR launch. JSON in, JSON out. [security 2.4]"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from flask import Blueprint, Response, request

from fhir_dmp.errors import BadRequest, NotFound, StoreUnavailable, Unauthenticated
from fhir_dmp.fhir.resource import is_id
from fhir_dmp.http.pages.site import Site
from fhir_dmp.http.request import proxies, request_id_of
from fhir_dmp.interactions import gather
from fhir_dmp.oauth.authority import Request
from fhir_dmp.oauth.errors import OAuthError
from fhir_dmp.oauth.introspect import bearer_of
from fhir_dmp.ports import Key
from fhir_dmp.signin import launches
from fhir_dmp.terminology.national import INS_SYSTEMS

SCOPE: Final = "__launch.create"
MAX_BODY: Final = 64 * 1024


def add(routes: Blueprint, site: Site) -> None:
    """Add the route."""
    server = site.services.settings.server
    peers = proxies(server.trusted_proxies, site.services.base, base_follows_host=False)
    certificate = peers.certificate_from(site.services.settings.security.client_certificate_header)

    @routes.post(site.own("launch"))
    def launch() -> Response:
        asked = Request(
            {},
            request.headers.get("Authorization", ""),
            certificate(request.environ),
            peers.client(request.environ),
            request_id_of(request.environ),
        )
        try:
            values, status, headers = _launched(asked, site), 200, {}
        except OAuthError as error:
            values, status, headers = error.body, error.status, dict(error.headers)
        except Unauthenticated as error:
            values = {"error": "invalid_token", "error_description": str(error)}
            status, headers = 401, dict(error.headers)
        except BadRequest as error:
            values, status, headers = {"error": "invalid_request", "error_description": str(error)}, 400, {}
        except NotFound as error:
            values, status, headers = {"error": "invalid_request", "error_description": str(error)}, 422, {}
        except StoreUnavailable as error:
            values, status, headers = {"error": "temporarily_unavailable", "error_description": str(error)}, 503, {}
        shared = {"Cache-Control": "no-store", "Pragma": "no-cache", **headers}
        return Response(json.dumps(values), status, shared, mimetype="application/json")


def _launched(asked: Request, site: Site) -> dict[str, Any]:
    opened = bearer_of(asked, site.services.guard, site.services.authority)
    if SCOPE not in opened.scope.split():
        raise OAuthError(
            "insufficient_scope",
            f"This needs the scope {SCOPE}.",
            headers={"WWW-Authenticate": f'Bearer realm="dmp", error="insufficient_scope", scope="{SCOPE}"'},
        )
    given = _json()
    launch = launches.read(given, opened.grant.caller.client)
    client = site.desk.clients.active(launch.client_id)
    if client is None or not client.launch_uris:
        raise BadRequest("'client_id' names no application of this server that can be launched.")
    launch = replace(launch, patient=launch.patient or _of_ins(str(given["ins"]), site))
    version = site.desk.services.store.read(Key("Patient", launch.patient))
    if version is None or version.deleted:
        raise NotFound("There is no such patient.")
    return {"launch": launches.keep(launch, site.desk), "expires_in": launches.LIFE_S}


def _of_ins(ins: str, site: Site) -> str:
    number = "".join(ins.split()).upper()
    found = (gather.patient_by_identifier(each, number, site.desk.services) for each in INS_SYSTEMS)
    patient = next((each for each in found if each is not None), None)
    if patient is None or not is_id(patient):
        raise NotFound("There is no such patient.")
    return patient


def _json() -> Any:
    if request.mimetype != "application/json":
        raise BadRequest("The body must be application/json.")
    content = request.stream.read(MAX_BODY + 1)
    if len(content) > MAX_BODY:
        raise BadRequest("The body is too long.")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON.") from error
