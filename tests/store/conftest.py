"""Fixtures of the contract suite: every test that asks for `store` runs once for each store of stores.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_dmp.ports import ResourceStore
from tests.store.stores import STORES


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResourceStore]:
    """A new, empty store."""
    opened = STORES[request.param](tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def atomic(store: ResourceStore) -> ResourceStore:
    """The store, if a commit of several writes is atomic in it; a skip that says so otherwise."""
    if not store.transactional:
        pytest.skip("this store keeps no transactions; proved on a replica set (DMP_TEST_MONGO_URL)")
    return store
