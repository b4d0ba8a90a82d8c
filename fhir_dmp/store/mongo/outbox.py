"""The notices: rows of the collection `outbox`, made by commits; `leases` says who is sending one.

A lease is taken by inserting a document, because that is atomic on every server (updates of FerretDB 1 are not); only
who holds it changes the notice. Fields: `due`, `tries`, `done`, `how`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pymongo.errors import DuplicateKeyError

from fhir_dmp.ports import Queued
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.documents import notice_of
from fhir_dmp.store.mongo.faults import answering
from fhir_dmp.store.mongo.views import Doc, View, everything_of

LEASES = "leases"
_AT_ONCE = 200


class MongoOutbox:
    """Notices of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _view(self) -> View:
        return View(self._database.sequence()) if self._database.versioned else View()

    def find(self, id_: str) -> Queued | None:
        """Return one."""
        with answering():
            view = self._view()
            return next((_queued(doc, view) for doc in self._rows({view.address: {"$eq": id_}}, view, limit=1)), None)

    def due(self, now_ms: int, count: int) -> Sequence[Queued]:
        """Return what waits to be sent now and is not leased."""
        found: list[Queued] = []
        with answering():
            view = self._view()
            waiting = {"done": None, "due": {"$lte": now_ms}}
            for docs in _batches(self._rows(waiting, view, sort=[("due", 1), ("s", 1)])):
                names = [view.address_of(doc) for doc in docs]
                leased = {
                    doc["_id"] for doc in self._database[LEASES].find({"_id": {"$in": names}, "until": {"$gt": now_ms}})
                }
                found += [_queued(doc, view) for doc, name in zip(docs, names, strict=True) if name not in leased]
                if len(found) >= count:
                    break
        return found[:count]

    def lease(self, id_: str, attempts: int, now_ms: int, until_ms: int) -> bool:
        """Take one: the lease is inserted, after one that has run out was removed."""
        with answering():
            self._database.prepare([LEASES])
            leases = self._database[LEASES]
            leases.delete_one({"_id": id_, "until": {"$lte": now_ms}})
            try:
                leases.insert_one({"_id": id_, "until": until_ms})
            except DuplicateKeyError:
                return False
            # Looked at again under the lease: somebody may have sent it since it was listed.
            found = self.find(id_)
            if found is not None and found.done_ms is None and found.attempts == attempts:
                return True
            leases.delete_one({"_id": id_})
            return False

    def defer(self, id_: str, due_ms: int, attempts: int) -> None:
        """Give one back."""
        self._change(id_, {"due": due_ms, "tries": attempts})

    def settle(self, id_: str, outcome: str, now_ms: int) -> None:
        """Mark one as done."""
        self._change(id_, {"done": now_ms, "how": outcome})

    def _change(self, id_: str, fields: Doc) -> None:
        with answering():
            view = self._view()
            self._database["outbox"].update_one({view.address: {"$eq": id_}}, {"$set": fields})
            self._database[LEASES].delete_one({"_id": id_})

    def inbox(self, patient: str, count: int) -> Sequence[Queued]:
        """Return those of a patient."""
        with answering():
            view = self._view()
            rows = self._rows({"patient": {"$eq": patient}}, view, sort=[("s", -1)], limit=count)
            return [_queued(doc, view) for doc in rows]

    def waiting(self) -> int:
        """Count those that are not settled."""
        with answering():
            wanted = everything_of({"done": None}, self._view().visible())
            count: int = self._database["outbox"].count_documents(wanted)
        return count

    def _rows(self, query: Doc, view: View, **options: Any) -> Iterator[Doc]:
        yield from self._database["outbox"].find(everything_of(query, view.visible()), **options)


def _batches(docs: Iterator[Doc]) -> Iterator[list[Doc]]:
    batch: list[Doc] = []
    for doc in docs:
        batch.append(doc)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _queued(doc: Doc, view: View) -> Queued:
    notice = notice_of(doc, view.address_of(doc))
    return Queued(notice, doc.get("due", 0), doc.get("tries", 0), doc.get("done"), doc.get("how", ""))
