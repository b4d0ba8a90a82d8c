"""From an error to an OperationOutcome on the wire. The only place that does.

https://hl7.org/fhir/R4/operationoutcome.html. Anything that is no DmpError is a defect: the client learns a request id
and nothing else, the log learns where it happened and nothing of the data.
"""

from __future__ import annotations

import logging
from functools import lru_cache

from fhir_dmp.errors import DmpError, TooMany, Unavailable, VersionConflict, told
from fhir_dmp.fhir.outcome import LANGUAGES, operation_outcome
from fhir_dmp.fhir.resource import dump
from fhir_dmp.http.conditional import etag
from fhir_dmp.http.negotiation import media_type
from fhir_dmp.interactions.exchange import Answer

log = logging.getLogger("fhir_dmp.http")
RETRY_AFTER_S = 5


def refused(error: DmpError, accept_language: str = "") -> Answer:
    """Return the answer to a request that ended in a known error; people read French or English."""
    headers = dict(error.headers)
    if isinstance(error, VersionConflict) and error.stale.current:
        headers.setdefault("ETag", etag(error.stale.current))
    if isinstance(error, TooMany | Unavailable):
        headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    return Answer(
        status=error.status,
        body=dump(operation_outcome(error.issues, language_of(accept_language))),
        headers=tuple(headers.items()),
    )


def crashed(error: BaseException, request_id: str) -> Answer:
    """Return the answer to a request that met a defect, and log where it is: types and places, never values."""
    log.error("request %s failed: %s", request_id, told(error))
    defect = DmpError(f"The server met a defect. Quote the request id {request_id} to its operator.")
    return Answer(status=500, body=dump(operation_outcome(defect.issues)))


@lru_cache(maxsize=128)
def language_of(header: str) -> str:
    """Return the language that Accept-Language prefers among ours, English by default.

    >>> language_of("fr-FR,fr;q=0.9,en;q=0.8"), language_of("de"), language_of("en;q=0.2, fr;q=0.1")
    ('fr', 'en', 'en')
    """
    ranges = [media_type(part) for part in header.split(",")[:20]]
    for wish in sorted(ranges, key=lambda each: -each.quality):
        if wish.name[:2] in LANGUAGES and wish.quality > 0:
            return wish.name[:2]
    return "en"
