"""From an error to an OperationOutcome on the wire. The only place that does.

https://hl7.org/fhir/R4/operationoutcome.html. Anything that is no DmpError is a defect: the client learns a request id
and nothing else, the log learns where it happened and nothing of the data.
"""

from __future__ import annotations

import logging
from pathlib import PurePath
from traceback import extract_tb

from fhir_dmp.errors import DmpError, TooMany, Unavailable, VersionConflict
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.http.conditional import etag
from fhir_dmp.interactions.exchange import Answer

log = logging.getLogger("fhir_dmp.http")
RETRY_AFTER_S = 5


def outcome(error: DmpError) -> Json:
    """Return the OperationOutcome of an error."""
    issues = []
    for issue in error.issues:
        entry: Json = {"severity": issue.severity, "code": issue.code}
        details: Json = {}
        if issue.details:
            details["coding"] = [{"system": coding.system, "code": coding.code} for coding in issue.details]
        if issue.text:
            details["text"] = issue.text
        if details:
            entry["details"] = details
        if issue.diagnostics:
            entry["diagnostics"] = issue.diagnostics
        if issue.expression:
            entry["expression"] = list(issue.expression)
        issues.append(entry)
    return {"resourceType": "OperationOutcome", "issue": issues}


def refused(error: DmpError, language: str = "") -> Answer:
    """Return the answer to a request that ended in a known error."""
    headers = dict(error.headers)
    if isinstance(error, VersionConflict) and error.stale.current:
        headers.setdefault("ETag", etag(error.stale.current))
    if isinstance(error, TooMany | Unavailable):
        headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    return Answer(status=error.status, body=dump(outcome(error)), headers=tuple(headers.items()))


def crashed(error: BaseException, request_id: str) -> Answer:
    """Return the answer to a request that met a defect, and log where it is: types and places, never values."""
    log.error("request %s failed: %s", request_id, _where(error))
    defect = DmpError(f"The server met a defect. Quote the request id {request_id} to its operator.")
    return Answer(status=500, body=dump(outcome(defect)))


def _where(error: BaseException) -> str:
    """Describe an error without its message: messages may quote the data."""
    places = [f"{PurePath(f.filename).name}:{f.lineno} {f.name}" for f in extract_tb(error.__traceback__)[-12:]]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    inner = f" from {_where(cause)}" if cause is not None else ""
    return f"{type(error).__name__} at {' > '.join(places) or '?'}{inner}"
