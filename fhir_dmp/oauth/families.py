"""Authorizations that go on: a family is all that is issued under one authorization, renewed by refresh tokens.

[security 2.5]: refresh tokens are opaque, 256 bits, kept as SHA-256, replaced at every use. Whoever presents one that
was replaced already ends the family: either the thief or the owner came late, and nobody can tell which.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from fhir_dmp.errors import StateConflict
from fhir_dmp.oauth.codes import Authorization, authorization_of, secret_key
from fhir_dmp.oauth.errors import OAuthError
from fhir_dmp.ports import StateRecord, StateStore

FAMILY: Final = "family"
REFRESH: Final = "refresh"


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long a family may be renewed, in seconds: since its last use, and in all."""

    idle_s: int
    absolute_s: int


@dataclass(frozen=True, slots=True)
class Family:
    """One authorization that is being renewed. started_ms: when it was given; used_ms: when it was last renewed."""

    authorization: Authorization
    started_ms: int
    used_ms: int
    ends_ms: int
    idle_s: int
    version: int = 0


class RefreshReused(OAuthError):
    """A refresh token was presented that had been replaced: `family` must be ended."""

    def __init__(self, family: str, authorization: Authorization) -> None:
        super().__init__("invalid_grant", "The refresh token has been used already.")
        self.family = family
        self.authorization = authorization


def start(state: StateStore, authorization: Authorization, life: Lifetimes, now_ms: int) -> str:
    """Begin a family and return its first refresh token."""
    family = Family(authorization, now_ms, now_ms, now_ms + life.absolute_s * 1000, life.idle_s)
    state.put(_family_record(family), now_ms, expected=0)
    token = secrets.token_urlsafe(32)
    state.put(_token_record(family, token, now_ms), now_ms, expected=0)
    return token


def _family_record(family: Family) -> StateRecord:
    authorization = family.authorization
    body = {
        "authorization": authorization.to_json(),
        "started_ms": family.started_ms,
        "used_ms": family.used_ms,
        "ends_ms": family.ends_ms,
        "idle_s": family.idle_s,
    }
    tags = [f"sub:{authorization.caller.subject}", f"client:{authorization.client_id}"]
    if authorization.sid:
        tags.append(f"sid:{authorization.sid}")
    tags += [f"consent:{each}" for each in authorization.consents]
    return StateRecord(FAMILY, authorization.family, json.dumps(body), _end(family, family.used_ms), tuple(tags))


def _end(family: Family, now_ms: int) -> int:
    return min(family.ends_ms, now_ms + family.idle_s * 1000)


def _token_record(family: Family, token: str, now_ms: int, used_ms: int | None = None) -> StateRecord:
    name = family.authorization.family
    body = json.dumps({"family": name, "used_ms": used_ms})
    # A used one stays known as long as its family may live, so that its reuse is recognised.
    expires = family.ends_ms if used_ms else _end(family, now_ms)
    return StateRecord(REFRESH, secret_key(token), body, expires, (f"family:{name}",))


def _family_of(record: StateRecord) -> Family:
    values: Mapping[str, Any] = json.loads(record.body)
    return Family(
        authorization_of(values["authorization"]),
        values["started_ms"],
        values["used_ms"],
        values["ends_ms"],
        values["idle_s"],
        record.version,
    )


def find(state: StateStore, name: str, now_ms: int) -> Family | None:
    """Return a family that is alive, by the name of its authorization."""
    record = state.get(FAMILY, name, now_ms)
    return None if record is None else _family_of(record)


def of_subject(state: StateStore, subject: str, now_ms: int) -> tuple[Family, ...]:
    """Return the living families of a person, for the management page."""
    return tuple(map(_family_of, state.listed(FAMILY, now_ms, tag=f"sub:{subject}")))


def tagged(state: StateStore, tag: str, now_ms: int) -> tuple[Family, ...]:
    """Return the living families with a tag: `client:ID`, `sid:ID`, `consent:ID`."""
    return tuple(map(_family_of, state.listed(FAMILY, now_ms, tag=tag)))


def family_of_token(state: StateStore, token: str, now_ms: int) -> Family | None:
    """Return the living family that a refresh token belongs to, used or not; for revocation and introspection."""
    record = state.get(REFRESH, secret_key(token), now_ms)
    return None if record is None else find(state, json.loads(record.body)["family"], now_ms)


def is_unused(state: StateStore, token: str, now_ms: int) -> bool:
    """Say whether a refresh token can still be redeemed."""
    record = state.get(REFRESH, secret_key(token), now_ms)
    return record is not None and json.loads(record.body)["used_ms"] is None


@dataclass(frozen=True, slots=True)
class Renewal:
    """A refresh token on its way to be replaced."""

    family: Family
    token: str
    version: int


def present(state: StateStore, token: str, client_id: str, now_ms: int, grace_ms: int = 0) -> Renewal:
    """Look a refresh token up, without using it yet. grace_ms: how long a replaced one still gives its successor.

    Raises:
        RefreshReused: it was replaced before. OAuthError: invalid_grant; unknown, expired, ended, of another client.
    """
    record = state.get(REFRESH, secret_key(token), now_ms)
    family = None if record is None else find(state, json.loads(record.body)["family"], now_ms)
    if record is None or family is None:
        raise OAuthError("invalid_grant", "The refresh token is not known, has expired or was revoked.")
    if family.authorization.client_id != client_id:
        raise OAuthError("invalid_grant", "The refresh token was issued to another client.")
    used_ms = json.loads(record.body)["used_ms"]
    if used_ms is not None and now_ms - used_ms >= grace_ms:
        raise RefreshReused(family.authorization.family, family.authorization)
    return Renewal(family, token, record.version if used_ms is None else 0)


def replace_token(state: StateStore, renewal: Renewal, pepper: bytes, now_ms: int) -> str:
    """Use the refresh token up and return its successor.

    The successor is derived from the token under a secret of this server: within the grace time the same one can be
    given again although only its hash is kept.

    Raises:
        RefreshReused: somebody else was faster.
    """
    family = replace(renewal.family, used_ms=now_ms)
    digest = hmac.new(pepper, renewal.token.encode(), hashlib.sha256).digest()
    successor = urlsafe_b64encode(digest).rstrip(b"=").decode()
    if renewal.version:
        used = _token_record(family, renewal.token, now_ms, used_ms=now_ms)
        try:
            state.put(used, now_ms, expected=renewal.version)
            state.put(_token_record(family, successor, now_ms), now_ms, expected=0)
        except StateConflict as error:
            raise RefreshReused(family.authorization.family, family.authorization) from error
        _touch(state, family, now_ms)
    elif not is_unused(state, successor, now_ms):
        raise RefreshReused(family.authorization.family, family.authorization)
    return successor


def _touch(state: StateStore, family: Family, now_ms: int) -> None:
    """Note the use; a family that was ended at this moment stays ended."""
    try:
        state.put(_family_record(family), now_ms, expected=family.version)
    except StateConflict:
        if find(state, family.authorization.family, now_ms) is None:
            raise OAuthError("invalid_grant", "The authorization has been ended.") from None


def end(state: StateStore, name: str, now_ms: int) -> None:
    """End a family: none of its refresh tokens is good any more. Its access tokens are denied by standing.py."""
    state.remove(FAMILY, name)
    while page := state.listed(REFRESH, now_ms, tag=f"family:{name}"):
        for record in page:
            state.remove(REFRESH, record.key)
