"""The MongoDB store. Only this room speaks to pymongo."""

from fhir_dmp.store.mongo.connect import open_mongo

__all__ = ["open_mongo"]
