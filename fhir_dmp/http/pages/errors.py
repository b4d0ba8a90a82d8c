"""What goes wrong on the way to a page, as a page. Nothing is redirected here, and no defect tells how it came."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException, NotFound

from fhir_dmp.errors import DmpError, Issue
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import dump
from fhir_dmp.http.pages.site import Fault, Site, Visitor
from fhir_dmp.http.pages.wording import preferred, say
from fhir_dmp.http.request import request_id_of
from fhir_dmp.signin import browsers
from fhir_dmp.signin.requests import NotRedirected
from fhir_dmp.signin.visits import Visit

log = logging.getLogger("fhir_dmp.http")


def add(routes: Blueprint, site: Site) -> None:
    """Add the handlers."""

    @routes.errorhandler(Fault)
    def fault(error: Fault) -> Response:
        return _page(site, error.reason, error.code, error.status)

    @routes.errorhandler(NotRedirected)
    def not_redirected(error: NotRedirected) -> Response:
        return _page(site, error.reason, error.code, 400)

    @routes.errorhandler(DmpError)
    def refused(error: DmpError) -> Response:
        unavailable = error.status >= 500 or error.status == 409
        return _page(site, "unavailable" if unavailable else "refused", "", 503 if unavailable else error.status)

    @routes.errorhandler(Exception)
    def crashed(error: Exception) -> Response | HTTPException:
        if isinstance(error, HTTPException):
            return error
        log.exception("a page failed")
        return _page(site, "crashed", "server_error", 500)

    @routes.app_errorhandler(NotFound)
    def absent(error: NotFound) -> Response:
        if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
            return _page(site, "absent", "", 404, home=True)
        # Software that forgot the base is told where it is.
        where = f"There is nothing at this address. The FHIR base of this server is {site.services.base}."
        return Response(dump(operation_outcome([Issue("not-found", where)])), 404, mimetype="application/fhir+json")


def _page(site: Site, reason: str, code: str, status: int, home: bool = False) -> Response:
    language = preferred(request.args.get("lang", ""), "", request.headers.get("Accept-Language", ""))
    visit = Visit(request_id_of(request.environ), "")
    visitor = Visitor(browsers.new(), False, visit, language, {})
    t = say(language)
    shown = code or ("" if status != 403 else reason)
    text, title = t(f"fault_{reason}"), t("fault_title")
    return site.page(visitor, "message.html", title, status=status, text=text, code=shown, ask=False, home=home)
