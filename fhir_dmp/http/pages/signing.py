"""The pages of signing in, for an application or for our own pages: providers, password, code; and the callbacks."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request

from fhir_dmp.http.pages.site import Fault, Site, Visitor
from fhir_dmp.http.pages.wording import say
from fhir_dmp.identity.accounts import AccountClass
from fhir_dmp.ports import SignInFailed
from fhir_dmp.signin import browsers, flow, local, tries, upstreams
from fhir_dmp.signin.browsers import Browser
from fhir_dmp.signin.local import Outcome, person

STEPS: Final = ("sign-in", "code", "restart")
_STATUS: Final = {Outcome.LOCKED: 429, Outcome.NO_MAIL: 503}
_PROVIDERS: Final = {"psc": AccountClass.PROFESSIONAL, "fc": AccountClass.PATIENT}

log = logging.getLogger("fhir_dmp.http")

__all__ = ["STEPS", "Failure", "add", "attempt", "page", "person"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why nobody has signed in. key: of the sentence; retry_s: how long to wait."""

    key: str
    status: int = 401
    retry_s: int = 0


def attempt(site: Site, visitor: Visitor) -> tuple[Browser, Failure | None]:
    """Take the form of a step of signing in; without failure the next page is due."""
    step, browser = visitor.field("step"), visitor.browser
    if step == "restart":
        return browsers.keep(replace(browser, challenge=None), site.desk), None
    if step == "sign-in":
        login = visitor.field("login")
        outcome, browser = local.first(login, visitor.field("password"), browser, site.desk, visitor.visit)
    else:
        login = browser.challenge["login"] if browser.challenge else ""
        outcome, browser = local.second(visitor.field("code"), browser, site.desk, visitor.visit)
    if outcome in (Outcome.SIGNED_IN, Outcome.AWAITS_CODE):
        return browser, None
    wait = tries.locked_s(login, visitor.visit.address, site.desk) if outcome is Outcome.LOCKED else 0
    return browser, Failure(outcome.value.replace("-", "_"), _STATUS.get(outcome, 401), wait)


def page(
    site: Site,
    visitor: Visitor,
    allowed: Collection[AccountClass],
    action: str,
    fault: Failure | None = None,
    *,
    client: str = "",
    login: str = "",
    **more: Any,
) -> Response:
    """Show what signing in needs now: a code when one is awaited, else everything that the allowed people may use."""
    t = say(visitor.language)
    error = t(fault.key) if fault else ""
    status = fault.status if fault else 200
    challenge = visitor.browser.challenge
    shared = {"action": action, "error": error, "status": status, **more}
    if challenge is not None:
        field = "code" if fault else ""
        response = site.page(
            visitor, "code.html", t("code_title"), second=challenge["second"], error_field=field, **shared
        )
    else:
        providers = [name for name in site.desk.providers if _PROVIDERS.get(name) in allowed]
        settings = site.services.settings.security
        usable = set(allowed) - (set() if settings.local_professionals else {AccountClass.PROFESSIONAL})
        response = site.page(
            visitor,
            "signin.html",
            t("signin_title"),
            providers=providers,
            local=bool(usable),
            client=client,
            login=login,
            error_field="login" if fault else "",
            **shared,
        )
    if fault and fault.retry_s:
        response.headers["Retry-After"] = str(fault.retry_s)
    return response


def add(routes: Blueprint, site: Site) -> None:
    """Add the routes that lead to a provider and back."""

    @routes.get(site.own("<any(psc, fc):provider>/start"))
    def upstream_start(provider: str) -> Response:
        visitor = site.kept(site.visitor())
        under_way = request.args.get("r", "")
        pending = flow.find(under_way, site.desk) if under_way else None
        if under_way and (pending is None or pending.browser != visitor.browser.key):
            raise Fault("gone")
        try:
            return site.redirect(upstreams.leave(provider, under_way, visitor.browser, site.desk), visitor)
        except SignInFailed as failed:
            return _failed(site, visitor, failed)

    @routes.get(site.own("<any(psc, fc):provider>/callback"))
    def upstream_callback(provider: str) -> Response:
        visitor = site.visitor()
        answer = dict(parse_qsl(request.query_string.decode("utf-8", "replace"), keep_blank_values=True))
        try:
            under_way, browser = upstreams.come_back(provider, answer, visitor.browser, site.desk, visitor.visit)
        except SignInFailed as failed:
            return _failed(site, visitor, failed)
        visitor = replace(visitor, browser=browser, known=True)
        if not under_way:
            return site.redirect(site.own("manage"), visitor)
        pending = flow.find(under_way, site.desk)
        if pending is None:
            raise Fault("gone")
        flow.keep(replace(pending, browser=browser.key), site.desk)
        return site.redirect(site.own(f"continue?r={under_way}"), visitor)


def _failed(site: Site, visitor: Visitor, failed: SignInFailed) -> Response:
    """Go back to the application where the provider or the person said no; else offer another try."""
    log.warning("an upstream sign-in failed: %s", failed)
    pending = flow.find(failed.pending, site.desk) if failed.pending else None
    t = say(visitor.language)
    if pending is None:
        return site.page(
            visitor, "message.html", t("fault_title"), status=403, text=t("fault_upstream"), code="", ask=False
        )
    client = site.desk.clients.get(pending.request.client_id)
    allowed = flow.classes(client, pending.request) if client else frozenset()
    fault = Failure("upstream_refused" if failed.refused else "upstream_failed", 403)
    return page(
        site, visitor, allowed, "continue", fault, client=client.name if client else "", request=pending.id,
        leads_to=pending.request.redirect_uri,
    )  # fmt: skip
