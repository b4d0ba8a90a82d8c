"""The stores under test. Each opener gives a new, empty store in a folder of its own; add a line to test another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fhir_dmp.ports import ResourceStore
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.store.sqlite import Limits, open_sqlite
from tests.store.mongo import servers

#: Small, so that a test reaches it with few resources.
JOIN_CAP = 30

Opener = Callable[[Path], ResourceStore]


def open_memory(folder: Path) -> ResourceStore:
    """Return an empty store in memory."""
    return MemoryStore(join_cap=JOIN_CAP)


def open_sqlite_file(folder: Path) -> ResourceStore:
    """Return a store in a new file."""
    return open_sqlite(folder / "dmp.sqlite3", Limits(join_cap=JOIN_CAP))


STORES: dict[str, Opener] = {
    "memory": open_memory,
    "sqlite": open_sqlite_file,
    "mongomock": lambda _: servers.open_mongomock(JOIN_CAP),
    "mongomock-transactions": lambda _: servers.open_transactional(JOIN_CAP),
    "mongomock-sharded": lambda _: servers.open_sharded(JOIN_CAP),
    "mongo-wire": lambda _: servers.open_ferretdb(JOIN_CAP),
    "mongo-replica-set": lambda _: servers.open_given(JOIN_CAP),
}
