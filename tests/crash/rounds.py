"""Rounds of life and death of a server: it starts, is written to, is killed at a random moment, and is inspected."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fhir_dmp.bootstrap import build
from fhir_dmp.settings import Settings
from tests import samples
from tests.benchmarks.processes import server, settings_of
from tests.benchmarks.wire import call

from .inspect import problems
from .writers import Acknowledged, Writers


@dataclass(frozen=True, slots=True)
class Round:
    """One round. submissions, updates: acknowledged up to its end. started_s: how long the server took to answer."""

    number: int
    submissions: int
    updates: int
    refused: int
    started_s: float
    problems: tuple[str, ...]


def run(folder: Path, rounds: int, seconds: float, seed: int) -> Iterator[Round]:
    """Yield the rounds; each goes on with the record of the one before."""
    known = Acknowledged()
    dice = random.Random(seed)
    for number in range(rounds):
        began = time.monotonic()
        with server(folder, "--access", "open") as process:
            took = time.monotonic() - began
            if number == 0:
                call(f"{process.url}/fhir/Patient/$dmp-ouvrir", samples.opening())
            writers = Writers(process.port, known, seed=dice.getrandbits(32))
            writers.start()
            time.sleep(seconds * dice.uniform(0.6, 1.4))
            process.kill()
            writers.stop()
        found = tuple(_inspected(folder, known))
        updates = sum(known.organisations.values())
        yield Round(number + 1, len(known.submissions), updates, len(known.refused), took, found)


def _inspected(folder: Path, known: Acknowledged) -> list[str]:
    settings = Settings.load({**settings_of(folder, 8000, {}), "DMP_SERVER_WORKERS": "1"})
    services = build(settings)
    try:
        return list(problems(services, known))
    finally:
        services.store.close()
