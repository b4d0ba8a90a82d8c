"""The stores under test. Each opener gives a new, empty store in a folder of its own; add a line to test another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fhir_dmp.ports import ResourceStore
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.store.sealed import Masters, SealedStore, seal
from fhir_dmp.store.sealed.contents import IN_MEMORY
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


def sealed(opener: Opener, in_memory: int = IN_MEMORY) -> Opener:
    """Return an opener of the same store, encrypted."""

    def opened(folder: Path) -> ResourceStore:
        inner = seal(opener(folder), lambda: Masters((("test", bytes(range(32))),)))
        return SealedStore(inner.inner, inner.keys, in_memory=in_memory)

    return opened


STORES: dict[str, Opener] = {
    "memory": open_memory,
    "sqlite": open_sqlite_file,
    "sealed-memory": sealed(open_memory, in_memory=100_000),
    "sealed-sqlite": sealed(open_sqlite_file),
    "mongomock": lambda _: servers.open_mongomock(JOIN_CAP),
    "mongomock-transactions": lambda _: servers.open_transactional(JOIN_CAP),
    "mongomock-sharded": lambda _: servers.open_sharded(JOIN_CAP),
    "mongo-wire": lambda _: servers.open_ferretdb(JOIN_CAP),
    "mongo-replica-set": lambda _: servers.open_given(JOIN_CAP),
}
