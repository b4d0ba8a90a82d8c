"""What people chose to be told of, kept beside the record; every worker sees a choice at once."""

from __future__ import annotations

import json

from fhir_dmp.interactions.services import Services
from fhir_dmp.notices.events import Event, Preferences, Way
from fhir_dmp.ports import StateRecord

_KIND = "notice-preferences"


def preferences_of(patient: str, services: Services) -> Preferences:
    """Return the choices of the holder of `Patient/id`."""
    found = services.store.state.get(_KIND, patient, services.clock.now_ms())
    if found is None:
        return {}
    return {Event(event): Way(way) for event, way in json.loads(found.body).items()}


def choose(patient: str, choices: Preferences, services: Services) -> Preferences:
    """Keep choices beside the earlier ones; return all of them.

    Raises:
        StateConflict: somebody else changed them at the same moment.
    """
    now = services.clock.now_ms()
    found = services.store.state.get(_KIND, patient, now)
    merged = {**(preferences_of(patient, services) if found is not None else {}), **choices}
    body = json.dumps({event.value: way.value for event, way in sorted(merged.items())})
    services.store.state.put(StateRecord(_KIND, patient, body), now, expected=found.version if found else 0)
    return merged
