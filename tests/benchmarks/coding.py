"""`terms`: one question about a code of a large stored code system, asked of the whole application in this process."""

from __future__ import annotations

import time
from statistics import median
from urllib.parse import urlencode

from fhir_dmp.store.memory import MemoryStore
from tests.benchmarks import report
from tests.world import make_world

URL = "http://example.org/fhir/CodeSystem/large"
SET = "http://example.org/fhir/ValueSet/large"


def measure(command: str, *, codes: int, rounds: int) -> report.Table:
    """Store a code system and the value set of all its codes, then ask; medians, warm."""
    world = make_world(MemoryStore())
    concepts = [{"code": f"c{number:06}", "display": f"Concept {number}"} for number in range(codes)]
    head = {"status": "active", "name": "Large"}
    system = {"resourceType": "CodeSystem", "url": URL, "content": "complete", "concept": concepts, **head}
    whole = {"resourceType": "ValueSet", "url": SET, "compose": {"include": [{"system": URL}]}, **head}
    for resource in (system, whole):
        answer = world.admin.post(f"/{resource['resourceType']}", resource)
        assert answer.status == 201, answer.body[:500]
    asked = {"system": URL, "code": f"c{codes // 2:06}"}
    paths = {
        "ValueSet/$validate-code": {"url": SET, **asked},
        "CodeSystem/$validate-code": {"url": URL, "code": asked["code"]},
        "CodeSystem/$lookup": asked,
        "ValueSet/$expand, 20 codes with a filter": {"url": SET, "filter": f"concept {codes // 2}", "count": "20"},
    }
    rows = []
    doctor = world.doctor()
    for name, query in paths.items():
        path = f"/{name.partition(',')[0]}?{urlencode(query)}"
        times = []
        for _ in range(rounds * 20 + 3):
            started = time.perf_counter()
            answer = doctor.get(path)
            times.append(time.perf_counter() - started)
            assert answer.status == 200, answer.body[:500]
        rows.append((name, f"{median(times[3:]) * 1000:.2f} ms"))
    return report.Table(f"Terminology: {codes:,} stored codes", command, ("question", "median"), tuple(rows))
