"""Entity tags and preferences: what the client holds already, what it relies on, what it wants back.

https://hl7.org/fhir/R4/http.html#concurrency, RFC 9110 section 13, RFC 7240. Tags compare by value: W/"3" and "3" are
the same version.
"""

from __future__ import annotations

import re
from calendar import timegm
from email.utils import parsedate
from functools import lru_cache
from time import gmtime

from fhir_dmp.errors import BadRequest
from fhir_dmp.http.request import Environ

_TAGS = re.compile(r'\s*(?:W/)?"([^"]*)"\s*(?:,|$)')
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Stands for a well-formed tag that no version of ours has.
NO_VERSION = -1
_MAX_TAGS = 100
_RETURNS = {"minimal": "minimal", "representation": "representation", "operationoutcome": "OperationOutcome"}


def etag(version: int) -> str:
    """Return the weak tag of a version."""
    return f'W/"{version}"'


def http_date(updated_ms: int) -> str:
    """Return an instant as an HTTP date, to the second.

    >>> http_date(784111777999)
    'Sun, 06 Nov 1994 08:49:37 GMT'
    """
    day, second = divmod(updated_ms // 1000, 86_400)
    minute, second = divmod(second, 60)
    return f"{_day(day)}{minute // 60:02}:{minute % 60:02}:{second:02} GMT"


@lru_cache(maxsize=1024)
def _day(days: int) -> str:
    year, month, day, _, _, _, weekday, _, _ = gmtime(days * 86_400)
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} "


def tags(header: str, name: str) -> list[str]:
    """Return the opaque values of a list of entity tags.

    >>> tags('W/"3", "4"', "If-Match")
    ['3', '4']

    Raises:
        BadRequest: not a list of entity tags.
    """
    found: list[str] = []
    position = 0
    while position < len(header):
        match = _TAGS.match(header, position)
        if match is None or len(found) == _MAX_TAGS:
            raise BadRequest(f'{name} must be * or a list of entity tags such as W/"3".', code="value")
        found.append(match.group(1))
        position = match.end()
    return found


def if_match(environ: Environ) -> tuple[tuple[int, ...] | None, bool]:
    """Return the versions that the client relies on (None without the header), and whether it said `*`.

    A tag that is no version of ours is kept as one that never matches: dropping it would drop the condition.
    """
    header: str = environ.get("HTTP_IF_MATCH", "").strip()
    if not header:
        return None, False
    if header == "*":
        return None, True
    found = tags(header, "If-Match")
    return tuple(int(tag) if tag.isascii() and tag.isdigit() and len(tag) < 10 else NO_VERSION for tag in found), False


def if_none_match_any(environ: Environ) -> bool:
    """Say whether a write must only create."""
    return bool(environ.get("HTTP_IF_NONE_MATCH", "").strip() == "*")


def not_modified(environ: Environ, tag: str | None, updated_ms: int | None) -> bool:
    """Say whether the client's copy is still good; If-None-Match wins over If-Modified-Since."""
    header: str = environ.get("HTTP_IF_NONE_MATCH", "").strip()
    if header:
        if header == "*":
            return tag is not None
        return tag is not None and tag.removeprefix("W/").strip('"') in tags(header, "If-None-Match")
    since: str = environ.get("HTTP_IF_MODIFIED_SINCE", "")
    if not since or updated_ms is None:
        return False
    parsed = _timestamp(since)
    return parsed is not None and updated_ms // 1000 <= parsed


def _timestamp(text: str) -> int | None:
    """Read an HTTP date; a malformed one is ignored, as RFC 9110 wants."""
    try:
        parts = parsedate(text)
        return None if parts is None else timegm(parts)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def preferences(header: str) -> dict[str, str]:
    """Read a Prefer header: several preferences by comma, the first of a name counts, names in lower case.

    >>> preferences('return=minimal, handling="strict", respond-async')
    {'return': 'minimal', 'handling': 'strict', 'respond-async': ''}
    """
    found: dict[str, str] = {}
    for part in header.split(","):
        name, _, value = part.partition(";")[0].partition("=")
        if name.strip():
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def wanted_return(found: dict[str, str]) -> str | None:
    """Return the `return` preference in its canonical spelling, None when absent or unknown."""
    return _RETURNS.get(found.get("return", "").lower())
