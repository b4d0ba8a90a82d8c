"""Pages for people: signing in, choosing, agreeing, managing. Plain HTML that needs no script and fetches nothing."""

from __future__ import annotations

from importlib.resources import files

from flask import Blueprint, Response

from fhir_dmp import __version__
from fhir_dmp.http.calls import MOUNT
from fhir_dmp.http.pages import authorize, errors, signing
from fhir_dmp.http.pages.site import Site
from fhir_dmp.http.pages.wording import say
from fhir_dmp.http.services import Services

STYLE_MAX_AGE_S = 3600


def blueprint(services: Services) -> Blueprint:
    """Return the routes of every page."""
    site = Site(services)
    routes = Blueprint("pages", __name__)
    errors.add(routes, site)
    authorize.add(routes, site)
    signing.add(routes, site)
    style = files(__name__).joinpath("style.css").read_bytes()

    @routes.get("/")
    def home() -> Response:
        visitor = site.visitor()
        title = say(visitor.language)("home_title")
        return site.page(visitor, "home.html", title, base=services.base, mount=MOUNT, version=__version__)

    @routes.get(site.own("style.css"))
    def stylesheet() -> Response:
        response = Response(style, mimetype="text/css")
        response.headers["Cache-Control"] = f"max-age={STYLE_MAX_AGE_S}"
        return response

    return routes
