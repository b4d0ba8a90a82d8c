"""Group commit: callers that commit at the same time share one transaction, hence one wait for the disk.

There is no writer thread: the first caller that comes becomes the leader, writes everything that is queued, wakes the
others and hands the lead to the next in the queue. A caller that is alone pays for no handover at all. Between
processes the leaders queue in the kernel (flock), because SQLite's own busy handler sleeps; who comes while a leader
waits there is taken along.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")

#: Most commits in one transaction: bounds how long the first of them waits.
MOST = 256


class Job(Generic[Work, Result]):
    """One commit on its way: what to do, and then its result or its error."""

    __slots__ = ("error", "leads", "result", "wake", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.leads = False
        # A held lock is the cheapest thing that one thread can wait for and another release.
        self.wake = Lock()
        self.wake.acquire()


class GroupCommit(Generic[Work, Result]):
    """Runs work in groups, one group at a time in this process, and while `turn` is held."""

    def __init__(
        self, run: Callable[[Sequence[Job[Work, Result]]], None], turn: AbstractContextManager[object]
    ) -> None:
        """`run` sets the result or the error of every job of a group."""
        self._run = run
        self._turn = turn
        self._mutex = Lock()
        self._queue: deque[Job[Work, Result]] = deque()
        self._busy = False

    def submit(self, work: Work) -> Result:
        """Run the work in some group and return its result, or raise its error."""
        job: Job[Work, Result] = Job(work)
        with self._mutex:
            self._queue.append(job)
            job.leads = not self._busy
            self._busy = True
        if not job.leads:
            job.wake.acquire()
        if job.leads:
            self._lead()
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]  # a job without error has its result

    def _lead(self) -> None:
        group: list[Job[Work, Result]] = []
        try:
            with self._turn:
                group = self._gathered()
                self._run(group)
        except BaseException as error:
            group = group or self._gathered()
            for job in group:
                job.error = job.error or error
        finally:
            self._hand_over()
            for job in group:
                job.leads = False
                job.wake.release()

    def _gathered(self) -> list[Job[Work, Result]]:
        with self._mutex:
            return [self._queue.popleft() for _ in range(min(len(self._queue), MOST))]

    def _hand_over(self) -> None:
        with self._mutex:
            if self._queue:
                self._queue[0].leads = True
                self._queue[0].wake.release()
            else:
                self._busy = False


class FileLock(AbstractContextManager[None]):
    """A lock between processes, held on a file of its own beside the database."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)
