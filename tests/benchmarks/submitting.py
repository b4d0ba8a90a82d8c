"""`submit`: ITI-65 with one CDA of 100 KB, each submission with numbers and content of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests import samples
from tests.benchmarks import record, report
from tests.benchmarks.load import Figures, Load, run, write_bodies
from tests.benchmarks.processes import server

SIZE = 100_000
#: More than any machine takes in the time of a run.
_A_SECOND = 600


def measure(folder: Path, command: str, *, rounds: int, seconds: float) -> report.Table:
    """Submit with token, decision, validation and audit; each round with bodies made beforehand."""
    home = folder / "submit"
    runs: list[Figures] = []
    with server(home) as process:
        record.prepare(process, record.admin(process, home))
        bearer = {
            "Authorization": f"Bearer {record.doctor(process, home)}",
            "Content-Type": "application/fhir+json",
        }
        for number in range(rounds):
            bodies = home / "bodies"
            write_bodies(bodies, submissions(round(seconds * _A_SECOND), seed=number))
            runs.append(run(process, Load(("/fhir",), bearer, bodies), seconds))
            bodies.unlink()
    middle = report.median(runs)
    row = (
        f"one document of {SIZE // 1000} KB",
        report.rate(middle.rate),
        f"{middle.p50_ms:.1f}",
        f"{middle.p99_ms:.0f}",
        f"{middle.cpu_us:.0f}",
        str(middle.errors),
    )
    columns = ("ITI-65", "rate", "p50 ms", "p99 ms", "CPU us", "errors")
    return report.Table("Submissions", command, columns, (row,))


def submissions(count: int, seed: int) -> Iterator[bytes]:
    """Yield submissions of the doctor of the samples; no two have a number or a content in common."""
    dice = Random(seed)
    for number in range(count):
        unique = f"1.2.250.1.999.{seed + 1}.{number}.{dice.getrandbits(40)}"
        made = samples.submission(unique, content=clinical_document(unique, dice), content_type="text/xml")
        yield json.dumps(made).encode()


def clinical_document(unique: str, dice: Random) -> bytes:
    """Return something of the size and texture of a CDA: XML with text that compresses about as such texts do."""
    head = f'<?xml version="1.0" encoding="UTF-8"?><ClinicalDocument xmlns="urn:hl7-org:v3"><id root="{unique}"/>'
    parts = [head]
    size = len(head)
    while size < SIZE - 200:
        number = dice.getrandbits(44)
        parts.append(
            f'<entry><observation classCode="OBS" moodCode="EVN"><id extension="{number:x}"/>'
            f'<code code="{number % 99991}-{number % 7}"/><value value="{number % 1000}"/></observation></entry>'
        )
        size += len(parts[-1])
    parts.append("</ClinicalDocument>")
    content = "".join(parts)
    return (content + " " * (SIZE - len(content))).encode()
