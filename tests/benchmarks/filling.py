"""Fills a store with many documents, fast: copies of templates in big commits, prepared by several processes.

Each patient has 100 documents of eight types over ten years and lets the doctor of the samples in. The submission sets
and contents of the documents are left out: they add rows, not work to what is measured.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fhir_dmp.bootstrap import RandomIds, open_store
from fhir_dmp.patients.ins import key_of
from fhir_dmp.ports import Commit, ResourceStore, Write
from fhir_dmp.settings import Store
from tests.benchmarks.templates import CODES, Templates, templates

PER_PATIENT = 100
_BATCH = 20  # patients in a commit
_DAYS = 3650


@dataclass(frozen=True, slots=True)
class Filling:
    """What to fill. base: public FHIR base of the server that will open the store."""

    url: str
    documents: int
    base: str

    @property
    def patients(self) -> int:
        """How many patients."""
        return max(self.documents // PER_PATIENT, 1)


def ins_of(number: int) -> str:
    """Return the INS of a fictitious patient, its key right.

    >>> ins_of(0), ins_of(1234567)
    ('160017500000045', '260017543456785')
    """
    sex, rest = divmod(number, 800_000)
    digits = f"{1 + sex % 2}600175{rest:06d}"
    return digits + key_of(digits)


def fill(filling: Filling, processes: int = 2) -> float:
    """Fill the store; return how long it took, in seconds."""
    started = time.monotonic()
    open_store(Store(filling.url)).close()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        list(pool.imap_unordered(_part, [(filling, number, processes) for number in range(processes)]))
    return time.monotonic() - started


def _part(task: tuple[Filling, int, int]) -> None:
    filling, number, processes = task
    made = templates(filling.base)
    store = open_store(Store(filling.url))
    writes: list[Write] = []
    for at, patient in enumerate(range(number, filling.patients, processes)):
        writes += record_of(patient, made, filling)
        if at % _BATCH == _BATCH - 1:
            _commit(store, writes)
            writes = []
    _commit(store, writes)
    store.close()


def _commit(store: ResourceStore, writes: list[Write]) -> None:
    if writes:
        store.commit(Commit(writes=tuple(writes)))


def record_of(number: int, made: Templates, filling: Filling) -> Iterator[Write]:
    """Yield what one patient's record consists of."""
    dice, ids = Random(number), RandomIds()
    patient, ins = ids.resource(), ins_of(number)
    for template in made.patient:
        own = patient if template.write.type == "Patient" else ids.resource(f"Patient/{patient}")
        yield template.copy({"id": own, "patient": patient, "ins": ins})
    for at in range(min(PER_PATIENT, filling.documents)):
        template = made.documents[dice.randrange(len(CODES))]
        days = dice.randrange(-_DAYS, 0)
        values = {"id": ids.resource(f"Patient/{patient}"), "patient": patient, "ins": ins}
        values["unique"] = f"1.2.250.1.999.777.{number}.{at}"
        yield template.copy(values, days=days, updated_ms=template.write.updated_ms + number)


def sqlite_url(folder: Path, documents: int) -> str:
    """Return the store of so many documents in a folder."""
    return f"sqlite:///{folder / f'documents-{documents}' / 'dmp.sqlite3'}"
