"""The keys of checkpoints: Ed25519, used for nothing else. https://www.rfc-editor.org/rfc/rfc8037

The signing key is kept away from the record (keyring, or a vault that mounts the file); whoever has the public half can
verify without trusting this server.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from fhir_dmp.audit.chain import Checkpoint, Seal


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The public halves of all keys that ever signed checkpoints, by their id (thumbprint of RFC 7638)."""

    keys: Mapping[str, bytes]

    def verifies(self, checkpoint: Checkpoint, signature: bytes) -> bool:
        """Say whether one of these keys, the one that the checkpoint names, signed it."""
        raw = self.keys.get(checkpoint.key_id)
        if raw is None:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(raw).verify(signature, checkpoint.statement())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class CheckpointKeys:
    """A set of Ed25519 keys: the first signs, all verify."""

    keys: tuple[OKPKey, ...]

    @property
    def key_id(self) -> str:
        """Id of the key that signs."""
        return str(self.keys[0].kid)

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """Return the signature of a checkpoint."""
        raw = _decoded(str(self.keys[0].as_dict(private=True)["d"]))
        return Ed25519PrivateKey.from_private_bytes(raw).sign(checkpoint.statement())

    def sealed(self, checkpoint: Checkpoint, positions: Sequence[int], leaves: bytes) -> Seal:
        """Return the signed checkpoint with what it covers."""
        return Seal(checkpoint, self.sign(checkpoint), tuple(positions), leaves)

    def public(self) -> dict[str, Any]:
        """Return the JWK Set to hand out: public members only."""
        return {"keys": [{**key.as_dict(private=False), "use": "sig", "alg": "EdDSA"} for key in self.keys]}

    def private(self) -> dict[str, Any]:
        """Return the JWK Set to keep secret: of retired keys the public half is enough."""
        current, *retired = self.keys
        return {"keys": [current.as_dict(private=True), *(key.as_dict(private=False) for key in retired)]}

    def verifiers(self) -> PublicKeys:
        """Return the public halves."""
        return public_keys(self.public())

    def rotated(self) -> CheckpointKeys:
        """Return the set with a new signing key; the others go on verifying."""
        return CheckpointKeys((new_key(), *self.keys))


def new_key() -> OKPKey:
    """Make an Ed25519 key."""
    return OKPKey.generate_key("Ed25519", auto_kid=True)


def checkpoint_keys(jwks: Mapping[str, Any]) -> CheckpointKeys:
    """Read a JWK Set whose first key is private.

    Raises:
        ValueError: it is not.
    """
    try:
        keys = tuple(OKPKey.import_key({**jwk, "kid": str(jwk["kid"])}) for jwk in jwks["keys"])
    except (KeyError, TypeError, ValueError, JoseError) as error:
        raise ValueError("not a set of Ed25519 keys") from error
    if not keys or not keys[0].is_private:
        raise ValueError("the first key of the set must be private")
    return CheckpointKeys(keys)


def public_keys(jwks: Mapping[str, Any]) -> PublicKeys:
    """Read public keys from a JWK Set or a single JWK.

    Raises:
        ValueError: none of them is an Ed25519 key.
    """
    listed = jwks.get("keys", [jwks])
    try:
        imported = [OKPKey.import_key({name: jwk[name] for name in ("kty", "crv", "x")}) for jwk in listed]
    except (KeyError, TypeError, ValueError, JoseError) as error:
        raise ValueError("not a set of Ed25519 keys") from error
    if not imported:
        raise ValueError("holds no key")
    return PublicKeys({key.thumbprint(): _decoded(str(key.as_dict(private=False)["x"])) for key in imported})


def public_key_of_pem(pem: bytes) -> PublicKeys:
    """Read one public key from PEM.

    Raises:
        ValueError: it is not an Ed25519 key.
    """
    key = load_pem_public_key(pem)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")
    return public_keys(OKPKey.import_key(pem.decode("ascii")).as_dict(private=False))
