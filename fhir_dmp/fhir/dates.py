"""Dates: a partial FHIR date is a half-open interval of UTC milliseconds, never a midnight.

https://hl7.org/fhir/R4/datatypes.html#dateTime. A date covers its year, month or day, a time its minute or second, a
fraction of a second one millisecond. What has no offset is read in the zone given by the caller.
"""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any

from fhir_dmp.errors import BadRequest

#: Milliseconds since 1970-01-01T00:00:00Z: [low, high).
Interval = tuple[int, int]

#: A bound that does not exist (a Period without start or end).
ALWAYS = -(2**62)
NEVER = 2**62

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_LAST_DAY = date.max.toordinal()
_SECOND = timedelta(seconds=1)
_DAY_MS = 86_400_000

_PATTERN = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+\- ]\d\d:\d\d)?)?)?)?", re.ASCII
)
_OFFSET = re.compile(r"T.*(?:Z|[+-]\d\d:\d\d)\Z", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(\.\d{3})?(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)", re.ASCII)


def interval(text: str, zone: tzinfo) -> Interval:
    """Return the UTC milliseconds [low, high) that a FHIR date, dateTime or instant covers.

    A space where an offset wants `+` is repaired: it is a plus that was not percent-encoded in a URL.

    >>> from zoneinfo import ZoneInfo
    >>> paris = ZoneInfo("Europe/Paris")
    >>> [instant(bound) for bound in interval("2024-03", paris)]
    ['2024-02-29T23:00:00.000Z', '2024-03-31T22:00:00.000Z']
    >>> [instant(bound) for bound in interval("2024-05-01T10:00:00 02:00", paris)]
    ['2024-05-01T08:00:00.000Z', '2024-05-01T08:00:01.000Z']

    Raises:
        BadRequest: not a FHIR date, or a day that the calendar does not have.
    """
    quick = _INSTANT.fullmatch(text)
    try:
        if quick is not None:
            point = datetime.fromisoformat(text)
            low = (point - _EPOCH) // _SECOND * 1000 + point.microsecond // 1000
            return low, low + (1 if quick[1] else 1000)
        return _by_parts(text, zone)
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            "Not a date: expected YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss[.fff]] with Z or an offset.",
            code="value",
        ) from error


def covered(value: Any, zone: tzinfo) -> Interval | None:
    """Return the interval of what should be a date, None when it is none: for those who judge instead of refusing."""
    try:
        return interval(value, zone) if isinstance(value, str) else None
    except BadRequest:
        return None


def moment(value: Any) -> int | None:
    """Return the point in time that an instant, or a dateTime with time and offset, names; None for anything else.

    >>> moment("1970-01-01T01:00:01.5+01:00")
    1500
    >>> moment("2026-06") is None
    True
    """
    if not isinstance(value, str) or _OFFSET.search(value) is None:
        return None
    found = covered(value, UTC)
    return None if found is None else found[0]


def _by_parts(text: str, zone: tzinfo) -> Interval:
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    if hour is None:
        return _day_or_longer(int(year), month, day, zone)
    seconds = int(second or 0)
    if int(hour) > 23 or int(minute) > 59 or seconds > 60:  # 60: a leap second
        raise ValueError
    within_day = (int(hour) * 3600 + int(minute) * 60 + seconds) * 1000
    low = _utc(date(int(year), int(month), int(day)).toordinal(), within_day, _zone(offset, zone))
    low += int(((fraction or "") + "000")[:3])
    return low, low + (1 if fraction else 1000 if second else 60_000)


def _day_or_longer(year: int, month: str | None, day: str | None, zone: tzinfo) -> Interval:
    first = date(year, int(month or 1), int(day or 1))
    if day is not None:
        days = 1
    elif month is not None:
        days = monthrange(year, first.month)[1]
    else:
        days = 366 if isleap(year) else 365
    start = first.toordinal()
    return _utc(start, 0, zone), _utc(start + days, 0, zone)


def _zone(offset: str | None, zone: tzinfo) -> tzinfo:
    if offset is None:
        return zone
    if offset == "Z":
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if hours > 14 or minutes > 59:
        raise ValueError
    length = timedelta(hours=hours, minutes=minutes)
    return timezone(-length if offset[0] == "-" else length)


def _utc(ordinal: int, within_day: int, zone: tzinfo) -> int:
    """Return the UTC milliseconds of a wall clock time: the first of both when clocks go back.

    Counted with integers, because the first and the last day of the calendar have no UTC datetime in every zone.
    """
    day = date.fromordinal(min(ordinal, _LAST_DAY))
    minutes = min(within_day // 60_000, 1439)
    wall = datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=zone)
    offset = zone.utcoffset(wall) or timedelta(0)
    return (ordinal - _EPOCH_DAY) * _DAY_MS + within_day - offset // _SECOND * 1000


def instant(ms: int) -> str:
    """Print UTC milliseconds as a FHIR instant.

    >>> instant(1714557600123)
    '2024-05-01T10:00:00.123Z'
    """
    return f"{(_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec='milliseconds')[:-6]}Z"


def local_date(ms: int, zone: tzinfo) -> str:
    """Print the calendar day of UTC milliseconds in a zone.

    >>> from zoneinfo import ZoneInfo
    >>> local_date(1714600800000, ZoneInfo("Europe/Paris"))
    '2024-05-02'
    """
    return f"{(_EPOCH + timedelta(milliseconds=ms)).astimezone(zone):%Y-%m-%d}".zfill(10)


def period(value: Mapping[str, Any], zone: tzinfo) -> Interval:
    """Return the interval of a Period: from the start of `start` to the end of the precision of `end`.

    Raises:
        BadRequest: a bound that is no date.
    """
    start, end = value.get("start"), value.get("end")
    return (
        interval(start, zone)[0] if isinstance(start, str) else ALWAYS,
        interval(end, zone)[1] if isinstance(end, str) else NEVER,
    )


def validity(value: Any, zone: tzinfo) -> Interval:
    """Return the interval in which what has this Period is valid; absent bounds are open.

    One that cannot be read makes the interval empty: nothing is granted by a misprint.
    """
    if value is None:
        return ALWAYS, NEVER
    if not isinstance(value, dict):
        return 0, 0
    low, high = ALWAYS, NEVER
    if "start" in value:
        start = covered(value["start"], zone)
        if start is None:
            return 0, 0
        low = start[0]
    if "end" in value:
        end = covered(value["end"], zone)
        if end is None:
            return 0, 0
        high = end[1]
    return low, high


def timing(value: Mapping[str, Any], zone: tzinfo) -> tuple[Interval, ...]:
    """Return the intervals of a Timing: each event, and its bounds when they are a Period.

    Raises:
        BadRequest: an event or bound that is no date.
    """
    events = value.get("event")
    found = [interval(event, zone) for event in events if isinstance(event, str)] if isinstance(events, list) else []
    repeat = value.get("repeat")
    bounds = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
    if isinstance(bounds, dict):
        found.append(period(bounds, zone))
    return tuple(found)
