"""`/auth/logout`: the end of a login. OpenID Connect RP-Initiated Logout 1.0; [security 2.1, 1.3; O-8, O-9].

An application that shows an id_token of the login that this browser has ends it at once; everybody else is asked
first. Where somebody signed in upstream, the login ends there too.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request
from joserfc import jws, jwt
from joserfc.errors import JoseError

from fhir_dmp.http.pages import signing
from fhir_dmp.http.pages.site import Fault, Site, Visitor
from fhir_dmp.http.pages.wording import say
from fhir_dmp.oauth import revoke
from fhir_dmp.oauth.clients import Client
from fhir_dmp.oauth.codes import secret_key
from fhir_dmp.signin import browsers
from fhir_dmp.signin.requests import redirection
from fhir_dmp.signin.visits import note

KIND: Final = "logout"
LIFE_MS: Final = 600_000
_CARRIED: Final = ("id_token_hint", "post_logout_redirect_uri", "state", "client_id")


def add(routes: Blueprint, site: Site) -> None:
    """Add the routes."""
    leaving = Leaving(site)

    @routes.get(site.own("logout"))
    def logout_asked() -> Response:
        given = dict(parse_qsl(request.query_string.decode("utf-8", "replace"), keep_blank_values=True))
        return leaving.asked(site.kept(site.visitor()), given)

    @routes.post(site.own("logout"))
    def logout_posted() -> Response:
        visitor = site.visitor()
        given = {name: values[0] for name, values in visitor.fields.items()}
        if given.get("step") != "logout":
            return leaving.asked(site.kept(visitor), given)  # an application posts its request: treated as by GET
        site.refuse_forged(visitor)
        return leaving.leave(visitor, given)

    @routes.get(site.own("logout/done"))
    def logout_done() -> Response:
        return leaving.done(site.visitor(), request.args.get("state", ""))


class Leaving:
    """Ending logins."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._desk = site.desk

    def asked(self, visitor: Visitor, given: Mapping[str, str]) -> Response:
        """End the login at once when an application proves that it knows it; else ask."""
        claims, client = self._check(given)
        login = visitor.browser.login
        if login is None or (claims and claims.get("sid") == login.sid):
            return self._ended(visitor, given, claims, client)
        t = say(visitor.language)
        hidden = [(name, given[name]) for name in _CARRIED if given.get(name)]
        party = self._desk.providers.get(login.provider)
        away = party.end(login.id_token, "", "") if party else None
        leads_to = tuple(each for each in (away, given.get("post_logout_redirect_uri")) if each)
        return self._site.page(
            visitor, "message.html", t("logout_title"), leads_to=leads_to, text=t("logout_lead"), code="", ask=True,
            hidden=hidden,
        )  # fmt: skip

    def leave(self, visitor: Visitor, given: Mapping[str, str]) -> Response:
        """End the login that the person was asked about."""
        claims, client = self._check(given)
        return self._ended(visitor, given, claims, client)

    def _check(self, given: Mapping[str, str]) -> tuple[Mapping[str, Any] | None, Client | None]:
        """Return what the hint says and whose it is.

        Raises:
            Fault: a return address that is not registered for the application that asks.
        """
        claims = self._hint(given.get("id_token_hint", ""))
        named = (claims or {}).get("aud") or given.get("client_id")
        client = self._desk.clients.get(named) if isinstance(named, str) else None
        if given.get("client_id") and claims and given["client_id"] != claims.get("aud"):
            raise Fault("unknown-client")
        target = given.get("post_logout_redirect_uri")
        if target and (client is None or claims is None or target not in client.post_logout_redirect_uris):
            raise Fault("unknown-redirect")
        return claims, client

    def _hint(self, token: str) -> Mapping[str, Any] | None:
        """Return the claims of an id_token of ours, expired ones included; None for anything else."""
        keys = self._site.services.authority.id_keys
        try:
            header = jws.extract_compact(token.encode()).headers()
            key = keys.find(str(header.get("kid"))) if header.get("alg") == "RS256" else None
            claims = jwt.decode(token, key, algorithms=["RS256"]).claims if key else None
        except (JoseError, ValueError, TypeError, UnicodeError):
            return None
        return claims if claims and claims.get("iss") == self._site.services.issuer else None

    def _ended(
        self, visitor: Visitor, given: Mapping[str, str], claims: Mapping[str, Any] | None, client: Client | None
    ) -> Response:
        login = visitor.browser.login
        authority = self._site.services.authority
        sids = {str(claims["sid"])} if claims and claims.get("sid") else set()
        if login is not None:
            sids.add(login.sid)
        for sid in sids:
            browsers.end(sid, self._desk)
            revoke.end_login(authority, sid)
        if login is not None:
            who = signing.person(login.account)
            note(self._desk, visitor.visit, who, "logout")
        target = given.get("post_logout_redirect_uri", "")
        if target:
            target = redirection(target, [("state", given["state"])] if given.get("state") else [])
        state = secrets.token_urlsafe(24)
        self._desk.keep(KIND, secret_key(state), {"to": target}, LIFE_MS)
        here = f"{self._site.services.issuer}/logout/done"
        party = self._desk.providers.get(login.provider) if login is not None else None
        away = party.end(login.id_token, state, here) if party is not None and login is not None else None
        response = self._site.redirect(away or self._site.own(f"logout/done?state={state}"))
        return self._site.without_cookie(response)

    def done(self, visitor: Visitor, state: str) -> Response:
        """Lead back to the application, or say that it is done."""
        kept = self._desk.take(KIND, secret_key(state)) if state else None
        if kept and kept["to"]:
            return self._site.redirect(kept["to"])
        t = say(visitor.language)
        return self._site.page(
            visitor, "message.html", t("logout_done"), text=t("logout_done_lead"), code="", ask=False
        )
