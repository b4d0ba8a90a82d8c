"""`enforce`: a patient's documents searched and read with the access decision, against the same server without it.

Both servers open the same store and write their audit before they answer; one is `--access open` (no decision at all),
the other decides for an authorised doctor. Targets: 70 % of the rate for a search, 60 % for a read.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from random import Random

from tests import samples
from tests.benchmarks import record, report
from tests.benchmarks.filling import PER_PATIENT, ins_of
from tests.benchmarks.load import Figures, Load, run
from tests.benchmarks.processes import Process, server
from tests.benchmarks.searching import filled
from tests.benchmarks.wire import call

#: Patients that are asked for, drawn from the whole store.
PATIENTS = 200
TARGETS = {"search": 0.7, "read": 0.6}


def measure(folder: Path, command: str, *, documents: int, rounds: int, seconds: float) -> report.Table:
    """Fill the store when it is not there yet, then load both servers alternately."""
    url = filled(folder, documents)
    home = Path(url.removeprefix("sqlite:///")).parent
    with ExitStack() as stack:
        free = stack.enter_context(server(home, "--access", "open", store_url=url))
        enforced = stack.enter_context(server(home, store_url=url))
        bearer = {"Authorization": f"Bearer {record.doctor(enforced, home)}"}
        paths = _paths(free, documents)
        runs: dict[tuple[str, bool], list[Figures]] = {}
        for _ in range(rounds):
            for name, asked in paths.items():
                for process, headers in ((free, {}), (enforced, bearer)):
                    load = Load(asked, headers)
                    run(process, load, 1)
                    runs.setdefault((name, process is enforced), []).append(run(process, load, seconds))
    return _table(runs, documents, command)


def _paths(process: Process, documents: int) -> dict[str, list[str]]:
    """Return what is asked for: searches of patients, and reads of documents that these searches find."""
    patients = range(max(documents // PER_PATIENT, 1))
    dice = Random(2)
    chosen = patients if len(patients) <= PATIENTS else dice.sample(patients, PATIENTS)
    searches = [
        f"/fhir/DocumentReference?patient.identifier={samples.INS}%7C{ins_of(number)}&_sort=-date&_count=20"
        for number in chosen
    ]
    found = [call(f"{process.url}{path}&_elements=id") for path in searches]
    reads = [f"/fhir/DocumentReference/{entry['resource']['id']}" for page in found for entry in page["entry"][:10]]
    dice.shuffle(reads)
    return {"search": searches, "read": reads}


def _table(runs: dict[tuple[str, bool], list[Figures]], documents: int, command: str) -> report.Table:
    rows = []
    for name, target in TARGETS.items():
        free, enforced = runs[name, False], runs[name, True]
        without, with_ = report.median(free), report.median(enforced)
        rows.append(
            (
                f"{documents:,}",
                name,
                report.rate(without.rate),
                report.rate(with_.rate),
                f"{report.ratio(enforced, free):.2f}",
                f"{target:.2f}",
                f"{without.cpu_us:.0f}",
                f"{with_.cpu_us:.0f}",
                f"{with_.p99_ms:.1f}",
                str(without.errors + with_.errors),
            )
        )
    columns = (
        "documents",
        "what",
        "open",
        "enforced",
        "ratio",
        "target",
        "CPU us open",
        "CPU us enforced",
        "p99 ms",
        "errors",
    )
    return report.Table("Access decision: with it and without, audit durable in both", command, columns, tuple(rows))
