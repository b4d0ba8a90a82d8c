"""The way from an authorization request to a code: who, as what, for which patient, and with whose agreement.

[security 2.3, processing order; 2.4]. A request under way is a record; each visit asks `next_step` what is missing,
shows that page or goes on. Nothing is decided twice: what a form posts is checked by the same rules.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from fhir_dmp.access.decision import Decision, Op
from fhir_dmp.identity.accounts import AccountClass
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.identity.granting import ACCESS_MODE, grant, is_within, limit_of, read
from fhir_dmp.identity.scopes import parse
from fhir_dmp.identity.upstream import Practice
from fhir_dmp.interactions import gather
from fhir_dmp.oauth.clients import Client, UserClass
from fhir_dmp.oauth.codes import secret_key
from fhir_dmp.signin import agreements, launches
from fhir_dmp.signin.browsers import Browser, Login
from fhir_dmp.signin.desk import Desk
from fhir_dmp.signin.launches import Launch, launch_of
from fhir_dmp.signin.people import offered_patients
from fhir_dmp.signin.requests import AuthorizationRequest, Redirected, recipient, request_of
from fhir_dmp.signin.requests import read as read_request

KIND: Final = "authorization"
LIFE_MS: Final = 30 * 60_000
#: A professional without authorisation may be let in: recording the patient's authorisation is what comes next.
_PASSABLE: Final = frozenset({"authorisation-missing", "authorisation-expired"})
_HOLDERS: Final = (Actor.PATIENT, Actor.REPRESENTATIVE, Actor.DELEGATE)
MAX_REASON: Final = 500
MIN_REASON: Final = 10


class Step(StrEnum):
    """What is missing, in the order in which it is asked."""

    SIGN_IN = "sign-in"
    PROFILE = "profile"
    PRACTICE = "practice"
    PATIENT = "patient"
    REASON = "reason"
    CONSENT = "consent"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Pending:
    """A request under way. id: secret, in the URL of its pages. profile, practice: index of what was chosen, -1 before.

    browser: key of the browser it belongs to, "" before the first page. patient: logical id, chosen or of the launch.
    """

    id: str
    request: AuthorizationRequest
    started_ms: int
    launch: Launch | None = None
    browser: str = ""
    profile: int = -1
    practice: int = -1
    patient: str = ""
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, without its id."""
        return {
            "request": self.request.to_json(),
            "started_ms": self.started_ms,
            "launch": self.launch.to_json() if self.launch else None,
            "browser": self.browser,
            "profile": self.profile,
            "practice": self.practice,
            "patient": self.patient,
            "reason": self.reason,
        }


def start(pairs: Iterable[tuple[str, str]], desk: Desk) -> Pending:
    """Check a request and keep it.

    Raises:
        NotRedirected: a page, never a redirect. Refusal: to be redirected.
    """
    given = list(pairs)
    client, reply = recipient(given, desk.clients.get)
    try:
        request = read_request(given, client, reply, desk.services.base)
        if not _grantable(request, client, desk):
            raise Redirected("invalid_scope", "nothing of the scopes asked for may be granted to this client")
        launch = _launch_of(request, desk)
    except Redirected as refused:
        raise Refusal(refused, reply.redirect_uri, reply.state) from refused
    pending = Pending(secrets.token_urlsafe(24), request, desk.now_ms(), launch)
    if launch is not None:
        pending = replace(pending, patient=launch.patient)
    return keep(pending, desk)


class Refusal(Exception):
    """A refusal together with where it is told."""

    def __init__(self, refused: Redirected, redirect_uri: str, state: str | None) -> None:
        super().__init__(str(refused))
        self.refused = refused
        self.redirect_uri = redirect_uri
        self.state = state


def _launch_of(request: AuthorizationRequest, desk: Desk) -> Launch | None:
    if not request.launch:
        return None
    launch = launches.use(request.launch, request.client_id, desk)
    if launch is None:
        raise Redirected("invalid_request", "the launch is unknown, has expired, was used, or is another client's")
    return launch


def keep(pending: Pending, desk: Desk) -> Pending:
    """Keep a request under way."""
    desk.keep(KIND, secret_key(pending.id), pending.to_json(), LIFE_MS)
    return pending


def find(id_: str, desk: Desk) -> Pending | None:
    """Return a request under way."""
    body = desk.read(KIND, secret_key(id_))
    if body is None:
        return None
    launch = body["launch"]
    return Pending(
        id_,
        request_of(body["request"]),
        body["started_ms"],
        launch_of(launch) if launch else None,
        body["browser"],
        body["profile"],
        body["practice"],
        body["patient"],
        body["reason"],
    )


def drop(pending: Pending, desk: Desk) -> bool:
    """Use a request up; only one visit wins."""
    return desk.take(KIND, secret_key(pending.id)) is not None


# --- who -------------------------------------------------------------------------------------------------------------


def classes(client: Client, request: AuthorizationRequest) -> frozenset[AccountClass]:
    """Return who may sign in through a client."""
    names = {
        UserClass.PATIENT: AccountClass.PATIENT,
        UserClass.PROFESSIONAL: AccountClass.PROFESSIONAL,
        UserClass.AUDITOR: AccountClass.AUDITOR,
    }
    found = frozenset(names[each] for each in client.user_classes if each in names)
    emergency = mode_of(request) is not Mode.NORMAL or "__secret_connection" in request.scopes
    return found & {AccountClass.PROFESSIONAL} if emergency or request.launch else found


def mode_of(request: AuthorizationRequest) -> Mode:
    """Return the access mode that the scopes claim.

    Raises:
        Redirected: an unknown mode, or several.
    """
    named = {scope.removeprefix(ACCESS_MODE) for scope in request.scopes if scope.startswith(ACCESS_MODE)}
    if not named:
        return Mode.NORMAL
    if len(named) > 1 or not named <= {mode.value for mode in Mode}:
        raise Redirected("invalid_scope", "one access mode at a time: normal, bris_de_glace or centre_15")
    return Mode(named.pop())


def must_sign_in(pending: Pending, login: Login | None, client: Client, now_ms: int) -> bool:
    """Say whether somebody (else, or again) has to sign in."""
    if login is None or login.account.kind not in classes(client, pending.request):
        return True
    request = pending.request
    fresh = login.since_ms >= pending.started_ms
    if "login" in request.prompts and not fresh:
        return True
    return request.max_age >= 0 and not fresh and now_ms - login.auth_time_ms > request.max_age * 1000


def practices(login: Login, pending: Pending) -> tuple[Practice, ...]:
    """Return the work situations to choose from: those that the request or the launch leaves."""
    every = login.account.practices
    wanted = pending.request.work_situation or (pending.launch.work_situation if pending.launch else "")
    if not wanted:
        return every
    situation, _, structure = wanted.partition("|")
    return tuple(
        each for each in every if each.work_situation == situation and (not structure or each.structure == structure)
    )


def caller_of(pending: Pending, login: Login, client: Client, scope: str = "") -> Caller:
    """Return who asks, in the role chosen so far; nobody's patient before one is chosen."""
    account = login.account
    app, classes_read, classes_written = client.as_application
    if account.kind is AccountClass.PROFESSIONAL:
        practice = login.account.practices[pending.practice]
        return Caller(
            Actor.PROFESSIONAL,
            account.subject,
            client=client.client_id,
            name=account.name,
            professional=account.number,
            structure=practice.structure,
            patient=pending.patient or None,
            roles=practice.roles,
            mode=mode_of(pending.request),
            reason=pending.reason or None,
            regulator=account.regulator,
            secret="__secret_connection" in pending.request.scopes,
            scopes=parse(scope),
            fhir_user=account.fhir_user or None,
            sector=practice.sector,
            app=app,
            app_classes=classes_read,
            app_write_classes=classes_written,
        )
    if account.kind is AccountClass.AUDITOR:
        return Caller(
            Actor.AUDITOR, account.subject, client=client.client_id, name=account.name,
            fhir_user=account.fhir_user or None, scopes=parse(scope),
        )  # fmt: skip
    profile = account.profiles[pending.profile]
    return Caller(
        profile.actor,
        account.subject,
        client=client.client_id,
        name=account.name,
        patient=profile.patient,
        scopes=parse(scope),
        delegation=(profile.delegation,) if profile.delegation else (),
        fhir_user=None if profile.actor is Actor.PATIENT else profile.fhir_user,
        app=app,
        app_classes=classes_read,
        app_write_classes=classes_written,
    )


# --- what is missing -------------------------------------------------------------------------------------------------


def next_step(pending: Pending, browser: Browser, client: Client, desk: Desk) -> tuple[Step, Pending]:
    """Return what is missing, with everything chosen that leaves no choice.

    Raises:
        Redirected: this request cannot succeed.
    """
    if not client.is_active:
        raise Redirected("unauthorized_client", "the client was suspended")
    if not classes(client, pending.request):
        raise Redirected("unauthorized_client", "the client is not registered for the people whom this request needs")
    silent = "none" in pending.request.prompts
    login = browser.login
    if must_sign_in(pending, login, client, desk.now_ms()) or login is None:
        return _ask(Step.SIGN_IN, "login_required", pending, silent)
    if login.account.kind is AccountClass.PROFESSIONAL:
        _check_launch_user(pending, login)
        pending = _with_practice(pending, login)
        if pending.practice < 0:
            return _ask(Step.PRACTICE, "interaction_required", pending, silent)
    elif login.account.kind is AccountClass.PATIENT:
        pending = _with_profile(pending, login)
        if pending.profile < 0:
            return _ask(Step.PROFILE, "account_selection_required", pending, silent)
    caller = caller_of(pending, login, client)
    granted = granted_to(caller, pending, client)
    if caller.actor is Actor.PROFESSIONAL and needs_patient(granted, pending) and not pending.patient:
        return _ask(Step.PATIENT, "interaction_required", pending, silent)
    if caller.mode is not Mode.NORMAL and not pending.reason:
        return _ask(Step.REASON, "interaction_required", pending, silent)
    refuse_denied(caller, desk)
    if _must_agree(pending, caller, client, granted, desk):
        return _ask(Step.CONSENT, "consent_required", pending, silent)
    return Step.DONE, pending


def _ask(step: Step, error: str, pending: Pending, silent: bool) -> tuple[Step, Pending]:
    if silent:
        raise Redirected(error, f"prompt=none, but this needs the step {step.value}")
    return step, pending


def _check_launch_user(pending: Pending, login: Login) -> None:
    if pending.launch is not None and pending.launch.user != login.account.number:
        raise Redirected("access_denied", "the launch was made for somebody else")


def _with_practice(pending: Pending, login: Login) -> Pending:
    possible = practices(login, pending)
    if not possible:
        raise Redirected("access_denied", "no work situation of this person fits")
    every = login.account.practices
    if 0 <= pending.practice < len(every) and every[pending.practice] in possible:
        return pending
    return replace(pending, practice=every.index(possible[0]) if len(possible) == 1 else -1)


def _with_profile(pending: Pending, login: Login) -> Pending:
    profiles = login.account.profiles
    if not profiles:
        raise Redirected("access_denied", "the account gives access to no record")
    if 0 <= pending.profile < len(profiles):
        return pending
    only = len(profiles) == 1 and profiles[0].actor is Actor.PATIENT
    return replace(pending, profile=0 if only else -1)


def granted_to(caller: Caller, pending: Pending, client: Client) -> str:
    """Return the most that may be granted, before anybody agreed to it.

    Raises:
        Redirected: invalid_scope; nothing, or a mode that this person may not claim.
    """
    if caller.mode is Mode.REGULATION and not caller.regulator:
        raise Redirected("invalid_scope", "only a regulator may claim the mode centre_15")
    granted = grant(" ".join(pending.request.scopes), client.scope, limit_of(caller.actor, caller.mode))
    wanted, had = read(" ".join(pending.request.scopes)), read(granted)
    if not granted or (wanted.resources and not had.resources):
        raise Redirected("invalid_scope", "nothing of the scopes asked for may be granted to this person")
    if caller.mode is not Mode.NORMAL and f"{ACCESS_MODE}{caller.mode.value}" not in had.words:
        raise Redirected("invalid_scope", "the client may not claim this access mode")
    return granted


def _grantable(request: AuthorizationRequest, client: Client, desk: Desk) -> bool:
    """Say whether anybody could be granted anything."""
    mode = mode_of(request)
    actors = {
        AccountClass.PATIENT: (Actor.PATIENT,),
        AccountClass.PROFESSIONAL: (Actor.PROFESSIONAL,),
        AccountClass.AUDITOR: (Actor.AUDITOR,),
    }
    asked = " ".join(request.scopes)
    limits = [
        limit_of(a, mode if a is Actor.PROFESSIONAL else Mode.NORMAL)
        for c in classes(client, request)
        for a in actors[c]
    ]
    found = [grant(asked, client.scope, limit) for limit in limits]
    return not limits or any(read(each).resources if read(asked).resources else each for each in found)


def needs_patient(granted: str, pending: Pending) -> bool:
    """Say whether the token must be about one patient: asked for, implied by a `patient/` scope, or an emergency."""
    scopes = read(granted)
    implied = any(scope.context == "patient" for scope in scopes.resources)
    return implied or "launch/patient" in scopes.words or mode_of(pending.request) is not Mode.NORMAL


def refuse_denied(caller: Caller, desk: Desk) -> Decision | None:
    """Decide on the record that the token would be about.

    Raises:
        Redirected: access_denied; closed, blocked, opposed, no right any more.
    """
    if caller.patient is None:
        return None
    decision, _ = gather.decided(replace(caller, app=None), Op.READ, f"Patient/{caller.patient}", desk.services)
    passable = caller.actor is Actor.PROFESSIONAL and caller.mode is Mode.NORMAL and decision.reason in _PASSABLE
    if not decision.permitted and not passable:
        raise Redirected("access_denied", f"the record may not be entered: {decision.reason or 'not-found'}")
    return decision


def _must_agree(pending: Pending, caller: Caller, client: Client, granted: str, desk: Desk) -> bool:
    if pending.request.prompts and "consent" in pending.request.prompts:
        return True
    if caller.mode is not Mode.NORMAL:
        return True
    known = agreements.remembered(caller, client, desk)
    return known is None or not is_within(granted, known.offered)


def is_choice(pending: Pending, login: Login, patient: str, client: Client, desk: Desk) -> bool:
    """Say whether a professional may pick this patient from the list that was offered."""
    caller = caller_of(pending, login, client)
    return any(each.patient == patient for each in offered_patients(caller, desk))
