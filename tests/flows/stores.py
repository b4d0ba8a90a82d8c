"""The stores that the flows run on, with their production limits; one line adds another."""

from __future__ import annotations

from fhir_dmp.search.joins import JOIN_CAP
from fhir_dmp.store.sqlite import open_sqlite
from tests.store.mongo import servers
from tests.store.stores import Opener

STORES: dict[str, Opener] = {
    "sqlite": lambda folder: open_sqlite(folder / "dmp.sqlite3"),
    "mongo-wire": lambda _: servers.open_ferretdb(JOIN_CAP),
    "mongo-replica-set": lambda _: servers.open_given(JOIN_CAP),
}
