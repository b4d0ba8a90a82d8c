"""`feed`: a campaign of the insurance fund in batches of ITI-105, then the next month, then a repetition."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import samples
from tests.benchmarks import record, report
from tests.benchmarks.processes import Process, server, token
from tests.benchmarks.wire import call
from tests.feeding import FUND, batches, monthly
from tests.flows.steps import next_ins
from tests.samples import Json

BATCH = 100
CONNECTIONS = 8


def measure(folder: Path, command: str, *, people: int) -> report.Table:
    """Deposit for so many people over several connections, replace the month before, and repeat the campaign."""
    home = folder / "feed"
    with server(home) as process:
        everybody = _opened(process, record.admin(process, home), people)
        fund = token(process, home, "--as", f"feeder:{FUND[1:]}")
        rows = [
            _campaign(process, fund, "first month", batches(monthly(everybody, 23), BATCH)),
            _campaign(process, fund, "next month", batches(monthly(everybody, 24, after=23), BATCH)),
            _campaign(process, fund, "repeated", batches(monthly(everybody, 24, after=23), BATCH)),
        ]
    columns = ("campaign", "documents", "rate", "new", "there already", "refused")
    note = f"Batches of {BATCH} over {CONNECTIONS} connections; every document is committed and audited on its own."
    return report.Table("Automatic feeds", command, columns, tuple(rows), note)


def _opened(process: Process, admin: str, people: int) -> list[str]:
    everybody = [next_ins() for _ in range(people)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        opening = f"{process.url}/fhir/Patient/$dmp-ouvrir"
        list(pool.map(lambda ins: call(opening, samples.opening(samples.patient(ins)), token=admin), everybody))
    return everybody


def _campaign(process: Process, fund: str, name: str, bodies: Iterator[Json]) -> tuple[str, ...]:
    made: Sequence[Json] = list(bodies)
    started = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        answers = list(pool.map(lambda body: call(f"{process.url}/fhir", body, token=fund), made))
    seconds = time.perf_counter() - started
    statuses = [entry["response"]["status"][:3] for answer in answers for entry in answer["entry"]]
    new, there = statuses.count("201"), statuses.count("200")
    refused = len(statuses) - new - there
    return name, str(len(statuses)), report.rate(len(statuses) / seconds), str(new), str(there), str(refused)
