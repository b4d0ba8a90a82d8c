"""The store in MongoDB: the port, put together from the parts of this room. Reading is here one call each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pymongo.errors import DuplicateKeyError

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.ports import AuditPage, AuditQuery, Commit, HistoryPage, HistoryQuery, Key, Page, Version
from fhir_dmp.search.joins import JOIN_CAP
from fhir_dmp.search.query import Node, Search
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.mongo import erase
from fhir_dmp.store.mongo.audit import Trail
from fhir_dmp.store.mongo.blobs import MongoBlobs
from fhir_dmp.store.mongo.database import Database, matches_elements, reaching, upkeep
from fhir_dmp.store.mongo.faults import answering
from fhir_dmp.store.mongo.group import Door, new_record
from fhir_dmp.store.mongo.history import History
from fhir_dmp.store.mongo.intents import PATIENCE_S, Intents
from fhir_dmp.store.mongo.layout import adopt
from fhir_dmp.store.mongo.ledger import MongoLedger
from fhir_dmp.store.mongo.outbox import MongoOutbox
from fhir_dmp.store.mongo.reading import Reader
from fhir_dmp.store.mongo.state import MongoState
from fhir_dmp.store.mongo.views import View, everything_of

#: Below this many rows `types` counts exactly; above, it takes the server's estimate.
COUNT_EXACTLY = 10_000


@dataclass(frozen=True, slots=True)
class Server:
    """What the server can do. transactions: of many documents. snapshots: sessions that read one moment.

    sharded: a router of a cluster.
    """

    transactions: bool
    snapshots: bool = False
    sharded: bool = False


class MongoStore:
    """ResourceStore on one MongoDB database. Thread safe; open one for each process."""

    def __init__(
        self,
        client: Any,
        database: Any,
        server: Server,
        *,
        join_cap: int = JOIN_CAP,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._client = client
        self._server = server
        self._join_cap = join_cap
        self._database = Database(database, versioned=not server.transactions)
        self._blobs = MongoBlobs(self._database)
        self._state = MongoState(self._database)
        self._trail = Trail(self._database)
        self._ledger = MongoLedger(self._database)
        self._outbox = MongoOutbox(self._database)
        self._patience_s = patience_s
        intents = Intents(self._database, patience_s) if self._database.versioned else None
        self._door = Door(self._database, self._blobs, self._trail, client, intents)
        with answering(), upkeep():
            self._prepare()
            self._elem_match = matches_elements(self._database)

    def _prepare(self) -> None:
        with suppress(DuplicateKeyError):  # somebody was here before
            self._database["meta"].insert_one(new_record())
        adopt(self._database)
        self._database.prepare_all()
        self._blobs.prepare()
        if self._database.versioned:
            Intents(self._database, self._patience_s).recover()

    @property
    def blobs(self) -> MongoBlobs:
        """The contents."""
        return self._blobs

    @property
    def ledger(self) -> MongoLedger:
        """The audit trail as evidence."""
        return self._ledger

    @property
    def outbox(self) -> MongoOutbox:
        """The notices."""
        return self._outbox

    @property
    def state(self) -> MongoState:
        """What the authorization server remembers."""
        return self._state

    @property
    def transactional(self) -> bool:
        """A commit is atomic with transactions, and without them (docs/adr/0004-mongo-standalone-commits.md)."""
        return True

    # Reading

    @contextmanager
    def _view(self, *, several: bool = False) -> Iterator[View]:
        """Give one moment of the database to read. several: searches, more than one query will be asked of it."""
        with answering(searching=several):
            if self._database.versioned:
                yield View(self.sequence())
            elif several and self._server.snapshots:
                with self._client.start_session(snapshot=True) as session:
                    yield View(session=session)
            else:
                yield View()

    @contextmanager
    def _reader(self, *, several: bool = False) -> Iterator[Reader]:
        with self._view(several=several) as view:
            yield self._reader_of(view)

    def _reader_of(self, view: View) -> Reader:
        return Reader(
            self._database,
            view,
            join_cap=self._join_cap,
            elem_match=self._elem_match,
            sharded=self._server.sharded,
        )

    def read(self, key: Key) -> Version | None:
        """Return the current version, a tombstone when deleted."""
        return self.read_many([key]).get(key)

    def read_many(self, keys: Sequence[Key]) -> dict[Key, Version]:
        """Return the current versions of those keys that exist."""
        with self._reader() as reader:
            return reader.read_many(keys)

    def sealed_terms(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        """Return the sealed terms of those resources that have any."""
        with self._reader() as reader:
            return reader.sealed_terms(keys)

    def read_version(self, key: Key, version: int) -> Version | None:
        """Return that version."""
        with self._view() as view:
            return History(self._database, view, self._reader_of(view)).version(key, version)

    def search(self, search: Search) -> Page:
        """Return one page of living resources."""
        with self._view(several=True) as view:
            return self._reader_of(view).search(search, self._bound(view))

    def _bound(self, view: View) -> int:
        return self._database.sequence(view.session) if view.horizon is None else view.horizon

    def find(self, type_: str, node: Node, limit: int) -> list[str]:
        """Return at most `limit` ids of matching resources."""
        with self._reader(several=True) as reader:
            return reader.find(type_, node, limit)

    def count(self, types: Sequence[str], node: Node) -> int:
        """Return how many resources match."""
        with self._reader(several=True) as reader:
            return reader.count(types, node)

    def holder(self, unique: str) -> Key | None:
        """Return the resource that holds the business key."""
        with self._view() as view:
            found = self._database["uniques"].find_one(everything_of({view.address: {"$eq": unique}}, view.visible()))
        return None if found is None else Key(found["type"], found["id"])

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Return versions, newest first."""
        with self._view(several=True) as view:
            return History(self._database, view, self._reader_of(view)).page(query)

    def sequence(self) -> int:
        """Return the last sequence that readers can see."""
        with answering():
            return self._database.sequence()

    def stamps(self, keys: Sequence[str]) -> tuple[int, ...]:
        """Return the sequence of the last claim of each key."""
        with self._view() as view:
            wanted = everything_of({view.address: {"$in": list(keys)}}, view.visible())
            found = {view.address_of(doc): int(doc["s"]) for doc in self._database["claims"].find(wanted)}
        return tuple(found.get(key, 0) for key in keys)

    def types(self) -> dict[str, int]:
        """Return how many resources of each type there are; estimated (tombstones included) above 10,000."""
        with self._view() as view:
            counts = {name: self._count(name, view) for name in self._database.type_names()}
        return {name: count for name, count in counts.items() if count}

    def _count(self, type_: str, view: View) -> int:
        rows = self._database.current(type_)
        estimate: int = rows.estimated_document_count()
        if estimate > COUNT_EXACTLY:
            return estimate
        exact: int = rows.count_documents(everything_of({"d": None}, view.visible()))
        return exact

    # Writing

    def commit(self, commit: Commit) -> tuple[Version, ...]:
        """Apply everything or nothing."""
        return self._door.commit(commit)

    def reindex(self, type_: str, terms: Callable[[Version], Terms], after: str | None, count: int) -> str | None:
        """Recompute the terms of the next `count` resources; one whose version changes meanwhile has them already."""
        with self._reader() as reader:
            found = reader.behind(type_, after, count + 1)
        todo = found[:count]
        if todo:
            self._door.retag(todo, terms)
        return todo[-1].id if len(found) > len(todo) else None

    def deleted(self, patient: str) -> list[Key]:
        """Return the tombstones of a patient."""
        with self._view() as view:
            return erase.deleted(self._database, view, patient)

    def erase(self, keys: Sequence[Key]) -> int:
        """Destroy resources, one after the other."""
        with self._view() as view:
            return erase.erase(self._database, self._blobs, view, keys)

    # Audit, outbox, life

    def audit(self, query: AuditQuery) -> AuditPage:
        """Return a slice of the trail, newest first."""
        with self._view(several=True) as view:
            return self._trail.page(query, view)

    def audit_record(self, id_: str) -> tuple[int, AuditRecord] | None:
        """Return the record of that AuditEvent."""
        with self._view() as view:
            return self._trail.record(id_, view)

    def sweep(self) -> int:
        """Remove contents that nothing refers to and, without transactions, what dead processes left. Run it daily."""
        with answering(), upkeep():
            if self._database.versioned:
                Intents(self._database, self._patience_s).recover()
            return self._blobs.sweep()

    def ping(self) -> None:
        """Ask for one document."""
        with reaching():
            self.sequence()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
