"""Fixtures of the attacks: those of the flows."""

from tests.flows.conftest import dossier, make, shared, store_kind, world

__all__ = ["dossier", "make", "shared", "store_kind", "world"]
