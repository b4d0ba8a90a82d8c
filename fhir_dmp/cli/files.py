"""Files that a command writes: reports line by line, results whole or not at all."""

from __future__ import annotations

import os
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
        raise _refused(report, error) from error
    with file:
        yield file


@contextmanager
def whole(out: Path, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """Write beside the target and rename: the file is whole or what it was before.

    mode: who may read it; by default its owner alone, because it is health data. A device or a pipe cannot be replaced:
    it is written to.
    """
    special = out.exists() and not out.is_file()
    part = out if special else out.with_name(f"{out.name}.part")
    try:
        handle = os.open(part, os.O_WRONLY if special else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    except OSError as error:
        raise _refused(out, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        if not special:
            part.replace(out)
    finally:
        if not special:
            part.unlink(missing_ok=True)


def _refused(out: Path, error: OSError) -> click.UsageError:
    return click.UsageError(f"cannot write {out} ({error.strerror}): choose another file")
