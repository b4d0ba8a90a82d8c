"""The whole web application: the FHIR function at /fhir, and a small Flask application for everything else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, jsonify
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from fhir_dmp.http import admin, health, html, metrics, oauth, openapi, pages
from fhir_dmp.http.access_log import AccessLog
from fhir_dmp.http.calls import MOUNT
from fhir_dmp.http.fhir import FhirApplication
from fhir_dmp.http.services import Services

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def application(services: Services) -> Wsgi:
    """Return the production entry: FHIR requests do not pass through Flask."""
    counted = metrics.Metrics()
    log = AccessLog(sys.stderr) if services.settings.server.access_log else None
    fhir = FhirApplication(services, counted, log)
    pages = create_app(services, counted).wsgi_app

    def dispatch(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        if path.startswith(MOUNT) and path[len(MOUNT) : len(MOUNT) + 1] in ("", "/"):
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + MOUNT
            environ["PATH_INFO"] = path[len(MOUNT) :]
            return fhir(environ, start_response)
        return pages(environ, start_response)

    return dispatch


def mount_under_flask(app: Flask, services: Services) -> Flask:
    """Mount the same FHIR function below a Flask application, for hosts that want one WSGI object of Flask's."""
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {MOUNT: FhirApplication(services)})  # type: ignore[method-assign]
    return app


def create_app(services: Services, counted: metrics.Metrics | None = None) -> Flask:
    """Return the Flask application of pages, discovery, health and metrics."""
    app = Flask("fhir_dmp.http", static_folder=None)
    counters = counted or metrics.Metrics()
    readiness = health.Readiness(services.store, services.clock)

    @app.after_request
    def guard(response: Response) -> Response:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Content-Security-Policy", html.POLICY)
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        return response

    @app.get("/openapi.json")
    def describe() -> Response:
        return jsonify(openapi.document(services.capability(), services.base))

    @app.get("/metrics")
    def scrape() -> Response:
        return Response(counters.expose(services.store, readiness.serves()), content_type=metrics.CONTENT_TYPE)

    app.register_blueprint(pages.blueprint(services))
    _add_health(app, readiness)
    wire = oauth.Wire(services)
    app.register_blueprint(oauth.blueprint(services, wire))
    app.register_blueprint(admin.blueprint(services, wire))
    return app


def _add_health(app: Flask, readiness: health.Readiness) -> None:
    @app.get("/health/live")
    def live() -> tuple[dict[str, str], int]:
        return health.live()

    @app.get("/health/ready")
    def ready() -> tuple[dict[str, str], int]:
        return readiness.answer()
