"""The machine's clock and its source of identifiers."""

from __future__ import annotations

import secrets
import time
from functools import lru_cache
from os import urandom

from fhir_dmp.fhir.bucket import bucket


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return the current time in ms since the epoch, UTC."""
        return time.time_ns() // 1_000_000


@lru_cache(maxsize=4096)
def _bucket(patient: str) -> int:
    return bucket(patient.removeprefix("Patient/"))


class RandomIds:
    """UUIDs of version 7 whose 12 bits after the version are the patient's bucket (fhir/bucket.py)."""

    def resource(self, patient: str | None = None) -> str:
        """Return a new logical id."""
        low = int.from_bytes(urandom(10), "big")
        carried = _bucket(patient) if patient else low >> 68
        head = time.time_ns() // 1_000_000 & (1 << 48) - 1
        digits = f"{head:012x}7{carried:03x}{low & (1 << 62) - 1 | 1 << 63:016x}"
        # Spelled out here because uuid.UUID takes longer than all the rest; this runs several times a request.
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def token(self) -> str:
        """Return an unguessable string."""
        return secrets.token_urlsafe(24)
