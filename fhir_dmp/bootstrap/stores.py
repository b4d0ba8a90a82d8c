"""Which store a URL names. A new store is a row in STORES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from fhir_dmp.errors import ConfigurationError, Problem, StoreUnavailable
from fhir_dmp.ports import ResourceStore
from fhir_dmp.settings import Store as StoreSettings


def _memory(settings: StoreSettings) -> ResourceStore:
    from fhir_dmp.store.memory import MemoryStore

    return MemoryStore()


def _sqlite(settings: StoreSettings) -> ResourceStore:
    from fhir_dmp.store.sqlite.store import open_sqlite

    return open_sqlite(Path(settings.file))


def _mongo(settings: StoreSettings) -> ResourceStore:
    from fhir_dmp.store.mongo import open_mongo

    try:
        return open_mongo(settings.url, allow_standalone=settings.allow_standalone)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error} Start the database, or correct store.url (DMP_STORE_URL).") from error


STORES: Mapping[str, Callable[[StoreSettings], ResourceStore]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "mongodb": _mongo,
    "mongodb+srv": _mongo,
}


def open_store(settings: StoreSettings) -> ResourceStore:
    """Open the store that the URL names.

    Raises:
        ConfigurationError: an unknown scheme.
        StoreUnavailable: it cannot be reached.
    """
    scheme = settings.url.partition(":")[0]
    if scheme not in STORES:
        raise ConfigurationError(Problem("store.url", f"unknown scheme '{scheme}'", f"one of {', '.join(STORES)}"))
    return STORES[scheme](settings)
