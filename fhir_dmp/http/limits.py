"""Who may ask how much: the rules of `limits.*` applied to a FHIR request. [security 8.4]

A refusal is 429 with Retry-After. The first one of a caller in a minute is recorded in the trail; to record each would
give a flood its effect in another way.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from fhir_dmp.errors import TooMany
from fhir_dmp.http.meter import Meters
from fhir_dmp.http.routes import interaction
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.settings import Limits

_MINUTE_S, _HOUR_S = 60.0, 3600.0
_READS = frozenset({"read", "vread"})
_SEARCHES = frozenset({"search-type", "search-system", "history"})
_WRITES = frozenset({"create", "update", "patch", "delete", "transaction"})
#: Operations that say whether somebody has a record.
_LOOK_UPS = frozenset({"$dmp-verifier-acces", "$dmp-ouvrir"})

#: One meter: its name, the allowance, the period in seconds, what it counts in words.
Rule = tuple[str, int, float, str]


class RateLimits:
    """Counts requests and refuses those above the allowance. Thread safe."""

    def __init__(self, limits: Limits, meters: Meters) -> None:
        self._limits = limits
        self._meters = meters
        self.active = any(
            getattr(limits, name) for name in Limits.__dataclass_fields__ if name not in ("break_glass_per_day",)
        )

    def check(self, caller: Caller, method: str, segments: tuple[str, ...], now_s: float) -> None:
        """Count a request of an authenticated caller.

        Raises:
            TooMany: it is one too many; Retry-After says when the next one will be taken.
        """
        for name, allowed, period_s, what in self._rules(caller, method, segments):
            if allowed:
                self._take(name, allowed, period_s, now_s, what)

    def failed(self, address: str, now_s: float) -> None:
        """Count a request without usable token from this address.

        Raises:
            TooMany: it is one too many.
        """
        allowed = self._limits.failures_per_minute
        if allowed:
            self._take(f"failure|{address}", allowed, _MINUTE_S, now_s, "requests without a usable token")

    def proven(self, client_id: str, now_s: float) -> None:
        """Count a request of a client that proved itself to the authorization server.

        Raises:
            TooMany: it is one too many.
        """
        allowed = self._limits.tokens_per_minute
        if allowed:
            self._take(f"token|{client_id}", allowed, _MINUTE_S, now_s, "requests of one client to these endpoints")

    def is_first(self, caller: Caller, address: str, now_s: float) -> bool:
        """Say whether a refusal of this caller is the first of its minute, which is recorded."""
        return self._meters.take(f"refused|{caller.client}|{caller.subject}|{address}", 1, _MINUTE_S, now_s) == 0.0

    def _take(self, name: str, allowed: int, period_s: float, now_s: float, what: str) -> None:
        wait_s = self._meters.take(name, allowed, period_s, now_s)
        if wait_s > 0:
            period = "minute" if period_s == _MINUTE_S else "hour"
            raise TooMany(
                f"More than {allowed} {what} in a {period}. Wait {ceil(wait_s)} s.",
                headers={"Retry-After": str(ceil(wait_s))},
            )

    def _rules(self, caller: Caller, method: str, segments: tuple[str, ...]) -> Iterator[Rule]:
        limits = self._limits
        user = f"{caller.client}|{caller.subject}"
        kind = interaction(method, segments)
        yield f"client|{caller.client}", limits.requests_per_minute, _MINUTE_S, "requests of one client"
        if kind in _WRITES:
            yield f"write|{caller.client}", limits.writes_per_minute, _MINUTE_S, "changes by one client"
        elif kind in _READS:
            yield f"read|{user}", limits.reads_per_minute, _MINUTE_S, "reads"
        elif kind in _SEARCHES:
            yield f"search|{user}", limits.searches_per_minute, _MINUTE_S, "searches"
        if segments[-1:] == ("$access-history",):
            yield f"accesses|{user}", limits.access_history_per_minute, _MINUTE_S, "histories of accesses"
        if _looks_up(kind, segments) and caller.actor not in (Actor.PATIENT, Actor.ADMIN):
            if caller.professional:
                who = f"existence|{caller.professional}"
                yield who, limits.existence_per_hour, _HOUR_S, "look-ups of patients"
            if caller.structure:
                who = f"existences|{caller.structure}"
                yield who, limits.existence_per_hour_structure, _HOUR_S, "look-ups of patients by one structure"


def _looks_up(kind: str, segments: tuple[str, ...]) -> bool:
    """Say whether a request may tell that somebody has a record: all of these are counted together."""
    if segments[:1] != ("Patient",):
        return False
    return (kind == "search-type" and len(segments) <= 2) or segments[-1] in _LOOK_UPS
