"""The state of the authorization server, sealed: bodies are encrypted, keys and tags become their HMAC.

Kinds and times stay. Records are listed in the order of the HMAC of their keys, which is as fixed as that of the keys.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import replace

import orjson

from fhir_dmp.ports import StateRecord, StateStore
from fhir_dmp.store.sealed.blinding import Blinding
from fhir_dmp.store.sealed.envelope import sealed, unsealed
from fhir_dmp.store.sealed.keys import OWN_KINDS, DataKeys, Purpose

_FIELD = "state"


class SealedState:
    """StateStore over another one."""

    def __init__(self, inner: StateStore, keys: DataKeys, blinding: Blinding) -> None:
        self._inner = inner
        self._keys = keys
        self._blinding = blinding

    def _key(self, key: str) -> str:
        return self._blinding.digest(f"state {key}")

    def _tag(self, tag: str) -> str:
        return self._blinding.digest(f"tag {tag}")

    def _seal(self, record: StateRecord) -> StateRecord:
        kept = orjson.dumps([record.key, record.body, record.tags])
        key, aead = self._key(record.key), self._keys.of(Purpose.STATE)
        envelope = sealed(kept, aead, Purpose.STATE, _FIELD, f"{record.kind}\n{key}")
        tags = tuple(map(self._tag, record.tags))
        return replace(record, key=key, body=b64encode(envelope).decode(), tags=tags)

    def _open(self, record: StateRecord) -> StateRecord:
        place = f"{record.kind}\n{record.key}"
        key, body, tags = orjson.loads(unsealed(b64decode(record.body), self._keys, _FIELD, place))
        return replace(record, key=key, body=body, tags=tuple(tags))

    def _opened(self, found: StateRecord | None) -> StateRecord | None:
        return None if found is None else self._open(found)

    def get(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        """Return the record."""
        return self._opened(self._inner.get(kind, self._key(key), now_ms))

    def put(self, record: StateRecord, now_ms: int, expected: int | None = None) -> StateRecord:
        """Write the record."""
        stored = self._inner.put(self._seal(record), now_ms, expected)
        return replace(record, version=stored.version, updated_ms=stored.updated_ms)

    def take(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        """Remove and return the record."""
        return self._opened(self._inner.take(kind, self._key(key), now_ms))

    def remove(self, kind: str, key: str) -> None:
        """Remove the record."""
        self._inner.remove(kind, self._key(key))

    def listed(
        self, kind: str, now_ms: int, *, tag: str | None = None, since_ms: int = 0, after: str = "", count: int = 1000
    ) -> tuple[StateRecord, ...]:
        """Return records of a kind in a fixed order."""
        found = self._inner.listed(
            kind,
            now_ms,
            tag=None if tag is None else self._tag(tag),
            since_ms=since_ms,
            after=self._key(after) if after else "",
            count=count,
        )
        return tuple(map(self._open, found))

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of records, without what encryption keeps for itself."""
        return tuple(kind for kind in self._inner.kinds() if kind not in OWN_KINDS)

    def sweep(self, now_ms: int) -> int:
        """Remove expired records."""
        return self._inner.sweep(now_ms)
