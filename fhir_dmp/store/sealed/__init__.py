"""Encryption at rest: one wrapper around any store, which keeps nothing in clear that tells who or what.

What is sealed, what stays readable and why: docs/adr/0070-data-at-rest-is-sealed-in-front-of-the-store.md.
"""

from fhir_dmp.store.sealed.keys import DataKeys, Masters
from fhir_dmp.store.sealed.opening import refuse_sealed, seal
from fhir_dmp.store.sealed.store import SealedStore

__all__ = ["DataKeys", "Masters", "SealedStore", "refuse_sealed", "seal"]
