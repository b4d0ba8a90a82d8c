"""Fixtures: a server over each store with the open dossier of Anouk, and what the trail kept of a request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.corridor.stage import Stage
from tests.flows.stores import STORES
from tests.world import make_world


@pytest.fixture(params=sorted(STORES))
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Anouk's dossier is open; nobody is authorised, nothing is deposited."""
    store = STORES[request.param](tmp_path_factory.mktemp("stage"))
    world = make_world(store, None, DMP_ACCESS_REGULATION_CENTRES="990000001")
    world.open()
    yield Stage(world)
    store.close()
