"""The state of the authorization server in a dictionary."""

from __future__ import annotations

from dataclasses import replace
from threading import RLock

from fhir_dmp.errors import StateConflict
from fhir_dmp.ports import StateRecord


class MemoryState:
    """StateStore behind one lock."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._records: dict[tuple[str, str], StateRecord] = {}

    def get(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        """Return the record."""
        with self._lock:
            return self._living(kind, key, now_ms)

    def _living(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        record = self._records.get((kind, key))
        return record if record is not None and _lives(record, now_ms) else None

    def put(self, record: StateRecord, now_ms: int, expected: int | None = None) -> StateRecord:
        """Write the record."""
        with self._lock:
            present = self._living(record.kind, record.key, now_ms)
            version = 0 if present is None else present.version
            if expected is not None and version != expected:
                raise StateConflict("The record has changed meanwhile.")
            stored = replace(record, version=version + 1, updated_ms=now_ms)
            self._records[record.kind, record.key] = stored
            return stored

    def take(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        """Remove and return the record."""
        with self._lock:
            record = self._records.pop((kind, key), None)
            return record if record is not None and _lives(record, now_ms) else None

    def remove(self, kind: str, key: str) -> None:
        """Remove the record."""
        with self._lock:
            self._records.pop((kind, key), None)

    def listed(
        self, kind: str, now_ms: int, *, tag: str | None = None, since_ms: int = 0, after: str = "", count: int = 1000
    ) -> tuple[StateRecord, ...]:
        """Return records of a kind by key."""
        with self._lock:
            found = [
                record
                for record in self._records.values()
                if record.kind == kind
                and record.key > after
                and record.updated_ms >= since_ms
                and (tag is None or tag in record.tags)
                and _lives(record, now_ms)
            ]
        return tuple(sorted(found, key=lambda record: record.key)[:count])

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of records."""
        with self._lock:
            return tuple(sorted({kind for kind, _ in self._records}))

    def sweep(self, now_ms: int) -> int:
        """Remove expired records."""
        with self._lock:
            dead = [address for address, record in self._records.items() if not _lives(record, now_ms)]
            for address in dead:
                del self._records[address]
            return len(dead)


def _lives(record: StateRecord, now_ms: int) -> bool:
    return record.expires_ms is None or record.expires_ms > now_ms
