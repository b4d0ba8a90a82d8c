"""Partial dates as intervals, across clock changes and at the ends of the calendar."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir import dates
from fhir_dmp.fhir.dates import (
    ALWAYS,
    NEVER,
    covered,
    instant,
    interval,
    local_date,
    moment,
    period,
    timing,
    validity,
)

PARIS = ZoneInfo("Europe/Paris")
HOUR = 3_600_000


@pytest.mark.statement("fhir-rest D106")
@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2024", "2023-12-31T23:00:00.000Z", "2024-12-31T23:00:00.000Z"),
        ("2024-02", "2024-01-31T23:00:00.000Z", "2024-02-29T23:00:00.000Z"),
        ("2024-07-14", "2024-07-13T22:00:00.000Z", "2024-07-14T22:00:00.000Z"),
        ("2024-03-31", "2024-03-30T23:00:00.000Z", "2024-03-31T22:00:00.000Z"),  # 23 hours long
        ("2024-10-27", "2024-10-26T22:00:00.000Z", "2024-10-27T23:00:00.000Z"),  # 25 hours long
        ("2024-05-01T10:00", "2024-05-01T08:00:00.000Z", "2024-05-01T08:01:00.000Z"),
        ("2024-05-01T10:00:30", "2024-05-01T08:00:30.000Z", "2024-05-01T08:00:31.000Z"),
        ("2024-05-01T10:00:30.250", "2024-05-01T08:00:30.250Z", "2024-05-01T08:00:30.251Z"),
        ("2024-05-01T10:00:30Z", "2024-05-01T10:00:30.000Z", "2024-05-01T10:00:31.000Z"),
        ("2024-05-01T10:00:30.5Z", "2024-05-01T10:00:30.500Z", "2024-05-01T10:00:30.501Z"),
        ("2024-05-01T10:00:30.123456Z", "2024-05-01T10:00:30.123Z", "2024-05-01T10:00:30.124Z"),
        ("2024-05-01T10:00:00-05:00", "2024-05-01T15:00:00.000Z", "2024-05-01T15:00:01.000Z"),
        ("2024-10-27T02:30:00", "2024-10-27T00:30:00.000Z", "2024-10-27T00:30:01.000Z"),  # the first of two
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z", "2017-01-01T00:00:01.000Z"),  # a leap second
    ],
)
def test_a_date_covers_the_precision_with_which_it_is_written(text: str, low: str, high: str) -> None:
    found = interval(text, PARIS)
    assert (instant(found[0]), instant(found[1])) == (low, high)


@pytest.mark.statement("fhir-rest D107")
def test_a_plus_that_became_a_space_is_an_offset() -> None:
    assert interval("2024-05-01T10:00 02:00", PARIS) == interval("2024-05-01T10:00+02:00", PARIS)


@pytest.mark.statement("fhir-rest D77")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "24",
        "2024-13",
        "2024-02-30",
        "2024-00-01",
        "2024-1-1",
        "2024-05-01T10",
        "2024-05-01T25:00",
        "2024-05-01T10:60",
        "2024-05-01T10:00:61Z",
        "2024-05-01T10:00:00+15:00",
        "2024-05-01T10:00:00.Z",
        "2024-05-01 10:00",
        "2024Z",
        "²024",
        "2024-05-01\n",
        "0000",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        interval(text, PARIS)
    assert refused.value.issues[0].code == "value"


def test_the_calendar_has_both_its_ends() -> None:
    assert interval("0001", UTC)[0] == interval("0001-01-01T00:00:00Z", UTC)[0]
    low, high = interval("9999-12-31", PARIS)
    assert high - low == 24 * HOUR
    assert interval("9999", PARIS)[1] == high
    assert interval("0001-01-01", PARIS)[0] < interval("0001-01-01", UTC)[0]


def test_a_period_runs_from_the_start_of_its_start_to_the_end_of_its_end() -> None:
    assert period({"start": "2024-05", "end": "2024-06"}, UTC) == (
        interval("2024-05", UTC)[0],
        interval("2024-06", UTC)[1],
    )
    assert period({"start": "2024"}, UTC) == (interval("2024", UTC)[0], NEVER)
    assert period({"end": "2024"}, UTC) == (ALWAYS, interval("2024", UTC)[1])


def test_a_timing_is_its_events_and_its_bounds() -> None:
    found = timing({"event": ["2024", "2025"], "repeat": {"boundsPeriod": {"start": "2020"}}}, UTC)
    assert found == (interval("2024", UTC), interval("2025", UTC), (interval("2020", UTC)[0], NEVER))
    assert timing({"repeat": {"frequency": 1}}, UTC) == ()


@pytest.mark.parametrize(
    ("value", "length_ms"),
    [
        ("2024-02", 29 * 24 * HOUR),
        ("2024-02-29T10:00Z", 60_000),
        ("2024-02-29T10:00:00.5-02:00", 1),
        ("9999-12-31", 24 * HOUR),
        ("2024-02-30", None),
        ("2024T10:00Z", None),
        ("", None),
        (7, None),
    ],
)
def test_what_is_no_date_covers_nothing(value: object, length_ms: int | None) -> None:
    found = covered(value, UTC)
    assert (found and found[1] - found[0]) == length_ms


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
        (None, None),
    ],
)
def test_only_a_dated_time_with_offset_is_a_moment(text: str | None, ms: int | None) -> None:
    assert moment(text) == ms


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, (ALWAYS, NEVER)),
        ({}, (ALWAYS, NEVER)),
        ({"start": "1970-01-02"}, (24 * HOUR, NEVER)),
        ({"end": "1970-01-01"}, (ALWAYS, 24 * HOUR)),
        ({"start": "1970", "end": "soon"}, (0, 0)),
        ({"end": 5}, (0, 0)),
        ("always", (0, 0)),
    ],
)
def test_a_misprinted_period_is_never_valid(value: object, expected: tuple[int, int]) -> None:
    assert validity(value, UTC) == expected


def test_the_examples_in_the_documentation_hold() -> None:
    assert doctest.testmod(dates).failed == 0


MOMENTS = st.integers(min_value=-60_000_000_000_000, max_value=250_000_000_000_000)


@given(MOMENTS)
def test_an_instant_is_read_as_it_was_printed(ms: int) -> None:
    assert interval(instant(ms), PARIS) == (ms, ms + 1)


@given(st.dates(), st.timezones())
def test_a_day_is_followed_by_the_next_day_without_gap(day: object, zone: ZoneInfo) -> None:
    text = str(day)
    low, high = interval(text, zone)
    assert low < high
    try:
        following = str(datetime.fromisoformat(text).date() + timedelta(days=1))
    except OverflowError:
        return
    assert interval(following, zone)[0] == high


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)), st.timezones())
def test_a_moment_lies_in_its_day_month_and_year(wall: datetime, zone: ZoneInfo) -> None:
    ms = (wall.replace(tzinfo=zone) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    local = local_date(ms, zone)
    for text in (local, local[:7], local[:4]):
        low, high = interval(text, zone)
        assert low <= ms < high


@given(st.text(max_size=30))
def test_no_text_makes_the_reader_crash(text: str) -> None:
    try:
        low, high = interval(text, PARIS)
    except BadRequest:
        return
    assert low < high
