"""The registry of clients over the store. Each worker remembers a client for a moment, so that asking costs nothing.

[security 2.9]: a suspension is seen by every worker within 5 s.
"""

from __future__ import annotations

import json
from dataclasses import replace
from threading import Lock
from typing import Final

from fhir_dmp.errors import Conflict, NotFound, StateConflict
from fhir_dmp.oauth.clients import Client
from fhir_dmp.oauth.records import client_json, client_of
from fhir_dmp.ports import Clock, StateRecord, StateStore

KIND: Final = "client"
#: How long a worker believes what it read, in ms; below the 5 s in which a suspension must work everywhere.
REMEMBERED_MS: Final = 2_000
#: Most clients that a worker remembers; ids that nobody registered are remembered too.
MOST: Final = 10_000


class Registry:
    """Clients by id. Thread safe."""

    def __init__(self, state: StateStore, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._lock = Lock()
        self._seen: dict[str, tuple[int, Client | None]] = {}
        self._origins: tuple[int, frozenset[str]] = (0, frozenset())

    def get(self, client_id: str) -> Client | None:
        """Return the client, at most REMEMBERED_MS old, or None."""
        now = self._clock.now_ms()
        seen = self._seen.get(client_id)
        if seen is not None and 0 <= now - seen[0] < REMEMBERED_MS:
            return seen[1]
        found = self._read(client_id)
        client = None if found is None else found[0]
        with self._lock:
            if len(self._seen) >= MOST:
                self._seen.clear()
            self._seen[client_id] = (now, client)
        return client

    def active(self, client_id: str) -> Client | None:
        """Return the client if it may be served."""
        client = self.get(client_id)
        return client if client is not None and client.is_active else None

    def _read(self, client_id: str) -> tuple[Client, StateRecord] | None:
        record = self._state.get(KIND, client_id, self._clock.now_ms())
        return None if record is None else (client_of(json.loads(record.body)), record)

    def all(self) -> tuple[Client, ...]:
        """Return every client by id."""
        found: list[Client] = []
        after = ""
        while page := self._state.listed(KIND, self._clock.now_ms(), after=after):
            found += [client_of(json.loads(record.body)) for record in page]
            after = page[-1].key
        return tuple(found)

    def has_origin(self, origin: str) -> bool:
        """Say whether web pages of some client that may be served come from this origin (CORS)."""
        now = self._clock.now_ms()
        if not 0 <= now - self._origins[0] < REMEMBERED_MS:
            found = frozenset(each for client in self.all() if client.is_active for each in client.allowed_origins)
            self._origins = (now, found)
        return origin in self._origins[1]

    def add(self, client: Client) -> None:
        """Register a client.

        Raises:
            Conflict: its id is taken. Unprocessable: it contradicts itself.
        """
        record = _record(client)
        try:
            self._state.put(record, self._clock.now_ms(), expected=0)
        except StateConflict as error:
            raise Conflict(f"The client '{client.client_id}' exists already.", code="duplicate") from error
        self._forget(client.client_id)

    def change(self, client: Client) -> None:
        """Replace what is registered under the client's id.

        Raises:
            NotFound: nothing is. StateConflict: it changed meanwhile. Unprocessable: the client contradicts itself.
        """
        found = self._read(client.client_id)
        if found is None:
            raise NotFound(f"There is no client '{client.client_id}'.")
        record = replace(_record(client), tags=found[1].tags)
        self._state.put(record, self._clock.now_ms(), expected=found[1].version)
        self._forget(client.client_id)

    def _forget(self, client_id: str) -> None:
        self._seen.pop(client_id, None)
        self._origins = (0, frozenset())


def _record(client: Client) -> StateRecord:
    values = client_json(client)
    client_of(values)  # what cannot be read back is never stored
    return StateRecord(KIND, client.client_id, json.dumps(values, sort_keys=True))
