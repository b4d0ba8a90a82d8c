"""The events that people are told of, and when they are told unless they choose otherwise. [security 7]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fhir_dmp.errors import Issue, Unprocessable


class Event(StrEnum):
    """One event of [security 7]; the value is its code everywhere (preferences, outbox, audit)."""

    BREAK_GLASS = "N1"
    REGULATION = "N2"
    FIRST_ACCESS = "N3"
    LATER_ACCESS = "N4"
    DOCUMENT_ADDED = "N5"
    DOCUMENT_CHANGED = "N6"
    RIGHTS_CHANGED = "N7"
    APPLICATION = "N8"
    SIGN_IN = "N9"
    DOSSIER = "N10"
    REPRESENTATION = "N11"


class Way(StrEnum):
    """How somebody is told of an event."""

    AT_ONCE = "at-once"
    DIGEST = "digest"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Policy:
    """way: unless the person chose otherwise. mandatory: it cannot be chosen away, nor be delayed to the digest."""

    way: Way
    mandatory: bool = False


POLICIES: Mapping[Event, Policy] = {
    Event.BREAK_GLASS: Policy(Way.AT_ONCE, mandatory=True),
    Event.REGULATION: Policy(Way.AT_ONCE, mandatory=True),
    Event.FIRST_ACCESS: Policy(Way.AT_ONCE),
    Event.LATER_ACCESS: Policy(Way.OFF),
    Event.DOCUMENT_ADDED: Policy(Way.DIGEST),
    Event.DOCUMENT_CHANGED: Policy(Way.DIGEST),
    Event.RIGHTS_CHANGED: Policy(Way.AT_ONCE),
    Event.APPLICATION: Policy(Way.AT_ONCE),
    Event.SIGN_IN: Policy(Way.AT_ONCE, mandatory=True),
    Event.DOSSIER: Policy(Way.AT_ONCE, mandatory=True),
    Event.REPRESENTATION: Policy(Way.AT_ONCE, mandatory=True),
}

#: What somebody chose, by event; what is not in it follows POLICIES.
Preferences = Mapping[Event, Way]


def way_of(event: Event, preferences: Preferences) -> Way:
    """Return how somebody with these preferences is told of an event."""
    policy = POLICIES[event]
    return policy.way if policy.mandatory else preferences.get(event, policy.way)


def chosen(event: str, way: str) -> tuple[Event, Way]:
    """Return one choice as values.

    Raises:
        Unprocessable: no such event or way, or the event is told to everybody.
    """
    try:
        found, wanted = Event(event), Way(way)
    except ValueError as error:
        known = f"events {', '.join(Event)}; ways {', '.join(Way)}"
        raise _refused(f"There is no such choice: {known}.", "code-invalid") from error
    if POLICIES[found].mandatory and wanted is not POLICIES[found].way:
        raise _refused(f"Everybody is told of {found} at once: it protects the record.", "business-rule")
    return found, wanted


def _refused(text: str, code: str) -> Unprocessable:
    return Unprocessable(issues=(Issue(code, text, expression=("Parameters.parameter.where(name='preference')",)),))
