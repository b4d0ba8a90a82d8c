"""Validity in time: which milliseconds a FHIR date covers, and whether a period holds now. No clock here."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any

from fhir_dmp.search.query import MINUS_INFINITY, PLUS_INFINITY

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_TIME = re.compile(r"T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MS


def _offset(text: str | None, zone: tzinfo) -> tzinfo:
    if text is None:
        return zone
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[4:6])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def interval(text: Any, zone: tzinfo) -> tuple[int, int] | None:
    """Return the half-open [low, high) ms that a FHIR date or dateTime covers, None when it is neither.

    Partial dates are periods; a date without offset is read in `zone`.

    >>> interval("1970-01-01", UTC)
    (0, 86400000)
    >>> interval("1970-01-01T01:00:00+01:00", UTC)
    (0, 1000)
    """
    found = _DATE.match(text) if isinstance(text, str) else None
    if found is None:
        return None
    try:
        return _interval(text, found, zone)
    except (ValueError, OverflowError):
        return None


def _interval(text: str, found: re.Match[str], zone: tzinfo) -> tuple[int, int] | None:
    year, month, day = int(found[1]), int(found[2] or 1), int(found[3] or 1)
    rest = text[found.end() :]
    if not rest:
        low = datetime(year, month, day, tzinfo=zone)
        if found[3]:
            following = date(year, month, day) + timedelta(days=1)
        else:
            following = date(year + 1, 1, 1) if not found[2] or month == 12 else date(year, month + 1, 1)
        high = datetime(following.year, following.month, following.day, tzinfo=zone)
        return _ms(low), _ms(high)
    clock = _TIME.fullmatch(rest)
    if clock is None or not found[3]:
        return None
    low = datetime(year, month, day, int(clock[1]), int(clock[2]), int(clock[3] or 0), tzinfo=_offset(clock[5], zone))
    start = _ms(low)
    if clock[4]:
        start += int(clock[4][:3].ljust(3, "0"))
        return start, start + 1
    return start, start + (1000 if clock[3] else 60_000)


def validity(period: Any, zone: tzinfo) -> tuple[int, int]:
    """Return the half-open [low, high) ms of a FHIR Period, its last day or second included.

    A bound that is absent is open; one that cannot be read makes the period empty: nothing is granted by a misprint.
    """
    if not isinstance(period, dict):
        return (MINUS_INFINITY, PLUS_INFINITY) if period is None else (0, 0)
    low, high = MINUS_INFINITY, PLUS_INFINITY
    if "start" in period:
        start = interval(period["start"], zone)
        if start is None:
            return 0, 0
        low = start[0]
    if "end" in period:
        end = interval(period["end"], zone)
        if end is None:
            return 0, 0
        high = end[1]
    return low, high


def full_years(birth: Any, now_ms: int, zone: tzinfo) -> int | None:
    """Return the age in full years, None when unknown. A partial date counts from its last possible day.

    >>> full_years("2008-03-01", 1772323200000, UTC)  # 2026-03-01
    18
    """
    found = _DATE.fullmatch(birth) if isinstance(birth, str) else None
    if found is None:
        return None
    today = (_EPOCH + timedelta(milliseconds=now_ms)).astimezone(zone).date()
    month, day = int(found[2] or 12), int(found[3] or 31)
    return today.year - int(found[1]) - ((today.month, today.day) < (month, day))


def next_midnight(now_ms: int, zone: tzinfo) -> int:
    """Return the start of the next day of the zone, when somebody may come of age.

    >>> next_midnight(1, UTC), next_midnight(86_400_000, UTC)
    (86400000, 172800000)
    """
    today = (_EPOCH + timedelta(milliseconds=now_ms)).astimezone(zone).date()
    tomorrow = today + timedelta(days=1)
    return _ms(datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone))
