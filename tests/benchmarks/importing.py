"""`import`: NDJSON of many small resources, or CDA documents, through `fhir-dmp import`, rules and audit included."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from random import Random

from tests.benchmarks import report
from tests.benchmarks.processes import COMMAND, environment, settings_of


def measure(folder: Path, command: str, *, resources: int) -> report.Table:
    """Import twice: what is new, then the same again.

    Raises:
        CalledProcessError: something was refused.
    """
    home = folder / "import"
    home.mkdir(parents=True, exist_ok=True)
    file = home / "practitioners.ndjson"
    _write(file, resources)
    environ = environment(settings_of(home, 8000, {}))
    rows = []
    for name in ("new", "the same again"):
        began, used = time.monotonic(), _used_s()
        subprocess.run([*COMMAND, "import", str(file)], cwd=home, env=environ, check=True, capture_output=True)
        took = time.monotonic() - began
        cpu_us = (_used_s() - used) / resources * 1e6
        rows.append((name, f"{resources:,}", f"{took:.1f}", report.rate(resources / took), f"{cpu_us:.0f}"))
    return report.Table("Import of NDJSON", command, ("resources", "number", "s", "rate", "CPU us"), tuple(rows))


def measure_cda(folder: Path, command: str, *, documents: Path, copies: int) -> report.Table:
    """Import a folder of CDA with what they say (documents.extract), each file so many times under ids of its own.

    Target: 25 documents a second on 2 processors. Documents that the record refuses are told, and do not count.
    """
    home = folder / "import-cda"
    shutil.rmtree(home, ignore_errors=True)
    found = _copied(documents, home / "documents", copies)
    allowed = {"DMP_DOCUMENTS_EXTRACT": "true", "DMP_IDENTITY_INS_TEST_ALLOWED": "true"}
    environ = environment(settings_of(home, 8000, {**allowed, "DMP_IDENTITY_INS_KEY_CHECK": "warn"}))
    arguments = ["import", "--open", "--patient", _NOBODY, str(home / "documents")]
    rows = []
    for name in ("new", "the same again"):
        began, used = time.monotonic(), _used_s()
        done = subprocess.run([*COMMAND, *arguments], cwd=home, env=environ, capture_output=True, text=True)
        took, cpu_ms = time.monotonic() - began, (_used_s() - used) * 1000
        told = dict(re.findall(r"^(\w+): (\d+)$", done.stdout, re.MULTILINE))
        taken = int(told["stored"]) + int(told["unchanged"])
        rows.append(
            (name, str(taken), told["refused"], f"{took:.1f}", report.rate(taken / took), f"{cpu_ms / found:.1f}")
        )
    columns = ("CDA documents, with extraction", "taken", "refused", "s", "rate", "CPU ms")
    return report.Table("Import of CDA", command, columns, tuple(rows))


#: A fictitious INS of the test authority, for the documents that state none.
_NOBODY = "urn:oid:1.2.250.1.213.1.4.10|279035121518989"
_ID = re.compile(rb"(<(?:\w+:)?typeId\b[^>]*>.*?)<(\w+:)?id\s[^>]*?(?:/>|>\s*</(?:\w+:)?id>)", re.DOTALL)


def _copied(documents: Path, target: Path, copies: int) -> int:
    """Write each document so many times, each time with another id; return how many there are."""
    count = 0
    for number in range(copies):
        folder = target / str(number)
        folder.mkdir(parents=True)
        for path in sorted(documents.glob("*.xml")):
            count += 1
            fresh = rb'\g<1><\g<2>id root="1.2.250.1.999.41.%d"/>' % count
            (folder / path.name).write_bytes(_ID.sub(fresh, path.read_bytes(), count=1))
    return count


def _used_s() -> float:
    """Return the processor time of all commands that were run so far."""
    times = os.times()
    return times.children_user + times.children_system


def _write(file: Path, resources: int) -> None:
    """Write practitioners, as a national directory would be."""
    dice = Random(1)
    with file.open("w") as out:
        for number in range(resources):
            out.write(json.dumps(_practitioner(number, dice)) + "\n")


def _practitioner(number: int, dice: Random) -> dict[str, object]:
    names = ("CARLIER", "BELLANGER", "DURVAL", "MESTRAL", "OZANNE", "PERRIQUET")
    return {
        "resourceType": "Practitioner",
        "id": f"ps-{number}",
        "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": f"8{number:011d}"}],
        "active": True,
        "name": [{"family": dice.choice(names), "given": [f"Prénom{dice.randrange(500)}"], "prefix": ["DR"]}],
        "telecom": [{"system": "email", "value": f"ps{number}@exemple.test"}],
        "gender": dice.choice(("female", "male")),
    }
