"""What goes wrong on the way to a page, as a page. Nothing is redirected here, and no defect tells how it came."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from fhir_dmp.errors import DmpError
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


def _page(site: Site, reason: str, code: str, status: int) -> Response:
    language = preferred(request.args.get("lang", ""), "", request.headers.get("Accept-Language", ""))
    visit = Visit(request_id_of(request.environ), "")
    visitor = Visitor(browsers.new(), False, visit, language, {})
    t = say(language)
    shown = code or ("" if status != 403 else reason)
    return site.page(
        visitor, "message.html", t("fault_title"), status=status, text=t(f"fault_{reason}"), code=shown, ask=False
    )
