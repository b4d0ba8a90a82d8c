"""What is remembered for decisions is true as long as its marks are. No server here."""

from __future__ import annotations

from fhir_dmp.access.decision import Decision, Op
from fhir_dmp.interactions.remembered import DIRECTORY, MAX_AGE_MS, DecisionCache, FactsCache, mark_of, marks_of
from fhir_dmp.ports import MARK, Claim, Commit, Key, Write
from fhir_dmp.search.query import PLUS_INFINITY
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.memory import MemoryStore
from tests.access.people import RULES, facts, ps

MARKS = ("m", "n")


def mark(store: MemoryStore, name: str) -> None:
    store.commit(Commit(claims=(Claim(name, MARK),)))


class Loading:
    """Counts how often it is asked, and answers with the number."""

    def __init__(self, until_ms: int = PLUS_INFINITY) -> None:
        self.times = 0
        self.until_ms = until_ms

    def __call__(self) -> tuple[int, int]:
        self.times += 1
        return self.times, self.until_ms


def test_a_value_stays_until_one_of_its_marks_moves() -> None:
    store, cache, load = MemoryStore(), FactsCache(), Loading()
    assert [cache.get("k", MARKS, store, now, load) for now in (1, 2, 3)] == [1, 1, 1]
    mark(store, "other")
    assert cache.get("k", MARKS, store, 4, load) == 1
    mark(store, "n")
    assert [cache.get("k", MARKS, store, now, load) for now in (5, 6)] == [2, 2]


def test_a_value_stays_no_longer_than_it_says_and_never_longer_than_a_minute() -> None:
    store, cache, load = MemoryStore(), FactsCache(), Loading(until_ms=100)
    assert [cache.get("k", MARKS, store, now, load) for now in (1, 99)] == [1, 1]
    load.until_ms = PLUS_INFINITY
    assert [cache.get("k", MARKS, store, now, load) for now in (100, 99 + MAX_AGE_MS)] == [2, 2]
    assert cache.get("k", MARKS, store, 100 + MAX_AGE_MS, load) == 3
    assert cache.get("k", MARKS, store, 50, load) == 4  # a clock that was set back


def test_a_decision_is_made_again_after_five_seconds() -> None:
    decisions, known, caller = DecisionCache(), facts(), ps()

    def decided(now_ms: int) -> Decision:
        return decisions.enter(caller, Op.READ, known, RULES, now_ms, documents=True, own_refs=frozenset())

    first = decided(1_000)
    assert decided(5_999) is first
    again = decided(6_000)
    assert again == first
    assert again is not first
    assert decided(5_999) is not again  # a clock that was set back


def test_within_a_request_a_value_is_checked_once_and_again_after_its_own_commit() -> None:
    store, cache, load = MemoryStore(), FactsCache(), Loading()
    with cache.request():
        assert cache.get("k", MARKS, store, 1, load) == 1
        mark(store, "m")
        assert cache.get("k", MARKS, store, 2, load) == 1
        with cache.request():  # an entry of a batch
            assert cache.get("k", MARKS, store, 3, load) == 2
        assert cache.get("k", MARKS, store, 4, load) == 1
        cache.forget()
        assert cache.get("k", MARKS, store, 5, load) == 2
    mark(store, "m")
    assert cache.get("k", MARKS, store, 6, load) == 3


def test_a_commit_during_the_loading_makes_the_value_stale() -> None:
    store, cache = MemoryStore(), FactsCache()

    def load() -> tuple[str, int]:
        mark(store, "m")
        return "old", PLUS_INFINITY

    assert cache.get("k", MARKS, store, 1, load) == "old"
    assert cache.get("k", MARKS, store, 2, lambda: ("new", PLUS_INFINITY)) == "new"


def write(type_: str, id_: str = "x", patient: str | None = None) -> Write:
    return Write(type_, id_, 1, 0, b"{}", Terms(patient=patient))


def test_what_decisions_depend_on_marks_its_record_or_the_directory() -> None:
    def marked(*writes: Write, **previous: str | None) -> set[str]:
        before = {Key("Consent", name): patient for name, patient in previous.items()}
        claims = marks_of(writes, before)
        assert all(claim.seen == MARK for claim in claims)
        return {claim.key for claim in claims}

    assert marked(write("DocumentReference", patient="Patient/1"), write("Observation", patient="Patient/1")) == set()
    assert marked(write("Patient", "1")) == {mark_of("Patient/1")}
    assert marked(write("Consent", patient="Patient/1"), write("CareTeam", patient="Patient/2")) == {
        mark_of("Patient/1"),
        mark_of("Patient/2"),
    }
    assert marked(write("Consent", patient="Patient/2"), x="Patient/1") == {mark_of("Patient/1"), mark_of("Patient/2")}
    assert marked(write("Consent")) == {DIRECTORY}
    for type_ in ("Practitioner", "PractitionerRole", "Organization", "Person"):
        assert marked(write(type_)) == {DIRECTORY}
