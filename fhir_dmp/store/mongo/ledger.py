"""The audit trail as evidence: its rows by position, over the months, and the seals in a collection of their own.

Positions follow the clocks of the processes, so a row may appear behind others that are sealed already: no later than
a commit may last (intents.LATEST_S, the server's limits on transactions and on majority waits).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bson import Binary
from pymongo.errors import DuplicateKeyError

from fhir_dmp.audit.codec import decode
from fhir_dmp.store.mongo.audit import COUNTER_BITS, PROCESS_BITS
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.faults import answering
from fhir_dmp.store.mongo.views import Doc, View, everything_of

#: The longest that a row may take from drawing its position until readers see it.
LATE_MS = 120_000
SEALS = "seals"


class MongoLedger:
    """Rows and seals of one database."""

    slack = LATE_MS << (COUNTER_BITS + PROCESS_BITS)

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self, after: int, count: int) -> Sequence[tuple[int, bytes, bool]]:
        """Return the next rows, the oldest month first."""
        found: list[tuple[int, bytes, bool]] = []
        with answering():
            view = View(self._database.sequence()) if self._database.versioned else View()
            for name in reversed(self._database.audit_names()):
                if name < _month(after):
                    continue
                query = everything_of({"p": {"$gt": after}}, view.visible())
                rows: Any = self._database[name].find(query, sort=[("p", 1)], limit=count - len(found))
                for doc in rows:
                    body = bytes(doc["b"])
                    found.append((doc["p"], body, _agrees(doc, body, view)))
                if len(found) >= count:
                    break
        return found

    def seals(self, after: int, count: int) -> Sequence[bytes]:
        """Return the next seals."""
        with answering():
            rows: Any = self._database[SEALS].find({"_id": {"$gt": after}}, sort=[("_id", 1)], limit=count)
            return [bytes(doc["b"]) for doc in rows]

    def seal_of(self, seq: int) -> bytes | None:
        """Return the seal that covers the record."""
        return self._one({"last": {"$gte": seq}}, [("last", 1)]) if seq > 0 else None

    def last_seal(self) -> bytes | None:
        """Return the newest seal."""
        return self._one({}, [("_id", -1)])

    def _one(self, query: Doc, sort: list[tuple[str, int]]) -> bytes | None:
        with answering():
            doc = self._database[SEALS].find_one(query, sort=sort)
        return None if doc is None else bytes(doc["b"])

    def add_seal(self, number: int, last: int, seal: bytes) -> bool:
        """Add the seal: one insert, so atomic on every server."""
        with answering():
            self._database.prepare([SEALS])
            try:
                self._database[SEALS].insert_one({"_id": number, "last": last, "b": Binary(seal)})
            except DuplicateKeyError:
                return False
        return True


def _month(position: int) -> str:
    moment = datetime.fromtimestamp(max(position, 0) / (1 << (COUNTER_BITS + PROCESS_BITS)) / 1000, UTC)
    return f"audit_{moment:%Y%m}"


def _agrees(doc: Doc, body: bytes, view: View) -> bool:
    try:
        record = decode(body)
    except (ValueError, TypeError, LookupError):
        return False
    return bool(record.id == view.address_of(doc) and record.recorded_ms == doc["u"] and record.patient == doc["pat"])
