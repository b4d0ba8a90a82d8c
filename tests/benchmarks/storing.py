"""`store`: the store alone, in this process: point reads, the patient's newest by type, commits of 1 and of 100."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from fhir_dmp.bootstrap import open_store
from fhir_dmp.ports import Commit, Key, ResourceStore, Write
from fhir_dmp.search.query import Search, SortKey, Term, both
from fhir_dmp.settings import Store
from tests import samples
from tests.benchmarks import report
from tests.benchmarks.filling import PER_PATIENT, Filling, fill, ins_of, record_of
from tests.benchmarks.searching import BASE, filled
from tests.benchmarks.templates import CODES, templates

SIZES = (1_000, 10_000, 100_000)


def measure(folder: Path, command: str, *, documents: int, seconds: float, url: str | None) -> report.Table:
    """Measure SQLite at several sizes up to `documents`; or the store of `url`, which must be empty, at 1,000."""
    rows: list[tuple[str, ...]] = []
    if url is not None:
        fill(Filling(url, SIZES[0], BASE), processes=1)
        rows.append(_row(url.partition(":")[0], SIZES[0], url, seconds))
    else:
        sizes = sorted({*(size for size in SIZES if size < documents), documents})
        rows += [_row("sqlite", size, filled(folder, size), seconds) for size in sizes]
    columns = ("store", "documents", "read", "20 newest by type", "commits of 1", "documents in commits of 100")
    return report.Table("Stores", command, columns, tuple(rows), "One thread, durable commits.")


def _row(name: str, documents: int, url: str, seconds: float) -> tuple[str, ...]:
    store = open_store(Store(url))
    try:
        dice = Random(documents)
        known = _some(store, documents, dice)
        patients = max(documents // PER_PATIENT, 1)
        copies = _copies()
        rates = (
            _rate(lambda: store.read(dice.choice(known)), seconds),
            _rate(lambda: store.search(_newest(dice.randrange(patients), dice.choice(CODES))), seconds),
            _rate(lambda: store.commit(Commit(writes=(next(copies),))), seconds),
            100 * _rate(lambda: store.commit(Commit(writes=tuple(next(copies) for _ in range(100)))), seconds),
        )
    finally:
        store.close()
    return (name, f"{documents:,}", *(report.rate(value) for value in rates))


def _some(store: ResourceStore, documents: int, dice: Random) -> list[Key]:
    patients = max(documents // PER_PATIENT, 1)
    found: list[Key] = []
    for _ in range(min(patients, 50)):
        search = _newest(dice.randrange(patients), dice.choice(CODES))
        found += [version.key for version in store.search(search).versions]
    return found


def _newest(patient: int, code: str) -> Search:
    node = both(
        Term(f"patient.identifier=s:{samples.INS}|{ins_of(patient)}"),
        Term(f"type=s:{samples.LOINC}|{code}"),
    )
    return Search(types=("DocumentReference",), node=node, sort=(SortKey("date", descending=True),), count=20)


def _copies() -> Iterator[Write]:
    made = templates(BASE)
    number = 700_000 + time.time_ns() % 90_000
    while True:
        copies = record_of(number, made, Filling("", PER_PATIENT, BASE))
        yield from (copy for copy in copies if copy.type == "DocumentReference")
        number += 1


def _rate(work: Callable[[], object], seconds: float) -> float:
    work()
    count, started = 0, time.perf_counter()
    while (took := time.perf_counter() - started) < seconds:
        work()
        count += 1
    return count / took
