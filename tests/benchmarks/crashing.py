"""`crash`: rounds of kill -9 under write load (tests/crash), in which nothing may be lost."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks import report
from tests.crash.rounds import run


def measure(folder: Path, command: str, *, rounds: int, seconds: float, seed: int) -> report.Table:
    """Run the rounds.

    Raises:
        AssertionError: something acknowledged was lost, or something was half-written.
    """
    rows: list[tuple[str, ...]] = []
    for each in run(folder / "crash", rounds, seconds, seed):
        said = "; ".join(each.problems[:5]) or "none"
        print(
            f"round {each.number}: {each.submissions} submissions, {each.updates} updates, problems: {said}", flush=True
        )
        assert not each.problems, each.problems
        rows.append(
            (
                str(each.number),
                str(each.submissions),
                str(each.updates),
                str(each.refused),
                f"{each.started_s:.2f}",
                said,
            )
        )
    columns = ("round", "submissions kept", "updates kept", "refused", "start s", "problems")
    return report.Table("Kill -9 under write load", command, columns, tuple(rows), f"Seed {seed}.")
