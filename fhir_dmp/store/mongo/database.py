"""The collections of a database and their indexes, by name. Indexes are made at start and when a type is first written.

One collection for each resource type (current versions, named like the type) and, in lower case, `history`,
`audit_YYYYMM`, `blobs`, `uniques`, `claims`, `outbox`, `meta`, `state`; on a server without transactions also
`intents`, `commits` and `horizon`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from threading import Lock
from typing import Any

import pymongo
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import CollectionInvalid, DuplicateKeyError, OperationFailure

from fhir_dmp.errors import BadRequest

#: The longest that upkeep may take, in s: indexes of a full collection, a sweep, another layout.
UPKEEP_S = 3600.0
#: The longest that finding a server may take at the start and for the probe of readiness, in s.
REACH_S = 5.0

_NAMESPACE_EXISTS = 48
_TYPE = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
_MONTH = re.compile(r"audit_[0-9]{6}")

Keys = Sequence[tuple[str, int]]

_UP, _DOWN = ASCENDING, DESCENDING

#: Stands for the field of the logical id.
ADDRESS = "<address>"
#: Indexes of each resource type. Which query uses which: docs/stores.md.
CURRENT_INDEXES: Mapping[str, Keys] = {
    "timeline": (("pat", _UP), ("dt", _DOWN), (ADDRESS, _UP)),
    "timeline_token": (("pat", _UP), ("t", _UP), ("dt", _DOWN), (ADDRESS, _UP)),
    "timeline_updated": (("pat", _UP), ("u", _DOWN), (ADDRESS, _UP)),
    "token": (("t", _UP), ("u", _DOWN), (ADDRESS, _UP)),
    "reference": (("r", _UP), ("dt", _DOWN), (ADDRESS, _UP)),
    "text": (("x", _UP), (ADDRESS, _UP)),
    "span": (("q.k", _UP), ("q.lo", _UP), ("q.hi", _UP)),
    "updated": (("u", _DOWN), (ADDRESS, _UP)),
}
HISTORY_INDEXES: Mapping[str, Keys] = {
    "sequence": (("s", _DOWN),),
    "instance": (("k", _UP), ("s", _DOWN)),
    "type": (("type", _UP), ("s", _DOWN)),
    "time": (("u", _UP),),
    "blob": (("blob", _UP),),
}
AUDIT_INDEXES: Mapping[str, Keys] = {
    "position": (("p", _DOWN),),
    "patient": (("pat", _UP), ("p", _DOWN)),
}
OUTBOX_INDEXES: Mapping[str, Keys] = {
    "waiting": (("done", _UP), ("due", _UP)),
    "patient": (("patient", _UP), ("s", _DOWN)),
}
SEAL_INDEXES: Mapping[str, Keys] = {"last": (("last", _UP),)}
STATE_INDEXES: Mapping[str, Keys] = {
    "kind": (("k", _UP), ("key", _UP)),
    "tag": (("t", _UP), ("k", _UP), ("key", _UP)),
    "written": (("k", _UP), ("u", _UP)),
    "expiry": (("x", _UP),),
}
#: Labels of indexes that let each value in once.
UNIQUE = frozenset({"position", "files_id_1_n_1"})
#: Collections whose rows are inserted one by one, and never replaced by a commit.
_UNVERSIONED = frozenset({"blobs", "seals", "leases", "state"})
_PLAIN: Mapping[str, Keys] = {}


class Database:
    """Names, options and indexes of one database. Thread safe."""

    def __init__(self, database: Any, *, versioned: bool) -> None:
        self.raw = database
        self.versioned = versioned
        self._lock = Lock()
        self._known: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        """Return a collection, without making it."""
        return self.raw[name]

    def current(self, type_: str) -> Any:
        """Return the collection of a resource type.

        Raises:
            BadRequest: not a name of a type; such a name could reach another collection.
        """
        if _TYPE.fullmatch(type_) is None:
            raise BadRequest("This is not the name of a resource type.", code="not-supported")
        return self.raw[type_]

    def sequence(self, session: Any = None) -> int:
        """Return the last sequence that readers can see."""
        if self.versioned:
            shown = self.raw["horizon"].find_one({}, sort=[("_id", _DOWN)])
            return 0 if shown is None else int(shown["_id"])
        record = self.raw["meta"].find_one({"_id": "commit"}, session=session)
        return 0 if record is None else int(record["m"])

    def show(self, sequence: int) -> None:
        """Move the horizon of all readers of the versioned layout; once is enough, so twice is harmless."""
        with suppress(DuplicateKeyError):
            self.raw["horizon"].insert_one({"_id": sequence})

    def prepare(self, names: Sequence[str]) -> None:
        """Make the indexes of these collections where this process has not done it yet. Idempotent."""
        for name in names:
            if name in self._known:
                continue
            with self._lock:
                self._index(name)
                self._known.add(name)

    def prepare_all(self) -> None:
        """Make the indexes of every collection of the database."""
        self.prepare(
            ["history", "uniques", "claims", "outbox", "blobs", "state", *self.type_names(), *self.audit_names()]
        )

    def type_names(self) -> list[str]:
        """Return the names of the resource types that have been written."""
        return sorted(name for name in self.raw.list_collection_names() if _TYPE.fullmatch(name))

    def audit_names(self) -> list[str]:
        """Return the collections of the audit trail, the newest month first."""
        return sorted((name for name in self.raw.list_collection_names() if _MONTH.fullmatch(name)), reverse=True)

    def _index(self, name: str) -> None:
        wanted = {
            label: [(self._field(field), way) for field, way in keys] for label, keys in _indexes_of(name).items()
        }
        if self.versioned and name not in _UNVERSIONED:
            wanted["address"] = [("i", _UP)]
        if wanted:
            make_indexes(self.raw[name], wanted)
        elif name not in self.raw.list_collection_names():
            self._create(name)

    def _create(self, name: str) -> None:
        """Make an empty collection: it must exist before a transaction writes to it. Another process may be faster."""
        try:
            self.raw.create_collection(name)
        except CollectionInvalid:
            return
        except OperationFailure as error:
            if error.code != _NAMESPACE_EXISTS:
                raise

    def _field(self, field: str) -> str:
        if field != ADDRESS:
            return field
        return "i" if self.versioned else "_id"


def reaching(most_s: float = REACH_S) -> AbstractContextManager[object]:
    """Give what runs inside a few seconds: whoever asks whether the server is there will not wait for it to come."""
    return pymongo.timeout(min(most_s, REACH_S))


def upkeep() -> AbstractContextManager[object]:
    """Give what runs inside the time of upkeep instead of that of a query."""
    return pymongo.timeout(UPKEEP_S)


def make_indexes(rows: Any, wanted: Mapping[str, Keys]) -> None:
    """Make the indexes that are missing or were defined otherwise; those that are right are not touched.

    Asking again for an index that exists should do nothing; FerretDB 1 drops the connection instead.
    """
    present = {label: [tuple(part) for part in index["key"]] for label, index in rows.index_information().items()}
    for label, keys in wanted.items():
        if present.get(label) == list(keys):
            continue
        if label in present:
            rows.drop_index(label)
        rows.create_index(list(keys), name=label, unique=label in UNIQUE)


def _indexes_of(name: str) -> Mapping[str, Keys]:
    if _TYPE.fullmatch(name):
        return CURRENT_INDEXES
    if _MONTH.fullmatch(name):
        return AUDIT_INDEXES
    indexes = {"history": HISTORY_INDEXES, "outbox": OUTBOX_INDEXES, "seals": SEAL_INDEXES, "state": STATE_INDEXES}
    return indexes.get(name, _PLAIN)


def matches_elements(database: Database) -> bool:
    """Find out by trying whether `$elemMatch` judges one embedded document at a time (FerretDB 1 does not)."""
    meta = database["meta"]
    meta.replace_one({"_id": "probe"}, {"_id": "probe", "q": [{"k": "a", "lo": 1}, {"k": "b", "lo": 2}]}, upsert=True)
    mixed = {"_id": "probe", "q": {"$elemMatch": {"k": {"$eq": "a"}, "lo": {"$gte": 2}}}}
    whole = {"_id": "probe", "q": {"$elemMatch": {"k": {"$eq": "b"}, "lo": {"$gte": 2}}}}
    try:
        return meta.find_one(mixed) is None and meta.find_one(whole) is not None
    except OperationFailure:
        return False
