"""Figures as tables: on the terminal, and in docs/benchmarks.md with machine, date and command.

The page holds the newest figures of each measurement: a table takes the place of the one with the same title.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.benchmarks.load import Figures
from tests.benchmarks.processes import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, the command that made it, its columns and rows, and what must be known to read it."""

    title: str
    command: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def text(self) -> str:
        """Return the table in Markdown, its columns aligned."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.columns))]
        rendered = [
            "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines
        ]
        rendered.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(rendered + ([f"\n{self.note}"] if self.note else []))


def median(runs: Sequence[Figures]) -> Figures:
    """Return the run with the median rate, with all errors."""
    middle = sorted(runs, key=lambda run: run.rate)[len(runs) // 2]
    return Figures(
        middle.requests, middle.seconds, sum(run.errors for run in runs), middle.p50_ms, middle.p99_ms, middle.cpu_us
    )


def ratio(runs: Sequence[Figures], floor: Sequence[Figures]) -> float:
    """Return the median of the ratios of rates taken one after the other."""
    return statistics.median(run.rate / base.rate for run, base in zip(runs, floor, strict=True) if base.rate)


def cpu_ratio(runs: Sequence[Figures], floor: Sequence[Figures]) -> float:
    """Return the median of the ratios of requests for the same processor time, which other programs disturb less."""
    return statistics.median(base.cpu_us / run.cpu_us for run, base in zip(runs, floor, strict=True) if run.cpu_us)


def rate(value: float) -> str:
    """Return a rate for people."""
    return f"{value:,.0f}/s" if value >= 10 else f"{value:.1f}/s"


def machine() -> str:
    """Describe where the figures were taken."""
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({model}), {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, load at the end {load:.1f}"
    )


def show(table: Table, *, write: bool) -> None:
    """Print the table; put it into the page when asked."""
    print(f"\n{table.title}\n\n{table.text()}\n", flush=True)
    if write:
        text = PAGE.read_text() if PAGE.exists() else "# Benchmarks\n"
        PAGE.write_text(replaced(text, table, datetime.now().date().isoformat(), machine()))


def replaced(page: str, table: Table, day: str, where: str) -> str:
    """Return the page with the table in the place of older figures of the same title, at the end when there are none.

    day: ISO 8601. where: the machine.
    """
    section = f"## {table.title} ({day})\n\n`{table.command}` on {where}.\n\n{table.text()}\n"
    head, *sections = page.split("\n## ")
    kept: list[str] = []
    for text in (f"## {each}" for each in sections):
        if not text.startswith(f"## {table.title} ("):
            kept.append(text.strip("\n") + "\n")
        elif section not in kept:
            kept.append(section)
    if section not in kept:
        kept.append(section)
    return "\n".join([head.strip("\n") + "\n", *kept])
