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

    def knows(self, id_: str) -> bool:
        """Say whether this notice is known to be queued."""
        return id_ in self._known

    def remember(self, ids: Iterable[str]) -> None:
        """Take note of notices that are in the outbox."""
        with self._lock:
            for id_ in ids:
                self._known[id_] = None
                if len(self._known) > self._size:
                    self._known.popitem(last=False)
