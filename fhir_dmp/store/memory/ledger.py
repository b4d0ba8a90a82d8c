"""The audit trail as evidence, in memory: positions count from 1 in the order of the commits."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock

from fhir_dmp.audit.codec import encode
from fhir_dmp.audit.record import AuditRecord


class MemoryLedger:
    """Rows are those of the store; seals are kept here."""

    slack = 0

    def __init__(self, records: list[AuditRecord], lock: RLock) -> None:
        self._records = records
        self._lock = lock
        self._seals: list[tuple[int, bytes]] = []

    def rows(self, after: int, count: int) -> Sequence[tuple[int, bytes, bool]]:
        """Return the next rows."""
        with self._lock:
            found = self._records[max(after, 0) : max(after, 0) + count]
        return [(position, encode(each), True) for position, each in enumerate(found, max(after, 0) + 1)]

    def seals(self, after: int, count: int) -> Sequence[bytes]:
        """Return the next seals."""
        with self._lock:
            return [seal for _, seal in self._seals[after : after + count]]

    def seal_of(self, seq: int) -> bytes | None:
        """Return the seal that covers the record."""
        with self._lock:
            return next((seal for last, seal in self._seals if 1 <= seq <= last), None)

    def last_seal(self) -> bytes | None:
        """Return the newest seal."""
        with self._lock:
            return self._seals[-1][1] if self._seals else None

    def add_seal(self, number: int, last: int, seal: bytes) -> bool:
        """Add the seal, if it is the next one."""
        with self._lock:
            if number != len(self._seals) + 1:
                return False
            self._seals.append((last, seal))
            return True
