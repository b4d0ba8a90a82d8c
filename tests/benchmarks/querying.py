"""`query`: what the forms of a search cost beside each other: chained, included, deep pages, nothing found.

In one process, without a network, the trail batched: ratios of medians, so that only the search itself is compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from fhir_dmp.store.sqlite import open_sqlite
from tests import samples
from tests.benchmarks import report
from tests.benchmarks.filling import ins_of
from tests.benchmarks.searching import filled
from tests.world import Client, World, make_world

_TIMES = 60
_PAGE = 20


def measure(folder: Path, command: str, *, documents: int) -> report.Table:
    """Measure each form over a store of so many documents."""
    url = filled(folder, documents)
    store = open_sqlite(Path(url.removeprefix("sqlite:///")))
    try:
        world = make_world(store, None, DMP_AUDIT_DURABILITY="batched")
        world.judged = False
        rows = _rows(world, documents)
        world.services.trail.flush()  # type: ignore[attr-defined]  # batched: the setting above
    finally:
        store.close()
    columns = ("documents", "search", "p50 ms", "against", "ratio")
    note = "Bounds: a chain 1.5 times the direct form; page 500 like page 2; nothing found under 20 ms at 1,000,000."
    return report.Table("Search: one form against another", command, columns, tuple(rows), note)


def _rows(world: World, documents: int) -> list[tuple[str, ...]]:
    admin = world.admin
    ins = f"{samples.INS}%7C{ins_of(1)}"
    chained = f"/DocumentReference?patient.identifier={ins}&_sort=-date&_count={_PAGE}"
    patient = admin.get(chained).entries[0]["subject"]["reference"]
    direct = f"/DocumentReference?patient={patient}&_sort=-date&_count={_PAGE}"
    listing = f"/DocumentReference?_sort=-date&_total=none&_count={_PAGE}"
    pages = _pages(admin, listing, min(500, documents // _PAGE))
    second, last = pages[1], pages[-1]
    forms: list[tuple[str, str, str | None]] = [
        ("direct: patient", direct, None),
        ("chained: patient.identifier", chained, "direct: patient"),
        ("with _include of authors", f"{direct}&_include=DocumentReference:author", "direct: patient"),
        ("page 2", second, None),
        (f"page {len(pages)}", last, "page 2"),
        ("nothing: type", "/DocumentReference?type=http://loinc.org%7C0-0", None),
        ("nothing: author.identifier", "/DocumentReference?author.identifier=none", None),
        ("nothing: _content", "/DocumentReference?_content=zzzzzz", None),
        ("nothing: type and period", "/DocumentReference?type=http://loinc.org%7C0-0&period=ge2020", None),
    ]
    taken: dict[str, float] = {}
    rows: list[tuple[str, ...]] = []
    for name, path, against in forms:
        taken[name] = _median_ms(lambda path=path: admin.get(path).status)  # type: ignore[misc]
        ratio = f"{taken[name] / taken[against]:.2f}" if against else ""
        rows.append((f"{documents:,}", name, f"{taken[name]:.2f}", against or "", ratio))
    return rows


def _pages(admin: Client, path: str, how_many: int) -> list[str]:
    """Return the paths of the first pages, by following next."""
    found = [path]
    while len(found) < how_many:
        links = {each["relation"]: each["url"] for each in admin.get(found[-1]).json["link"]}
        if "next" not in links:
            break
        found.append(links["next"].partition("/fhir")[2])
    return found


def _median_ms(ask: Callable[[], int]) -> float:
    assert ask() == 200
    times = []
    for _ in range(_TIMES):
        start = time.perf_counter()
        ask()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)
