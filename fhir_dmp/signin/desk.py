"""What signing in works with: the services of the record, the registry, the identity providers, the mail server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_dmp.errors import StateConflict
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.oauth.registry import Registry
from fhir_dmp.ports import IdentityProvider, Mailer, StateRecord, StateStore

#: So often a change of a record is tried again when somebody else changed it first.
_TRIES = 50


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that a sign-in may use. handle: the one door to the record. mailer: None when no mail is sent."""

    services: Services
    clients: Registry
    handle: Callable[[Call], Answer]
    providers: Mapping[str, IdentityProvider] = field(default_factory=dict)
    mailer: Mailer | None = None

    @property
    def state(self) -> StateStore:
        """Where everything under way is kept."""
        return self.services.store.state

    def now_ms(self) -> int:
        """Return the time."""
        return self.services.clock.now_ms()

    def keep(self, kind: str, key: str, body: Mapping[str, Any], life_ms: int, *tags: str) -> None:
        """Write a record, whatever was there."""
        now = self.now_ms()
        self.state.put(StateRecord(kind, key, json.dumps(body), now + life_ms, tags), now)

    def read(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return the body of a record."""
        record = self.state.get(kind, key, self.now_ms())
        return None if record is None else body_of(record)

    def take(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return the body of a record and remove it: one taker only."""
        record = self.state.take(kind, key, self.now_ms())
        return None if record is None else body_of(record)

    def change(
        self, kind: str, key: str, life_ms: int, update: Callable[[dict[str, Any]], dict[str, Any] | None]
    ) -> dict[str, Any] | None:
        """Replace the body of a record (an empty one when absent) without losing another's change; return the new.

        update: returns the new body, None to leave everything as it is.

        Raises:
            StateConflict: others changed it again and again.
        """
        for attempt in range(_TRIES):
            now = self.now_ms()
            record = self.state.get(kind, key, now)
            changed = update({} if record is None else body_of(record))
            if changed is None:
                return None
            tags = () if record is None else record.tags
            version = 0 if record is None else record.version
            try:
                self.state.put(StateRecord(kind, key, json.dumps(changed), now + life_ms, tags), now, expected=version)
            except StateConflict:
                if attempt == _TRIES - 1:
                    raise
                continue
            return changed
        return None


def body_of(record: StateRecord) -> dict[str, Any]:
    """Return the body of a record."""
    body: dict[str, Any] = json.loads(record.body)
    return body
