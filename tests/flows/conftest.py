"""Fixtures of the flows: the whole server over each store, a dossier of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.flows.steps import Dossier, next_ins
from tests.flows.stores import STORES
from tests.world import Client, World, make_world


@pytest.fixture(scope="module", params=sorted(STORES))
def store_kind(request: pytest.FixtureRequest) -> str:
    """The kind of store of a test, by its name in stores.py."""
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def world(store_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server over a new, empty store; the tests of one module share it, each with dossiers of its own."""
    store = STORES[store_kind](tmp_path_factory.mktemp("store"))
    yield make_world(store)
    store.close()


@pytest.fixture
def make(store_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., World]]:
    """Return a function that gives another server, with other settings, over the same kind of store."""
    opened = []

    def another(**environ: str) -> World:
        store = STORES[store_kind](tmp_path_factory.mktemp("store"))
        opened.append(store)
        return make_world(store, None, **environ)

    yield another
    for store in opened:
        store.close()


@pytest.fixture
def dossier(world: World) -> Dossier:
    """The open dossier of somebody new."""
    return Dossier.open(world, next_ins())


@pytest.fixture(scope="module")
def shared(world: World) -> Dossier:
    """One open dossier for the tests of a module that leave nothing in it."""
    return Dossier.open(world, next_ins())


@pytest.fixture
def doctor(world: World, dossier: Dossier) -> Client:
    """The authorised author."""
    dossier.authorise()
    return world.doctor()
