"""So many emergency accesses a day: the tokens with which a professional broke the glass, counted on their first use.

The count lies in the store: it holds on every machine and outlives restarts. [security 8.1, TH15]
"""

from __future__ import annotations

import json
import logging

from fhir_dmp.access.refusal import codings_of
from fhir_dmp.errors import StateConflict, TooMany
from fhir_dmp.identity.caller import Caller, Mode
from fhir_dmp.interactions.services import Services
from fhir_dmp.notices.schedule import DAY_MS, day_of
from fhir_dmp.ports import StateRecord

_KIND = "break-glass"
_TRIES = 5
_LOG = logging.getLogger("fhir_dmp.security")


def count_emergency(caller: Caller, services: Services) -> None:
    """Count the token of a break-glass access on its first use.

    Raises:
        TooMany: break-glass-limit; the professional broke the glass too often today. Auditors find it in the trail.
    """
    allowed = services.settings.limits.break_glass_per_day
    if not allowed or caller.mode is not Mode.BREAK_GLASS:
        return
    now = services.clock.now_ms()
    who = caller.professional or caller.subject
    key, token = f"{who}|{day_of(now, services.zone)}", caller.jti or caller.subject
    for _ in range(_TRIES):
        found = services.store.state.get(_KIND, key, now)
        used: list[str] = json.loads(found.body) if found is not None else []
        if token in used:
            return
        if len(used) >= allowed:
            _LOG.warning("a professional asked for more than %d emergency accesses in a day", allowed)
            raise TooMany(
                f"More than {allowed} emergency accesses in a day. The patient's authorisation opens the record.",
                details=codings_of("btg-limit", services.canonical),
                headers={"Retry-After": "3600"},
            )
        record = StateRecord(_KIND, key, json.dumps([*used, token]), now + 2 * DAY_MS)
        try:
            services.store.state.put(record, now, expected=found.version if found is not None else 0)
            return
        except StateConflict:
            continue
    raise TooMany("Others use the same emergency access at the same moment; try again.", headers={"Retry-After": "1"})
