"""What goes on beside requests: a thread that repeats an action, and the file that witnesses checkpoints."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from fhir_dmp.audit.chain import Checkpoint, Seal, checkpoint_of
from fhir_dmp.errors import ConfigurationError, DmpError, Problem

_LOG = logging.getLogger("fhir_dmp")


class Repeating:
    """Runs an action again and again in a thread of its own; a failure is logged, and the next turn tries again."""

    def __init__(self, name: str, action: Callable[[], object], every_s: float) -> None:
        self._name = name
        self._action = action
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                self._action()
            except (DmpError, ValueError, OSError):
                _LOG.exception("%s failed, and will be tried again", self._name)

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
