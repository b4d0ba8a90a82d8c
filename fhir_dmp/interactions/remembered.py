"""What decisions need again and again, remembered and checked against the store: a change holds from the next request.

Every commit that may change the facts of a record claims a mark of that record; facts are true as long as the stamps
of their marks are the same. That is one point read in each request, whichever process made the change.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Decision, Op, Rules, Verdict
from fhir_dmp.access.document import DocumentFacts, document_facts
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.masking import may_name_hidden
from fhir_dmp.access.matrix import Matrix
from fhir_dmp.access.restrict import restrict
from fhir_dmp.access.visibility import visible
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.identity.caller import Caller
from fhir_dmp.ports import MARK, Claim, Key, ResourceStore, Version, Write
from fhir_dmp.search.query import Node

#: The mark of what every record may refer to: professionals, structures, people.
DIRECTORY = "facts:directory"
#: The Library that holds the activated habilitation matrix, and its mark.
MATRIX_KEY = Key("Library", "habilitation-matrix")
MATRIX = "facts:matrix"
#: The mark of what codes are judged by: code systems, value sets, concept maps.
TERMINOLOGY = "facts:terminology"
_TERMINOLOGY_TYPES = frozenset({"CodeSystem", "ValueSet", "ConceptMap"})
_DIRECTORY_TYPES = frozenset({"Practitioner", "PractitionerRole", "Organization", "Person"})
_RECORD_TYPES = frozenset({"Consent", "CareTeam", "RelatedPerson"})
#: Decisions are remembered no longer than this, whatever the marks say (security 5.9).
DECISION_MAX_AGE_MS = 5000
#: Facts, whose marks every request looks at, stay longer: far below the time after which stores forget marks.
MAX_AGE_MS = 60_000

T = TypeVar("T")
#: What a verdict follows from, beside the rules of the server.
Judged = tuple[Caller, Decision, DocumentFacts, PatientFacts, Matrix]


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
        elif write.type in _TERMINOLOGY_TYPES:
            marks[TERMINOLOGY] = None
        elif (write.type, write.id) == (MATRIX_KEY.type, MATRIX_KEY.id):
            marks[MATRIX] = None
    return tuple(Claim(mark, MARK) for mark in marks)


@dataclass(frozen=True, slots=True)
class _Known:
    """A value, the stamps that it was derived under, and the half-open time in which it holds."""

    value: Any
    stamps: tuple[int, ...]
    low_ms: int
    high_ms: int


class _Request:
    """What one request has looked at: the values by key, the stamps by mark."""

    __slots__ = ("stamps", "values")

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.stamps: dict[str, int] = {}


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
        self._request.checked = _Request()
        try:
            yield
        finally:
            self._request.checked = outer

    def forget(self) -> None:
        """Look again, within this request too: it has just committed."""
        if getattr(self._request, "checked", None) is not None:
            self._request.checked = _Request()

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
        checked: _Request | None = getattr(self._request, "checked", None)
        if checked is not None and key in checked.values:
            remembered: T = checked.values[key]
            return remembered
        # Stamps first: what commits while the value is derived must make it stale, not be hidden by newer stamps.
        stamps = store.stamps(marks) if checked is None else _stamps(marks, checked.stamps, store)
        known = self._known.get(key)
        if known is None or known.stamps != stamps or not known.low_ms <= now_ms < known.high_ms:
            value, until_ms = load()
            known = _Known(value, stamps, now_ms, min(until_ms, now_ms + MAX_AGE_MS))
            self._keep(key, known)
        if checked is not None:
            checked.values[key] = known.value
        found: T = known.value
        return found

    def _keep(self, key: str, known: _Known) -> None:
        with self._lock:
            if len(self._known) >= self._size:
                self._known.clear()
            self._known[key] = known


def _stamps(marks: Sequence[str], seen: dict[str, int], store: ResourceStore) -> tuple[int, ...]:
    """Return the stamps of the marks, as this request has seen them first."""
    missing = [mark for mark in marks if mark not in seen]
    if missing:
        # Every decision asks for the matrix, too: one read of the store for both.
        missing += [MATRIX] if MATRIX not in seen and MATRIX not in missing else []
        seen.update(zip(missing, store.stamps(missing), strict=True))
    return tuple([seen[mark] for mark in marks])


class DecisionCache:
    """Decisions on entering records, the filters that say the same, and verdicts on documents.

    Each is remembered, for DECISION_MAX_AGE_MS at most, as long as all that it follows from is the very same object:
    decisions are pure, and facts carry their own moment, so identity says more than any comparison could. An entry
    holds those objects, so no others can have got their addresses meanwhile.
    """

    def __init__(self, size: int = 4_000) -> None:
        self._size = size
        self._known: dict[tuple[int, int, Op, bool], tuple[Caller, PatientFacts, frozenset[str], int, Decision]] = {}
        self._filters: dict[tuple[int, int, bool], tuple[Caller, Decision, Matrix, Node]] = {}
        self._verdicts: dict[tuple[int, int, bool], tuple[Judged, Verdict]] = {}

    def enter(
        self,
        caller: Caller,
        op: Op,
        facts: PatientFacts,
        rules: Rules,
        now_ms: int,
        *,
        documents: bool,
        own_refs: frozenset[str],
    ) -> Decision:
        """Return what `decide.enter` says."""
        key = (id(caller), id(facts), op, documents)
        known = self._known.get(key)
        if (
            known is not None
            and (known[0] is caller and known[1] is facts and known[2] == own_refs)
            and known[3] <= now_ms < known[3] + DECISION_MAX_AGE_MS
        ):
            return known[4]
        decision = enter(caller, op, facts, rules, documents=documents, own_refs=own_refs)
        if len(self._known) >= self._size:
            self._known.clear()
        self._known[key] = (caller, facts, own_refs, now_ms, decision)
        return decision

    def restrict(
        self,
        caller: Caller,
        decision: Decision,
        facts: PatientFacts,
        rules: Rules,
        matrix: Matrix,
        *,
        deleted_asked: bool,
    ) -> Node:
        """Return what `restrict.restrict` says; a decision belongs to the facts that it was made on."""
        key = (id(caller), id(decision), deleted_asked)
        known = self._filters.get(key)
        if known is not None and known[0] is caller and known[1] is decision and known[2] is matrix:
            return known[3]
        node = restrict(caller, decision, facts, rules, matrix, deleted_asked=deleted_asked)
        if len(self._filters) >= self._size:
            self._filters.clear()
        self._filters[key] = (caller, decision, matrix, node)
        return node

    def visible(
        self,
        caller: Caller,
        decision: Decision,
        document: DocumentFacts,
        facts: PatientFacts,
        rules: Rules,
        matrix: Matrix,
        *,
        deleted_asked: bool = False,
    ) -> Verdict:
        """Return what `visibility.visible` says; documents that are alike for decisions are judged once."""
        key = (id(decision), id(document), deleted_asked)
        known = self._verdicts.get(key)
        if known is not None:
            whom, by, what, of, under = known[0]
            if decision is by and document is what and caller is whom and facts is of and matrix is under:
                return known[1]
        verdict = visible(caller, decision, document, facts, rules, matrix, deleted_asked=deleted_asked)
        if len(self._verdicts) >= self._size:
            self._verdicts.clear()
        self._verdicts[key] = ((caller, decision, document, facts, matrix), verdict)
        return verdict


class DocumentCache:
    """What decisions need of a document version. A version never changes, so an entry never goes stale.

    Documents of which decisions need the same share one value, so that a verdict on one is found for the others.
    """

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._known: dict[tuple[str, int, int], tuple[DocumentFacts, bool]] = {}
        self._shared: dict[DocumentFacts, DocumentFacts] = {}

    def of(self, version: Version) -> DocumentFacts:
        """Return the facts of a stored DocumentReference version."""
        return self._of(version)[0]

    def may_name_hidden(self, version: Version) -> bool:
        """Say whether a stored DocumentReference version refers to anything that may be hidden."""
        return self._of(version)[1]

    def _of(self, version: Version) -> tuple[DocumentFacts, bool]:
        key = (version.id, version.version, version.seq)
        found = self._known.get(key)
        if found is None:
            facts = document_facts(parse_stored(version.body))
            if len(self._known) >= self._size:
                self._known.clear()
                self._shared.clear()
            facts = self._shared.setdefault(facts, facts)
            found = self._known[key] = facts, may_name_hidden(version.type, version.body)
        return found


#: Contents whose words are remembered.
_CONTENTS = 64


class WordsOfContents:
    """What was read lately, by address of the content and media type."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str]) -> str | None:
        """Return the words of a content, None when they were not read lately."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def keep(self, key: tuple[str, str], words: str) -> None:
        """Remember the words of a content."""
        with self._lock:
            self._known[key] = words
            while len(self._known) > _CONTENTS:
                self._known.popitem(last=False)
