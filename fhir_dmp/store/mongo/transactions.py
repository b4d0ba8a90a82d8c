"""Atomic commits on a replica set: one session transaction for a group, snapshot in, majority out.

The first statement increments the commit record, so that two transactions never overlap unnoticed: the later one gets
a write conflict, is aborted, and starts again from its facts.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pymongo import InsertOne, ReadPreference, ReplaceOne, ReturnDocument, UpdateOne, WriteConcern
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from fhir_dmp.errors import StoreUnavailable
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.faults import TRANSIENT, UNKNOWN_RESULT, Contention
from fhir_dmp.store.mongo.plan import Plan, Row
from fhir_dmp.store.mongo.views import Doc

#: How often a commit whose result is unknown is asked again. The server applies it once, however often it is asked.
COMMIT_ATTEMPTS = 4
#: How long the server may wait for the majority, in ms.
MAJORITY_MS = 10_000
DURABLE = WriteConcern("majority", wtimeout=MAJORITY_MS, j=True)


class Transaction:
    """One attempt: begin, then write or abandon."""

    def __init__(self, database: Database, session: Any) -> None:
        self._database = database
        self.session = session

    def begin(self) -> Doc:
        """Start, and return the commit record, which is locked until the end."""
        self.session.start_transaction(
            read_concern=ReadConcern("snapshot"),
            write_concern=DURABLE,
            read_preference=ReadPreference.PRIMARY,
            max_commit_time_ms=MAJORITY_MS,
        )
        record: Doc = self._database["meta"].find_one_and_update(
            {"_id": "commit"}, {"$inc": {"turn": 1}}, return_document=ReturnDocument.AFTER, session=self.session
        )
        return record

    def write(self, plan: Plan) -> None:
        """Write the plan and commit.

        Raises:
            Contention: a row was not as it had been seen.
            StoreUnavailable: the server never told whether it committed.
        """
        by_collection: dict[str, list[Row]] = {}
        for row in plan.rows:
            by_collection.setdefault(row.collection, []).append(row)
        for name, rows in by_collection.items():
            self._bulk(name, [_request(row) for row in rows])
        for name, id_ in plan.ends:
            self._database[name].delete_one({"_id": id_}, session=self.session)
        if plan.past:
            self._bulk(
                "history",
                [UpdateOne({"_id": at}, {"$set": {"ue": end, "un": number}}) for at, end, number in plan.past],
            )
        for name, id_, fields in plan.sets:
            self._database[name].update_one({"_id": id_}, {"$set": fields}, session=self.session)
        self._database["meta"].update_one({"_id": "commit"}, {"$set": {"m": plan.last}}, session=self.session)
        self._commit()

    def _bulk(self, name: str, requests: list[Any]) -> None:
        done = self._database[name].bulk_write(requests, session=self.session)
        if done.inserted_count + done.matched_count != len(requests):
            raise Contention

    def _commit(self) -> None:
        for attempt in range(1, COMMIT_ATTEMPTS + 1):
            try:
                self.session.commit_transaction()
                return
            except PyMongoError as error:
                if not error.has_error_label(UNKNOWN_RESULT):
                    raise
                if attempt == COMMIT_ATTEMPTS:
                    raise StoreUnavailable(
                        "The database did not say whether the commit was applied; look before trying again."
                    ) from error

    def abandon(self) -> None:
        """Abort, if there is anything to abort; a server that cannot hear it aborts by itself."""
        if self.session.in_transaction:
            with suppress(PyMongoError):
                self.session.abort_transaction()


def _request(row: Row) -> Any:
    if row.replaces is None:
        return InsertOne({"_id": row.address, **row.doc})
    return ReplaceOne({"_id": row.replaces}, row.doc)


def is_transient(error: PyMongoError) -> bool:
    """Say whether the whole transaction may be tried again: nothing of it was applied."""
    return bool(error.has_error_label(TRANSIENT)) and not error.has_error_label(UNKNOWN_RESULT)
