"""The only opener of key files: made on first start, readable by the owner only, kept from then on.

Several workers may start together: the file appears by an atomic link, so the first to finish wins and the others read
its keys. https://www.rfc-editor.org/rfc/rfc7517 for the content of the signing keys.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from fhir_dmp.audit import signing
from fhir_dmp.audit.signing import CheckpointKeys, new_key
from fhir_dmp.errors import ConfigurationError, Problem
from fhir_dmp.identity.keys import SigningKeys, from_jwks
from fhir_dmp.settings import Settings

KEY_BITS = 2048
#: The keys that sign checkpoints of the audit trail; better mounted from a vault than kept here.
CHECKPOINTS = "audit-checkpoint.jwks.json"
SECRET_BYTES = 32


def folder_of(settings: Settings) -> Path:
    """Return where the keys live: as configured, or beside the SQLite file, or var/keys."""
    if settings.security.keys_dir:
        return Path(settings.security.keys_dir)
    url = urlsplit(settings.store.url)
    if url.scheme == "sqlite" and len(url.path) > 1:
        return Path(url.path[1:]).parent / "keys"
    return Path("var/keys")


def signing_keys(folder: Path, purpose: str = "access-token") -> SigningKeys:
    """Return the signing keys of a purpose, making them when the folder holds none.

    Raises:
        ConfigurationError: the folder cannot be written, or the file is not what this module wrote.
    """
    path = folder / f"{purpose}.jwks.json"
    content = _read(path) or _keep(path, _new_jwks)
    try:
        jwks = json.loads(content)
    except ValueError as error:
        raise ConfigurationError(Problem(str(path), "not JSON", "restore the file or remove it")) from error
    return from_jwks(jwks, str(path))


def secret(folder: Path, purpose: str) -> bytes:
    """Return the 32 secret bytes of a purpose (signing cursors, naming persons), making them at first.

    Raises:
        ConfigurationError: the folder cannot be written, or the file is damaged.
    """
    path = folder / f"{purpose}.secret"
    content = _read(path) or _keep(path, lambda: secrets.token_bytes(SECRET_BYTES))
    if len(content) != SECRET_BYTES:
        raise ConfigurationError(Problem(str(path), f"must hold {SECRET_BYTES} bytes", "restore or remove it"))
    return content


def checkpoint_keys(folder: Path) -> CheckpointKeys:
    """Return the keys that sign checkpoints of the audit trail, making one at first.

    Raises:
        ConfigurationError: the folder cannot be written, or the file is damaged.
    """
    path = folder / CHECKPOINTS
    content = _read(path) or _keep(path, lambda: _dumped(CheckpointKeys((new_key(),))))
    try:
        return signing.checkpoint_keys(json.loads(content))
    except ValueError as error:
        raise ConfigurationError(Problem(str(path), str(error), "restore the file")) from error


def rotate_checkpoint_key(folder: Path) -> CheckpointKeys:
    """Add a new signing key of checkpoints; of the old one the public half is kept. Running workers need a restart."""
    keys = checkpoint_keys(folder).rotated()
    _replace(folder / CHECKPOINTS, _dumped(keys))
    return keys


def _dumped(keys: CheckpointKeys) -> bytes:
    return json.dumps(keys.private()).encode()


def _replace(path: Path, content: bytes) -> None:
    own = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        own.replace(path)
    except OSError as error:
        raise _unusable(path, error) from error


def _new_jwks() -> bytes:
    from joserfc.jwk import RSAKey

    key = RSAKey.generate_key(KEY_BITS, auto_kid=True)
    return json.dumps(SigningKeys((key,)).private()).encode()


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise ConfigurationError(Problem(str(path), "others may read this key", f"chmod 600 {path}"))
    return content


def _keep(path: Path, make: Callable[[], bytes]) -> bytes:
    """Write a file that must not exist yet, and return the content that is there afterwards."""
    own = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        try:
            with contextlib.suppress(FileExistsError):  # another worker was faster: its keys count
                os.link(own, path)
        finally:
            own.unlink()
        return path.read_bytes()
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(Problem(str(path), str(error.strerror), "check security.keys_dir and its rights"))
