"""A database whose process may die, or be overtaken, at any of its writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

WRITES = ("insert_one", "insert_many", "update_one", "update_many", "replace_one", "delete_one", "delete_many")


class Died(BaseException):
    """The process is gone; no handler of its own may run."""


class Fate:
    """What happens at each write of a process: `before` and `after` are called with the number of the write."""

    def __init__(
        self, before: Callable[[int], None] = lambda _: None, after: Callable[[int], None] = lambda _: None
    ) -> None:
        self.before = before
        self.after = after
        self.armed = False
        self.writes = 0
        self.dead = False

    def die(self) -> None:
        """End the process here."""
        self.dead = True
        raise Died


class MortalDatabase:
    """A database as one process sees it."""

    def __init__(self, real: Any, fate: Fate) -> None:
        self._real = real
        self._fate = fate

    def __getitem__(self, name: str) -> MortalCollection:
        return MortalCollection(self._real[name], self._fate)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class MortalCollection:
    """A collection as one process sees it."""

    def __init__(self, real: Any, fate: Fate) -> None:
        self._real = real
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        method, fate = getattr(self._real, name), self._fate

        def call(*arguments: Any, **options: Any) -> Any:
            if fate.dead:
                raise Died
            if not fate.armed or name not in WRITES:
                return method(*arguments, **options)
            fate.writes += 1
            number = fate.writes
            fate.before(number)
            result = method(*arguments, **options)
            fate.after(number)
            return result

        return call
