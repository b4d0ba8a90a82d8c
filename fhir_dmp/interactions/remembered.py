"""What decisions need again and again, remembered and checked against the store: a change holds from the next request.

Every commit that may change the facts of a record claims a mark of that record; facts are true as long as the stamps
of their marks are the same. That is one point read in each request, whichever process made the change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fhir_dmp.access.document import DocumentFacts, document_facts
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.ports import MARK, Claim, Key, ResourceStore, Version, Write

#: The mark of what every record may refer to: professionals, structures, people.
DIRECTORY = "facts:directory"
_DIRECTORY_TYPES = frozenset({"Practitioner", "PractitionerRole", "Organization", "Person"})
_RECORD_TYPES = frozenset({"Consent", "CareTeam", "RelatedPerson"})
#: Decisions are cached no longer than this, whatever the marks say (security 5.9).
MAX_AGE_MS = 5000

T = TypeVar("T")


def mark_of(patient: str) -> str:
    """Return the mark of the record of `Patient/id`."""
    return f"facts:{patient}"


def marks_of(writes: Sequence[Write], previous: dict[Key, str | None]) -> tuple[Claim, ...]:
    """Return what a commit has to claim because its writes change what decisions depend on.

    previous: the record that each written resource belonged to before; a change of hands concerns both records.
    """
    marks: dict[str, None] = {}
    for write in writes:
        if write.type == "Patient":
            marks[mark_of(f"Patient/{write.id}")] = None
        elif write.type in _DIRECTORY_TYPES:
            marks[DIRECTORY] = None
        elif write.type in _RECORD_TYPES:
            for patient in (write.terms.patient, previous.get(Key(write.type, write.id), write.terms.patient)):
                marks[mark_of(patient) if patient else DIRECTORY] = None
    return tuple(Claim(mark, MARK) for mark in marks)


@dataclass(frozen=True, slots=True)
class _Known:
    """A value, the stamps that it was derived under, and the half-open time in which it holds."""

    value: Any
    stamps: tuple[int, ...]
    low_ms: int
    high_ms: int


class FactsCache:
    """Facts of records and callers. Thread safe. Within one request each is checked once and then stays the same."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._request = threading.local()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Begin a request of this thread; requests inside a request (a batch) each look again."""
        outer = getattr(self._request, "checked", None)
        self._request.checked = {}
        try:
            yield
        finally:
            self._request.checked = outer

    def forget(self) -> None:
        """Look again, within this request too: it has just committed."""
        if getattr(self._request, "checked", None) is not None:
            self._request.checked = {}

    def get(
        self,
        key: str,
        marks: Sequence[str],
        store: ResourceStore,
        now_ms: int,
        load: Callable[[], tuple[T, int]],
    ) -> T:
        """Return the value of a key, derived anew when a mark has moved or its time is over.

        load: gives the value and the first moment (ms) at which it may be another without any commit.
        """
        checked: dict[str, Any] | None = getattr(self._request, "checked", None)
        if checked is not None and key in checked:
            remembered: T = checked[key]
            return remembered
        # Stamps first: what commits while the value is derived must make it stale, not be hidden by newer stamps.
        stamps = store.stamps(marks)
        known = self._known.get(key)
        if known is None or known.stamps != stamps or not known.low_ms <= now_ms < known.high_ms:
            value, until_ms = load()
            known = _Known(value, stamps, now_ms, min(until_ms, now_ms + MAX_AGE_MS))
            self._keep(key, known)
        if checked is not None:
            checked[key] = known.value
        found: T = known.value
        return found

    def _keep(self, key: str, known: _Known) -> None:
        with self._lock:
            if len(self._known) >= self._size:
                self._known.clear()
            self._known[key] = known


class DocumentCache:
    """What decisions need of a document version. A version never changes, so an entry never goes stale."""

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._known: dict[tuple[str, int], DocumentFacts] = {}

    def of(self, version: Version) -> DocumentFacts:
        """Return the facts of a stored DocumentReference version."""
        key = (version.id, version.version)
        found = self._known.get(key)
        if found is None:
            found = document_facts(parse_stored(version.body))
            if len(self._known) >= self._size:
                self._known.clear()
            self._known[key] = found
        return found
