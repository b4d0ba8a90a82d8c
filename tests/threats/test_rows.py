"""Each row of the list of threats has a test that tries it, and each aggregate of the checklist names them all."""

from __future__ import annotations

import re
import runpy
import statistics
import time
from pathlib import Path

import pytest

from tests.signin.scene import make_scene

ROOT = Path(__file__).resolve().parents[2]
#: First and last row of the groups of threats; a number between them that the list does not have.
GROUPS = {"bypass": (1, 17), "oauth": (20, 32), "content": (40, 56)}
#: Statement of the checklist that asks for all rows of a group; those of the first group are H-1 to H-17, one each.
AGGREGATES = {"oauth": "security H-18", "content": "security H-19"}


def proofs() -> dict[str, list[str]]:
    """Return which tests carry which statement, as docs/statements.md is made."""
    found: dict[str, list[str]] = runpy.run_path(str(ROOT / "scripts/statements"))["index"]()
    return found


def rows(group: str) -> list[str]:
    """Return the rows of a group."""
    first, last = GROUPS[group]
    return [f"TH{number}" for number in range(first, last + 1)]


@pytest.mark.statement("security H-18", "security H-19")
def test_every_row_of_the_threats_has_tests_and_its_aggregate_names_them() -> None:
    found = proofs()
    for group in GROUPS:
        for row in rows(group):
            tests = set(found.get(f"security {row}", ()))
            assert tests, f"no test tries {row}"
            aggregate = AGGREGATES.get(group, f"security {row.replace('TH', 'H-')}")
            assert tests & set(found[aggregate]), f"{aggregate} does not count the tests of {row}"
            if group in AGGREGATES:
                assert tests <= set(found[aggregate]), f"{aggregate} misses tests of {row}"


def test_the_page_of_threats_lists_the_rows() -> None:
    page = (ROOT / "docs/threats.md").read_text(encoding="utf-8")
    told = set(re.findall(r"\bTH\d+\b", page))
    assert {row for group in ("bypass", "content") for row in rows(group)} <= told
    assert {"TH20", "TH32"} <= told


@pytest.mark.statement("security TH28", "security H-18")
def test_a_login_that_nobody_has_takes_as_long_to_refuse_as_one_with_a_wrong_password() -> None:
    scene = make_scene()
    scene.patient()
    spent: dict[str, list[float]] = {"anouk": [], "nobody": []}
    for _ in range(4):  # a fifth would lock
        for login, times in spent.items():
            browser = scene.browser()
            page = browser.open(scene.request())
            started = time.thread_time()
            assert browser.submit(page, login=login, password="wrong").status == 401
            times.append(time.thread_time() - started)
    known, unknown = (statistics.median(times) for times in spent.values())
    assert 0.5 < unknown / known < 2, (known, unknown)
