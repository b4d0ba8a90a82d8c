"""Points in time between FHIR text and milliseconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.fhir.moments import age_in_years, first_ms, instant, moment_ms


@given(st.integers(min_value=-62_000_000_000_000, max_value=250_000_000_000_000))
def test_a_moment_written_and_read_is_the_same(ms: int) -> None:
    assert moment_ms(instant(ms)) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.1234567-00:30", 1_800_123),
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01T00:00:00", None),
        ("1970-13-01T00:00:00Z", None),
        ("1970-01-01", None),
        ("", None),
    ],
)
def test_only_a_dated_time_with_offset_is_a_moment(text: str, ms: int | None) -> None:
    assert moment_ms(text) == ms


@pytest.mark.parametrize(("text", "ms"), [("1970", 0), ("1970-02", 31 * 86_400_000), ("1970-02-30", None), ("x", None)])
def test_a_partial_date_starts_somewhere(text: str, ms: int | None) -> None:
    assert first_ms(text) == ms


@pytest.mark.parametrize(("birth", "age"), [("2008-06-21", 18), ("2008-06-22", 17), ("2008", 18), ("x", None)])
def test_age_is_counted_in_completed_years(birth: str, age: int | None) -> None:
    assert age_in_years(birth, moment_ms("2026-06-21T12:00:00Z") or 0) == age
