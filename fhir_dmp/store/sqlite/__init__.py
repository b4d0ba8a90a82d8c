"""The embedded store: one SQLite file, several threads and processes."""

from fhir_dmp.store.sqlite.store import Limits, SqliteStore, open_sqlite

__all__ = ["Limits", "SqliteStore", "open_sqlite"]
