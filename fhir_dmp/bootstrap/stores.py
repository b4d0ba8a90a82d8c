"""Which store a URL names, and the seal in front of it when it is encrypted. A new store is a row in STORES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from fhir_dmp import keyring
from fhir_dmp.errors import ConfigurationError, Problem, StoreUnavailable
from fhir_dmp.ports import ResourceStore
from fhir_dmp.settings import Store as StoreSettings
from fhir_dmp.store.sealed import Masters, SealedStore, refuse_sealed, seal


def _memory(settings: StoreSettings) -> ResourceStore:
    from fhir_dmp.store.memory import MemoryStore

    return MemoryStore(query_ms=settings.query_timeout_ms)


def _sqlite(settings: StoreSettings) -> ResourceStore:
    from fhir_dmp.store.sqlite.store import Limits, open_sqlite

    return open_sqlite(Path(settings.file), Limits(query_ms=settings.query_timeout_ms))


def _mongo(settings: StoreSettings) -> ResourceStore:
    from fhir_dmp.store.mongo import open_mongo

    try:
        return open_mongo(settings.url, allow_standalone=settings.allow_standalone, query_ms=settings.query_timeout_ms)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error} Start the database, or correct store.url (DMP_STORE_URL).") from error


STORES: Mapping[str, Callable[[StoreSettings], ResourceStore]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "mongodb": _mongo,
    "mongodb+srv": _mongo,
}


def open_store(settings: StoreSettings) -> ResourceStore:
    """Open the store that the URL names, behind its seal when it is encrypted.

    Raises:
        ConfigurationError: an unknown scheme; keys that are not those of the store.
        StoreUnavailable: it cannot be reached.
    """
    if settings.encryption_keys:
        return _sealed(settings)
    if settings.data_keys_url:
        todo = "set store.encryption_keys too, or remove it"
        raise ConfigurationError(Problem("store.data_keys_url", "is only for an encrypted store", todo))
    with ExitStack() as opened:
        store = opened.enter_context(closing(_bare(settings)))
        refuse_sealed(store)
        opened.pop_all()
    return store


def _sealed(settings: StoreSettings) -> SealedStore:
    path = Path(settings.encryption_keys)
    if settings.data_keys_url == settings.url:
        what = "names the record's own store"
        raise ConfigurationError(Problem("store.data_keys_url", what, "name another one, or remove it"))
    keyring.master_keys(path)  # before a file of a store is made
    with ExitStack() as opened:
        store = opened.enter_context(closing(_bare(settings)))
        apart: ResourceStore | None = None
        if settings.data_keys_url:
            elsewhere = replace(settings, url=settings.data_keys_url)
            apart = opened.enter_context(closing(_bare(elsewhere, "store.data_keys_url")))
        found = seal(store, lambda: Masters(keyring.master_keys(path)), apart)
        opened.pop_all()
    return found


def _bare(settings: StoreSettings, setting: str = "store.url") -> ResourceStore:
    scheme = settings.url.partition(":")[0]
    if scheme not in STORES:
        raise ConfigurationError(Problem(setting, f"unknown scheme '{scheme}'", f"one of {', '.join(STORES)}"))
    return STORES[scheme](settings)
