"""The page of figures holds the newest of each measurement."""

from __future__ import annotations

from tests.benchmarks.report import Table, replaced


def table(title: str, figure: str) -> Table:
    return Table(title, "scripts/bench x", ("what", "figure"), (("a", figure),))


def test_new_figures_take_the_place_of_all_older_ones_with_their_title() -> None:
    page = "# Benchmarks\n"
    for title, figure in (("Read", "1"), ("Start", "2"), ("Reads of much", "3")):
        page = replaced(page, table(title, figure), "2026-11-22", "a machine")
    twice = page + "\n## Read (2026-11-23)\n\nfigures that somebody appended\n"
    now = replaced(twice, table("Read", "4"), "2026-11-24", "a machine")
    assert [line for line in now.splitlines() if line.startswith("##")] == [
        "## Read (2026-11-24)",
        "## Start (2026-11-22)",
        "## Reads of much (2026-11-22)",
    ]
    assert "| a    | 4      |" in now
    assert "| a    | 1      |" not in now
    assert replaced(now, table("Read", "4"), "2026-11-24", "a machine") == now


def test_the_first_figures_of_a_measurement_come_last() -> None:
    page = replaced("# Benchmarks\n", table("Read", "1"), "2026-11-22", "a machine")
    assert page.startswith("# Benchmarks\n\n## Read (2026-11-22)\n\n`scripts/bench x` on a machine.\n")
    assert replaced(page, table("Start", "2"), "2026-11-22", "a machine").index("## Start") > page.index("## Read")
