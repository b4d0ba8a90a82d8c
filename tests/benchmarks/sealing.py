"""`atrest`: what encryption at rest costs, in processor time of this process, an encrypted store against one in clear.

Requests go through the application over two SQLite files, in turns, so that a busy machine slows both alike.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random

from fhir_dmp.ports import ResourceStore
from fhir_dmp.store.sealed import Masters, seal
from fhir_dmp.store.sqlite import open_sqlite
from tests import samples
from tests.benchmarks import report
from tests.benchmarks.submitting import clinical_document
from tests.world import Client, World, make_world

#: Documents of the patient that is read and searched.
DOCUMENTS = 100
#: Requests of one side before the other has its turn.
_TURN = 5
_MASTERS = Masters((("bench", bytes(range(32))),))


def measure(command: str, *, rounds: int, seconds: float) -> report.Table:
    """Measure each kind of request, some seconds in all for each round and store."""
    with tempfile.TemporaryDirectory(prefix="fhir-dmp-bench-") as folder:
        clear = open_sqlite(Path(folder) / "clear.sqlite3")
        sealed = seal(open_sqlite(Path(folder) / "sealed.sqlite3"), lambda: _MASTERS)
        with closing(clear), closing(sealed):
            stores: tuple[ResourceStore, ...] = (clear, sealed)
            sides = [_requests(store, seed) for seed, store in enumerate(stores)]
            rows = [_row(name, [side[name] for side in sides], rounds, seconds / len(sides[0])) for name in sides[0]]
            sizes = [f"{_size(Path(folder), name) / 1e6:.1f} MB" for name in ("clear", "sealed")]
    rows.append(("size of the file", *sizes, ""))
    columns = ("request", "in clear, CPU us", "encrypted, CPU us", "ratio")
    note = f"One process, one thread, a patient with {DOCUMENTS} documents; processor time, stores in turns."
    return report.Table("Encryption at rest", command, columns, tuple(rows), note)


def _size(folder: Path, name: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(f"{name}.sqlite3*") if path.is_file())


def _requests(store: ResourceStore, seed: int) -> dict[str, Callable[[], None]]:
    world = make_world(store)
    patient, doctor, dice, numbers = world.open(), world.doctor(), Random(seed), count()
    world.authorise()
    ids = [world.submit(f"1.2.250.1.999.60.{number}", content=_text(number)) for number in range(DOCUMENTS)]
    binary = doctor.get(f"/DocumentReference/{ids[0]}").json["content"][0]["attachment"]["url"]
    path = binary.removeprefix(world.services.base)
    mine = f"/DocumentReference?patient.identifier={samples.INS}|{samples.ANOUK}"

    def submit() -> None:
        unique = f"1.2.250.1.999.61.{seed}.{next(numbers)}"
        _submit(world, unique, clinical_document(unique, dice))

    return {
        "GET DocumentReference/[id]": lambda: _get(doctor, f"/DocumentReference/{dice.choice(ids)}"),
        "GET Binary/[id]": lambda: _get(doctor, path),
        "20 newest of a patient, by INS": lambda: _get(doctor, f"{mine}&_count=20&_sort=-date"),
        "the same by type": lambda: _get(doctor, f"{mine}&type={samples.LOINC}|11488-4&_count=20&_sort=-date"),
        "words of contents (_content)": lambda: _get(doctor, f"{mine}&_content=numero{dice.randrange(9)}&_count=20"),
        "Patient by INS": lambda: _get(world.admin, f"/Patient?identifier={samples.INS}|{samples.ANOUK}"),
        "Patient by the beginning of a name": lambda: _get(world.admin, f"/Patient?family=bel&_id={patient}"),
        "ITI-65 of 100 KB": submit,
    }


def _text(number: int) -> bytes:
    return f"Compte rendu numero{number} {' '.join(f'mot{number * 31 + word}' for word in range(150))}".encode()


def _submit(world: World, unique: str, content: bytes) -> None:
    world.submit(unique, content=content, content_type="text/xml")


def _get(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status == 200, answer.body


def _row(name: str, sides: list[Callable[[], None]], rounds: int, seconds: float) -> tuple[str, ...]:
    for side in sides:
        _turn(side)
    taken = [_round(sides, seconds) for _ in range(rounds)]
    clear, sealed = (statistics.median(column) for column in zip(*taken, strict=True))
    ratio = statistics.median(each[1] / each[0] for each in taken)
    return name, f"{clear:,.0f}", f"{sealed:,.0f}", f"{ratio:.2f}"


def _round(sides: list[Callable[[], None]], seconds: float) -> list[float]:
    """Return the processor time of a request of each side, in us, in short turns for about so many seconds."""
    until, turns, spent = time.monotonic() + seconds, 0, [0.0] * len(sides)
    while time.monotonic() < until or turns < 2:
        for number, side in enumerate(sides):
            spent[number] += _turn(side)
        turns += 1
    return [each / turns / _TURN * 1e6 for each in spent]


def _turn(request: Callable[[], None]) -> float:
    start = time.process_time()
    for _ in range(_TURN):
        request()
    return time.process_time() - start
