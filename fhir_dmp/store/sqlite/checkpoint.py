"""Moving the write-ahead log into the database file, on a thread of its own so that no request waits for it.

Most of the log is moved while others write; the last pages are moved while nobody writes, which lets the log start
over from its beginning. https://www.sqlite.org/wal.html#checkpointing
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from threading import Condition, Thread

#: The log is moved when about so much was written to it, or when nothing was written for a while.
LOG_BYTES = 64 * 1024 * 1024
IDLE_S = 2.0
#: Rounds are repeated while the last one was long, because writers filled the log meanwhile.
_ROUNDS, _SHORT_S = 5, 0.02


class Checkpointer:
    """The thread, and the estimate of what is in the log."""

    def __init__(self, con: sqlite3.Connection, alone: Callable[[Callable[[], None]], None]) -> None:
        self._con = con
        self._alone = alone
        self._changed = Condition()
        self._pending = 0
        self._recent = 0
        self._stopped = False
        self._thread = Thread(target=self._loop, name="checkpoint", daemon=True)
        self._thread.start()

    def written(self, size: int) -> None:
        """Take note that about so many bytes were added to the log."""
        # A lost update between threads only makes the estimate a little wrong; writers must not wait here.
        self._pending += size
        self._recent += size
        if self._pending >= LOG_BYTES:
            with self._changed:
                self._changed.notify()

    def close(self) -> None:
        """Stop the thread and close its connection."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()
        self._con.close()

    def _loop(self) -> None:
        while self._wait():
            self._pending = 0
            try:
                for _ in range(_ROUNDS):
                    started = time.monotonic()
                    self._move()
                    if time.monotonic() - started < _SHORT_S:
                        break
                self._alone(self._move)
            except sqlite3.Error:
                # Nothing is lost: the log keeps what could not be moved, and the next round tries again.
                continue

    def _wait(self) -> bool:
        """Wait until there is something to move; say whether to go on."""
        with self._changed:
            while not self._stopped:
                if self._pending >= LOG_BYTES or (self._pending and not self._recent):
                    return True
                self._recent = 0
                self._changed.wait(IDLE_S)
        return False

    def _move(self) -> None:
        self._con.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
