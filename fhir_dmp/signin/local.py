"""Signing in with a local account: identifier and password, then a code by e-mail or from an authenticator.

[security 1.2, rows A1 to A3 and H; 8.2/TH28, TH32]. Ten minutes, five tries. Whatever is wrong, the answer is the
same and takes as long; an account that nobody has is locked like any other.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import replace
from email.message import EmailMessage
from enum import StrEnum
from typing import Any, Final

from fhir_dmp.errors import MailRefused, MailUnavailable
from fhir_dmp.identity import accounts as values
from fhir_dmp.identity.accounts import Account, SecondFactor
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.oauth.codes import secret_key
from fhir_dmp.signin import accounts, browsers, tries
from fhir_dmp.signin.browsers import Browser, Login
from fhir_dmp.signin.desk import Desk
from fhir_dmp.signin.texts import CODE_MAIL
from fhir_dmp.signin.visits import Visit, note, told_of_sign_in

ACR: Final = "mfa"
_MAX_DEVICES: Final = 20
#: Kind of the records that count the tries of one code.
_TRIES: Final = "code-tries"


class Outcome(StrEnum):
    """How one attempt went. WRONG says no more: not which part, nor whether the account exists."""

    AWAITS_CODE = "awaits-code"
    SIGNED_IN = "signed-in"
    WRONG = "wrong"
    LOCKED = "locked"
    EXPIRED = "expired"
    NO_MAIL = "no-mail"


def first(login: str, password: str, browser: Browser, desk: Desk, visit: Visit) -> tuple[Outcome, Browser]:
    """Check identifier and password; when they are right, a code is awaited."""
    if tries.locked_s(login, visit.address, desk):
        return Outcome.LOCKED, browser
    account = _usable(accounts.of_login(login, desk), desk)
    if not values.is_password(account, password) or account is None:
        return _failed(login, account, browser, desk, visit), browser
    challenge = {
        "account": account.id,
        "login": account.login,
        "second": account.second.value,
        "until_ms": desk.now_ms() + values.CODE_LIFE_MS,
        "salt": secrets.token_urlsafe(16),
        "digest": "",
    }
    if account.second is SecondFactor.EMAIL:
        code = f"{secrets.randbelow(10**values.CODE_DIGITS):0{values.CODE_DIGITS}d}"
        challenge["digest"] = values.code_digest(code, str(challenge["salt"]))
        if not _sent(account, code, browser, desk):
            return Outcome.NO_MAIL, browser
    return Outcome.AWAITS_CODE, browsers.keep(replace(browser, challenge=challenge), desk)


def _usable(account: Account | None, desk: Desk) -> Account | None:
    """Leave out the accounts of professionals where those must sign in upstream."""
    allowed = desk.services.settings.security.local_professionals
    if account is None or (account.kind is values.AccountClass.PROFESSIONAL and not allowed):
        return None
    return account


def second(typed: str, browser: Browser, desk: Desk, visit: Visit) -> tuple[Outcome, Browser]:
    """Check the code; when it is right, somebody has signed in, in a browser with a new cookie."""
    challenge = browser.challenge
    if challenge is None:
        return Outcome.EXPIRED, browser
    if tries.locked_s(challenge["login"], visit.address, desk):
        return Outcome.LOCKED, _forget(browser, desk)
    account = accounts.get(challenge["account"], desk)
    if account is None or account.disabled or desk.now_ms() >= challenge["until_ms"]:
        return Outcome.EXPIRED, _forget(browser, desk)
    # Counted before it is checked, under the name of this one code: tries that come together, from however many
    # copies of the cookie, do not get more than five between them. The count is left to expire after the code.
    counted = desk.change(
        _TRIES, secret_key(challenge["salt"]), 2 * values.CODE_LIFE_MS, lambda old: {"tries": old.get("tries", 0) + 1}
    )
    if counted is None or counted["tries"] > values.TRIES:
        return Outcome.LOCKED, _forget(browser, desk)
    if not _is_right(typed, challenge, account, desk):
        return _failed(account.login, account, browser, desk, visit), browser
    return Outcome.SIGNED_IN, _signed_in(account, browser, desk, visit)


def _is_right(typed: str, challenge: Mapping[str, Any], account: Account, desk: Desk) -> bool:
    code = values.digits(typed)
    if challenge["second"] == SecondFactor.EMAIL:
        digest = values.code_digest(code, challenge["salt"])
        return bool(challenge["digest"]) and hmac.compare_digest(digest, challenge["digest"])
    step = values.totp_step(account, code, desk.now_ms())
    if step is None:
        return False

    def use(one: Account) -> Account | None:
        return replace(one, last_totp=step) if step > one.last_totp else None

    return accounts.change(account.id, use, desk).last_totp == step


def _signed_in(account: Account, browser: Browser, desk: Desk, visit: Visit) -> Browser:
    tries.forgiven(account.login, desk)
    device = secret_key(f"{account.id} {visit.agent}")
    known = device in account.devices
    if not known:
        account = accounts.change(
            account.id, lambda one: replace(one, devices=(*one.devices, device)[-_MAX_DEVICES:]), desk
        )
    now = desk.now_ms()
    login = Login(secrets.token_urlsafe(16), account, ACR, ("pwd", "otp"), auth_time_ms=now, since_ms=now)
    told = () if known else told_of_sign_in(desk, account, "new-device", visit)
    note(desk, visit, person(account), "login", details=() if known else (("device", "new"),), notices=told)
    return browsers.signed_in(replace(browser, challenge=None), login, desk)


def person(account: Account, client: str = "") -> Caller:
    """Return the person of an account as the audit trail names them, before any role is chosen."""
    actor = {
        values.AccountClass.PATIENT: Actor.PATIENT,
        values.AccountClass.PROFESSIONAL: Actor.PROFESSIONAL,
        values.AccountClass.AUDITOR: Actor.AUDITOR,
    }[account.kind]
    return Caller(
        actor, account.subject, client=client, name=account.name, professional=account.number or None,
        fhir_user=account.fhir_user or None,
    )  # fmt: skip


def _failed(login: str, account: Account | None, browser: Browser, desk: Desk, visit: Visit) -> Outcome:
    locked = tries.failed(login, visit.address, desk)
    who = person(account) if account else Caller(Actor.PATIENT, "unknown")
    told = told_of_sign_in(desk, account, "locked", visit) if locked and account else ()
    reason = "locked" if locked else "credentials"
    note(desk, visit, who, "login-failure", outcome="8", reason=reason, notices=told)
    return Outcome.WRONG


def _forget(browser: Browser, desk: Desk) -> Browser:
    return browsers.keep(replace(browser, challenge=None), desk)


def _sent(account: Account, code: str, browser: Browser, desk: Desk) -> bool:
    """Send the code; the message holds nothing else."""
    if desk.mailer is None or not account.email:
        return False
    subject, text = CODE_MAIL["en" if (browser.language or account.language) == "en" else "fr"]
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = desk.services.settings.mail.sender, account.email, subject
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text.format(code=code, minutes=values.CODE_LIFE_MS // 60_000))
    try:
        desk.mailer.send(message)
    except (MailUnavailable, MailRefused):
        return False
    return True
