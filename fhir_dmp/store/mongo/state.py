"""The state of the authorization server in the collection `state`. Each change is one document, hence one atomic write.

Servers without transactions may lack that, too (FerretDB updates without a lock): there the changes of this process,
the only one that may use such a server, take turns (docs/stores.md).

Fields: `_id` kind and key, k kind, key, b body, x expiry (ms), t tags, v version, u written (ms).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from threading import Lock
from typing import Any

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from fhir_dmp.errors import StateConflict
from fhir_dmp.ports import StateRecord
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.faults import answering
from fhir_dmp.store.mongo.views import Doc, Filter

#: Attempts of an unconditional write; each lost one means that another writer succeeded.
ATTEMPTS = 50


class MongoState:
    """StateStore over one collection."""

    def __init__(self, database: Database) -> None:
        self._rows = database["state"]
        self._turn: AbstractContextManager[object] = Lock() if database.versioned else nullcontext()

    def get(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        """Return the record."""
        with answering():
            return _living(self._rows.find_one({"_id": _id(kind, key)}), now_ms)

    def put(self, record: StateRecord, now_ms: int, expected: int | None = None) -> StateRecord:
        """Write the record."""
        with answering(), self._turn:
            for _ in range(ATTEMPTS):
                stored = self._put(record, now_ms, expected)
                if stored is not None:
                    return stored
                if expected is not None:
                    break
        raise StateConflict("The record has changed meanwhile.")

    def _put(self, record: StateRecord, now_ms: int, expected: int | None) -> StateRecord | None:
        """Write if the record is as it was just seen, and as expected; None otherwise."""
        id_ = _id(record.kind, record.key)
        doc: Doc | None = self._rows.find_one({"_id": id_})
        present = _living(doc, now_ms)
        version = 0 if present is None else present.version
        if expected is not None and version != expected:
            return None
        stored = replace(record, version=version + 1, updated_ms=now_ms)
        if doc is None:
            try:
                self._rows.insert_one({"_id": id_, **_doc(stored)})
            except DuplicateKeyError:
                return None
            return stored
        seen = {"_id": id_, "v": doc["v"], "u": doc["u"], "x": doc["x"]}
        done = self._rows.replace_one(seen, _doc(stored))
        return stored if done.matched_count else None

    def take(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        """Remove and return the record."""
        with answering(), self._turn:
            return _living(self._rows.find_one_and_delete({"_id": _id(kind, key)}), now_ms)

    def remove(self, kind: str, key: str) -> None:
        """Remove the record."""
        with answering(), self._turn:
            self._rows.delete_one({"_id": _id(kind, key)})

    def listed(
        self, kind: str, now_ms: int, *, tag: str | None = None, since_ms: int = 0, after: str = "", count: int = 1000
    ) -> tuple[StateRecord, ...]:
        """Return records of a kind by key."""
        wanted: Filter = {"k": {"$eq": kind}, "$or": [{"x": None}, {"x": {"$gt": now_ms}}]}
        if tag is not None:
            wanted["t"] = {"$eq": tag}
        if since_ms:
            wanted["u"] = {"$gte": since_ms}
        if after:
            wanted["key"] = {"$gt": after}
        with answering():
            return tuple(map(_record, self._rows.find(wanted, sort=[("key", ASCENDING)], limit=count)))

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of records."""
        found: list[str] = []
        with answering():
            # By leaps along the index: FerretDB 1 takes no time limit on `distinct`.
            while row := self._rows.find_one(
                {"k": {"$gt": found[-1] if found else ""}}, {"k": 1}, sort=[("k", ASCENDING)]
            ):
                found.append(row["k"])
        return tuple(found)

    def sweep(self, now_ms: int) -> int:
        """Remove expired records."""
        with answering():
            return int(self._rows.delete_many({"x": {"$lte": now_ms}}).deleted_count)


def _id(kind: str, key: str) -> str:
    return f"{kind}:{key}"


def _living(doc: Doc | None, now_ms: int) -> StateRecord | None:
    return _record(doc) if doc is not None and (doc["x"] is None or doc["x"] > now_ms) else None


def _record(doc: Any) -> StateRecord:
    return StateRecord(doc["k"], doc["key"], doc["b"], doc["x"], tuple(doc["t"]), int(doc["v"]), int(doc["u"]))


def _doc(record: StateRecord) -> Doc:
    return {
        "k": record.kind,
        "key": record.key,
        "b": record.body,
        "x": record.expires_ms,
        "t": list(record.tags),
        "v": record.version,
        "u": record.updated_ms,
    }
