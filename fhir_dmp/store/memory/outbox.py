"""The notices in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from threading import RLock

from fhir_dmp.ports import Notice, Queued


class MemoryOutbox:
    """Notices in the order of their commits."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self._queued: dict[str, Queued] = {}
        self._leases: dict[str, int] = {}

    def add(self, notices: Iterable[Notice]) -> None:
        """Queue notices; one whose id is known was told already."""
        with self._lock:
            for notice in notices:
                self._queued.setdefault(notice.id, Queued(notice, notice.due_ms))

    def find(self, id_: str) -> Queued | None:
        """Return one."""
        with self._lock:
            return self._queued.get(id_)

    def due(self, now_ms: int, count: int) -> Sequence[Queued]:
        """Return what waits to be sent now."""
        with self._lock:
            free = (
                each
                for id_, each in self._queued.items()
                if each.done_ms is None and each.due_ms <= now_ms and self._leases.get(id_, 0) <= now_ms
            )
            return [each for each, _ in zip(free, range(count), strict=False)]

    def lease(self, id_: str, attempts: int, now_ms: int, until_ms: int) -> bool:
        """Take one."""
        with self._lock:
            found = self._queued.get(id_)
            free = found is not None and found.done_ms is None and found.attempts == attempts
            if not free or self._leases.get(id_, 0) > now_ms:
                return False
            self._leases[id_] = until_ms
            return True

    def defer(self, id_: str, due_ms: int, attempts: int) -> None:
        """Give one back."""
        with self._lock:
            self._leases.pop(id_, None)
            self._queued[id_] = replace(self._queued[id_], due_ms=due_ms, attempts=attempts)

    def settle(self, id_: str, outcome: str, now_ms: int) -> None:
        """Mark one as done."""
        with self._lock:
            self._leases.pop(id_, None)
            self._queued[id_] = replace(self._queued[id_], done_ms=now_ms, outcome=outcome)

    def inbox(self, patient: str, count: int) -> Sequence[Queued]:
        """Return those of a patient."""
        with self._lock:
            found = [each for each in self._queued.values() if each.notice.patient == patient]
        return list(reversed(found))[:count]

    def waiting(self) -> int:
        """Count those that are not settled."""
        with self._lock:
            return sum(1 for each in self._queued.values() if each.done_ms is None)
