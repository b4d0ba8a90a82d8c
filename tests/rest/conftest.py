"""Worlds for the tests of the REST surface: every test runs on each store that its fixture names.

`world`: memory and SQLite. `wide`: MongoDB over the wire protocol too, for the representative part; with
`DMP_TEST_EVERYWHERE=1` all tests run on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.stores import STORES
from tests.world import Client, World, make_world

EVERYWHERE = ("memory", "sqlite", "mongo-wire")
EMBEDDED = EVERYWHERE if os.environ.get("DMP_TEST_EVERYWHERE") else EVERYWHERE[:2]


def opened(name: str, folder: Path | None = None, **environ: str) -> Iterator[World]:
    """Yield a server over a new store, with settings as `DMP_*` variables."""
    store = STORES[name](folder or Path())
    yield make_world(store, None, DMP_STORE_ALLOW_STANDALONE="true", **environ)
    store.close()


@pytest.fixture(params=EMBEDDED)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A server over a new, empty store."""
    yield from opened(request.param, tmp_path)


@pytest.fixture(params=EVERYWHERE)
def wide(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A server over a new, empty store, one of them on the other side of a socket."""
    yield from opened(request.param, tmp_path)


@pytest.fixture
def admin(world: World) -> Client:
    """The operator, who may do everything that the server offers."""
    return world.admin
