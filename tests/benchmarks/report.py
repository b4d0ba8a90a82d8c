"""Figures as tables: on the terminal, and appended to docs/benchmarks.md with machine, date and command."""

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
    """Print the table; append it to the page when asked."""
    print(f"\n{table.title}\n\n{table.text()}\n", flush=True)
    if not write:
        return
    text = PAGE.read_text() if PAGE.exists() else "# Benchmarks\n"
    head = f"\n## {table.title} ({datetime.now().date().isoformat()})\n\n`{table.command}` on {machine()}.\n\n"
    PAGE.write_text(text.rstrip("\n") + "\n" + head + table.text() + "\n")
