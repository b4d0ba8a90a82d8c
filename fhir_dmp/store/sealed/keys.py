"""Data keys: one for each patient and for each purpose, wrapped by the master key, kept in a StateStore.

A master key never touches data: changing it wraps the data keys again and rewrites nothing else. A destroyed data key
leaves a mark, so that no other is ever made under its name. [security 8.4]
"""

from __future__ import annotations

import json
import os
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_dmp.errors import ConfigurationError, Gone, Problem, StateConflict, StoreUnavailable
from fhir_dmp.ports import StateRecord, StateStore
from fhir_dmp.store.sealed.envelope import KEY_BYTES, NONCE_BYTES

KIND = "data-key"
#: The kind of the mark of an encrypted store.
MARK_KIND = "encryption"
#: Kinds of records that are no state of the authorization server, and are not sealed themselves.
OWN_KINDS = (KIND, MARK_KIND)
SETTING = "store.encryption_keys"
#: So many keys are remembered unwrapped; beyond, all are forgotten and read again.
_REMEMBERED = 1 << 14
_PAGE = 500


class Purpose:
    """Names of the keys that belong to no patient.

    INDEX: of the HMAC of index terms. SHARED: resources without a patient. TRAIL: the audit trail, which outlives
    the dossiers. OUTBOX: notices. STATE: the authorization server.
    """

    INDEX = "~index"
    SHARED = "~shared"
    TRAIL = "~trail"
    OUTBOX = "~outbox"
    STATE = "~state"


PURPOSES = (Purpose.INDEX, Purpose.SHARED, Purpose.TRAIL, Purpose.OUTBOX, Purpose.STATE)


class KeyDestroyed(Gone):
    """The data key was destroyed, and what it sealed with it."""


@dataclass(frozen=True, slots=True)
class Masters:
    """The master keys of an operator: (key id, 32 bytes) pairs. The first one wraps, all of them unwrap."""

    keys: tuple[tuple[str, bytes], ...]

    def find(self, kid: str) -> bytes | None:
        """Return the key of that id, or None."""
        return next((key for name, key in self.keys if name == kid), None)

    def wrap(self, key: bytes, name: str) -> str:
        """Return a data key as it is kept."""
        kid, master = self.keys[0]
        nonce = os.urandom(NONCE_BYTES)
        wrapped = nonce + AESGCM(master).encrypt(nonce, key, _bound(kid, name))
        return json.dumps({"master": kid, "key": b64encode(wrapped).decode()})

    def unwrap(self, kept: str, name: str) -> bytes:
        """Return the data key.

        Raises:
            ConfigurationError: its master key is not among these, or is another than it says.
        """
        row = json.loads(kept)
        kid = str(row["master"])
        master = self.find(kid)
        if master is None:
            raise _wrong(f"lacks the master key {kid} that wrapped the data keys of this store")
        wrapped = b64decode(row["key"])
        try:
            return AESGCM(master).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _bound(kid, name))
        except (InvalidTag, ValueError) as error:
            raise _wrong(f"holds another master key {kid} than the one that wrapped {name}") from error


def _bound(kid: str, name: str) -> bytes:
    return f"{KIND}\0{kid}\0{name}".encode()


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(Problem(SETTING, f"the file {what}", "restore the right file; nothing was changed"))


class DataKeys:
    """The data keys in a StateStore, unwrapped. Thread safe.

    load: reads the file of the master keys. It is read again before a key is wrapped and when a master key is not
    known, so that a rotation needs no restart.
    """

    def __init__(self, rows: StateStore, load: Callable[[], Masters]) -> None:
        self._rows = rows
        self._load = load
        self.masters = load()
        self._known: dict[str, AESGCM] = {}
        self._making = Lock()

    def of(self, name: str) -> AESGCM:
        """Return the key of that name.

        Raises:
            KeyDestroyed: it was destroyed. StoreUnavailable: it is not there.
        """
        known = self._known.get(name)
        return known if known is not None else self._remember(name, AESGCM(self.secret(name)))

    def secret(self, name: str) -> bytes:
        """Return the bytes of a key, for those that are no AES keys.

        Raises:
            KeyDestroyed: it was destroyed. StoreUnavailable: it is not there.
        """
        row = self._rows.get(KIND, name, _now_ms())
        if row is None:
            raise StoreUnavailable(f"The data key of {name} is not among the data keys: restore them.")
        return self._unwrapped(row)

    def ensured(self, name: str) -> AESGCM:
        """Return the key of that name, made and kept first if there is none.

        Raises:
            KeyDestroyed: it was destroyed: nothing may be written under this name any more.
        """
        known = self._known.get(name)
        if known is not None:
            return known
        with self._making:
            row = self._rows.get(KIND, name, _now_ms())
            if row is None:
                self.make(name)
        return self.of(name)

    def make(self, name: str) -> None:
        """Make a key unless somebody else just did."""
        self.masters = self._load()
        kept = self.masters.wrap(os.urandom(KEY_BYTES), name)
        try:
            self._rows.put(StateRecord(KIND, name, kept), _now_ms(), expected=0)
        except StateConflict:
            return  # the other one counts

    def exists(self, name: str) -> bool:
        """Say whether there is, or was, a key of that name."""
        return self._rows.get(KIND, name, _now_ms()) is not None

    def destroy(self, name: str) -> None:
        """Destroy a key for good; a mark stays."""
        now_ms = _now_ms()
        self._rows.put(StateRecord(KIND, name, json.dumps({"destroyed": now_ms})), now_ms)
        self._known.pop(name, None)

    def rewrap(self) -> Iterator[str]:
        """Wrap every data key with the first master key; yield the name of each that was wrapped by another.

        May be interrupted and started again; servers go on meanwhile.
        """
        for row in self._all():
            body = json.loads(row.body)
            kid = body.get("master")
            if kid in (None, self.masters.keys[0][0]):
                continue
            again = self.masters.wrap(self.masters.unwrap(row.body, row.key), row.key)
            try:
                self._rows.put(StateRecord(KIND, row.key, again), _now_ms(), expected=row.version)
            except StateConflict:
                continue  # destroyed meanwhile, or wrapped by another run
            yield row.key

    def masters_in_use(self) -> dict[str, int]:
        """Return how many data keys each master key wraps, by key id."""
        found: dict[str, int] = {}
        for row in self._all():
            kid = json.loads(row.body).get("master")
            if kid is not None:
                found[kid] = found.get(kid, 0) + 1
        return found

    def _all(self) -> Iterator[StateRecord]:
        after = ""
        while page := self._rows.listed(KIND, _now_ms(), after=after, count=_PAGE):
            yield from page
            after = page[-1].key

    def _unwrapped(self, row: StateRecord) -> bytes:
        body = json.loads(row.body)
        if "destroyed" in body:
            raise KeyDestroyed("The content was destroyed for good.")
        if self.masters.find(str(body["master"])) is None:
            self.masters = self._load()
        return self.masters.unwrap(row.body, row.key)

    def _remember(self, name: str, key: AESGCM) -> AESGCM:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[name] = key
        return key


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
