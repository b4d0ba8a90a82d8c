"""`read`: one DocumentReference of about 3 KB, against a bare application that sends the same bytes."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks import record, report
from tests.benchmarks.bare import bare_server
from tests.benchmarks.load import Figures, Load, run
from tests.benchmarks.processes import Process, server
from tests.benchmarks.wire import fetch

_SENT_BY_SERVER = frozenset({"server", "date", "transfer-encoding"})
Target = tuple[Process, Load]


def measure(folder: Path, command: str, *, rounds: int, seconds: float) -> report.Table:
    """Start the servers, load one after the other, several rounds, and compare."""
    with ExitStack() as stack:
        targets = _targets(stack, folder)
        for process, load in targets.values():
            run(process, load, 1)
        runs: dict[str, list[Figures]] = {name: [] for name in targets}
        for _ in range(rounds):
            for name, (process, load) in targets.items():
                runs[name].append(run(process, load, seconds))
                time.sleep(0.2)
    return _table(runs, command)


def _targets(stack: ExitStack, folder: Path) -> dict[str, Target]:
    free = stack.enter_context(server(folder / "open", "--access", "open"))
    batched = stack.enter_context(server(folder / "batched", "--access", "open", audit_durability="batched"))
    enforced = stack.enter_context(server(folder / "enforced"))
    made = record.prepare(free)
    path = f"/fhir/DocumentReference/{made.document}"
    other = f"/fhir/DocumentReference/{record.prepare(batched).document}"
    admin = record.admin(enforced, folder / "enforced")
    guarded = f"/fhir/DocumentReference/{record.prepare(enforced, admin).document}"
    bearer = {"Authorization": f"Bearer {record.doctor(enforced, folder / 'enforced')}"}
    body, sent = fetch(free.url + path)
    headers = [(name, value) for name, value in sent if name not in _SENT_BY_SERVER]
    bare = stack.enter_context(bare_server(folder, "application", body, headers))
    durable = stack.enter_context(bare_server(folder, "durable", body, headers))
    return {
        "bare WSGI": (bare, Load(("/",))),
        "bare WSGI, a line on the disk first": (durable, Load(("/",))),
        "open access, audit batched": (batched, Load((other,))),
        "open access, audit durable": (free, Load((path,))),
        "token, decision, audit durable": (enforced, Load((guarded,), bearer)),
    }


def _table(runs: dict[str, list[Figures]], command: str) -> report.Table:
    names = list(runs)
    floor, durable = runs[names[0]], runs[names[1]]
    rows = []
    for name, taken in runs.items():
        middle = report.median(taken)
        rows.append(
            (
                name,
                report.rate(middle.rate),
                f"{report.ratio(taken, floor):.2f}",
                f"{report.ratio(taken, durable):.2f}",
                f"{middle.cpu_us:.0f}",
                f"{middle.p50_ms:.2f}",
                f"{middle.p99_ms:.1f}",
                str(middle.errors),
            )
        )
    columns = (
        "GET DocumentReference/[id]",
        "rate",
        "of bare",
        "of bare with disk",
        "CPU us",
        "p50 ms",
        "p99 ms",
        "errors",
    )
    return report.Table("Read", command, columns, tuple(rows))
