"""The public keys of clients: those that were registered, or those behind a registered URL, remembered for a while.

[security 2.6]. Fetching is a port (`Fetch`); the guard against private addresses is upstream/fetch.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from fhir_dmp.errors import Unavailable
from fhir_dmp.oauth.clients import Client

#: Of a set without Cache-Control, and at most, in ms.
DEFAULT_AGE_MS: Final = 300_000
MOST_AGE_MS: Final = 24 * 3600 * 1000
#: An unknown `kid` asks again at most so often for one client, in ms.
AGAIN_MS: Final = 60_000
MOST_KEYS: Final = 50

_MAX_AGE = re.compile(r"\bmax-age\s*=\s*\"?(\d{1,9})")
Jwk = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document that was fetched: parsed JSON, and its Cache-Control header."""

    content: Any
    cache_control: str = ""


#: Fetches a JSON document of an https URL. Raises Unavailable when that is not possible or not allowed.
Fetch = Callable[[str], Fetched]


@dataclass(frozen=True, slots=True)
class _Seen:
    keys: tuple[Jwk, ...]
    fetched_ms: int
    age_ms: int


class ClientKeys:
    """Keys by client. One for each worker. Thread safe."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._lock = Lock()
        self._seen: dict[str, _Seen] = {}
        self._again: dict[str, int] = {}

    def find(self, client: Client, kid: str, now_ms: int) -> tuple[Jwk, ...]:
        """Return every key of the client with this id: none, one, or several (then none may be used).

        Raises:
            Unavailable: the keys cannot be fetched, and no copy is fresh.
        """
        if client.jwks is not None:
            return _of_id(_keys_of(client.jwks), kid)
        seen = self._fresh(client.jwks_uri, now_ms)
        if seen is None:
            seen = self._read(client.jwks_uri, now_ms)
        elif not _of_id(seen.keys, kid) and self._may_ask_again(client, now_ms):
            try:
                seen = self._read(client.jwks_uri, now_ms)
            except Unavailable:
                return ()
        return _of_id(seen.keys, kid)

    def _fresh(self, url: str, now_ms: int) -> _Seen | None:
        seen = self._seen.get(url)
        return seen if seen is not None and 0 <= now_ms - seen.fetched_ms < seen.age_ms else None

    def _may_ask_again(self, client: Client, now_ms: int) -> bool:
        with self._lock:
            last = self._again.get(client.client_id)
            if last is not None and now_ms - last < AGAIN_MS:
                return False
            self._again[client.client_id] = now_ms
            return True

    def _read(self, url: str, now_ms: int) -> _Seen:
        fetched = self._fetch(url)
        seen = _Seen(_keys_of(fetched.content), now_ms, age_ms(fetched.cache_control))
        self._seen[url] = seen
        return seen


def age_ms(cache_control: str) -> int:
    """Return how long an answer may be kept.

    >>> age_ms(""), age_ms("max-age=60"), age_ms("no-store, max-age=60"), age_ms("max-age=99999999")
    (300000, 60000, 0, 86400000)
    """
    directives = cache_control.lower()
    if "no-store" in directives or "no-cache" in directives:
        return 0
    found = _MAX_AGE.search(directives)
    return DEFAULT_AGE_MS if found is None else min(int(found[1]) * 1000, MOST_AGE_MS)


def _keys_of(jwks: Any) -> tuple[Jwk, ...]:
    keys: Sequence[Any] = jwks.get("keys", ()) if isinstance(jwks, Mapping) else ()
    if not isinstance(keys, list | tuple) or len(keys) > MOST_KEYS:
        return ()
    return tuple(key for key in keys if isinstance(key, Mapping))


def _of_id(keys: Sequence[Jwk], kid: str) -> tuple[Jwk, ...]:
    return tuple(key for key in keys if key.get("kid") == kid)
