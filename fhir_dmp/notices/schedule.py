"""When a notice is sent: at once, with the next digest, or again after a failure. Pure: the time is an argument."""

from __future__ import annotations

from datetime import datetime, time, timedelta, tzinfo

MINUTE_MS = 60_000
DAY_MS = 86_400_000
#: The longest pause between two tries.
LONGEST_PAUSE_MS = 6 * 3_600_000


def digest_ms(now_ms: int, hour: int, zone: tzinfo) -> int:
    """Return the next moment at which digests are sent, after now: this hour, local time."""
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    day = now.date()
    while True:
        moment = int(datetime.combine(day, time(hour), zone).timestamp() * 1000)
        if moment > now_ms:
            return moment
        day += timedelta(days=1)


def day_of(now_ms: int, zone: tzinfo) -> str:
    """Return the local date of a moment (ISO 8601)."""
    return datetime.fromtimestamp(now_ms / 1000, zone).date().isoformat()


def pause_ms(attempts: int) -> int:
    """Return how long to wait after so many failed tries (at least one): a minute, then twice as long each time.

    >>> [pause_ms(tries) // MINUTE_MS for tries in (1, 2, 3, 9, 50)]
    [1, 2, 4, 256, 360]
    """
    return min(MINUTE_MS << min(attempts - 1, 20), LONGEST_PAUSE_MS)
