"""Fixtures: a server in memory with the open dossier of Anouk, and what the trail kept of a request."""

from __future__ import annotations

import pytest

from fhir_dmp.store.memory import MemoryStore
from tests.corridor.stage import Stage
from tests.world import make_world


@pytest.fixture
def stage() -> Stage:
    """Anouk's dossier is open; nobody is authorised, nothing is deposited."""
    world = make_world(MemoryStore(), None, DMP_ACCESS_REGULATION_CENTRES="990000001")
    world.open()
    return Stage(world)
