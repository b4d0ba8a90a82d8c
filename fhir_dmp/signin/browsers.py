"""Browsers: what a cookie stands for. A new cookie at each sign-in, nothing in it but a secret, kept as its SHA-256.

[security 8.2/TH23]. A login lasts eight hours at most; `sid` names it in tokens, and `online_access` ends with it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from fhir_dmp.identity.accounts import Account, from_json, to_json
from fhir_dmp.oauth.codes import secret_key
from fhir_dmp.signin.desk import Desk, body_of

KIND: Final = "browser"
LOGIN_LIFE_MS: Final = 8 * 3_600_000
#: Without a login a browser is forgotten sooner.
VISIT_LIFE_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody who has signed in. account: of this server, or made of what an identity provider said (no password).

    sid: names this login. auth_time_ms: when they proved who they are, perhaps elsewhere; since_ms: when they
    signed in here. provider, id_token: of an upstream sign-in, for the logout there.
    """

    sid: str
    account: Account
    acr: str
    amr: tuple[str, ...]
    auth_time_ms: int
    since_ms: int
    provider: str = ""
    id_token: str = ""


@dataclass(frozen=True, slots=True)
class Browser:
    """One browser. secret: the cookie's value. csrf: proves that a form came from our page. challenge: a second factor
    that is awaited. login: None until somebody has signed in. language: chosen by hand."""

    secret: str
    csrf: str
    login: Login | None = None
    challenge: Mapping[str, Any] | None = None
    language: str = ""
    expires_ms: int = 0

    @property
    def key(self) -> str:
        """The key under which it is kept."""
        return secret_key(self.secret)


def new(language: str = "") -> Browser:
    """Return a browser that nobody has seen; it is kept when it is first worth it."""
    return Browser(secrets.token_urlsafe(32), secrets.token_urlsafe(32), language=language)


def find(secret: str, desk: Desk) -> Browser | None:
    """Return the browser of a cookie."""
    body = desk.read(KIND, secret_key(secret)) if 20 <= len(secret) <= 100 else None
    if body is None:
        return None
    login = body["login"]
    return Browser(
        secret,
        body["csrf"],
        None if login is None else _login(login),
        body["challenge"],
        body["language"],
        body["expires_ms"],
    )


def keep(browser: Browser, desk: Desk) -> Browser:
    """Write a browser; one with a login keeps the end that it was given at first."""
    now = desk.now_ms()
    ends = browser.expires_ms if browser.login is not None and browser.expires_ms else now + VISIT_LIFE_MS
    body = {
        "csrf": browser.csrf,
        "login": None if browser.login is None else _login_json(browser.login),
        "challenge": None if browser.challenge is None else dict(browser.challenge),
        "language": browser.language,
        "expires_ms": ends,
    }
    tags = () if browser.login is None else (f"sid:{browser.login.sid}", f"sub:{browser.login.account.subject}")
    desk.keep(KIND, browser.key, body, max(ends - now, 1), *tags)
    return replace(browser, expires_ms=ends)


def signed_in(browser: Browser, login: Login, desk: Desk) -> Browser:
    """Return the browser after a sign-in, with a new cookie: one that was planted before is worth nothing."""
    desk.state.remove(KIND, browser.key)
    fresh = replace(
        new(browser.language or login.account.language), login=login, expires_ms=desk.now_ms() + LOGIN_LIFE_MS
    )
    return keep(fresh, desk)


def signed_out(browser: Browser, desk: Desk) -> Browser:
    """Forget a login and its cookie."""
    desk.state.remove(KIND, browser.key)
    return new(browser.language)


def end(sid: str, desk: Desk) -> None:
    """Forget a login by its name, in whatever browser it is."""
    for record in desk.state.listed(KIND, desk.now_ms(), tag=f"sid:{sid}"):
        desk.state.remove(KIND, record.key)


def logins_of(subject: str, desk: Desk) -> list[Login]:
    """Return where a person is signed in now."""
    records = desk.state.listed(KIND, desk.now_ms(), tag=f"sub:{subject}")
    return [_login(body_of(record)["login"]) for record in records if body_of(record)["login"]]


def _login_json(login: Login) -> dict[str, Any]:
    return {
        "sid": login.sid,
        "account": to_json(replace(login.account, password="", totp="")),
        "acr": login.acr,
        "amr": list(login.amr),
        "auth_time_ms": login.auth_time_ms,
        "since_ms": login.since_ms,
        "provider": login.provider,
        "id_token": login.id_token,
    }


def _login(values: Mapping[str, Any]) -> Login:
    return Login(
        values["sid"],
        from_json(values["account"]),
        values["acr"],
        tuple(values["amr"]),
        values["auth_time_ms"],
        values["since_ms"],
        values["provider"],
        values["id_token"],
    )
