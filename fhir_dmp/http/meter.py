"""A table of meters shared by all workers of a machine: how much somebody has asked lately, in a few bytes of a file.

Each meter is one number, the time at which everything asked so far is paid off (the generic cell rate algorithm): a
burst of the whole allowance is let through, then one request for each share of the period. The table is a memory map,
so no request waits for a store; two processes that write one meter at the same instant may let one request too many
through.
"""

from __future__ import annotations

import mmap
import os
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from threading import Lock

_SLOTS = 1 << 16
_SLOT = Struct("<Qd")
#: Slots that a name may lie in; when all are taken, the one that is paid off first is given up.
_WAYS = 8


class Meters:
    """The table. path: a file that other processes map, too; None: this process alone."""

    def __init__(self, path: Path | None = None) -> None:
        size = _SLOTS * _SLOT.size
        if path is None:
            self._map = mmap.mmap(-1, size)
        else:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(file, size)
                self._map = mmap.mmap(file, size)
            finally:
                os.close(file)
        self._lock = Lock()

    def take(self, name: str, allowed: int, period_s: float, now_s: float) -> float:
        """Count one request of `name`; return 0.0 when it is within the allowance, else the seconds to wait.

        allowed: requests in a period, at least 1. A request that is not let through counts for nothing.
        """
        share = period_s / allowed
        key = int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), "little") or 1
        with self._lock:
            at, paid_off = self._find(key, now_s)
            start = max(paid_off, now_s)
            wait = start + share - (now_s + period_s)
            if wait > 1e-9:
                return wait
            _SLOT.pack_into(self._map, at, key, start + share)
        return 0.0

    def _find(self, key: int, now_s: float) -> tuple[int, float]:
        """Return where the meter lies and its number; a new one takes a free slot, or the one paid off first."""
        best, best_time = 0, float("inf")
        for way in range(_WAYS):
            at = ((key + way) % _SLOTS) * _SLOT.size
            stored, paid_off = _SLOT.unpack_from(self._map, at)
            if stored == key:
                return at, paid_off
            if stored == 0 or paid_off <= now_s:
                paid_off = 0.0
            if paid_off < best_time:
                best, best_time = at, paid_off
        return best, 0.0


#: Names the file of the table for all workers; set by `fhir-dmp serve`.
SHARED = "FHIR_DMP_METERS"


def shared_meters() -> Meters:
    """Return the table that the workers of this server share; alone, a process has its own."""
    path = os.environ.get(SHARED)
    return Meters(Path(path) if path else None)
