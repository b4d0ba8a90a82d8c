"""`/auth/authorize` and the pages that follow it, one at a time, until the application gets its answer.

[security 2.3, 2.4]. The forms of all steps are posted to one place, `/auth/continue`; what they choose is checked by
the same rules as what is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request

from fhir_dmp.access.decision import Op
from fhir_dmp.errors import DmpError
from fhir_dmp.http.pages import signing
from fhir_dmp.http.pages.site import Fault, Site, Visitor
from fhir_dmp.http.pages.wording import say, spoken
from fhir_dmp.identity.caller import Mode
from fhir_dmp.interactions import gather
from fhir_dmp.oauth.clients import Client
from fhir_dmp.signin import flow, people
from fhir_dmp.signin.browsers import Login
from fhir_dmp.signin.finishing import finish
from fhir_dmp.signin.flow import Pending, Step
from fhir_dmp.signin.requests import Redirected, Reply, answer_of, parameters
from fhir_dmp.signin.visits import note
from fhir_dmp.terminology.national import INS_SYSTEMS


def add(routes: Blueprint, site: Site) -> None:
    """Add the routes."""
    steps = Steps(site)

    @routes.route(site.own("authorize"), methods=["GET", "POST"])
    def authorize() -> Response:
        return steps.authorize()

    @routes.get(site.own("continue"))
    def go_on() -> Response:
        visitor = site.kept(site.visitor())
        pending = steps.under_way(request.args.get("r", ""), visitor)
        return steps.advance(pending, visitor)

    @routes.post(site.own("continue"))
    def go_on_posted() -> Response:
        visitor = site.visitor()
        site.refuse_forged(visitor)
        return steps.posted(steps.under_way(visitor.field("r"), visitor), visitor)


class Steps:
    """The steps of an authorization as pages."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._desk = site.desk
        self._pages: dict[Step, Callable[[Pending, Visitor, Client], Response]] = {
            Step.SIGN_IN: self._sign_in_page,
            Step.PROFILE: self._profile_page,
            Step.PRACTICE: self._practice_page,
            Step.PATIENT: self._patient_page,
            Step.REASON: self._reason_page,
            Step.CONSENT: self._consent_page,
        }
        self._forms: dict[Step, Callable[[Pending, Visitor, Client, Login], Response]] = {
            Step.PROFILE: self._profile,
            Step.PRACTICE: self._practice,
            Step.PATIENT: self._patient,
            Step.REASON: self._reason,
            Step.CONSENT: self._consent,
        }

    # --- the request -------------------------------------------------------------------------------------------------

    def authorize(self) -> Response:
        """Check a request; go on at our own URL, so that a POST from another site meets the cookie there."""
        pairs = parameters(request.query_string)
        if request.method == "POST":
            pairs += parameters(self._site.body())
        try:
            pending = flow.start(pairs, self._desk)
        except flow.Refusal as refusal:
            reply = Reply(refusal.redirect_uri, refusal.state)
            return self._site.redirect(answer_of(refusal.refused, reply, self._site.services.issuer))
        return self._site.redirect(self._site.own(f"continue?r={pending.id}"))

    def under_way(self, id_: str, visitor: Visitor) -> Pending:
        """Return the request of a page; it belongs to the first browser that shows it.

        Raises:
            Fault: gone, or another browser's.
        """
        pending = flow.find(id_, self._desk) if id_ else None
        if pending is None or pending.browser not in ("", visitor.browser.key):
            raise Fault("gone")
        return pending if pending.browser else flow.keep(replace(pending, browser=visitor.browser.key), self._desk)

    def _client(self, pending: Pending) -> Client:
        client = self._desk.clients.get(pending.request.client_id)
        if client is None:
            raise Fault("unknown-client")
        return client

    def advance(self, pending: Pending, visitor: Visitor) -> Response:
        """Show what is missing, or answer the application."""
        client = self._client(pending)
        try:
            step, after = flow.next_step(pending, visitor.browser, client, self._desk)
            if after != pending:
                flow.keep(after, self._desk)
            login = visitor.browser.login
            if step is Step.DONE and login is not None:
                url = finish(after, login, client, None, self._desk, visitor.visit)
                return self._site.redirect(url, visitor)
        except Redirected as refused:
            return self.refused(pending, visitor, refused)
        return self._pages[step](after, visitor, client)

    def refused(self, pending: Pending, visitor: Visitor, refused: Redirected) -> Response:
        """Tell the application that it gets nothing, once, and keep that on record."""
        flow.drop(pending, self._desk)
        login = visitor.browser.login
        if login is not None and refused.error == "access_denied":
            who = replace(signing.person(login.account), client=pending.request.client_id)
            patient = f"Patient/{pending.patient}" if pending.patient else None
            note(self._desk, visitor.visit, who, "access-refused", patient=patient, outcome="8", reason=refused.error)
        url = answer_of(refused, pending.request.reply, self._site.services.issuer)
        return self._site.redirect(url, visitor)

    def posted(self, pending: Pending, visitor: Visitor) -> Response:
        """Take what a form says; a form of another step than the one that is due only leads there."""
        named = visitor.field("step")
        client = self._client(pending)
        if named == "cancel":
            return self.refused(pending, visitor, Redirected("access_denied", "the person refused"))
        if named in signing.STEPS:
            return self._signing(pending, visitor, client)
        try:
            step, after = flow.next_step(pending, visitor.browser, client, self._desk)
            login = visitor.browser.login
            if step.value != named or step not in self._forms or login is None:
                return self._again(pending, visitor)
            return self._forms[step](after, visitor, client, login)
        except Redirected as refused:
            return self.refused(pending, visitor, refused)

    def _again(self, pending: Pending, visitor: Visitor) -> Response:
        return self._site.redirect(self._site.own(f"continue?r={pending.id}"), visitor)

    def _chosen(self, pending: Pending, visitor: Visitor) -> Response:
        flow.keep(pending, self._desk)
        return self._again(pending, visitor)

    # --- signing in --------------------------------------------------------------------------------------------------

    def _signing(self, pending: Pending, visitor: Visitor, client: Client) -> Response:
        browser, fault = signing.attempt(self._site, visitor)
        if fault is not None:
            return self._sign_in_page(pending, replace(visitor, browser=browser), client, fault)
        if browser.key != pending.browser:
            flow.keep(replace(pending, browser=browser.key), self._desk)
        return self._again(pending, replace(visitor, browser=browser))

    def _sign_in_page(
        self, pending: Pending, visitor: Visitor, client: Client, fault: signing.Failure | None = None
    ) -> Response:
        allowed = flow.classes(client, pending.request)
        more = {"request": pending.id, "client": client.name, "leads_to": pending.request.redirect_uri}
        hint = visitor.field("login") or pending.request.login_hint[:100]
        return signing.page(self._site, visitor, allowed, "continue", fault, login=hint, **more)

    # --- choices -----------------------------------------------------------------------------------------------------

    def _profile_page(self, pending: Pending, visitor: Visitor, client: Client, error: str = "") -> Response:
        t = say(visitor.language)
        profiles = visitor.browser.login.account.profiles if visitor.browser.login else ()
        choices = [(str(i), t(f"profile_{each.actor.value}", name=each.name)) for i, each in enumerate(profiles)]
        lead = t("profile_lead", client=client.name)
        return self._choice(pending, visitor, Step.PROFILE, t("profile_title"), lead, choices, error)

    def _practice_page(self, pending: Pending, visitor: Visitor, client: Client, error: str = "") -> Response:
        t = say(visitor.language)
        login = visitor.browser.login
        possible = flow.practices(login, pending) if login else ()
        every = login.account.practices if login else ()
        choices = [(str(every.index(each)), _practice_name(each, t)) for each in possible]
        return self._choice(pending, visitor, Step.PRACTICE, t("practice_title"), t("practice_lead"), choices, error)

    def _choice(
        self, pending: Pending, visitor: Visitor, step: Step, title: str, lead: str, choices: Any, error: str
    ) -> Response:
        return self._site.page(
            visitor,
            "choose.html",
            title,
            status=422 if error else 200,
            leads_to=pending.request.redirect_uri,
            request=pending.id,
            step=step.value,
            lead=lead,
            choices=choices,
            error=error,
            error_field="choice-0" if error else "",
        )

    def _profile(self, pending: Pending, visitor: Visitor, client: Client, login: Login) -> Response:
        index = _index(visitor.field("choice"))
        if index not in range(len(login.account.profiles)):
            return self._profile_page(pending, visitor, client, say(visitor.language)("choose"))
        return self._chosen(replace(pending, profile=index), visitor)

    def _practice(self, pending: Pending, visitor: Visitor, client: Client, login: Login) -> Response:
        index = _index(visitor.field("choice"))
        every = login.account.practices
        if index not in range(len(every)) or every[index] not in flow.practices(login, pending):
            return self._practice_page(pending, visitor, client, say(visitor.language)("choose"))
        return self._chosen(replace(pending, practice=index), visitor)

    # --- the patient -------------------------------------------------------------------------------------------------

    def _patient_page(self, pending: Pending, visitor: Visitor, client: Client, error: str = "") -> Response:
        t = say(visitor.language)
        login = visitor.browser.login
        caller = flow.caller_of(pending, login, client) if login else None
        offered = people.offered_patients(caller, self._desk) if caller and caller.mode is Mode.NORMAL else []
        return self._site.page(
            visitor,
            "patient.html",
            t("patient_title"),
            status=422 if error else 200,
            leads_to=pending.request.redirect_uri,
            request=pending.id,
            patients=offered,
            error=error,
            error_field="ins" if error else "",
        )

    def _patient(self, pending: Pending, visitor: Visitor, client: Client, login: Login) -> Response:
        ins = "".join(visitor.field("ins").split()).upper()
        picked = visitor.field("choice")
        patient: str | None = None
        if ins:
            found = (gather.patient_by_identifier(each, ins, self._desk.services) for each in INS_SYSTEMS)
            patient = next((each for each in found if each is not None), None)
        elif picked and flow.is_choice(pending, login, picked, client, self._desk):
            patient = picked
        if patient is None or not self._exists(replace(pending, patient=patient), login, client):
            return self._patient_page(pending, visitor, client, say(visitor.language)("patient_unknown"))
        return self._chosen(replace(pending, patient=patient), visitor)

    def _exists(self, pending: Pending, login: Login, client: Client) -> bool:
        """Say whether the professional may know that this patient has a record."""
        caller = flow.caller_of(pending, login, client)
        decision, _ = gather.decided(caller, Op.EXIST, f"Patient/{pending.patient}", self._desk.services)
        return decision.permitted

    # --- an emergency ------------------------------------------------------------------------------------------------

    def _reason_page(self, pending: Pending, visitor: Visitor, client: Client, error: str = "") -> Response:
        t = say(visitor.language)
        login = visitor.browser.login
        if login is not None:
            # The setting of the patient comes first: where the access is refused nobody is asked for a reason.
            stated = replace(flow.caller_of(pending, login, client), reason="-" * flow.MIN_REASON)
            try:
                flow.refuse_denied(stated, self._desk)
            except Redirected as refused:
                return self.refused(pending, visitor, refused)
        named = people.patient_name(pending.patient, self._desk)
        return self._site.page(
            visitor,
            "reason.html",
            t("reason_title"),
            status=422 if error else 200,
            leads_to=pending.request.redirect_uri,
            request=pending.id,
            patient=named.name if named else "",
            mode=flow.mode_of(pending.request).value,
            reason=visitor.field("reason"),
            error=error,
            error_field="reason" if error else "",
        )

    def _reason(self, pending: Pending, visitor: Visitor, client: Client, login: Login) -> Response:
        reason = " ".join(visitor.field("reason").split())
        if not flow.MIN_REASON <= len(reason) <= flow.MAX_REASON or not reason.isprintable():
            return self._reason_page(pending, visitor, client, say(visitor.language)("reason_short"))
        return self._chosen(replace(pending, reason=reason), visitor)

    # --- the agreement -----------------------------------------------------------------------------------------------

    def _consent_page(self, pending: Pending, visitor: Visitor, client: Client, error: str = "") -> Response:
        t = say(visitor.language)
        login = visitor.browser.login
        if login is None:
            return self._again(pending, visitor)
        caller = flow.caller_of(pending, login, client)
        scopes = flow.granted_to(caller, pending, client).split()
        data, words = spoken(scopes, t)
        named = people.patient_name(caller.patient, self._desk) if caller.patient else None
        return self._site.page(
            visitor,
            "consent.html",
            t("consent_title", client=client.name),
            status=422 if error else 200,
            leads_to=pending.request.redirect_uri,
            request=pending.id,
            client=client.name,
            patient=named.name if named else "",
            finality=client.referencing.finality.value if client.referencing else "",
            legal=client.legal_entity,
            data=data,
            words=words,
            duration=_duration(scopes, caller.mode),
            error=error,
            error_field="scope-0" if error else "",
        )

    def _consent(self, pending: Pending, visitor: Visitor, client: Client, login: Login) -> Response:
        if visitor.field("decision") != "allow":
            return self.refused(pending, visitor, Redirected("access_denied", "the person refused"))
        offered = flow.granted_to(flow.caller_of(pending, login, client), pending, client).split()
        data, words = spoken(offered, say(visitor.language))
        asked = {scope for scope, _ in (*data, *words)}
        ticked = set(visitor.fields.get("scope", ()))
        if data and not ticked & {scope for scope, _ in data}:
            return self._consent_page(pending, visitor, client, say(visitor.language)("consent_nothing"))
        chosen = [scope for scope in offered if scope not in asked or scope in ticked]
        try:
            url = finish(pending, login, client, chosen, self._desk, visitor.visit)
        except DmpError as error:
            raise Fault("unavailable", status=error.status if error.status >= 500 else 503) from error
        return self._site.redirect(url, visitor)


def _practice_name(practice: Any, t: Callable[..., str]) -> str:
    code = practice.profession[1] + (f" {practice.speciality[1]}" if practice.speciality else "")
    return f"{practice.structure_name or practice.structure or t('practice_none')} ({code})"


def _index(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1


def _duration(scopes: list[str], mode: Mode) -> str:
    if mode is not Mode.NORMAL:
        return "consent_emergency"
    if "offline_access" in scopes:
        return "consent_until"
    return "consent_session" if "online_access" in scopes else "consent_once"
