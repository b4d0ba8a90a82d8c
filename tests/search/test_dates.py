"""Date search: every prefix against every stored precision, held against a naive reading of the definition."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.dates import ALWAYS, NEVER, interval
from tests.search.shelf import NOW, PARIS, Shelf, asked

PERIODS = {
    "year": {"start": "2024", "end": "2024"},
    "month": {"start": "2024-05", "end": "2024-05"},
    "day": {"start": "2024-05-10", "end": "2024-05-10"},
    "moment": {"start": "2024-05-10T10:00:00.000+02:00", "end": "2024-05-10T10:00:00.000+02:00"},
    "from": {"start": "2024-05-10"},
    "until": {"end": "2024-05-10"},
}
ENCOUNTERS = Shelf(
    *({"resourceType": "Encounter", "id": name, "period": period} for name, period in PERIODS.items()),
    {"resourceType": "Encounter", "id": "undated"},
)


def naive(op: str, search: tuple[int, int], stored: tuple[int, int]) -> bool:
    """Say what the table of fhir-rest 6.6 says, word for word."""
    (sl, sh), (tl, th) = search, stored
    eq = sl <= tl and th <= sh
    margin = max(abs(NOW - sl) // 10, sh - sl)
    return {
        "eq": eq,
        "ne": not eq,
        "gt": th > sh,
        "lt": tl < sl,
        "ge": th > sh or eq,
        "le": tl < sl or eq,
        "sa": tl >= sh,
        "eb": th <= sl,
        "ap": tl < sh + margin and th > sl - margin,
    }[op]


def covered(period: dict[str, str]) -> tuple[int, int]:
    low = interval(period["start"], PARIS)[0] if "start" in period else ALWAYS
    return low, interval(period["end"], PARIS)[1] if "end" in period else NEVER


@pytest.mark.statement("fhir-rest D105")
@pytest.mark.parametrize("op", ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
@pytest.mark.parametrize(
    "text", ["2024", "2024-05", "2024-05-10", "2024-05-10T10:00:00.000+02:00", "2023", "2026-01-01"]
)
def test_each_prefix_follows_the_table_for_each_precision(op: str, text: str) -> None:
    expected = [name for name, period in PERIODS.items() if naive(op, interval(text, PARIS), covered(period))]
    assert ENCOUNTERS.find("Encounter", f"date={op}{text}") == expected


def test_a_few_rows_of_the_table_said_aloud() -> None:
    assert ENCOUNTERS.find("Encounter", "date=2024-05") == ["month", "day", "moment"]
    assert ENCOUNTERS.find("Encounter", "date=gt2024-05") == ["year", "from"]
    assert ENCOUNTERS.find("Encounter", "date=sa2024-05-09") == ["day", "moment", "from"]
    assert ENCOUNTERS.find("Encounter", "date=eb2024-05-11") == ["day", "moment", "until"]
    assert ENCOUNTERS.find("Encounter", "date=ne2024") == ["from", "until"]


MONTHS = st.builds("{:04d}-{:02d}".format, st.integers(1990, 2040), st.integers(1, 12))
DAYS = st.builds("{}-{:02d}".format, MONTHS, st.integers(1, 28))
TIMES = st.builds(
    "{}T{:02d}:{:02d}:{:02d}{}".format,
    DAYS,
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    st.sampled_from(["Z", "+02:00", "-11:30", ".250Z"]),
)
PARTIAL = st.one_of(st.integers(1990, 2040).map(str), MONTHS, DAYS, TIMES)
OPS = st.sampled_from(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])


@given(stored=st.lists(PARTIAL, max_size=3), search=PARTIAL, op=OPS)
def test_search_agrees_with_the_definition_for_any_dates(stored: list[str], search: str, op: str) -> None:
    content = [{"attachment": {"creation": text}} for text in stored]
    resource: dict[str, Any] = {"resourceType": "DocumentReference", "id": "x", "content": content}
    expected = any(naive(op or "eq", interval(search, PARIS), interval(text, PARIS)) for text in stored)
    assert Shelf(resource).find("DocumentReference", f"creation={op}{search}") == (["x"] if expected else [])


def test_a_repeated_date_is_an_interval() -> None:
    months = [f"2024-{month:02d}-15T12:00:00Z" for month in range(1, 13)]
    shelf = Shelf(*({"resourceType": "DocumentReference", "id": text[5:7], "date": text} for text in months))
    assert shelf.find("DocumentReference", "date=ge2024-03&date=lt2024-06") == ["03", "04", "05"]
    assert ENCOUNTERS.find("Encounter", "date=ge2024-06&date=le2024-12") == ["year", "from"]


@pytest.mark.statement("fhir-rest D108")
def test_ap_widens_by_a_tenth_of_the_distance_to_now() -> None:
    shelf = Shelf({"resourceType": "DocumentReference", "id": "d", "date": "2020-01-01T00:00:00Z"})
    assert shelf.find("DocumentReference", "date=ap2020-06") == ["d"]  # six years ago: seven months on each side
    assert shelf.find("DocumentReference", "date=2020-06") == []
    assert shelf.find("DocumentReference", "date=ap2023") == []


@pytest.mark.statement("fhir-rest D81")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("2026-05-01T10:00:00.000Z", ["a"]),
        ("ne2026-05-01", ["b"]),
        ("gt2026-05-01T10:00:00.000Z", ["b"]),
        ("ge2026-05-01T10:00:00.000Z", ["a", "b"]),
        ("lt2026-05-02", ["a"]),
        ("le2026-05-02", ["a", "b"]),
        ("sa2026-05-01", ["b"]),
        ("eb2026-05-02", ["a"]),
        ("ap2026-05-02", ["a", "b"]),
    ],
)
def test_last_updated_takes_every_prefix(query: str, found: list[str]) -> None:
    shelf = Shelf(
        {"resourceType": "Patient", "id": "a", "meta": {"lastUpdated": "2026-05-01T10:00:00.000Z"}},
        {"resourceType": "Patient", "id": "b", "meta": {"lastUpdated": "2026-05-02T10:00:00.000Z"}},
    )
    assert shelf.find("Patient", f"_lastUpdated={query}") == found


@pytest.mark.statement("fhir-rest D77")
@pytest.mark.parametrize("value", ["2024-02-30", "yesterday", "zz2024", "ge", "2024-05-10T10"])
def test_a_bad_date_or_prefix_is_refused_without_repeating_it(value: str) -> None:
    with pytest.raises(BadRequest) as refused:
        asked("Encounter", f"date={value}")
    (issue,) = refused.value.issues
    assert issue.code == "value"
    assert "'date'" in issue.diagnostics
    assert "yesterday" not in issue.diagnostics


def test_a_stored_date_that_is_none_is_not_found_and_does_no_harm() -> None:
    shelf = Shelf({"resourceType": "DocumentReference", "id": "d", "date": "2024-02-30", "status": "current"})
    assert shelf.find("DocumentReference", "date=ne2024") == []
    assert shelf.find("DocumentReference", "status=current") == ["d"]
