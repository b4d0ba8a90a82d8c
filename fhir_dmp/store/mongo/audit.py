"""The audit trail: append only, one collection for each month, newest first by position.

A position is made of the time, a counter and a number of the process: it increases within a process, follows the clock
between processes, and needs no shared counter, so that audited reads do not wait for each other.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Lock

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from fhir_dmp.audit.codec import decode
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.ports import AuditPage, AuditQuery
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.documents import audit_document
from fhir_dmp.store.mongo.intents import row_id
from fhir_dmp.store.mongo.views import Doc, Filter, View, everything_of

#: Low bits of a position: 11 for the counter within one ms, 10 for the process.
COUNTER_BITS = 11
PROCESS_BITS = 10
_TRIES = 5


class Trail:
    """Appends records and reads them back. Thread safe."""

    def __init__(self, database: Database, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._database = database
        self._now_ms = now_ms
        self._lock = Lock()
        self._process = random.getrandbits(PROCESS_BITS)
        self._last = 0

    def place(self) -> tuple[str, int]:
        """Return the collection and the position of the next record."""
        with self._lock:
            clock = self._now_ms() << COUNTER_BITS
            self._last = max(self._last + 1, clock)
            position = self._last << PROCESS_BITS | self._process
        moment = datetime.fromtimestamp((self._last >> COUNTER_BITS) / 1000, UTC)
        return f"audit_{moment:%Y%m}", position

    def append(self, record: AuditRecord) -> None:
        """Add one record: one document, so atomic by itself on every server, and visible at once."""
        for _ in range(_TRIES - 1):
            try:
                self._insert(record)
                return
            except DuplicateKeyError:
                # two processes drew the same number in the same millisecond
                self._process = random.getrandbits(PROCESS_BITS)
        self._insert(record)

    def _insert(self, record: AuditRecord) -> None:
        name, position = self.place()
        self._database.prepare([name])
        doc: Doc = {"_id": record.id, **audit_document(record), "p": position, "s": 0}
        if self._database.versioned:
            doc |= {"_id": row_id(record.id, str(ObjectId())), "i": record.id}
        self._database[name].insert_one(doc)

    def page(self, query: AuditQuery, view: View) -> AuditPage:
        """Return a slice of the trail, newest first."""
        found: list[tuple[int, AuditRecord]] = []
        for doc in self._rows(_condition(query), view):
            record = decode(bytes(doc["b"]))
            if query.keep is None or query.keep(record):
                found.append((doc["p"], record))
            if len(found) > query.count:
                break
        page = tuple(found[: query.count])
        return AuditPage(page, page[-1][0] if page and len(found) > len(page) else None)

    def _rows(self, condition: Filter, view: View) -> Iterator[Doc]:
        query = everything_of(condition, view.visible())
        for name in self._database.audit_names():
            yield from self._database[name].find(query, {"p": 1, "b": 1}, sort=[("p", -1)])

    def record(self, id_: str, view: View) -> tuple[int, AuditRecord] | None:
        """Return the record of that AuditEvent and its position."""
        for doc in self._rows({view.address: {"$eq": id_}}, view):
            return doc["p"], decode(bytes(doc["b"]))
        return None


def _condition(query: AuditQuery) -> Filter:
    time_: Filter = {}
    if query.low_ms is not None:
        time_["$gte"] = query.low_ms
    if query.high_ms is not None:
        time_["$lt"] = query.high_ms
    parts: list[Filter] = [{"u": time_}] if time_ else []
    if query.patient is not None:
        parts.append({"pat": {"$eq": query.patient}})
    if query.before is not None:
        parts.append({"p": {"$lt": query.before}})
    return everything_of(*parts)
