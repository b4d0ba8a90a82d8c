"""A progress line on stderr for work longer than a second; nothing when nobody watches."""

from __future__ import annotations

import sys
from time import monotonic

import click

_AFTER_S = 1.0
_EVERY_S = 0.2


class Progress:
    """Counts what is done, and shows it on a terminal."""

    def __init__(self, label: str, total: int) -> None:
        self._label = label
        self._total = total
        self._started = self._shown = monotonic()
        self._terminal = sys.stderr.isatty()
        self._visible = False
        self.done = 0

    def advance(self, count: int) -> None:
        """Add to the count."""
        self.done += count
        now = monotonic()
        if self._terminal and now - self._started > _AFTER_S and now - self._shown > _EVERY_S:
            self._shown, self._visible = now, True
            share = f" ({min(100 * self.done // self._total, 100)} %)" if self._total else ""
            click.echo(f"\r{self._label} {self.done}{share} ", err=True, nl=False)

    def finish(self) -> None:
        """End the line."""
        if self._visible:
            click.echo("", err=True)
