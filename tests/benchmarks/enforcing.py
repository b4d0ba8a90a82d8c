"""`enforce`: a patient's documents searched and read with the access decision, against the same server without it.

Both servers run the same release on the same store, with two workers, and each commits its audit record before it
answers (`audit.durability = durable`). One is `--access open`: no token, no decision, no filter. The other judges the
token of an authorised doctor, checks that what it knows of consents and of the matrix still holds, narrows the query,
and decides on each document that leaves. They get the same requests, in turns. Targets: 70 % of the rate for a search,
60 % for a read. `any patient` asks for patients whose consents the server has mostly not read before.
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
ANY = "search, any patient"
TARGETS = {"search": "0.70", ANY: "", "read": "0.60"}


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
    searches = [_search(number) for number in chosen]
    found = [call(f"{process.url}{path}&_elements=id") for path in searches]
    reads = [f"/fhir/DocumentReference/{entry['resource']['id']}" for page in found for entry in page["entry"][:10]]
    dice.shuffle(reads)
    return {
        "search": searches,
        ANY: [_search(number) for number in dice.sample(patients, len(patients))],
        "read": reads,
    }


def _search(number: int) -> str:
    named = f"patient.identifier={samples.INS}%7C{ins_of(number)}"
    return f"/fhir/DocumentReference?{named}&_sort=-date&_count=20"


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
                target,
                f"{report.cpu_ratio(enforced, free):.2f}",
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
        "by CPU",
        "CPU us open",
        "CPU us enforced",
        "p99 ms",
        "errors",
    )
    note = (
        "open: `--access open`, no token and no decision; enforced: a doctor's token, the filter, a decision on each"
        " document. Both commit their audit before they answer, and get the same requests in turns. by CPU: the same"
        " ratio by processor time of the server."
    )
    title = "Access decision: with it and without, audit durable in both"
    return report.Table(title, command, columns, tuple(rows), note)
