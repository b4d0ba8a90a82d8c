"""Ages: in full years, in a zone, as they change at midnight. The moment is an argument: no clock here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from fhir_dmp.fhir.dates import interval

_BIRTH = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def full_years(birth: Any, now_ms: int, zone: tzinfo) -> int | None:
    """Return the age in full years, None when unknown. A partial date counts from its last possible day.

    >>> full_years("2008-03-01", 1772323200000, UTC)  # 2026-03-01
    18
    >>> full_years("2008", 1772323200000, UTC)
    17
    """
    found = _BIRTH.fullmatch(birth) if isinstance(birth, str) else None
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
    return interval(today.isoformat(), zone)[1]
