"""How audit records of reads reach the store: each before its answer, or together a tenth of a second later."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.background import Outage
from fhir_dmp.errors import StoreUnavailable
from fhir_dmp.ports import Commit, ResourceStore
from fhir_dmp.settings import Settings


class BatchedTrail:
    """Audit records of reads, committed together every tenth of a second: a crash may lose those of that time.

    A stop does not (`flush`), and a store that does not answer for a while does not either.
    """

    def __init__(self, store: ResourceStore, every_s: float = 0.1) -> None:
        self._store = store
        self._every_s = every_s
        self._outage = Outage("audit-trail")
        self._waiting: deque[tuple[AuditRecord, ...]] = deque()
        self._some = threading.Event()
        self._writing = threading.Lock()
        threading.Thread(target=self._run, name="audit-trail", daemon=True).start()

    def __call__(self, records: tuple[AuditRecord, ...]) -> None:
        """Queue records."""
        self._waiting.append(records)
        self._some.set()

    def flush(self) -> None:
        """Commit what is queued; keep it queued when the store does not answer."""
        with self._writing:
            self._some.clear()
            batch: list[AuditRecord] = []
            while self._waiting:
                batch.extend(self._waiting.popleft())
            try:
                if batch:
                    self._store.commit(Commit(audit=tuple(batch)))
            except StoreUnavailable as error:
                self._waiting.appendleft(tuple(batch))
                self._some.set()
                self._outage.failed(error, f"{len(batch)} audit records wait for the store")
            else:
                self._outage.worked()

    def _run(self) -> None:
        while True:
            self._some.wait()
            time.sleep(self._every_s)
            self.flush()


def trail(store: ResourceStore, settings: Settings) -> Callable[[tuple[AuditRecord, ...]], None]:
    if settings.audit.durability == "batched":
        return BatchedTrail(store)
    return lambda records: _commit_now(store, records)


def _commit_now(store: ResourceStore, records: tuple[AuditRecord, ...]) -> None:
    store.commit(Commit(audit=records))
