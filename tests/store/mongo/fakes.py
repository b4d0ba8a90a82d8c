"""A replica set in the process: mongomock with sessions that roll back, and faults on demand.

What it proves: the transactions' code, its retries and its rollback. What it cannot prove: isolation between
transactions, which only a real replica set gives (DMP_TEST_MONGO_URL).
"""

from __future__ import annotations

import copy
from collections import defaultdict, deque
from threading import RLock
from types import TracebackType
from typing import Any

import mongomock
from pymongo import InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import InvalidOperation, OperationFailure, PyMongoError
from pymongo.results import BulkWriteResult

TRANSIENT = "TransientTransactionError"
UNKNOWN = "UnknownTransactionCommitResult"


def fault(code: int, *labels: str) -> OperationFailure:
    """Return an error as the server would send it."""
    return OperationFailure("injected", code, {"code": code, "errorLabels": list(labels)})


class Script:
    """Faults to raise at the next calls of an operation, and what was called."""

    def __init__(self) -> None:
        self._faults: defaultdict[str, deque[PyMongoError | None]] = defaultdict(deque)
        self.calls: list[str] = []

    def plan(self, operation: str, *faults: PyMongoError | None) -> None:
        """Raise these at the next calls, in order; None lets one pass."""
        self._faults[operation].extend(faults)

    def called(self, operation: str) -> None:
        """Record a call; raise what was planned for it."""
        self.calls.append(operation)
        if self._faults[operation] and (error := self._faults[operation].popleft()) is not None:
            raise error


class FakeClient:
    """A client of a replica set of one. One call at a time: mongomock breaks when threads read and write together."""

    def __init__(self) -> None:
        self.mock: Any = mongomock.MongoClient()
        self.lock = RLock()
        self.script = Script()

    def start_session(self, snapshot: bool = False) -> FakeSession:
        """Open a session; a snapshot reads like any other here."""
        return FakeSession(self)

    def database(self, name: str = "dmp") -> FakeDatabase:
        """Return a database whose collections take sessions."""
        return FakeDatabase(self, self.mock[name])

    def close(self) -> None:
        """Nothing to close."""


class FakeSession:
    """A session whose transaction can be rolled back."""

    def __init__(self, client: FakeClient) -> None:
        self._client = client
        self._before: dict[str, list[Any]] | None = None
        self._ended = False

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._before is not None:
            self._restore()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._before is not None

    def start_transaction(self, **options: Any) -> None:
        """Remember everything as it is."""
        assert options["read_concern"].level == "snapshot"
        assert options["write_concern"].document == {"w": "majority", "j": True, "wtimeout": 10_000}
        database = self._client.mock["dmp"]
        with self._client.lock:
            names = database.list_collection_names()
            self._before = {name: copy.deepcopy(list(database[name].find())) for name in names}
        self._client.script.called("start")

    def commit_transaction(self) -> None:
        """Keep what was written, unless the fault says that the server has aborted.

        It may be asked again when the answer was lost, as with the driver.
        """
        if self._before is None and not self._ended:
            raise InvalidOperation("No transaction started")
        try:
            self._client.script.called("commit")
        except PyMongoError as error:
            if error.has_error_label(TRANSIENT):
                self._restore()
            raise
        finally:
            self._before, self._ended = None, True

    def abort_transaction(self) -> None:
        """Put everything back."""
        self._restore()
        self._client.script.called("abort")

    def _restore(self) -> None:
        before, self._before = self._before or {}, None
        database = self._client.mock["dmp"]
        with self._client.lock:
            for name in database.list_collection_names():
                database[name].delete_many({})
                if before.get(name):
                    database[name].insert_many(before[name])


class FakeDatabase:
    """A database whose collections take sessions."""

    def __init__(self, client: FakeClient, mock: Any) -> None:
        self._client = client
        self._mock = mock

    def __getitem__(self, name: str) -> FakeCollection:
        return FakeCollection(self._client, self._mock[name])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mock, name)


class FakeCollection:
    """A collection that takes sessions, bulk writes, and faults."""

    def __init__(self, client: FakeClient, mock: Any) -> None:
        self._script = client.script
        self._lock = client.lock
        self._mock = mock

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._mock, name)

        def call(*arguments: Any, session: FakeSession | None = None, **options: Any) -> Any:
            if session is not None and session.in_transaction:
                self._script.called(name)
            with self._lock:
                result = method(*arguments, **options)
                return iter(list(result)) if name == "find" else result

        return call

    def bulk_write(self, requests: list[Any], session: FakeSession) -> BulkWriteResult:
        """Carry out the requests one by one."""
        assert session.in_transaction
        self._script.called("bulk_write")
        with self._lock:
            return self._carried_out(requests)

    def _carried_out(self, requests: list[Any]) -> BulkWriteResult:
        inserted = matched = 0
        for request in requests:
            if isinstance(request, InsertOne):
                self._mock.insert_one(request._doc)
                inserted += 1
            elif isinstance(request, ReplaceOne):
                matched += self._mock.replace_one(request._filter, request._doc).matched_count
            else:
                assert isinstance(request, UpdateOne)
                matched += self._mock.update_one(request._filter, request._doc).matched_count
        return BulkWriteResult({"nInserted": inserted, "nMatched": matched}, True)
