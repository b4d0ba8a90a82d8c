"""Destroying resources: their history and contents first, the current row last, so that asking again goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_dmp.ports import Key
from fhir_dmp.store.mongo.blobs import MongoBlobs
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.views import View, everything_of


def deleted(database: Database, view: View, patient: str) -> list[Key]:
    """Return the tombstones of a patient."""
    found = []
    for type_ in database.type_names():
        query = everything_of({"pat": {"$eq": patient}, "d": True}, view.visible())
        rows = database.current(type_).find(query, {"i": 1}, session=view.session)
        found += [Key(type_, view.address_of(doc)) for doc in rows]
    return found


def erase(database: Database, blobs: MongoBlobs, view: View, keys: Sequence[Key]) -> int:
    """Destroy resources, dead rows of the versioned layout included; return how many there were."""
    count = 0
    for key in keys:
        current = database.current(key.type)
        heads = list(current.find({view.address: {"$eq": key.id}}, {"uq": 1}))
        _erase_past(database["history"], blobs, key)
        held = sorted({unique for head in heads for unique in head.get("uq", ())})
        if held:
            database["uniques"].delete_many({view.address: {"$in": held}, "type": key.type, "id": key.id})
        count += current.delete_many({view.address: {"$eq": key.id}}).deleted_count > 0
    return count


def _erase_past(history: Any, blobs: MongoBlobs, key: Key) -> None:
    past = {"k": {"$eq": f"{key.type}/{key.id}"}}
    contents = {doc["blob"] for doc in history.find(past, {"blob": 1}) if doc.get("blob")}
    history.delete_many(past)
    blobs.drop_unnamed(contents)
