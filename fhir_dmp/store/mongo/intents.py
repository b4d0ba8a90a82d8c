"""Atomic commits on a server without transactions: write ahead, decide with one single-document write, settle.

The protocol, its guarantees and what it does not give are described in docs/adr/0004-mongo-standalone-commits.md.
In short: rows are written invisible (`c` names their attempt); one compare-and-set on the commit record decides;
settling makes rows ready and marks those they replace; a last compare-and-set moves the horizon of all readers.
Whoever comes next finishes what a dead process had decided, and sweeps what it had not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from bson import ObjectId

from fhir_dmp.errors import StoreUnavailable
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.faults import Contention
from fhir_dmp.store.mongo.plan import Plan
from fhir_dmp.store.mongo.views import Doc, View

#: A dead row stays this long for readers of an older horizon: far longer than any request may read.
GRACE_MS = 10 * 60 * 1000
_BATCH = 500
_HELPS = 50


class Intents:
    """The commits of one process on a server without transactions. Used by one thread at a time (group.py)."""

    def __init__(self, database: Database, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._database = database
        self._now_ms = now_ms
        self._dead: deque[tuple[int, str, list[str]]] = deque()

    def begin(self) -> Doc:
        """Return the commit record with nothing pending, after finishing what another process had decided."""
        for _ in range(_HELPS):
            record: Doc = self._database["meta"].find_one({"_id": "commit"})
            if record.get("next") is None:
                return record
            intent = self._database["intents"].find_one({"_id": record["next"]["attempt"]})
            if intent is not None:
                self._settle(intent)
        raise StoreUnavailable("Other processes commit all the time; try again.")

    def write(self, record: Doc, plan: Plan) -> None:
        """Make the plan, which was decided upon this commit record, visible as a whole.

        Raises:
            Contention: another process committed first; nothing of the plan is visible, or ever will be.
        """
        intent = self._intent(record, plan)
        self._database["intents"].insert_one(intent)
        self._insert(intent, plan)
        if not self._decide(record, intent):
            self._discard(intent)
            raise Contention
        self._settle(intent)
        self._bury(intent)

    def recover(self) -> None:
        """Finish what was decided, discard what was not, remove rows that no reader can need. Safe beside writers."""
        self.begin()
        while not self._next_epoch():
            self.begin()
        record: Doc = self._database["meta"].find_one({"_id": "commit"})
        for intent in self._database["intents"].find({"epoch": {"$lt": record["epoch"]}}):
            pending = record.get("next")
            if pending is None or pending["attempt"] != intent["_id"]:
                self._discard(intent)
        dead = {"e": {"$lte": record["m"]}, "w": {"$lt": self._now_ms() - GRACE_MS}}
        for name in [*self._database.type_names(), "uniques", "claims"]:
            self._database[name].delete_many(dead)

    def _next_epoch(self) -> bool:
        """Outdate every attempt that has not been decided: its compare-and-set names the old epoch and must fail."""
        changed = self._database["meta"].update_one({"_id": "commit", "next": None}, {"$inc": {"epoch": 1}})
        return bool(changed.modified_count)

    def _intent(self, record: Doc, plan: Plan) -> Doc:
        attempt = str(ObjectId())
        rows: dict[str, list[str]] = {}
        ends: dict[str, list[str]] = {}
        for row in plan.rows:
            rows.setdefault(row.collection, []).append(row_id(row.address, attempt))
            if row.replaces is not None:
                ends.setdefault(row.collection, []).append(row.replaces)
        for name, ended in plan.ends:
            ends.setdefault(name, []).append(ended)
        return {
            "_id": attempt,
            "epoch": record["epoch"],
            "base": plan.base,
            "last": plan.last,
            "rows": [{"of": name, "ids": ids} for name, ids in rows.items()],
            "ends": [{"of": name, "ids": ids} for name, ids in ends.items()],
            "past": [{"at": at, "ue": end, "un": sequence} for at, end, sequence in plan.past],
            "sets": [{"of": name, "id": id_, "fields": fields} for name, id_, fields in plan.sets],
        }

    def _insert(self, intent: Doc, plan: Plan) -> None:
        """Write the new rows; `c` hides them from every reader."""
        attempt = intent["_id"]
        docs: dict[str, list[Doc]] = {}
        for row in plan.rows:
            place = {"_id": row_id(row.address, attempt), "i": row.address, "c": attempt}
            docs.setdefault(row.collection, []).append(place | row.doc)
        for name, batch in docs.items():
            self._database[name].insert_many(batch)

    def _decide(self, record: Doc, intent: Doc) -> bool:
        """The one write that decides: it succeeds only if nothing was decided since the facts were gathered."""
        unchanged = {"_id": "commit", "m": record["m"], "epoch": record["epoch"], "next": None}
        pending = {"attempt": intent["_id"], "last": intent["last"]}
        return bool(self._database["meta"].update_one(unchanged, {"$set": {"next": pending}}).modified_count)

    def _settle(self, intent: Doc) -> None:
        """Carry out a decided intent. Only updates, all repeatable: any process may do it, twice or late."""
        attempt, last = intent["_id"], intent["last"]
        for one in intent["rows"]:
            self._each(one, {"c": attempt}, {"$unset": {"c": 1}})
        for one in intent["ends"]:
            self._each(one, {"e": None}, {"$set": {"e": last, "w": self._now_ms()}})
        for one in intent["past"]:
            ended = {"$set": {"ue": one["ue"], "un": one["un"]}}
            self._database["history"].update_one({"i": one["at"], "c": None}, ended)
        for one in intent["sets"]:
            older = {"_id": one["id"], "e": None, "g": {"$not": {"$gte": last}}}
            self._database[one["of"]].update_one(older, {"$set": {**one["fields"], "g": last}})
        settled = {"_id": "commit", "m": intent["base"], "next.attempt": attempt}
        self._database["meta"].update_one(settled, {"$set": {"m": last}, "$unset": {"next": 1}})
        self._database["intents"].delete_one({"_id": attempt})

    def _discard(self, intent: Doc) -> None:
        """Remove the rows of an attempt that can no longer be decided, then its intent."""
        for one in intent["rows"]:
            for part in _batches(one["ids"]):
                self._database[one["of"]].delete_many({"_id": {"$in": part}, "c": intent["_id"]})
        self._database["intents"].delete_one({"_id": intent["_id"]})

    def _each(self, rows: Doc, condition: Doc, change: Doc) -> None:
        for part in _batches(rows["ids"]):
            self._database[rows["of"]].update_many({"_id": {"$in": part}, **condition}, change)

    def _bury(self, intent: Doc) -> None:
        """Remove rows that died long ago, remember those that died now."""
        now = self._now_ms()
        while self._dead and self._dead[0][0] < now - GRACE_MS:
            _, name, ids = self._dead.popleft()
            for part in _batches(ids):
                self._database[name].delete_many({"_id": {"$in": part}, "e": {"$lte": intent["base"]}})
        self._dead.extend((now, one["of"], one["ids"]) for one in intent["ends"])


def row_id(address: str, attempt: str) -> str:
    """Return the `_id` of a versioned row: unique to the attempt, so that no dead attempt can stand in the way."""
    return f"{address}@{attempt}"


def _batches(ids: Sequence[str]) -> Iterable[list[str]]:
    return (list(ids[at : at + _BATCH]) for at in range(0, len(ids), _BATCH))


def horizon(record: Doc) -> View:
    """Return the view of a reader that saw this commit record."""
    return View(record["m"])
