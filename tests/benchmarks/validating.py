"""`validate`: a document and a submission judged by their profiles, and the compilation of every profile.

Targets: 1.5 ms for a comprehensive DocumentReference, 4 ms for a submission, 1 s for all profiles.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fhir_dmp import definitions
from fhir_dmp.fhir.resource import dump, parse
from fhir_dmp.validation.conformance import judge
from tests import samples
from tests.benchmarks import report


def measure(command: str, *, rounds: int, seconds: float) -> report.Table:
    """Return the time of one judgement (the best of the rounds), warm, and of the compilation."""
    resources = list(definitions.conformance())
    started = time.perf_counter()
    profiles = definitions.profiles(resources)
    count = profiles.compile_all()
    compiled = time.perf_counter() - started
    submission = parse(dump(samples.submission("1.2.250.1.999.1")))
    document = submission["entry"][1]["resource"]
    rows = [
        (name, f"{_best(lambda given=given: judge(given, profiles), rounds, seconds) * 1000:.2f} ms", target)  # type: ignore[misc]
        for name, given, target in (
            ("comprehensive DocumentReference", document, "1.5 ms"),
            ("submission (set, document, content)", submission, "4 ms"),
            ("FR Core Patient INS", parse(dump(samples.patient())), "none"),
        )
    ]
    rows.append((f"compilation of {count} profiles", f"{compiled:.2f} s", "1 s"))
    return report.Table("Validation", command, ("judged by base R4 and its profiles", "time", "target"), tuple(rows))


def _best(act: Callable[[], object], rounds: int, seconds: float) -> float:
    """Return the shortest mean time of one call, in s."""
    act()
    means = []
    for _ in range(rounds):
        calls, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            act()
            calls += 1
        means.append((time.perf_counter() - started) / calls)
    return min(means)
