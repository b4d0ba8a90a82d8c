"""Random records, random callers, random requests: nothing hidden leaves. scripts/walk goes on for 100,000 requests.

DMP_TEST_LEAK_SECONDS makes the search for leaks longer; DMP_TEST_LEAK_SEED starts elsewhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fhir_dmp.identity.caller import Caller
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.store.sqlite import open_sqlite
from tests.corridor.scene import SAMU, Document, Scene, scene
from tests.corridor.walking import Walk
from tests.world import make_world

SECONDS = float(os.environ.get("DMP_TEST_LEAK_SECONDS", "24"))
SEED = int(os.environ.get("DMP_TEST_LEAK_SEED", "1"))


def worlds(folder: Path) -> Iterator[Callable[[], Any]]:
    yield MemoryStore
    yield lambda: open_sqlite(folder / f"dmp-{time.monotonic_ns()}.sqlite3")


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize(("kind", "share"), [("memory", 1.0), ("sqlite", 0.5)])
@pytest.mark.statement(
    "security P-41", "security P-42", "security G-9", "security G-10", "security TH1", "security TH6"
)
def test_nothing_hidden_leaves(kind: str, share: float, tmp_path: Path) -> None:
    openers = dict(zip(("memory", "sqlite"), worlds(tmp_path), strict=True))
    until = time.monotonic() + SECONDS * share
    seed, walk = SEED, Walk()
    while True:
        store = openers[kind]()
        try:
            made = scene(seed, make_world(store, None, DMP_ACCESS_REGULATION_CENTRES=SAMU))
            for _ in walk.through(made, seed):
                pass
        finally:
            store.close()
        seed += 1
        if time.monotonic() > until:
            return


class Denying(Scene):
    """A scene whose decision denies every document to everybody."""

    def knows(self, caller: Caller, document: Document) -> bool:
        """Say no."""
        return False


def test_the_walk_finds_a_leak_where_there_is_one() -> None:
    made = Denying(make_world(MemoryStore(), None, DMP_ACCESS_REGULATION_CENTRES=SAMU), Random(3)).build()
    with pytest.raises(AssertionError, match="tells"):
        for _ in Walk().through(made, 3):
            pass
