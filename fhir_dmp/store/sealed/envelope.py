"""Envelopes: AES-256-GCM over a value, bound to where it belongs. Pure, but for the random nonce.

    version (1 byte) | length of the key's name (1 byte) | name of the key | nonce (12 bytes) | ciphertext and tag

The associated data is the head of the envelope, the field and the place (`DocumentReference/1/3`): an envelope that is
moved to another patient, resource, version or field does not open. [security 8.4] NIST SP 800-38D.
"""

from __future__ import annotations

import os
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_dmp.errors import StoreUnavailable

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
#: No JSON and no zstd frame starts like this.
_VERSION = b"\x01"


class Keys(Protocol):
    """Where the data keys come from."""

    def of(self, name: str) -> AESGCM:
        """Return the key of that name.

        Raises:
            KeyDestroyed: it was destroyed. StoreUnavailable: it is not there.
        """


def sealed(value: bytes, aead: AESGCM, name: str, field: str, place: str) -> bytes:
    """Return the envelope of a value. aead: the key called `name`."""
    named = name.encode()
    head = _VERSION + bytes((len(named),)) + named
    nonce = os.urandom(NONCE_BYTES)
    return head + nonce + aead.encrypt(nonce, value, _bound(head, field, place))


def is_sealed(envelope: bytes) -> bool:
    """Say whether bytes look like an envelope."""
    return envelope[:1] == _VERSION


def name_of(envelope: bytes) -> str:
    """Return the name of the key that an envelope was made with.

    Raises:
        StoreUnavailable: no envelope.
    """
    if not is_sealed(envelope) or len(envelope) < 2:
        raise StoreUnavailable("The store holds data in clear, or of a later release, where it must be encrypted.")
    return envelope[2 : 2 + envelope[1]].decode("utf-8", "replace")


def unsealed(envelope: bytes, keys: Keys, field: str, place: str) -> bytes:
    """Return the value of an envelope.

    Raises:
        KeyDestroyed: its key was destroyed. StoreUnavailable: it was changed, moved, or its key is not there.
    """
    aead = keys.of(name_of(envelope))
    head = 2 + envelope[1]
    body = head + NONCE_BYTES
    try:
        return aead.decrypt(envelope[head:body], envelope[body:], _bound(envelope[:head], field, place))
    except (InvalidTag, ValueError) as error:
        raise StoreUnavailable(f"What the store holds as {field} of {place} was changed or moved.") from error


def _bound(head: bytes, field: str, place: str) -> bytes:
    return b"\0".join((head, field.encode(), place.encode()))
