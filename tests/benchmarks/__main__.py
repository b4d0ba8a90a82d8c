"""The command line of the measurements."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from tests.benchmarks import reading, report


def _command() -> str:
    return " ".join(["scripts/bench", *sys.argv[1:]]).replace(" --write", "")


@dataclass(frozen=True, slots=True)
class Options:
    """What every measurement is told. seconds: how long each lasts; rounds: how often it is repeated."""

    write: bool
    folder: Path
    rounds: int
    seconds: float


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--write", is_flag=True, help="Append the figures to docs/benchmarks.md.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where records are made, and kept.  [a temporary one]")
@click.option("--rounds", default=3, help="How often each measurement is repeated.")
@click.option("--seconds", default=4.0, help="How long each lasts.")
@click.pass_context
def group(context: click.Context, write: bool, folder: Path | None, rounds: int, seconds: float) -> None:
    """Measure the real server: granian, SQLite with synchronous=FULL, audit on, two workers, 16 connections."""
    if folder is None:
        folder = Path(context.with_resource(tempfile.TemporaryDirectory(prefix="fhir-dmp-bench-")))
    folder.mkdir(parents=True, exist_ok=True)
    context.obj = Options(write, folder.resolve(), rounds, seconds)


@group.command()
@click.pass_obj
def read(options: Options) -> None:
    """Read one document, against bare WSGI."""
    table = reading.measure(options.folder, _command(), rounds=options.rounds, seconds=options.seconds)
    report.show(table, write=options.write)


if __name__ == "__main__":
    group()
