"""`import`: NDJSON of many small resources through `fhir-dmp import`, rules and audit included."""

from __future__ import annotations

import json
import os
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
