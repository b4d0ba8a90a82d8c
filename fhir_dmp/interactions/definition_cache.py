"""Definitions read from stored versions: a version never changes, so what was made of it never goes stale."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.ports import Version

_READ = TypeVar("_READ")


class DefinitionCache:
    """What was read from stored versions, the least recently used forgotten first. Safe to share between threads."""

    def __init__(self, most: int = 200) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._read: OrderedDict[tuple[str, str, int], Any] = OrderedDict()

    def read(self, version: Version, read: Callable[[Json], _READ]) -> _READ:
        """Return what `read` makes of a stored version, made once."""
        key = (version.type, version.id, version.version)
        with self._lock:
            if key in self._read:
                self._read.move_to_end(key)
                known: _READ = self._read[key]
                return known
        made = read(parse_stored(version.body))
        with self._lock:
            self._read[key] = made
            while len(self._read) > self._most:
                self._read.popitem(last=False)
        return made
