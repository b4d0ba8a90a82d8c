"""Ending what was issued, and judging whether it may still be renewed. [security 2.5, 2.7], RFC 7009."""

from __future__ import annotations

from typing import Final

from fhir_dmp.errors import Unauthenticated
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.identity.caller import Actor
from fhir_dmp.interactions import gather
from fhir_dmp.oauth import families
from fhir_dmp.oauth.authority import Authority
from fhir_dmp.oauth.clients import Client
from fhir_dmp.oauth.codes import Authorization
from fhir_dmp.oauth.errors import OAuthError
from fhir_dmp.oauth.standing import Holding
from fhir_dmp.patients.dossier import Status
from fhir_dmp.ports import Key

#: Who may still come to a closed record: to reopen it.
HOLDERS: Final = (Actor.PATIENT, Actor.REPRESENTATIVE)


def end_family(authority: Authority, family: str) -> None:
    """End an authorization: its refresh tokens and its access tokens, on every worker within 5 s."""
    families.end(authority.state, family, authority.now_ms())
    authority.standing.deny_family(family)


def end_client(authority: Authority, client_id: str) -> None:
    """End every authorization given to a client. Its access tokens die with its suspension (standing.py)."""
    for family in families.tagged(authority.state, f"client:{client_id}", authority.now_ms()):
        end_family(authority, family.authorization.family)


def end_subject(authority: Authority, subject: str) -> None:
    """End every authorization of a person, and every token: an account that was closed."""
    for family in families.of_subject(authority.state, subject, authority.now_ms()):
        end_family(authority, family.authorization.family)
    authority.standing.deny_subject(subject)


def end_login(authority: Authority, sid: str) -> None:
    """End what lives only as long as a browser login: authorizations with online_access and without offline_access."""
    for family in families.tagged(authority.state, f"sid:{sid}", authority.now_ms()):
        if "offline_access" not in family.authorization.scope.split():
            end_family(authority, family.authorization.family)


def still_valid(authorization: Authorization, authority: Authority) -> None:
    """Judge again, before anything is issued, what was judged when it was authorised.

    Raises:
        OAuthError: invalid_grant; the authorization, its consents or the record have ended.
    """
    caller = authorization.caller
    holding = Holding(family=authorization.family, subject=caller.subject, client_id=authorization.client_id)
    if not authority.standing.holds(holding):
        raise OAuthError("invalid_grant", "The authorization has been ended.")
    if not consents_hold(authorization.consents, authority):
        raise OAuthError("invalid_grant", "The consent has been withdrawn.")
    if caller.patient is not None:
        facts = gather.facts_of(f"Patient/{caller.patient}", authority.services)
        if facts.dossier is Status.NONE or (facts.dossier is Status.CLOSED and caller.actor not in HOLDERS):
            raise OAuthError("invalid_grant", "The record has been closed.")


def consents_hold(consents: tuple[str, ...], authority: Authority) -> bool:
    """Say whether each of these Consents is still active."""
    if not consents:
        return True
    found = authority.services.store.read_many([Key("Consent", each) for each in consents])
    bodies = [parse_stored(version.body) for version in found.values() if not version.deleted]
    return len(bodies) == len(consents) and all(body.get("status") == "active" for body in bodies)


def revoke(token: str, client: Client, authority: Authority) -> str | None:
    """Revoke a token of this client: a refresh token with its family, or one access token. Unknown ones are no error.

    Returns what was revoked, for the audit.

    Raises:
        OAuthError: invalid_grant; the token belongs to another client.
    """
    family = families.family_of_token(authority.state, token, authority.now_ms())
    if family is not None:
        _check_owner(family.authorization.client_id, client)
        end_family(authority, family.authorization.family)
        return f"family {family.authorization.family}"
    try:
        grant = authority.services.verifier.open(token)
    except Unauthenticated:
        return None
    _check_owner(grant.caller.client, client)
    if grant.caller.jti is None:
        return None
    authority.standing.deny_token(grant.caller.jti, (grant.validity.expires + 60) * 1000)
    return f"jti {grant.caller.jti}"


def _check_owner(client_id: str, client: Client) -> None:
    if client_id != client.client_id:
        raise OAuthError("invalid_grant", "The token was issued to another client.")
