"""Signing in with an identity provider: leaving for it, and coming back as somebody.

[security 1.3, 8.2/TH22]. The state of the callback is bound to one provider and to one browser, and is used once.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from fhir_dmp.identity.accounts import Account, AccountClass, SecondFactor
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.identity.upstream import UpstreamIdentity, pivot_of, professional_of
from fhir_dmp.oauth.codes import secret_key
from fhir_dmp.ports import SignInFailed, SignInSecrets
from fhir_dmp.signin import accounts, browsers, people
from fhir_dmp.signin.browsers import Browser, Login
from fhir_dmp.signin.desk import Desk
from fhir_dmp.signin.local import person
from fhir_dmp.signin.visits import Visit, note

KIND: Final = "upstream"
LIFE_MS: Final = 600_000
PROFESSIONALS: Final = "psc"
CITIZENS: Final = "fc"


def leave(provider: str, pending: str, browser: Browser, desk: Desk) -> str:
    """Return the URL of the provider's sign-in. pending: what goes on afterwards.

    Raises:
        SignInFailed: no such provider, or it cannot be reached.
    """
    party = desk.providers.get(provider)
    if party is None:
        raise SignInFailed("There is no such identity provider.")
    state = secrets.token_urlsafe(32)
    kept = SignInSecrets(nonce=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(48))
    url = party.begin(callback(provider, desk), state, kept)
    body = {
        "provider": provider,
        "pending": pending,
        "browser": browser.key,
        "nonce": kept.nonce,
        "verifier": kept.verifier,
    }
    desk.keep(KIND, secret_key(state), body, LIFE_MS)
    return url


def callback(provider: str, desk: Desk) -> str:
    """Return our redirect URI at a provider: each has its own."""
    return f"{desk.services.issuer}/{provider}/callback"


def come_back(
    provider: str, answer: Mapping[str, str], browser: Browser, desk: Desk, visit: Visit
) -> tuple[str, Browser]:
    """Return what goes on, and the browser with somebody signed in.

    Raises:
        SignInFailed: not an answer to this browser's question to this provider, or nobody was identified.
    """
    key = secret_key(answer.get("state", ""))
    asked = desk.read(KIND, key)
    if asked is None or asked["provider"] != provider or asked["browser"] != browser.key:
        raise SignInFailed("The answer belongs to no sign-in of this browser.")
    if desk.take(KIND, key) is None:
        raise SignInFailed("The answer was used already.")
    pending: str = asked["pending"]
    try:
        kept = SignInSecrets(asked["nonce"], asked["verifier"])
        identity = desk.providers[provider].complete(answer, callback(provider, desk), kept)
        account = _account(identity, desk, visit)
    except SignInFailed as failed:
        who = Caller(Actor.PROFESSIONAL if provider == PROFESSIONALS else Actor.PATIENT, "unknown")
        note(desk, visit, who, "login-failure", outcome="8", reason="upstream")
        failed.pending = pending
        raise
    login = Login(
        sid=secrets.token_urlsafe(16),
        account=account,
        acr=identity.acr,
        amr=identity.amr,
        auth_time_ms=identity.auth_time * 1000,
        since_ms=desk.now_ms(),
        provider=provider,
        id_token=identity.id_token,
    )
    note(desk, visit, person(account), "login", details=(("provider", provider),))
    return pending, browsers.signed_in(browser, login, desk)


def _account(identity: UpstreamIdentity, desk: Desk, visit: Visit) -> Account:
    if identity.provider == PROFESSIONALS:
        professional = professional_of(identity.claims)
        if professional is None:
            raise SignInFailed("userinfo names no health professional.", refused=True)
        fhir_user = people.practitioner_of(professional, desk, visit)
        return people.professional_account(_subject(identity, desk), professional, fhir_user)
    known = accounts.of_upstream(identity.provider, identity.subject, desk)
    if known is not None:
        if known.disabled:
            raise SignInFailed("The account is disabled.", refused=True)
        return known
    return _matched(identity, desk, visit)


def _subject(identity: UpstreamIdentity, desk: Desk) -> str:
    """Return an opaque name of a person, always the same on this server and telling nothing elsewhere."""
    record_key = secret_key(f"{identity.provider} {identity.subject}")
    found = desk.read("subject", record_key)
    if found is None:
        desk.change("subject", record_key, _FOR_EVER_MS, lambda old: old or {"sub": secrets.token_urlsafe(16)})
        found = desk.read("subject", record_key)
    assert found is not None
    subject: str = found["sub"]
    return subject


_FOR_EVER_MS: Final = 100 * 365 * 86_400_000


def _matched(identity: UpstreamIdentity, desk: Desk, visit: Visit) -> Account:
    """Make the account of somebody whose identity is exactly that of one patient."""
    pivot = pivot_of(identity.claims)
    patient = people.patient_of(pivot, desk, visit) if pivot else None
    if pivot is None or patient is None:
        raise SignInFailed("No record belongs to this identity.", refused=True)
    email = identity.claims.get("email")
    account = Account(
        id=secrets.token_urlsafe(12),
        login=f"{identity.provider}:{secret_key(identity.subject)[:24]}",
        kind=AccountClass.PATIENT,
        subject=_subject(identity, desk),
        password="",
        second=SecondFactor.EMAIL,
        family=pivot.family,
        given=pivot.given[0],
        email=email if isinstance(email, str) else "",
        profiles=(people.holder_profile(patient, desk),),
        upstream=(identity.provider, identity.subject),
    )
    accounts.add(account, desk)
    return account
