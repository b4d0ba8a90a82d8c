"""What to call a request in logs and metrics: bounded words, never an identifier of a person.

A logical id can be chosen by a client and may be an INS: only ids that this server makes (UUID) are shown.
"""

from __future__ import annotations

import re

from fhir_dmp.fhir.types import RESOURCE_TYPES

_METHODS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "search-type"}
_INSTANCE = {"GET": "read", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "POST": "other"}
_OPERATION = re.compile(r"\$[a-z][a-z0-9\-]{0,40}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_WORDS = RESOURCE_TYPES | {"metadata", "_history", "_search", ".well-known", "brands"}
_HIDDEN = "[id]"


def interaction(method: str, segments: tuple[str, ...]) -> str:
    """Return the kind of interaction, out of a dozen.

    >>> interaction("GET", ("Patient", "x")), interaction("POST", ()), interaction("GET", ("Patient", "x", "_history"))
    ('read', 'transaction', 'history')
    """
    if not segments:
        return "transaction" if method == "POST" else "search-system"
    last = segments[-1]
    if last[:1] == "$":
        return "operation"
    if last == "_search":
        return "search-type"
    if last == "_history":
        return "history"
    if len(segments) == 1:
        return "capabilities" if last == "metadata" else _METHODS.get(method, "other")
    if len(segments) == 2:
        return _INSTANCE.get(method, "other")
    return "vread" if segments[-2] == "_history" else "search-type"


def shown(segments: tuple[str, ...]) -> str:
    """Return the path for the access log.

    >>> shown(("Patient", "285047511200314", "_history", "1"))
    'Patient/[id]/_history/1'
    >>> shown(("Patient", "0191a1b2-0000-7000-8000-000000000001"))
    'Patient/0191a1b2-0000-7000-8000-000000000001'
    """
    return "/".join(map(_shown, segments))


def _shown(segment: str) -> str:
    if segment in _WORDS:
        return segment
    if len(segment) == 36:
        return segment if _UUID.fullmatch(segment) else _HIDDEN
    if len(segment) < 6 and segment.isdigit() and segment.isascii():
        return segment
    return segment if _OPERATION.fullmatch(segment) else _HIDDEN
