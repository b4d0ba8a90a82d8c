"""Stored writes as templates: made once by the real server, then varied by replacing what is peculiar to one of them.

The terms come from the real extractor; only ids, numbers and days are exchanged, in the body and in every term.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_dmp.ports import Commit, Version, Write
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.memory import MemoryStore
from tests import samples
from tests.benchmarks.record import authorisation
from tests.world import make_world

DAY_MS = 86_400_000
#: The day of the documents of tests/samples.py.
MADE = datetime(2026, 6, 12, tzinfo=UTC)
TEXT_OF_MADE = "2026-06-12T10:00:00+02:00"
CODES = ("11488-4", "18842-5", "34112-3", "28570-0", "57133-1", "11502-2", "60591-5", "18748-4")
#: Room for the days of MADE in its terms, whatever their precision.
_NEAR_MS = 2 * DAY_MS


class Recording(MemoryStore):
    """A store in memory that remembers what was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[Write] = []

    def commit(self, commit: Commit) -> tuple[Version, ...]:
        """Commit and remember."""
        done = super().commit(commit)
        self.writes += commit.writes
        return done


@dataclass(frozen=True, slots=True)
class Template:
    """A write, and the texts in it that differ from one copy to the next."""

    write: Write
    own: Mapping[str, str]

    def copy(self, values: Mapping[str, str], *, days: int = 0, updated_ms: int | None = None) -> Write:
        """Return a write with these values in place of its own, made `days` later. values: by the keys of `own`."""
        changes = [(old, values[name]) for name, old in self.own.items()]
        body = _replaced(self.write.body.decode(), changes)
        if days:
            moved = (MADE + timedelta(days=days)).strftime("%Y-%m-%dT10:00:00+02:00")
            body = body.replace(TEXT_OF_MADE, moved)
        return replace(
            self.write,
            id=values["id"],
            body=body.encode(),
            terms=_terms(self.write.terms, changes, days * DAY_MS),
            updated_ms=self.write.updated_ms if updated_ms is None else updated_ms,
        )


def _replaced(text: str, changes: Iterable[tuple[str, str]]) -> str:
    for old, new in changes:
        if old in text:
            text = text.replace(old, new)
    return text


def _terms(terms: Terms, changes: list[tuple[str, str]], shift_ms: int) -> Terms:
    base = MADE.timestamp() * 1000

    def moved(value: Any) -> Any:
        return value + shift_ms if isinstance(value, (int, float)) and abs(value - base) < _NEAR_MS else value

    return Terms(
        tokens=tuple([_replaced(token, changes) for token in terms.tokens]),
        strings=tuple([(param, _replaced(text, changes)) for param, text in terms.strings]),
        spans=tuple([(key, moved(low), moved(high)) for key, low, high in terms.spans]),
        words=tuple([(param, _replaced(text, changes)) for param, text in terms.words]),
        sort={
            param: (
                moved(_replaced(low, changes) if isinstance(low, str) else low),
                moved(_replaced(high, changes) if isinstance(high, str) else high),
            )
            for param, (low, high) in terms.sort.items()
        },
        patient=None if terms.patient is None else _replaced(terms.patient, changes),
        date=None if terms.date is None else moved(terms.date),
        uniques=tuple([_replaced(unique, changes) for unique in terms.uniques]),
    )


@dataclass(frozen=True, slots=True)
class Templates:
    """One patient's record: the patient with the consents, and documents of several types."""

    patient: tuple[Template, ...]
    documents: tuple[Template, ...]


def templates(base: str) -> Templates:
    """Make the templates with a real server in memory whose public base is `base`."""
    store = Recording()
    world = make_world(store, DMP_SERVER_BASE_URL=base)
    world.judged = False
    patient = world.open()
    answer = world.admin.post("/Consent", authorisation(patient))
    assert answer.status == 201, answer.body
    people = tuple(_template(write, patient, "") for write in store.writes)
    documents = []
    for number, code in enumerate(CODES):
        store.writes.clear()
        unique = f"1.2.250.1.999.777.{number}"
        world.submit(unique, type_=(samples.LOINC, code), content=samples.TEXT + str(number).encode())
        documents += [_template(write, patient, unique) for write in store.writes if write.type == "DocumentReference"]
    return Templates(people, tuple(documents))


def _template(write: Write, patient: str, unique: str) -> Template:
    own = {"id": write.id, "patient": patient, "ins": samples.ANOUK}
    if unique:
        own["unique"] = unique
    return Template(write, own)
