"""`search`: the 20 newest documents of a patient by type, through HTTP with token, at 10,000 and at N documents."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from random import Random

from tests import samples
from tests.benchmarks import record, report
from tests.benchmarks.filling import PER_PATIENT, Filling, fill, ins_of, sqlite_url
from tests.benchmarks.load import Figures, Load, run
from tests.benchmarks.processes import Process, server
from tests.benchmarks.templates import CODES

BASE = "http://127.0.0.1:8000/fhir"
FEW = 10_000
#: The same number of patients is asked for in each store, so that caches help both alike.
PATIENTS = FEW // PER_PATIENT


def measure(folder: Path, command: str, *, documents: int, rounds: int, seconds: float) -> report.Table:
    """Fill the stores that are not there yet, then load their servers alternately."""
    sizes = sorted({FEW, documents})
    with ExitStack() as stack:
        targets = {size: _target(stack, folder, size) for size in sizes}
        runs: dict[tuple[int, str], list[Figures]] = {}
        for _ in range(rounds):
            for size, (process, loads) in targets.items():
                for name, load in loads.items():
                    run(process, load, 1)
                    runs.setdefault((size, name), []).append(run(process, load, seconds))
    return _table(runs, command)


def filled(folder: Path, documents: int) -> str:
    """Return the URL of a store with so many documents, filled when it is not there yet."""
    url = sqlite_url(folder, documents)
    done = Path(url.removeprefix("sqlite:///")).with_name("filled")
    if not done.exists():
        took = fill(Filling(url, documents, BASE))
        done.write_text(f"{took:.0f} s\n")
        print(f"{documents:,} documents stored in {took:.0f} s", flush=True)
    return url


def _target(stack: ExitStack, folder: Path, documents: int) -> tuple[Process, dict[str, Load]]:
    url = filled(folder, documents)
    home = Path(url.removeprefix("sqlite:///")).parent
    process = stack.enter_context(server(home, store_url=url))
    headers = {"Authorization": f"Bearer {record.doctor(process, home)}"}
    patients = max(documents // PER_PATIENT, 1)
    step = max(patients // PATIENTS, 1)
    loads = {f"{PATIENTS} patients": Load(_paths(range(0, patients, step), PATIENTS), headers)}
    if patients > PATIENTS:
        loads["any patient"] = Load(_paths(range(patients), 20_000), headers)
    return process, loads


def _paths(patients: range, count: int) -> list[str]:
    dice = Random(1)
    chosen = patients if len(patients) <= count else dice.sample(patients, count)
    fixed = "&_sort=-date&_count=20"
    return [
        f"/fhir/DocumentReference?patient.identifier={samples.INS}%7C{ins_of(number)}"
        f"&type={samples.LOINC}%7C{dice.choice(CODES)}{fixed}"
        for number in chosen
    ]


def _table(runs: dict[tuple[int, str], list[Figures]], command: str) -> report.Table:
    floor = report.median(next(iter(runs.values())))
    rows = []
    for (size, name), taken in runs.items():
        middle = report.median(taken)
        rows.append(
            (
                f"{size:,}",
                name,
                report.rate(middle.rate),
                f"{middle.p50_ms:.2f}",
                f"{middle.p50_ms / floor.p50_ms:.2f}",
                f"{middle.p99_ms:.1f}",
                f"{middle.cpu_us:.0f}",
                f"{middle.cpu_us / floor.cpu_us:.2f}",
                str(middle.errors),
            )
        )
    columns = ("documents", "asked for", "rate", "p50 ms", "ratio", "p99 ms", "CPU us", "ratio", "errors")
    return report.Table("Search: 20 newest documents of a patient by type", command, columns, tuple(rows))
