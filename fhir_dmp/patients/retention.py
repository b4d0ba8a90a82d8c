"""How long a closed dossier is kept: a number of years after closing, then its content is destroyed. [dmp-fhir 3.8]

The years are counted from the day of the closing, or from the day on which the closing was recorded when that is
later: a closing that somebody dates long ago must not destroy a record the next night.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from fhir_dmp.fhir.elements import extensions_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients import consents as consent_room
from fhir_dmp.terminology.national import CLOSING


def closed_on(patient: Json) -> date | None:
    """Return the day on which a dossier was closed; None when it is open, or nobody said the day."""
    if patient.get("active") is not False:
        return None
    for extension in extensions_of(patient, CLOSING):
        for part in extensions_of(extension, "dateFermeture"):
            return _day(part.get("valueDate"))
    return None


def kept_since(patient: Json, consents: Iterable[Json], base: str) -> date | None:
    """Return the day from which the years of a closed dossier are counted; None when it is open or has no date."""
    closed = closed_on(patient)
    if closed is None:
        return None
    acts = consent_room.in_force(consents, consent_room.OPENING, base)
    recorded = [
        _day(act.get("dateTime")) for act in acts if any(extensions_of(act, consent_room.closing_extension(base)))
    ]
    return max([closed, *(each for each in recorded if each is not None)])


def due_on(since: date, years: int) -> date:
    """Return the first day on which the content of a dossier is destroyed.

    >>> due_on(date(2016, 3, 2), 10), due_on(date(2016, 2, 29), 10)
    (datetime.date(2026, 3, 2), datetime.date(2026, 3, 1))
    """
    try:
        return since.replace(year=since.year + years)
    except ValueError:  # the 29th of February
        return date(since.year + years, 3, 1)


def _day(text: object) -> date | None:
    try:
        return date.fromisoformat(str(text)[:10])
    except ValueError:
        return None
