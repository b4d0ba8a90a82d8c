"""Points in time between FHIR text and milliseconds since the epoch (UTC). Partial dates are periods, not points."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)",
)
_PARTIAL = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_ms(text: str) -> int | None:
    """Return the point in time that an instant or a dateTime with offset names, or None when it names none.

    >>> moment_ms("1970-01-01T01:00:01.5+01:00")
    1500
    >>> moment_ms("2026-06") is None
    True
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=UTC)
    except ValueError:
        return None
    whole = (local - _EPOCH) // timedelta(milliseconds=1) + int(((fraction or "") + "000")[:3])
    return whole - _offset_ms(zone)


def _offset_ms(zone: str) -> int:
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return (minutes if zone[0] == "+" else -minutes) * 60_000


def first_ms(text: str) -> int | None:
    """Return the first point of a FHIR date, partial dates read in UTC; None when it is no date.

    >>> first_ms("1970-01-02")
    86400000
    """
    match = _PARTIAL.fullmatch(text)
    if match is None:
        return moment_ms(text)
    year, month, day = match.groups()
    try:
        start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
    except ValueError:
        return None
    return (start - _EPOCH) // timedelta(milliseconds=1)


def instant(ms: int) -> str:
    """Return the FHIR instant, in UTC with milliseconds.

    >>> instant(1500)
    '1970-01-01T00:00:01.500Z'
    """
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age_in_years(birth_date: str, ms: int) -> int | None:
    """Return the completed years between a birth date (partial ones read as their first day) and a point in time."""
    start = first_ms(birth_date)
    if start is None:
        return None
    born = _EPOCH + timedelta(milliseconds=start)
    now = _EPOCH + timedelta(milliseconds=ms)
    return now.year - born.year - ((now.month, now.day) < (born.month, born.day))
