"""Registering clients: a new secret, the audit of every change, and two pairs of eyes on what matters. [security 2.9]

What an administrator wants to change of redirect URIs, keys or scopes is kept as a proposal until another one agrees.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from fhir_dmp.errors import Forbidden, NotFound, Unprocessable
from fhir_dmp.oauth.authenticate import hash_secret
from fhir_dmp.oauth.authority import Authority, Request
from fhir_dmp.oauth.clients import Client, Method, Status
from fhir_dmp.oauth.errors import OAuthError
from fhir_dmp.oauth.records import client_json, client_of
from fhir_dmp.oauth.revoke import end_client
from fhir_dmp.ports import StateRecord

PROPOSAL: Final = "client-change"
#: How long a proposal waits for a second administrator, in ms.
WAITS_MS: Final = 30 * 24 * 3600 * 1000
#: A change of any of these needs a second administrator; a client that is new needs one as well.
FOUR_EYES: Final = ("redirect_uris", "launch_uris", "jwks", "jwks_uri", "certificate", "scope", "grant_types",
                    "token_endpoint_auth_method", "secret_hash", "introspects", "bulk", "structure")  # fmt: skip
Json = dict[str, Any]


def shown(client: Client) -> Json:
    """Return the client as people may see it."""
    values = client_json(client)
    values.pop("secret_hash", None)
    return values


def with_secret(values: Mapping[str, Any]) -> tuple[Client, str]:
    """Read a new client, and make its secret when it proves itself by one; the secret is told once.

    Raises:
        Unprocessable: what cannot be registered.
    """
    given = {name: value for name, value in values.items() if name != "secret_hash"}
    if given.get("token_endpoint_auth_method") != Method.BASIC.value:
        return client_of(given), ""
    secret = secrets.token_urlsafe(32)
    return client_of({**given, "secret_hash": hash_secret(secret)}), secret


def register(authority: Authority, client: Client, who: str, request: Request) -> None:
    """Add a client to the registry.

    Raises:
        Conflict: its id is taken.
    """
    authority.clients.add(client)
    _audit(authority, request, who, f"client {client.client_id} registered")


def register_pending(authority: Authority, metadata: Mapping[str, Any], request: Request) -> Json:
    """Register a client as it describes itself (RFC 7591): pending, until an administrator approves it.

    Raises:
        OAuthError: invalid_token; invalid_client_metadata with what is wrong.
    """
    expected = authority.services.settings.security.registration_token
    scheme, _, token = request.authorization.partition(" ")
    if not expected or scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), expected.encode()):
        raise OAuthError("invalid_token", "Registration needs the initial access token.")
    taken = {name: value for name, value in metadata.items() if name in _OWN_WORDS}
    unknown = sorted(metadata.keys() - taken.keys())
    if unknown:
        raise OAuthError("invalid_client_metadata", f"Not taken from the client itself: {', '.join(unknown)[:200]}.")
    # One that waits for approval has no people yet: an administrator says which may sign in.
    people = {"user_classes": ["patient"]} if taken.get("redirect_uris") else {}
    given = {"kind": "lps", **people, **taken, "client_id": secrets.token_urlsafe(12), "status": Status.PENDING.value}
    try:
        client, secret = with_secret(given)
    except Unprocessable as error:
        raise OAuthError(
            "invalid_client_metadata", " ".join(each.diagnostics for each in error.issues)[:500]
        ) from error
    register(authority, client, f"registration {client.client_id}", request)
    return {**shown(client), **({"client_secret": secret, "client_secret_expires_at": 0} if secret else {})}


#: What a client may say of itself; the rest (kind, people, structure, referencing) is the administrator's word.
_OWN_WORDS: Final = frozenset(
    ("client_name", "redirect_uris", "grant_types", "token_endpoint_auth_method", "scope", "contacts", "jwks",
     "jwks_uri", "post_logout_redirect_uris")
)  # fmt: skip


def change(authority: Authority, client: Client, who: str, request: Request, *, what: str = "changed") -> None:
    """Replace a client; a suspension ends what was issued to it.

    Raises:
        NotFound: there is none. StateConflict: it changed meanwhile.
    """
    authority.clients.change(client)
    if client.status is not Status.ACTIVE:
        end_client(authority, client.client_id)
    _audit(authority, request, who, f"client {client.client_id} {what}")


def set_status(authority: Authority, client_id: str, status: Status, who: str, request: Request) -> None:
    """Suspend or restore a client; one pair of eyes is enough, because it must be fast.

    Raises:
        NotFound: there is none.
    """
    client = known(authority, client_id)
    change(authority, replace(client, status=status), who, request, what=status.value)


def new_secret(authority: Authority, client_id: str, who: str, request: Request) -> str:
    """Give a client another secret, and return it; the old one stops working.

    Raises:
        NotFound: there is no such client. Forbidden: it has no secret.
    """
    client = known(authority, client_id)
    if client.method is not Method.BASIC:
        raise Forbidden(f"The client '{client_id}' proves itself by {client.method.value}, not by a secret.")
    secret = secrets.token_urlsafe(32)
    change(authority, replace(client, secret_hash=hash_secret(secret)), who, request, what="secret rotated")
    return secret


def known(authority: Authority, client_id: str) -> Client:
    """Return a client of the registry.

    Raises:
        NotFound: there is none.
    """
    client = authority.clients.get(client_id)
    if client is None:
        raise NotFound(f"There is no client '{client_id[:100]}'.")
    return client


def needs_agreement(before: Client | None, after: Client) -> bool:
    """Say whether a second administrator must agree."""
    if before is None:
        return True
    old, new = client_json(before), client_json(after)
    return any(old.get(name) != new.get(name) for name in FOUR_EYES)


def propose(authority: Authority, client: Client, who: str, request: Request) -> Json:
    """Change a client at once where one administrator may, else keep the change until another agrees.

    Returns `{"status": "applied"}`, or `{"status": "proposed", "change": id}`.
    """
    before = authority.clients.get(client.client_id)
    if before is not None and not needs_agreement(before, client):
        change(authority, client, who, request)
        return {"status": "applied", "client": shown(client)}
    id_, now_ms = secrets.token_urlsafe(16), authority.now_ms()
    body = {"by": who, "client": client_json(client), "new": before is None}
    authority.state.put(StateRecord(PROPOSAL, id_, json.dumps(body), now_ms + WAITS_MS), now_ms, expected=0)
    _audit(authority, request, who, f"client {client.client_id} change {id_} proposed")
    return {"status": "proposed", "change": id_, "client": shown(client)}


def proposals(authority: Authority) -> list[Json]:
    """Return the changes that wait for a second administrator."""
    records = authority.state.listed(PROPOSAL, authority.now_ms())
    return [_proposal(record) for record in records]


def _proposal(record: StateRecord) -> Json:
    body = json.loads(record.body)
    return {"change": record.key, "by": body["by"], "new": body["new"], "client": shown(client_of(body["client"]))}


def agree(authority: Authority, id_: str, who: str, request: Request) -> Json:
    """Apply a proposed change, as another administrator than the one who proposed it.

    Raises:
        NotFound: no such proposal. Forbidden: it is one's own. Conflict, StateConflict: the client changed meanwhile.
    """
    record = authority.state.get(PROPOSAL, id_, authority.now_ms())
    if record is None:
        raise NotFound("There is no such change waiting.")
    body = json.loads(record.body)
    if body["by"] == who:
        raise Forbidden("A change is agreed to by another administrator than the one who proposed it.")
    if authority.state.take(PROPOSAL, id_, authority.now_ms()) is None:
        raise NotFound("There is no such change waiting.")
    client = client_of(body["client"])
    if body["new"]:
        register(authority, client, who, request)
    else:
        change(authority, client, who, request, what=f"change {id_} agreed")
    return {"status": "applied", "client": shown(client)}


def withdraw(authority: Authority, id_: str, who: str, request: Request) -> None:
    """Drop a proposed change.

    Raises:
        NotFound: no such proposal.
    """
    if authority.state.take(PROPOSAL, id_, authority.now_ms()) is None:
        raise NotFound("There is no such change waiting.")
    _audit(authority, request, who, f"client change {id_} withdrawn")


def _audit(authority: Authority, request: Request, who: str, what: str) -> None:
    authority.record(request, "configuration", client_id=who, details=(("registry", what),))
