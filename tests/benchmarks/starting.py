"""`start`: from the command to the first answer, and the memory that a worker then holds."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from tests.benchmarks import record, report
from tests.benchmarks.load import Load, run
from tests.benchmarks.processes import COMMAND, Process, await_answer, free_port, memory_kib, settings_of, spawn

ANSWER = "/fhir/metadata"


def measure(folder: Path, command: str, *, rounds: int, seconds: float) -> report.Table:
    """Start the server several times: on an empty folder first, then on its record."""
    home = folder / "start"
    times: list[float] = []
    used: list[float] = []
    resident: list[int] = []
    loaded: list[int] = []
    for _ in range(max(rounds, 3)):
        port = free_port()
        began = time.monotonic()
        process = spawn([*COMMAND, "serve", "--access", "open"], home, port, settings_of(home, port, {}))
        try:
            await_answer(process, ANSWER)
            times.append(time.monotonic() - began)
            used.append(process.cpu_s())
            resident.append(_largest(process))
            if not loaded:
                path = f"/fhir/DocumentReference/{record.prepare(process).document}"
                run(process, Load((path, "/fhir/metadata")), seconds)
                loaded.append(_largest(process))
        finally:
            process.stop()
    rows = (
        ("first start, on an empty folder", f"{times[0]:.2f} s"),
        ("later starts, median", f"{statistics.median(times[1:]):.2f} s"),
        ("processor time of server and workers until then", f"{statistics.median(used):.2f} s"),
        ("resident memory of a worker after its first answer", f"{statistics.median(resident) / 1024:.0f} MB"),
        (f"and after {seconds:g} s of reads by 16 clients", f"{loaded[0] / 1024:.0f} MB"),
    )
    return report.Table("Start", command, ("from the command to the first answer", "figure"), rows)


def _largest(process: Process) -> int:
    return max(memory_kib(worker) for worker in process.workers)
