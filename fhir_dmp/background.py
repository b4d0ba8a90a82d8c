"""What goes on beside requests: a thread that repeats an action, and the file that witnesses checkpoints."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fhir_dmp.audit.chain import Checkpoint, Seal, checkpoint_of
from fhir_dmp.errors import ConfigurationError, DmpError, Problem, told

_LOG = logging.getLogger("fhir_dmp")


#: A failure that lasts is logged again after so long, in s.
_REMIND_S = 60.0


class Outage:
    """What the log tells of something that fails again and again: the first time, once a minute, and the end.

    An outage must not fill the disk, which may be what it comes from.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._since: float | None = None
        self._told = 0.0

    def failed(self, error: Exception, more: str = "") -> None:
        """Take note of a failure; more: what the line adds."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        elif now - self._told < _REMIND_S:
            return
        self._told = now
        _LOG.error("%s failed, and will be tried again%s: %s", self._what, more and f" ({more})", told(error))

    def worked(self) -> None:
        """Take note that it works."""
        if self._since is not None:
            _LOG.info("%s works again after %d s", self._what, time.monotonic() - self._since)
            self._since = None


class Repeating:
    """Runs an action again and again in a thread of its own; after a failure the next turn tries again."""

    def __init__(self, name: str, action: Callable[[], object], every_s: float) -> None:
        self._outage = Outage(name)
        self._action = action
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                self._action()
            except (DmpError, ValueError, OSError) as error:
                self._outage.failed(error)
            else:
                self._outage.worked()

    def stop(self) -> None:
        """End the thread after the turn under way."""
        self._stopped.set()
        self._thread.join(timeout=30)


class Witness:
    """The file that keeps checkpoints outside of the store, one JSON object a line, only ever added to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, seal: Seal) -> None:
        """Add a checkpoint, in one write, so that processes do not mix their lines."""
        line = json.dumps(seal.as_json(), separators=(",", ":")).encode("ascii") + b"\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, line)
            os.fsync(file)
        finally:
            os.close(file)


def witnessed(path: Path) -> Iterator[tuple[Checkpoint, bytes]]:
    """Yield the checkpoints of a witness file with their signatures.

    Raises:
        ConfigurationError: a line is no checkpoint (an unfinished last line is passed over: a crash may leave one).
    """
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line or number == len(lines):
            continue
        try:
            yield checkpoint_of(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            what = f"line {number} is not a checkpoint"
            raise ConfigurationError(Problem(str(path), what, "compare with another copy of the file")) from error
