"""Group commit: who shares a transaction, and who learns of what goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from fhir_dmp.store.sqlite.group import GroupCommit, Job


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other threads bring about."""
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)


class Turn:
    """The lock between processes: held elsewhere for as long as `busy` says so, or broken."""

    def __init__(self, busy: Callable[[], bool] = lambda: False, broken: Exception | None = None) -> None:
        self.busy, self.broken = busy, broken
        self.held = False

    def __enter__(self) -> None:
        until(lambda: not self.busy())
        if self.broken is not None:
            raise self.broken
        self.held = True

    def __exit__(self, *_: object) -> None:
        self.held = False


@contextmanager
def callers(count: int) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(count) as pool:
        yield pool


def test_who_comes_while_another_process_writes_shares_the_next_transaction() -> None:
    sizes: list[int] = []

    def run(group: Sequence[Job[int, int]]) -> None:
        assert turn.held
        sizes.append(len(group))
        for job in group:
            job.result = job.work * 10

    turn = Turn(busy=lambda: len(groups._queue) < 5)
    groups: GroupCommit[int, int] = GroupCommit(run, turn)
    with callers(5) as pool:
        found = list(pool.map(groups.submit, range(5)))
    assert found == [0, 10, 20, 30, 40]
    assert sizes == [5]


def test_a_turn_that_never_comes_fails_every_caller_and_blocks_nobody() -> None:
    def run(group: Sequence[Job[int, int]]) -> None:
        for job in group:
            job.result = job.work

    turn = Turn(broken=OSError("no lock"))
    groups: GroupCommit[int, int] = GroupCommit(run, turn)
    for _ in range(2):
        with pytest.raises(OSError, match="no lock"):
            groups.submit(1)
    turn.broken = None
    assert groups.submit(2) == 2
