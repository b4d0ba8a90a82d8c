"""The end of an authorization: the agreement is written down, and the application gets its code.

[security 2.3 to 2.5, 5.7, 6.3].
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from fhir_dmp.errors import DmpError
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.identity.granting import grant, read
from fhir_dmp.oauth.clients import Client
from fhir_dmp.oauth.codes import Authorization, issue_code
from fhir_dmp.signin import agreements, flow
from fhir_dmp.signin.agreements import Agreement
from fhir_dmp.signin.browsers import Login
from fhir_dmp.signin.desk import Desk
from fhir_dmp.signin.flow import Pending
from fhir_dmp.signin.requests import Redirected, success
from fhir_dmp.signin.visits import Visit, note

log = logging.getLogger("fhir_dmp")
_HOLDERS: Final = (Actor.PATIENT, Actor.REPRESENTATIVE, Actor.DELEGATE)


def finish(
    pending: Pending, login: Login, client: Client, chosen: Iterable[str] | None, desk: Desk, visit: Visit
) -> str:
    """Return the URL that brings the code to the application.

    chosen: the scopes that the person left ticked, None when an earlier agreement stands.

    Raises:
        Redirected: it cannot be granted after all.
    """
    caller = flow.caller_of(pending, login, client)
    offered = flow.granted_to(caller, pending, client)
    decision = flow.refuse_denied(caller, desk)
    known = agreements.remembered(caller, client, desk)
    agreed = " ".join(chosen) if chosen is not None else (known.scope if known else "")
    scope = grant(offered, agreed) if agreed else ""
    if not scope or (read(offered).resources and not read(scope).resources):
        raise Redirected("access_denied", "nothing was agreed to")
    if not flow.drop(pending, desk):
        raise Redirected("invalid_request", "this request was answered already")
    consents = [each.rpartition("/")[2] for each in (decision.consent_ids if decision else ())]
    if caller.actor in _HOLDERS:
        consents.append(_recorded(caller, client, known, scope, chosen, desk, visit))
    if chosen is not None and caller.mode is Mode.NORMAL:
        consent = consents[-1] if caller.actor in _HOLDERS else ""
        patient = caller.patient or "" if caller.actor in _HOLDERS else ""
        kept = Agreement(client.client_id, offered, scope, desk.now_ms(), patient, consent)
        agreements.remember(kept, caller, desk)
    if caller.mode is not Mode.NORMAL:
        note(desk, visit, caller, "break-glass-opened", patient=f"Patient/{caller.patient}")
    authorization = _authorization(pending, login, caller, scope, tuple(dict.fromkeys(consents)), desk.services.issuer)
    code = issue_code(desk.state, authorization, desk.now_ms())
    return success(code, pending.request.reply, desk.services.issuer)


def _recorded(
    caller: Caller,
    client: Client,
    known: Agreement | None,
    scope: str,
    chosen: Iterable[str] | None,
    desk: Desk,
    visit: Visit,
) -> str:
    if chosen is None and known is not None and known.consent:
        return known.consent
    try:
        return agreements.record(caller, client, scope, desk, visit)
    except DmpError as error:
        if error.status >= 500:
            raise
        log.warning("an agreement was not taken: %s", error)
        raise Redirected("access_denied", "the record does not take this agreement now") from error


def _authorization(
    pending: Pending, login: Login, caller: Caller, scope: str, consents: tuple[str, ...], issuer: str
) -> Authorization:
    request = pending.request
    return Authorization(
        client_id=request.client_id,
        caller=caller,
        scope=scope,
        auth_time_s=login.auth_time_ms // 1000,
        acr=login.acr,
        amr=login.amr,
        sid=login.sid,
        nonce=request.nonce,
        redirect_uri=request.redirect_uri,
        code_challenge=request.code_challenge,
        context=_context(pending, caller, scope, issuer),
        profile={
            "name": login.account.name,
            "given_name": login.account.given,
            "family_name": login.account.family,
        },
        consents=consents,
    )


def _context(pending: Pending, caller: Caller, scope: str, issuer: str) -> dict[str, Any]:
    """Return the launch context for the token response [security 2.4]."""
    context: dict[str, Any] = {}
    if pending.launch is not None:
        context = {"smart_style_url": f"{issuer}/styles/smart_v1.json", **pending.launch.context}
    if "encounter" in context and not {"launch", "launch/encounter"} & set(scope.split()):
        del context["encounter"]
    if caller.patient is not None and flow.needs_patient(scope, pending):
        context["patient"] = caller.patient
        context.setdefault("need_patient_banner", True)
    if caller.mode is not Mode.NORMAL:
        context["__access_mode"] = caller.mode.value
    return context
