"""What every page shares: the browser behind the cookie, forged forms, language, headers, and the rendering.

[security 8.2/TH21, TH23; H-25, H-26]. Cookies hold a secret only and carry `__Host-`, Secure, HttpOnly, SameSite=Lax.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any, Final

from flask import Response, request
from jinja2 import Environment, PackageLoader, StrictUndefined

from fhir_dmp.http.pages.wording import LANGUAGES, preferred, say
from fhir_dmp.http.request import proxies, request_id_of
from fhir_dmp.http.services import Services
from fhir_dmp.oauth.uris import origin_of
from fhir_dmp.signin import browsers
from fhir_dmp.signin.browsers import Browser
from fhir_dmp.signin.desk import Desk
from fhir_dmp.signin.requests import MAX_REQUEST_BYTES, NotRedirected, parameters
from fhir_dmp.signin.visits import Visit

COOKIE: Final = "__Host-dmp"
LANGUAGE_COOKIE: Final = "__Host-dmp-lang"
PREFIX: Final = "/auth"
_FORM: Final = "application/x-www-form-urlencoded"
_YEAR_S: Final = 365 * 86_400


class Fault(Exception):
    """A page that says what went wrong. reason: key of the sentence (`fault_...`); code: for developers."""

    def __init__(self, reason: str, code: str = "", status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Visitor:
    """One request of a browser. known: its cookie was known. fields: of the form, each name with all its values."""

    browser: Browser
    known: bool
    visit: Visit
    language: str
    fields: dict[str, list[str]]

    def field(self, name: str) -> str:
        """Return the first value of a form field, or an empty text."""
        return self.fields.get(name, [""])[0]


class Site:
    """The pages of one server."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.desk: Desk = services.desk
        #: Path of the pages, for links: they work under whatever host the browser knows.
        self.prefix = PREFIX
        self._proxies = proxies(services.settings.server.trusted_proxies, services.base, base_follows_host=False)
        self._templates = Environment(
            loader=PackageLoader("fhir_dmp.http.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    # --- who visits --------------------------------------------------------------------------------------------------

    def visitor(self, locales: str = "") -> Visitor:
        """Return who visits; the form is read when there is one."""
        found = browsers.find(request.cookies.get(COOKIE, ""), self.desk)
        chosen = request.args.get("lang", "") or request.cookies.get(LANGUAGE_COOKIE, "")
        language = preferred(chosen, locales, request.headers.get("Accept-Language", ""))
        fields: dict[str, list[str]] = {}
        if request.method == "POST":
            for name, value in parameters(self.body()):
                fields.setdefault(name, []).append(value)
        agent = request.headers.get("User-Agent", "")[:300]
        visit = Visit(request_id_of(request.environ), self._proxies.client(request.environ), agent)
        return Visitor(found or browsers.new(), found is not None, visit, language, fields)

    def body(self) -> bytes:
        """Return the body of a form.

        Raises:
            NotRedirected: longer than a request may be. Fault: no form.
        """
        if request.mimetype != _FORM:
            raise Fault("refused", "the body must be application/x-www-form-urlencoded", 415)
        content: bytes = request.stream.read(MAX_REQUEST_BYTES + 1)
        if len(content) > MAX_REQUEST_BYTES:
            raise NotRedirected("invalid_request", "too-long")
        return content

    def refuse_forged(self, visitor: Visitor) -> None:
        """Check that a form comes from a page of ours, shown to this browser.

        Raises:
            Fault: 403.
        """
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        origin = request.headers.get("Origin")
        # `null`: the browser keeps the origin to itself because of our own Referrer-Policy.
        foreign = origin not in (None, "null", origin_of(self.services.issuer), self._here())
        token = visitor.field("csrf").encode("utf-8", "surrogateescape")
        if not visitor.known or foreign or site not in ("same-origin", "none"):
            raise Fault("forged", status=403)
        if not hmac.compare_digest(token, visitor.browser.csrf.encode()):
            raise Fault("forged", status=403)

    def _here(self) -> str | None:
        return origin_of(f"{request.scheme}://{request.host}")

    def kept(self, visitor: Visitor) -> Visitor:
        """Return the visitor with a browser that is on record, so that a form can be bound to it."""
        if visitor.known:
            return visitor
        browser = browsers.keep(visitor.browser, self.desk)
        return Visitor(browser, True, visitor.visit, visitor.language, visitor.fields)

    # --- answers -----------------------------------------------------------------------------------------------------

    def page(
        self,
        visitor: Visitor,
        template: str,
        title: str,
        *,
        status: int = 200,
        leads_to: str | tuple[str, ...] = (),
        **values: Any,
    ) -> Response:
        """Render a page. leads_to: URLs to which its form may lead in the end, beside this server."""
        t = say(visitor.language)
        other = next(language for language in LANGUAGES if language != visitor.language)
        login = visitor.browser.login
        shared = {
            "t": t,
            "language": visitor.language,
            "other": other,
            "switch": self._switch(other, values.get("request", "")),
            "prefix": self.prefix,
            "csrf": visitor.browser.csrf,
            "who": login.account.name if login else "",
            "error": "",
            "error_field": "",
            "request": "",
            "title": title,
        }
        content = self._templates.get_template(template).render({**shared, **values})
        response = Response(content, status, mimetype="text/html")
        # Browsers hold the whole chain of redirects after a form against this list.
        targets = (leads_to,) if isinstance(leads_to, str) else leads_to
        forms = " ".join(["'self'", *dict.fromkeys(origin for each in targets if (origin := origin_of(each)))])
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; style-src 'self'; img-src 'self'; form-action {forms}; "
            "frame-ancestors 'none'; base-uri 'none'"
        )
        response.headers["Content-Language"] = visitor.language
        return self._with_cookie(response, visitor)

    def redirect(self, url: str, visitor: Visitor | None = None) -> Response:
        """Send the browser elsewhere by GET."""
        # The state of an application may hold any byte; everything else was encoded when the URL was made.
        response = Response(status=303)
        response.headers["Location"] = url
        return self._with_cookie(response, visitor) if visitor else _private(response)

    def own(self, path: str) -> str:
        """Return the path of one of our pages."""
        return f"{self.prefix}/{path}"

    def _switch(self, other: str, under_way: str) -> str:
        place = f"{self.prefix}/continue?r={under_way}&" if under_way else "?"
        return f"{place}lang={other}"

    def _with_cookie(self, response: Response, visitor: Visitor) -> Response:
        if visitor.known and request.cookies.get(COOKIE) != visitor.browser.secret:
            self._set(response, COOKIE, visitor.browser.secret, None)
        if request.args.get("lang") in LANGUAGES:
            self._set(response, LANGUAGE_COOKIE, request.args["lang"], _YEAR_S)
        return _private(response)

    def without_cookie(self, response: Response) -> Response:
        """Make the browser forget its cookie."""
        self._set(response, COOKIE, "", 0)
        return response

    def _set(self, response: Response, name: str, value: str, max_age: int | None) -> None:
        response.set_cookie(name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="Lax")


def _private(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    return response
