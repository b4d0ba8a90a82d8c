"""Pages for people: signing in, choosing, agreeing, managing. Plain HTML that needs no script and fetches nothing."""

from __future__ import annotations

import json
from importlib.resources import files

from flask import Blueprint, Response

from fhir_dmp import __version__
from fhir_dmp.http.calls import MOUNT
from fhir_dmp.http.pages import authorize, errors, launching, leaving, manage, signing
from fhir_dmp.http.pages.site import Site
from fhir_dmp.http.pages.wording import say
from fhir_dmp.http.services import Services

STYLE_MAX_AGE_S = 3600
#: The style that applications may take on (SMART App Launch 2.2, context-style); another content gets another name.
STYLE_NAME = "smart_v1.json"
SMART_STYLE = {
    "color_background": "#ffffff",
    "color_error": "#b00020",
    "color_highlight": "#000091",
    "color_modal_backdrop": "",
    "color_success": "#18753c",
    "color_text": "#161616",
    "dim_border_radius": "0px",
    "dim_font_size": "17px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, sans-serif",
    "font_family_heading": "system-ui, sans-serif",
}


def blueprint(services: Services) -> Blueprint:
    """Return the routes of every page."""
    site = Site(services)
    routes = Blueprint("pages", __name__)
    errors.add(routes, site)
    authorize.add(routes, site)
    signing.add(routes, site)
    manage.add(routes, site)
    leaving.add(routes, site)
    launching.add(routes, site)
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

    @routes.get(site.own(f"styles/{STYLE_NAME}"))
    def smart_style() -> Response:
        response = Response(json.dumps(SMART_STYLE), mimetype="application/json")
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Cache-Control"] = f"max-age={STYLE_MAX_AGE_S}"
        return response

    return routes
