"""What holds for every test: no time limit of their own for properties, one for every query of a database."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def every_command_to_a_database_limits_its_time() -> Iterator[None]:
    """Whatever a test asks of a MongoDB goes out with maxTimeMS [security H-28], or the test fails."""
    yield
    servers = sys.modules.get("tests.store.mongo.servers")
    if servers is not None and servers.WATCH.untimed:
        untimed = sorted(set(servers.WATCH.untimed))
        servers.WATCH.untimed.clear()
        pytest.fail(f"commands without maxTimeMS: {', '.join(untimed)}")
