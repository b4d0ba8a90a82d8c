"""Which accesses were told already, remembered by each worker, so that a read seldom asks the outbox."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable


class Told:
    """Which accesses were told already, known to this worker: one that is not the first costs a look-up here.

    Bounded; what is forgotten is asked of the outbox again. Thread safe.
    """

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._settled: set[tuple[str, str, int]] = set()

    def knows(self, id_: str) -> bool:
        """Say whether this notice is known to be queued."""
        return id_ in self._known

    def is_settled(self, patient: str, who: str, quarter: int) -> bool:
        """Say whether all is told of what somebody does in a record in this quarter of an hour (number since 1970)."""
        return (patient, who, quarter) in self._settled

    def settle(self, patient: str, who: str, quarter: int) -> None:
        """Take note that nothing more is to be told of it."""
        with self._lock:
            if len(self._settled) >= self._size:
                self._settled.clear()
            self._settled.add((patient, who, quarter))

    def remember(self, ids: Iterable[str]) -> None:
        """Take note of notices that are in the outbox."""
        with self._lock:
            for id_ in ids:
                self._known[id_] = None
                if len(self._known) > self._size:
                    self._known.popitem(last=False)
