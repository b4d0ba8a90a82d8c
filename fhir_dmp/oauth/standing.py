"""Whether what was issued still holds: revoked tokens, ended authorizations, suspended clients.

A signed token is good by itself, so a worker only has to know what is *not* good any more. It reads the list of
denials again at most every second, and only what is new in it [security 2.7: seen within 5 s].
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Final

from fhir_dmp.oauth.registry import Registry
from fhir_dmp.ports import Clock, StateRecord, StateStore

KIND: Final = "denied"
#: How often the list is read again, in ms.
EVERY_MS: Final = 1_000
#: Clocks of several machines may differ by so much, in ms.
OVERLAP_MS: Final = 60_000
#: Longest life of an access token, leeway included: so long a denial is kept unless its end is known, in ms.
LONGEST_MS: Final = 3_700_000
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Holding:
    """What a token depends on beside its signature. Empty texts: on nothing of the kind."""

    jti: str = ""
    client_id: str = ""
    family: str = ""
    subject: str = ""


class Standing:
    """Knows what is denied. One for each worker. Thread safe."""

    def __init__(self, state: StateStore, clients: Registry, clock: Clock) -> None:
        self._state = state
        self._clients = clients
        self._clock = clock
        self._lock = Lock()
        self._denied: dict[str, int] = {}
        self._read_ms = 0

    def holds(self, holding: Holding) -> bool:
        """Say whether nothing that the token depends on was revoked, ended or suspended.

        Raises:
            StoreUnavailable: the list cannot be read; then nobody can tell.
        """
        denied = self._current()
        if denied and any(name in denied for name in _names(holding)):
            return False
        client = self._clients.get(holding.client_id) if holding.client_id else None
        return client is None or client.is_active

    def _current(self) -> dict[str, int]:
        now = self._clock.now_ms()
        if not 0 <= now - self._read_ms < EVERY_MS:
            with self._lock:
                if not 0 <= now - self._read_ms < EVERY_MS:
                    self._refresh(now)
        return self._denied

    def _refresh(self, now_ms: int) -> None:
        since = max(0, self._read_ms - OVERLAP_MS) if now_ms >= self._read_ms else 0
        found = {name: end for name, end in self._denied.items() if end > now_ms}
        after = ""
        while page := self._state.listed(KIND, now_ms, since_ms=since, after=after, count=_PAGE):
            found.update((record.key, record.expires_ms or 1 << 62) for record in page)
            if len(page) < _PAGE:
                break
            after = page[-1].key
        self._denied, self._read_ms = found, now_ms

    def deny_token(self, jti: str, until_ms: int) -> None:
        """Refuse one access token until it would have expired."""
        self._deny(f"jti:{jti}", until_ms)

    def deny_family(self, family: str) -> None:
        """Refuse every access token of an authorization."""
        self._deny(f"family:{family}", self._clock.now_ms() + LONGEST_MS)

    def deny_subject(self, subject: str, until_ms: int | None = None) -> None:
        """Refuse every access token of a person: an account that was closed."""
        self._deny(f"sub:{subject}", until_ms or self._clock.now_ms() + LONGEST_MS)

    def _deny(self, name: str, until_ms: int) -> None:
        now = self._clock.now_ms()
        if until_ms > now:
            self._state.put(StateRecord(KIND, name, "{}", until_ms), now)
            with self._lock:
                self._denied = {**self._denied, name: until_ms}


def _names(holding: Holding) -> tuple[str, ...]:
    return (f"jti:{holding.jti}", f"family:{holding.family}", f"sub:{holding.subject}")
