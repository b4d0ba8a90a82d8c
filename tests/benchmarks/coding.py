"""`terms`: questions about the codes of a large stored code system, asked of the whole application in this process."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

from fhir_dmp.store.sqlite import open_sqlite
from tests.benchmarks import report
from tests.world import Client, Json, make_world

URL = "http://example.org/fhir/CodeSystem/large"
SET = "http://example.org/fhir/ValueSet/large"
LISTED = "http://example.org/fhir/ValueSet/listed"
MAP = "http://example.org/fhir/ConceptMap/large"
_PARTS = ("Fracture", "Lésion", "Tumeur bénigne", "Infection aiguë", "Brûlure", "Malformation", "Insuffisance")
_PLACES = ("du fémur", "de l'œil", "du rein gauche", "du poumon droit", "de la peau", "du cœur", "du foie")


def measure(command: str, *, codes: int, rounds: int) -> report.Table:
    """Store a code system in ten branches, value sets and a map, then ask; medians of processor time, warm."""
    with TemporaryDirectory() as folder:
        store = open_sqlite(Path(folder) / "bench.sqlite3")
        world = make_world(store)
        world.judged = False
        for resource in _definitions(codes):
            answer = world.admin.post(f"/{resource['resourceType']}", resource)
            assert answer.status == 201, answer.body[:500]
        rows = [_row(world.doctor(), name, query, rounds) for name, query in _questions(codes)]
        rows.append(("memory that 500 more questions leave", "", _left(world.doctor(), codes)))
        store.close()
    columns = ("question", "first", "median of processor time")
    return report.Table(f"Terminology: {codes:,} stored codes", command, columns, tuple(rows))


def _definitions(codes: int) -> list[Json]:
    concepts = []
    for number in range(codes):
        name = f"{_PARTS[number % 7]} {_PLACES[number // 7 % 7]}, forme {number}"
        parent = [{"code": "parent", "valueCode": f"c{number % 10:06}"}] if number >= 10 else []
        concepts.append({"code": f"c{number:06}", "display": name, **({"property": parent} if parent else {})})
    head = {"status": "active", "name": "Large"}
    elements = [
        {"code": each["code"], "target": [{"code": each["code"][::-1], "equivalence": "equivalent"}]}
        for each in concepts
    ]
    group = {"source": URL, "target": f"{URL}-2", "element": elements}
    listed = [{"code": each["code"], "display": each["display"]} for each in concepts]
    return [
        {"resourceType": "CodeSystem", "url": URL, "content": "complete", "concept": concepts, **head},
        {"resourceType": "ValueSet", "url": SET, "compose": {"include": [{"system": URL}]}, **head},
        {
            "resourceType": "ValueSet",
            "url": LISTED,
            "compose": {"include": [{"system": URL, "concept": listed}]},
            **head,
        },
        {"resourceType": "ConceptMap", "url": MAP, "group": [group], **head},
    ]


def _questions(codes: int) -> list[tuple[str, dict[str, str]]]:
    code = f"c{codes // 2:06}"
    asked = {"system": URL, "code": code}
    words = f"tum rein {codes // 2}"
    return [
        ("ValueSet/$validate-code", {"url": SET, **asked}),
        ("CodeSystem/$validate-code", {"url": URL, "code": code}),
        ("CodeSystem/$lookup", asked),
        ("CodeSystem/$subsumes", {"system": URL, "codeA": "c000001", "codeB": code}),
        ("ConceptMap/$translate", {"url": MAP, **asked}),
        ("ConceptMap/$translate, backward", {"url": MAP, "system": f"{URL}-2", "code": code[::-1], "reverse": "true"}),
        ("ValueSet/$expand, one code with a filter", {"url": SET, "filter": words, "count": "20"}),
        ("ValueSet/$expand, 20 of many with a filter", {"url": SET, "filter": "infection", "count": "20"}),
        ("ValueSet/$expand, a filter on listed codes", {"url": LISTED, "filter": words, "count": "20"}),
        ("ValueSet/$expand, 100 in the middle", {"url": SET, "offset": str(codes // 2), "count": "100"}),
    ]


def _row(client: Client, name: str, query: dict[str, str], rounds: int) -> tuple[str, str, str]:
    path = f"/{name.partition(',')[0]}?{urlencode(query)}"
    times = []
    for _ in range(rounds * 20 + 1):
        started = time.process_time()
        answer = client.get(path)
        times.append((time.process_time() - started) * 1000)
        assert answer.status == 200, answer.body[:500]
    return name, f"{times[0]:.0f} ms", f"{median(times[1:]):.2f} ms"


def _left(client: Client, codes: int) -> str:
    """Return how much more memory is held after questions that differ."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(500):
        code = f"c{number * 7919 % codes:06}"
        client.get(f"/ValueSet/$validate-code?{urlencode({'url': SET, 'system': URL, 'code': code})}")
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return f"{(after - before) / 2**20:.1f} MB"
