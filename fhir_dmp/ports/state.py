"""What the authorization server remembers: its records, and the port of what keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StateRecord:
    """One record of the authorization server: a client, a code, a refresh token, a login under way, an account.

    kind, key: its address; a secret is never a key (its SHA-256 is). body: JSON text. version: 1 at first, one more at
    each change. expires_ms: from then on the record is absent (None: stays). tags: labels that it is listed by
    (`sub:...`, `family:...`). updated_ms: when it was last written; put sets it, and the version.
    """

    kind: str
    key: str
    body: str
    expires_ms: int | None = None
    tags: tuple[str, ...] = ()
    version: int = 0
    updated_ms: int = 0


class StateStore(Protocol):
    """Keeps what the authorization server must remember. Thread safe; every worker sees a write at once.

    An expired record is absent to every method. The contract is tests/store/test_contract_state.py.
    Each method raises StoreUnavailable when the database cannot be reached.
    """

    def get(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        """Return the record, or None."""

    def put(self, record: StateRecord, now_ms: int, expected: int | None = None) -> StateRecord:
        """Write the record and return it as stored; durable when it returns.

        expected: the version that it must have now (0: it must be absent; None: whatever it is).

        Raises:
            StateConflict: it has another version.
        """

    def take(self, kind: str, key: str, now_ms: int) -> StateRecord | None:
        """Remove the record and return it; of several that take it at once, exactly one gets it."""

    def remove(self, kind: str, key: str) -> None:
        """Remove the record, if there is one."""

    def listed(
        self, kind: str, now_ms: int, *, tag: str | None = None, since_ms: int = 0, after: str = "", count: int = 1000
    ) -> tuple[StateRecord, ...]:
        """Return up to `count` records of a kind in a fixed order of their keys, those behind the key `after`.

        tag: only those that carry it. since_ms: only those written at or after it.
        """

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of which there are records, expired ones included, by the alphabet."""

    def sweep(self, now_ms: int) -> int:
        """Remove expired records; return how many."""
