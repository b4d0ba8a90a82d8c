"""What a decision about documents returns: who submitted, what to write, what to answer."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_dmp.errors import Issue
from fhir_dmp.fhir.draft import Draft
from fhir_dmp.fhir.held import Held
from fhir_dmp.identity.caller import Caller
from fhir_dmp.patients.dossier import NewId


@dataclass(frozen=True, slots=True)
class Submitter:
    """Who submits, when, and where new logical ids come from."""

    caller: Caller
    now_ms: int
    new_id: NewId


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one entry of the request: status 201 or 200, and the resource.

    draft: position among the plan's drafts; None when a stored resource answers (version: its current one, None when
    it was not read).
    """

    entry: int
    status: int
    type: str
    id: str
    draft: int | None = None
    version: int | None = None
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to commit and what to answer.

    replies: one for each entry of the request, in its order. issues: warnings about the submission as a whole.
    patient: `Patient/id`. relied: what the decision rests upon without changing it (the dossier is open).
    """

    drafts: tuple[Draft, ...]
    replies: tuple[Reply, ...]
    issues: tuple[Issue, ...]
    patient: str
    relied: tuple[Held, ...]
