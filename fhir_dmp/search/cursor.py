"""Paging links: where a page ended, sealed so that a link reveals nothing and cannot be made up or lent.

AES-SIV (RFC 5297) encrypts and authenticates without a random number, so sealing is a pure function of its arguments.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha512

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from fhir_dmp.errors import BadRequest, Gone
from fhir_dmp.search.query import Position

_PURPOSE = b"fhir-dmp paging link 1"


@dataclass(frozen=True, slots=True)
class Cursor:
    """One page to come.

    parameters: the search that is paged through. position: where it continues, None at the start. backward: towards the
    start. bound: sequence that limits the whole paging. caller: fingerprint of whom the link was given to. expires_ms:
    last moment of the link, UTC. path: what was searched (`DocumentReference`, `Patient/1/Observation`, empty: system).
    """

    path: str
    parameters: tuple[tuple[str, str], ...]
    position: Position | None
    backward: bool
    bound: int
    caller: str
    expires_ms: int


def seal(cursor: Cursor, key: bytes) -> str:
    """Return the cursor as an opaque text for a URL. key: the server's secret, 32 bytes or more."""
    position = cursor.position
    content = [
        cursor.path,
        cursor.parameters,
        None if position is None else [position.values, position.type, position.id],
        cursor.backward,
        cursor.bound,
        cursor.caller,
        cursor.expires_ms,
    ]
    plain = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    padded = plain + b" " * (-len(plain) % 32)  # the length tells less about the search
    return base64.urlsafe_b64encode(_cipher(key).encrypt(padded, [_PURPOSE])).rstrip(b"=").decode()


def unseal(text: str, key: bytes, *, now_ms: int, caller: str) -> Cursor:
    """Return the cursor of a paging link.

    Raises:
        BadRequest: not a link of this server, changed, or given to another caller. Gone: expired.
    """
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        plain = _cipher(key).decrypt(sealed, [_PURPOSE])
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise BadRequest("The paging link is not valid; start the search again.", code="value") from error
    path, parameters, position, backward, bound, owner, expires_ms = json.loads(plain)
    if owner != caller:
        raise BadRequest("The paging link was given to another caller; start the search again.", code="value")
    if now_ms > expires_ms:
        raise Gone("The paging link has expired; start the search again.", code="expired")
    return Cursor(
        path=path,
        parameters=tuple((name, value) for name, value in parameters),
        position=None if position is None else Position(tuple(position[0]), position[1], position[2]),
        backward=backward,
        bound=bound,
        caller=owner,
        expires_ms=expires_ms,
    )


@lru_cache(maxsize=8)
def _cipher(key: bytes) -> AESSIV:
    return AESSIV(sha512(_PURPOSE + key).digest())
