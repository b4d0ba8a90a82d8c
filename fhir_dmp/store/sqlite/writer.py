"""The write side of the store: one connection, groups of commits, each in a savepoint of its own.

A commit that fails is undone alone. When SQLite itself fails (disk full, locked), the group is undone and its commits
are tried one by one, so that a commit that cannot be stored does not take its neighbours with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fhir_dmp.errors import StoreUnavailable
from fhir_dmp.ports import Version
from fhir_dmp.store.sqlite.apply import AUDIT, MOST_ROWS, Applier, insert_all, insert_at_once
from fhir_dmp.store.sqlite.codec import Codec
from fhir_dmp.store.sqlite.connections import unavailable
from fhir_dmp.store.sqlite.group import FileLock, GroupCommit, Job
from fhir_dmp.store.sqlite.prepare import AuditRow, ReadyCommit


@dataclass(frozen=True, slots=True)
class Alone:
    """An action that needs the write lock, but no transaction."""

    action: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Small:
    """A task that touches a handful of pages, unlike those that work through the file."""

    run: Callable[[Applier], tuple[Version, ...]]

    def __call__(self, applier: Applier) -> tuple[Version, ...]:
        """Run it."""
        return self.run(applier)


Change = ReadyCommit | Callable[[Applier], tuple[Version, ...]]
Task = Change | Alone
_Job = Job[Task, tuple[Version, ...]]


class Writer:
    """Owns the write connection."""

    def __init__(self, con: sqlite3.Connection, lock_file: Path, codec: Codec, written: Callable[[int], None]) -> None:
        """`written` is told after each group how many bytes it may have added to the log (an estimate)."""
        self._con = con
        self._lock = FileLock(lock_file)
        self._codec = codec
        self._written = written
        self._groups: GroupCommit[Task, tuple[Version, ...]] = GroupCommit(self._run, self._lock)
        self._closed = False

    def commit(self, task: Change) -> tuple[Version, ...]:
        """Write a prepared commit, or run a task on the applier, in some transaction; durable when it returns."""
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        return self._groups.submit(task)

    def alone(self, action: Callable[[], None]) -> None:
        """Run the action in its turn, while no process writes."""
        self._groups.submit(Alone(action))

    def close(self) -> None:
        """Wait for the commits under way, then close."""
        self._closed = True
        self.alone(self._con.close)
        self._lock.close()

    def _run(self, group: Sequence[_Job]) -> None:
        changes = [job for job in group if not isinstance(job.work, Alone)]
        if changes:
            self._write(changes)
        for job in group:
            if isinstance(job.work, Alone):
                self._run_alone(job, job.work)
        self._written(sum(_size(job.work) for job in changes))

    def _run_alone(self, job: _Job, work: Alone) -> None:
        try:
            work.action()
            job.result = ()
        except Exception as error:
            job.error = error

    def _write(self, group: Sequence[_Job]) -> None:
        try:
            self._transaction(group)
        except (sqlite3.Error, OSError) as error:
            self._undo()
            self._one_by_one(group, error)
        except BaseException:
            self._undo()
            raise

    def _one_by_one(self, group: Sequence[_Job], error: Exception) -> None:
        for job in group:
            if len(group) > 1:
                try:
                    self._transaction([job])
                    continue
                except (sqlite3.Error, OSError) as again:
                    self._undo()
                    error = again
            job.result, job.error = None, unavailable(error)
            job.error.__cause__ = error

    def _undo(self) -> None:
        if self._con.in_transaction:
            self._con.execute("ROLLBACK")

    def _transaction(self, group: Sequence[_Job]) -> None:
        """Write a group. What only adds to the trail cannot be refused, and is written in one go."""
        changes: list[_Job] = []
        trail: list[AuditRow] = []
        for job in group:
            if isinstance(job.work, ReadyCommit) and job.work.only_trail:
                trail += job.work.audit
                job.result, job.error = (), None
            else:
                changes.append(job)
        if not changes and 0 < len(trail) <= MOST_ROWS:
            # A statement alone is a transaction: nothing else gives up the interpreter lock while readers wait.
            insert_at_once(self._con, AUDIT, trail)
            return
        self._con.execute("BEGIN IMMEDIATE")
        self._changes(changes)
        insert_all(self._con, AUDIT, trail)
        self._con.execute("COMMIT")

    def _changes(self, jobs: Sequence[_Job]) -> None:
        if not jobs:
            return
        con = self._con
        applier = Applier(con, self._codec)
        start = applier.sequence = con.execute("SELECT value FROM meta WHERE name = 'seq'").fetchone()[0]
        for job in jobs:
            self._one(applier, job)
        if applier.sequence != start:
            con.execute("UPDATE meta SET value = ? WHERE name = 'seq'", (applier.sequence,))

    def _one(self, applier: Applier, job: _Job) -> None:
        con, before = self._con, applier.sequence
        job.result = job.error = None
        con.execute("SAVEPOINT one")
        try:
            job.result = _apply(applier, job.work)
        except (sqlite3.Error, OSError):
            raise
        except Exception as error:
            con.execute("ROLLBACK TO one")
            applier.sequence = before
            job.error = error
        con.execute("RELEASE one")


def _apply(applier: Applier, work: Task) -> tuple[Version, ...]:
    if isinstance(work, ReadyCommit):
        return applier.apply(work)
    assert not isinstance(work, Alone)
    return work(applier)


def _size(task: Task) -> int:
    """Estimate how much a commit adds to the write-ahead log: pages, most of them touched for one index row."""
    if not isinstance(task, ReadyCommit):
        return 16384 if isinstance(task, Small) else 65536
    pages = 2 + 3 * len(task.audit)
    for write in task.writes:
        rows = write.rows
        pages += (
            6 + len(rows.toks) + len(rows.timelines) + len(rows.spans) + len(rows.strings) + len(write.body) // 4096
        )
    return 4096 * pages + sum(len(row[3]) + 4096 for row in task.blobs)
