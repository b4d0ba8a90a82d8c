"""Atomic commits on a server without transactions: write ahead, decide by inserting one document, settle.

The protocol, its guarantees and what it does not give are described in docs/adr/0004-mongo-standalone-commits.md.
In short: rows are written invisible (`c` names their attempt); inserting the one document `commits/<base>` decides;
settling makes rows ready and marks those they replace; inserting `horizon/<last>` shows it all to readers at once.
Whoever comes next finishes what a dead process had decided, and removes what it had not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from fhir_dmp.errors import StoreUnavailable
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.faults import Contention
from fhir_dmp.store.mongo.plan import Plan
from fhir_dmp.store.mongo.views import Doc

#: A dead row stays this long for readers of an older horizon: far longer than any request may read.
GRACE_MS = 10 * 60 * 1000
#: Decisions are kept this long, so that a late process cannot take a place in the order that was taken before.
DECISIONS_MS = 60 * 60 * 1000
#: The longest that a process may hesitate between gathering its facts and deciding.
LATEST_S = 60.0
#: How long another process may take to settle what it decided before somebody helps.
PATIENCE_S = 2.0
_POLL_S = 0.005
_BATCH = 500
_HELPS = 50
_TIDY_EVERY = 100


class Intents:
    """The commits of one process on a server without transactions. Used by one thread at a time (group.py)."""

    def __init__(
        self,
        database: Database,
        patience_s: float = PATIENCE_S,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._database = database
        self._patience_s = patience_s
        self._now_ms = now_ms
        self._dead: deque[tuple[int, str, list[str]]] = deque()
        self._begun = 0.0
        self._written = 0

    def begin(self) -> int:
        """Return the last visible sequence, behind which nothing is decided; finish what another process left."""
        for _ in range(_HELPS):
            self._begun = time.monotonic()
            base = self._database.sequence()
            decision = self._database["commits"].find_one({"_id": base})
            if decision is None:
                return base
            if not self._settled_by_another(base):
                intent = self._database["intents"].find_one({"_id": decision["attempt"]})
                if intent is not None:
                    self._settle(intent)
        raise StoreUnavailable("Other processes commit all the time; try again.")

    def _settled_by_another(self, base: int) -> bool:
        """Wait for the process that decided; it is most likely alive and nearly done."""
        end = time.monotonic() + self._patience_s
        while time.monotonic() < end:
            if self._database.sequence() > base:
                return True
            time.sleep(_POLL_S)
        return False

    def write(self, plan: Plan) -> None:
        """Make the plan, which was decided upon what `begin` returned, visible as a whole.

        Raises:
            Contention: another process committed first; nothing of the plan is visible, or ever will be.
        """
        intent = self._intent(plan)
        self._database["intents"].insert_one(intent)
        self._insert(intent, plan)
        if not self._decide(intent):
            self._discard(intent)
            raise Contention
        self._settle(intent)
        self._tidy(intent)

    def recover(self) -> None:
        """Finish what was decided, discard what was not, remove rows that no reader can need. Safe beside writers."""
        base = self.begin()
        left = list(self._database["intents"].find({}))
        if left:
            self._close_the_past(base)
        for intent in left:
            decision = self._database["commits"].find_one({"attempt": intent["_id"]})
            if decision is None or decision["last"] <= self._database.sequence():
                self._discard(intent)
        dead = {"e": {"$lte": base}, "w": {"$lt": self._now_ms() - GRACE_MS}}
        for name in [*self._database.type_names(), "uniques", "claims"]:
            self._database[name].delete_many(dead)

    def _close_the_past(self, base: int) -> None:
        """Commit nothing, so that every attempt which has gathered its facts by now is too late to be decided."""
        while True:
            try:
                self.write(Plan(base, base + 1, ()))
                return
            except Contention:
                base = self.begin()

    def _intent(self, plan: Plan) -> Doc:
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

    def _decide(self, intent: Doc) -> bool:
        """The one write that decides: it succeeds only if nothing was decided since the facts were gathered.

        An insert, because it is atomic on every server; updates of FerretDB 1 are not.
        """
        if time.monotonic() - self._begun > LATEST_S:
            return False
        decision = {"_id": intent["base"], "attempt": intent["_id"], "last": intent["last"], "at": self._now_ms()}
        try:
            self._database["commits"].insert_one(decision)
        except DuplicateKeyError:
            return False
        return True

    def _settle(self, intent: Doc) -> None:
        """Carry out a decided intent. Every step may be repeated: any process may do it, twice or late."""
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
        self._database.show(last)
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

    def _tidy(self, intent: Doc) -> None:
        """Remove rows that died long ago and remember those that died now; sometimes, remove old decisions."""
        now, base = self._now_ms(), intent["base"]
        while self._dead and self._dead[0][0] < now - GRACE_MS:
            _, name, ids = self._dead.popleft()
            for part in _batches(ids):
                self._database[name].delete_many({"_id": {"$in": part}, "e": {"$lte": base}})
        self._dead.extend((now, one["of"], one["ids"]) for one in intent["ends"])
        self._written += 1
        if self._written % _TIDY_EVERY == 0:
            self._database["horizon"].delete_many({"_id": {"$lt": base}})
            self._database["commits"].delete_many({"_id": {"$lt": base}, "at": {"$lt": now - DECISIONS_MS}})


def row_id(address: str, attempt: str) -> str:
    """Return the `_id` of a versioned row: unique to the attempt, so that no dead attempt can stand in the way."""
    return f"{address}@{attempt}"


def _batches(ids: Sequence[str]) -> Iterable[list[str]]:
    return (list(ids[at : at + _BATCH]) for at in range(0, len(ids), _BATCH))
