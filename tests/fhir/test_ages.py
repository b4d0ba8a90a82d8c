"""Ages in full years, and when they change."""

from __future__ import annotations

import doctest
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from fhir_dmp.fhir import ages
from fhir_dmp.fhir.ages import full_years, next_midnight
from fhir_dmp.fhir.dates import interval

NOON = interval("2026-06-21T12:00:00Z", UTC)[0]


@pytest.mark.parametrize(
    ("birth", "age"),
    [("2008-06-21", 18), ("2008-06-22", 17), ("2008-05", 18), ("2008-06", 17), ("2008", 17), ("x", None), (None, None)],
)
def test_age_is_counted_in_full_years_and_a_partial_date_from_its_last_day(birth: str | None, age: int | None) -> None:
    assert full_years(birth, NOON, UTC) == age


def test_a_birthday_begins_at_midnight_of_the_zone() -> None:
    paris = ZoneInfo("Europe/Paris")
    late = interval("2026-06-20T23:00:00Z", UTC)[0]
    assert (full_years("2008-06-21", late, UTC), full_years("2008-06-21", late, paris)) == (17, 18)
    assert next_midnight(late, UTC) == interval("2026-06-21T00:00:00Z", UTC)[0]
    assert next_midnight(late, paris) == interval("2026-06-21T22:00:00Z", UTC)[0]


def test_the_examples_in_the_documentation_hold() -> None:
    assert doctest.testmod(ages).failed == 0
