"""The only opener of key files: made on first start, readable by the owner only, kept from then on.

Several workers may start together: the file appears by an atomic link, so the first to finish wins and the others read
its keys. https://www.rfc-editor.org/rfc/rfc7517 for the content of the signing keys.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc.jwk import RSAKey

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
    file = settings.store.file
    return Path(file).parent / "keys" if file else Path("var/keys")


#: Keys of tokens, by purpose: never one key for two.
PURPOSES = ("access-token", "id-token")
#: A new key is published so long before it signs: whoever keeps a copy of the key set has it by then.
ANNOUNCED_S = 24 * 3600
#: So long a key that signs no more still verifies: twice the longest life of a token.
KEPT_S = 2 * 3600
#: How often a running process looks for rotated keys, in s.
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The keys of a purpose as they are filed. uses: kid -> since when it signs, seconds since the epoch."""

    keys: tuple[RSAKey, ...]
    uses: Mapping[str, int]

    def since(self, key: RSAKey) -> int:
        """Return since when a key signs; the first one always did."""
        return self.uses.get(str(key.kid), 0)

    def at(self, now_s: float) -> SigningKeys:
        """Return the keys in the order of a moment: the one that signs first."""
        ready = sorted((key for key in self.keys if self.since(key) <= now_s), key=self.since, reverse=True)
        coming = [key for key in self.keys if self.since(key) > now_s]
        return SigningKeys((*(ready or coming[:1]), *(coming if ready else coming[1:])))

    def dumped(self) -> bytes:
        """Return what is written."""
        return json.dumps({**SigningKeys(self.keys).private(), "uses": dict(self.uses)}).encode()


def path_of(folder: Path, purpose: str) -> Path:
    """Return the file of the keys of a purpose."""
    return folder / f"{purpose}.jwks.json"


def key_file(folder: Path, purpose: str) -> KeyFile:
    """Return the filed keys of a purpose, making one when the folder holds none.

    Raises:
        ConfigurationError: the folder cannot be written, or the file is not what this module wrote.
    """
    path = path_of(folder, purpose)
    content = _read(path) or _keep(path, _new_jwks)
    try:
        jwks = json.loads(content)
        uses = {str(kid): int(since) for kid, since in jwks.get("uses", {}).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(Problem(str(path), "not JSON", "restore the file or remove it")) from error
    return KeyFile(from_jwks(jwks, str(path)).keys, uses)


def signing_keys(folder: Path, purpose: str = "access-token") -> SigningKeys:
    """Return the signing keys of a purpose as they are filed, making one when the folder holds none.

    Raises:
        ConfigurationError: the folder cannot be written, or the file is not what this module wrote.
    """
    return key_file(folder, purpose).at(time.time())


def rotate(folder: Path, purpose: str, now_s: float, *, at_once: bool = False, alone: bool = False) -> KeyFile:
    """File a new key; running processes take it up within LOOK_S.

    It signs after ANNOUNCED_S, or at once. alone: every other key is removed, so that no token issued until now is
    good any more. Keys that stopped signing more than KEPT_S ago are dropped.
    """
    before = key_file(folder, purpose)
    fresh = RSAKey.generate_key(KEY_BITS, auto_kid=True)
    since = int(now_s) if at_once or alone else int(now_s) + ANNOUNCED_S
    kept = () if alone else _still_needed(before, now_s)
    uses = {str(key.kid): before.since(key) for key in kept}
    after = KeyFile((fresh, *kept), {**uses, str(fresh.kid): since})
    _replace(folder / f"{purpose}.jwks.json", after.dumped())
    return after


def _still_needed(filed: KeyFile, now_s: float) -> tuple[RSAKey, ...]:
    """Return the keys without those whose successor has been signing for long enough."""
    order = sorted(filed.keys, key=filed.since, reverse=True)
    successors = (None, *order)
    pairs = zip(order, successors, strict=False)
    return tuple(key for key, next_ in pairs if next_ is None or filed.since(next_) + KEPT_S > now_s)


class LiveKeys:
    """The keys of a purpose, as the file says now. Thread safe; the file is looked at every LOOK_S at most."""

    def __init__(self, folder: Path, purpose: str, now_s: Callable[[], float]) -> None:
        self._folder = folder
        self._purpose = purpose
        self._path = folder / f"{purpose}.jwks.json"
        self._now_s = now_s
        self._looked = -LOOK_S
        self.changes = 0
        self._filed = key_file(folder, purpose)
        self._stamp = self._stamped()
        self._keys = self._look()

    def _stamped(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_ino

    def _look(self) -> SigningKeys:
        self._looked = time.monotonic()
        with contextlib.suppress(OSError, ConfigurationError):  # a damaged file changes nothing of what runs
            stamp = self._stamped()
            if stamp != self._stamp:
                self._filed = key_file(self._folder, self._purpose)
                self._stamp = stamp
                self.changes += 1
        self._keys = self._filed.at(self._now_s())
        return self._keys

    def _fresh(self) -> SigningKeys:
        return self._keys if time.monotonic() - self._looked < LOOK_S else self._look()

    @property
    def keys(self) -> tuple[RSAKey, ...]:
        """Every key that verifies or will."""
        return self._fresh().keys

    @property
    def current(self) -> RSAKey:
        """The key that signs."""
        return self._fresh().current

    @property
    def generation(self) -> int:
        """How often the keys have changed."""
        self._fresh()
        return self.changes

    def find(self, kid: str) -> RSAKey | None:
        """Return the key of that id, or None."""
        return self._fresh().find(kid)

    def public(self) -> dict[str, Any]:
        """Return the JWK Set to publish."""
        return self._fresh().public()


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


def master_keys(path: Path) -> tuple[tuple[str, bytes], ...]:
    """Return the master keys of encryption at rest: (key id, bytes), the one that wraps first. Never makes one.

    Raises:
        ConfigurationError: there is no such file, others may read it, or it is not what this module wrote.
    """
    content = _read(path)
    if content is None:
        todo = "restore it; for a new store make one with 'fhir-dmp encryption new-key'"
        raise ConfigurationError(Problem("store.encryption_keys", f"there is no file {path}", todo))
    try:
        rows = json.loads(content)["keys"]
        keys = tuple((str(row["kid"]), _unpadded(row["k"])) for row in rows)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(Problem(str(path), "is no file of master keys", "restore the right file")) from error
    if not keys or any(len(key) != SECRET_BYTES for _, key in keys) or len(dict(keys)) != len(keys):
        raise ConfigurationError(Problem(str(path), f"needs different keys of {SECRET_BYTES} bytes", "restore it"))
    return keys


def new_master_keys(path: Path) -> str:
    """Write a file with a new master key, which must not exist yet; return the key's id.

    Raises:
        ConfigurationError: it exists, or cannot be written.
    """
    kid, key = _new_master()
    content = _keep(path, lambda: _masters(((kid, key),)))
    if content != _masters(((kid, key),)):
        raise ConfigurationError(Problem(str(path), "exists already", "'fhir-dmp encryption rotate' adds a key to it"))
    return kid


def add_master_key(path: Path) -> str:
    """Add a new master key, which wraps from now on; return its id. The others stay and unwrap.

    Raises:
        ConfigurationError: the file cannot be used or written.
    """
    kid, key = _new_master()
    _replace(path, _masters(((kid, key), *master_keys(path))))
    return kid


def keep_master_key(path: Path, kid: str) -> None:
    """Remove every master key but one.

    Raises:
        ConfigurationError: the file cannot be used or written.
    """
    _replace(path, _masters(tuple(pair for pair in master_keys(path) if pair[0] == kid)))


def _new_master() -> tuple[str, bytes]:
    return secrets.token_hex(8), secrets.token_bytes(SECRET_BYTES)


def _masters(keys: tuple[tuple[str, bytes], ...]) -> bytes:
    rows = [{"kty": "oct", "kid": kid, "k": urlsafe_b64encode(key).decode().rstrip("=")} for kid, key in keys]
    return json.dumps({"keys": rows}).encode()


def _unpadded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


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
