"""What an import works with, and what became of each imported thing."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from fhir_dmp.errors import DmpError, Issue
from fhir_dmp.fhir.resource import Json, canonical
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services

#: Name space of the ids that are made of what they name.
_NAMESPACE = uuid.UUID("6b6f0f5e-3f0b-5a51-9c37-0d5f9b9f4c1d")


@dataclass(frozen=True, slots=True)
class Importer:
    """Who imports, into what: the call of an administrator, the services, and the server's one door."""

    call: Call
    services: Services
    handle: Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one imported thing. name: where it stands in the input. status: stored, unchanged or refused.

    warnings: (code, text) of what was stored and still deserves a look.
    """

    name: str
    status: str
    reference: str = ""
    reason: str = ""
    code: str = ""
    warnings: tuple[tuple[str, str], ...] = ()


def refused(name: str, error: DmpError) -> Outcome:
    """Return the outcome of a refusal: its first error, and the code that software acts upon."""
    errors = [issue for issue in error.issues if issue.severity in ("error", "fatal")] or list(error.issues)
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Outcome(name, "refused", reason=f"{error.status} {_told(errors[0])}{more}", code=errors[0].reason)


def _told(issue: Issue) -> str:
    return f"{issue.diagnostics} ({issue.expression[0]})" if issue.expression else issue.diagnostics


def is_repetition(error: DmpError) -> bool:
    """Say whether a publication was refused because the same content is there under its uniqueId."""
    return any(coding.code == "doublon-uniqueid" for issue in error.issues for coding in issue.details)


def made(name: str, error: DmpError) -> Outcome:
    """Return the outcome of the publication of one document that was refused."""
    if is_repetition(error):
        return Outcome(name, "unchanged", reason="already stored")
    return refused(name, error)


def derived_id(resource: Json, salt: str = "") -> str:
    """Return an id made of what a resource says, so that the same words always have the same id.

    >>> derived_id({"resourceType": "Basic"}) == derived_id({"resourceType": "Basic", "id": "x"})
    True
    """
    return str(uuid.uuid5(_NAMESPACE, f"{salt}{hashlib.sha256(canonical(resource)).hexdigest()}"))
