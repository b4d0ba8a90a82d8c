"""The store in memory: the reference, for tests and trials."""

from fhir_dmp.store.memory.store import MemoryStore

__all__ = ["MemoryStore"]
