"""Is the process alive, and can it serve? For load balancers and supervisors; no detail for strangers."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from fhir_dmp.errors import StoreUnavailable
from fhir_dmp.ports import Clock, ResourceStore, StateRecord

Health = tuple[dict[str, str], int]

#: Anybody may ask, and a look writes: one in so many ms.
LOOK_MS = 2_000
_PROBE_LIVES_MS = 60_000


def live() -> Health:
    """Say that the process answers."""
    return {"status": "up"}, 200


def look(store: ResourceStore, now_ms: int) -> None:
    """Check that the store answers and keeps what it is given: without an audit record nothing is answered.

    Raises:
        StoreUnavailable: it does not, for example because its disk is full.
    """
    store.ping()
    store.state.put(StateRecord("probe", "ready", "{}", expires_ms=now_ms + _PROBE_LIVES_MS), now_ms)


@dataclass
class Readiness:
    """Whether requests can be served."""

    store: ResourceStore
    clock: Clock
    _looked_ms: int | None = None
    _found: bool = False
    _looking: threading.Lock = field(default_factory=threading.Lock)

    def serves(self) -> bool:
        """Say whether the store could be read and written when it was last looked at."""
        with self._looking:
            now_ms = self.clock.now_ms()
            if self._looked_ms is None or not 0 <= now_ms - self._looked_ms < LOOK_MS:
                self._found = self._look(now_ms)
                self._looked_ms = self.clock.now_ms()
            return self._found

    def answer(self) -> Health:
        """Return what `/health/ready` tells."""
        return ({"status": "up", "store": "up"}, 200) if self.serves() else ({"status": "down", "store": "down"}, 503)

    def _look(self, now_ms: int) -> bool:
        try:
            look(self.store, now_ms)
        except StoreUnavailable:
            return False
        return True
