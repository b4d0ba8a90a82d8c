"""A set of signing keys as a value: one key signs, all of them verify, the public half is published.

RFC 7517. The `kid` is the thumbprint of RFC 7638 and is compared as an opaque string. Making keys and keeping them in
files is the business of fhir_dmp.keyring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from fhir_dmp.errors import ConfigurationError, Problem


class Keys(Protocol):
    """The keys of one purpose, as they are now: another process may rotate them while this one runs."""

    @property
    def keys(self) -> tuple[RSAKey, ...]:
        """Every key that verifies or will."""

    @property
    def current(self) -> RSAKey:
        """The key that signs."""

    @property
    def generation(self) -> int:
        """Another number whenever a key was added or removed: what was verified before is verified again."""

    def find(self, kid: str) -> RSAKey | None:
        """Return the key of that id, or None."""

    def public(self) -> dict[str, Any]:
        """Return the JWK Set to publish: public members only."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The keys of one purpose, the signing one first. Never share them between two purposes."""

    keys: tuple[RSAKey, ...]

    @property
    def current(self) -> RSAKey:
        """The key that signs."""
        return self.keys[0]

    @property
    def generation(self) -> int:
        """A value never changes."""
        return 0

    def find(self, kid: str) -> RSAKey | None:
        """Return the key of that id, or None."""
        return next((key for key in self.keys if key.kid == kid), None)

    def public(self) -> dict[str, Any]:
        """Return the JWK Set to publish: public members only."""
        return {"keys": [{**key.as_dict(private=False), "use": "sig", "alg": "RS256"} for key in self.keys]}

    def private(self) -> dict[str, Any]:
        """Return the JWK Set to keep secret, in the order that `from_jwks` expects."""
        return {"keys": [key.as_dict(private=True) for key in self.keys]}


def from_jwks(jwks: Mapping[str, Any], where: str) -> SigningKeys:
    """Read a private JWK Set; `where` names its origin in errors.

    Raises:
        ConfigurationError: not a set of private RSA keys of at least 2048 bits.
    """
    try:
        keys = tuple(RSAKey.import_key({**jwk, "kid": str(jwk["kid"])}) for jwk in jwks["keys"])
    except (KeyError, TypeError, ValueError, JoseError) as error:
        raise ConfigurationError(Problem(where, "not a set of RSA keys", "restore the file or remove it")) from error
    if not keys or not all(key.is_private for key in keys):
        raise ConfigurationError(Problem(where, "holds no private key", "restore the file or remove it"))
    if any(key.public_key.key_size < 2048 for key in keys):
        raise ConfigurationError(Problem(where, "holds a key of less than 2048 bits", "replace it"))
    return SigningKeys(keys)
