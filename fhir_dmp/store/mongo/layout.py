"""Moves a database between the two layouts of rows, when it is opened on a server of the other kind.

Somebody who starts with one plain server and makes it a replica set later goes on with the same data. Every step may
be repeated, and another process that opens the same database at the same moment does the same steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymongo.errors import DuplicateKeyError

from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.intents import Intents
from fhir_dmp.store.mongo.views import IN_PLACE, VERSIONED, Doc

_BOOKKEEPING = ("i", "c", "e", "w", "g")


def adopt(database: Database) -> None:
    """Bring the rows into the layout that this server needs, if they are in the other one."""
    wanted = VERSIONED if database.versioned else IN_PLACE
    mark: Doc | None = database["meta"].find_one({"_id": "layout"})
    if mark is not None and mark["rows"] != wanted:
        if database.versioned:
            _to_versioned(database)
        else:
            _to_in_place(database)
    database["meta"].update_one({"_id": "layout"}, {"$set": {"rows": wanted}}, upsert=True)


def _row_collections(database: Database) -> Iterator[Any]:
    names = [*database.type_names(), *database.audit_names(), "history", "uniques", "claims", "outbox"]
    return (database[name] for name in names)


def _to_versioned(database: Database) -> None:
    """A row of the other layout has its address as `_id`; it only needs to say so in `i`."""
    for rows in _row_collections(database):
        for doc in list(rows.find({"i": None}, {"_id": 1})):
            rows.update_one({"_id": doc["_id"], "i": None}, {"$set": {"i": doc["_id"]}})
    database.show(database["meta"].find_one({"_id": "commit"})["m"])


def _to_in_place(database: Database) -> None:
    """Give each living row its address as `_id`, and remove dead and undecided ones."""
    before = Database(database.raw, versioned=True)
    Intents(before).recover()
    for name in database.audit_names():
        # while a record is copied, two rows have its position; the index is made again when all is done
        if "position" in database[name].index_information():
            database[name].drop_index("position")
    for rows in _row_collections(database):
        rows.delete_many({"$or": [{"e": {"$ne": None}}, {"c": {"$ne": None}}]})
        for doc in list(rows.find({"i": {"$ne": None}}, {"_id": 1, "i": 1})):
            _settle(rows, doc["_id"], doc["i"])
    reached = before.sequence()
    database["meta"].update_one({"_id": "commit", "m": {"$lt": reached}}, {"$set": {"m": reached}})


def _settle(rows: Any, id_: str, address: str) -> None:
    if id_ == address:
        rows.update_one({"_id": id_}, {"$unset": dict.fromkeys(_BOOKKEEPING, 1)})
        return
    doc: Doc | None = rows.find_one({"_id": id_})
    if doc is not None:
        bare = {name: value for name, value in doc.items() if name not in _BOOKKEEPING}
        try:
            rows.insert_one({**bare, "_id": address})
        except DuplicateKeyError:
            # another process that opens the database was faster; anything else must not lose the row
            if rows.find_one({"_id": address}, {"_id": 1}) is None:
                raise
        rows.delete_one({"_id": id_})
