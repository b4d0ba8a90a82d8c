"""`/auth/manage`: what a person agreed to, and taking it back. [security 2.1, 5.7; I-11, C-8]"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from flask import Blueprint, Response

from fhir_dmp.errors import DmpError
from fhir_dmp.http.pages import signing
from fhir_dmp.http.pages.site import Fault, Site, Visitor
from fhir_dmp.http.pages.wording import Say, say, spoken
from fhir_dmp.identity.accounts import AccountClass
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.identity.scopes import maximum
from fhir_dmp.oauth import families, revoke
from fhir_dmp.signin import agreements
from fhir_dmp.signin.browsers import Login

_EVERYBODY = frozenset(AccountClass)


@dataclass(frozen=True, slots=True)
class Line:
    """One application as it is shown. key: what its form sends back."""

    key: str
    client: str
    patient: str
    day: str
    texts: list[str]


def add(routes: Blueprint, site: Site) -> None:
    """Add the routes."""
    page = Manage(site)

    @routes.get(site.own("manage"))
    def manage_page() -> Response:
        return page.show(site.kept(site.visitor()))

    @routes.post(site.own("manage"))
    def manage_posted() -> Response:
        visitor = site.visitor()
        site.refuse_forged(visitor)
        return page.posted(visitor)


class Manage:
    """The page of applications."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._desk = site.desk

    def show(self, visitor: Visitor, done: str = "", error: str = "") -> Response:
        """Show the applications of whoever has signed in, or let somebody sign in."""
        login = visitor.browser.login
        if login is None:
            return signing.page(self._site, visitor, _EVERYBODY, "manage")
        t = say(visitor.language)
        return self._site.page(
            visitor,
            "manage.html",
            t("manage_title"),
            grants=self._lines(login, t),
            done=done,
            error=error,
            status=404 if error else 200,
        )

    def posted(self, visitor: Visitor) -> Response:
        """Take a step of signing in, or an agreement back."""
        if visitor.field("step") in signing.STEPS:
            browser, fault = signing.attempt(self._site, visitor)
            visitor = replace(visitor, browser=browser)
            if fault is not None:
                return signing.page(self._site, visitor, _EVERYBODY, "manage", fault, login=visitor.field("login"))
            return self._site.redirect(self._site.own("manage"), visitor)
        login = visitor.browser.login
        if login is None:
            return self._site.redirect(self._site.own("manage"), visitor)
        t = say(visitor.language)
        named = self._withdraw(visitor.field("grant"), login, visitor)
        if named is None:
            return self.show(visitor, error=t("manage_unknown"))
        return self.show(visitor, done=t("manage_withdrawn", client=named))

    # --- what there is -----------------------------------------------------------------------------------------------

    def _lines(self, login: Login, t: Say) -> list[Line]:
        found = []
        for index, profile in enumerate(login.account.profiles):
            if profile.actor is Actor.DELEGATE:
                continue  # agreements of the record are the holder's business
            for consent, client, resource in agreements.of_patient(profile.patient, self._desk):
                day = str(resource.get("dateTime", ""))[:10]
                scopes = agreements.scopes_of(resource, self._desk)
                found.append(self._line(f"consent {index} {consent}", client, profile.name, day, scopes, t))
        for each in agreements.every_of(login.account.subject, self._desk):
            if not each.consent:
                day = datetime.fromtimestamp(each.at_ms / 1000, self._desk.services.zone).date().isoformat()
                found.append(self._line(f"client {each.client_id}", each.client_id, "", day, each.scope, t))
        return found

    def _line(self, key: str, client_id: str, patient: str, day: str, scope: str, t: Say) -> Line:
        data, words = spoken(scope.split(), t)
        return Line(key, self._name(client_id), patient, day, [text for _, text in (*data, *words)])

    def _name(self, client_id: str) -> str:
        client = self._desk.clients.get(client_id)
        return client.name if client else client_id

    # --- taking it back ----------------------------------------------------------------------------------------------

    def _withdraw(self, key: str, login: Login, visitor: Visitor) -> str | None:
        kind, _, rest = key.partition(" ")
        if kind == "client":
            known = [each for each in agreements.every_of(login.account.subject, self._desk) if not each.consent]
            if rest not in {each.client_id for each in known}:
                return None
            agreements.forget(rest, login.account.subject, "", self._desk)
            self._end(f"sub:{login.account.subject}", client_id=rest)
            return self._name(rest)
        index, _, consent = rest.partition(" ")
        profiles = login.account.profiles
        if kind != "consent" or not index.isdigit() or int(index) >= len(profiles) or not consent:
            return None
        profile = profiles[int(index)]
        caller = Caller(
            profile.actor,
            login.account.subject,
            client="fhir-dmp",
            name=login.account.name,
            patient=profile.patient,
            scopes=maximum(profile.actor),
            fhir_user=None if profile.actor is Actor.PATIENT else profile.fhir_user,
        )
        try:
            ended = agreements.withdraw(consent, caller, self._desk, visitor.visit)
        except DmpError as error:
            raise Fault("refused" if error.status < 500 else "unavailable", status=error.status) from error
        if ended is None:
            return None
        client_id = agreements.client_of(ended)
        agreements.forget(client_id, login.account.subject, profile.patient, self._desk)
        self._end(f"consent:{consent}")
        return self._name(client_id)

    def _end(self, tag: str, client_id: str = "") -> None:
        """End what was issued under an agreement: on every worker within 5 s."""
        authority = self._site.services.authority
        for family in families.tagged(authority.state, tag, authority.now_ms()):
            if not client_id or family.authorization.client_id == client_id:
                revoke.end_family(authority, family.authorization.family)
