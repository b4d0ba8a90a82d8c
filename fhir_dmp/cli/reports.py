"""Files that a command writes its account to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click


@contextmanager
def written(report: Path) -> Iterator[IO[str]]:
    """Open a report for writing, or say that another file must be named."""
    try:
        file = report.open("w", encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"cannot write {report} ({error.strerror}): choose another file") from error
    with file:
        yield file
