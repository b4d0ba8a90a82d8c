"""Resources that are sent to an operation and not stored: what works on them may rely on the structure of R4."""

from __future__ import annotations

import re

from fhir_dmp.errors import Issue, Unprocessable
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions.services import Services
from fhir_dmp.validation.validate import errors_in, validate

_OWN = re.compile(r"(Bundle\.entry\[0\]\.resource|DocumentReference)\.[A-Za-z]+")


def _is_own(issue: Issue) -> bool:
    return issue.code == "required" and all(_OWN.fullmatch(place) for place in issue.expression)


def well_formed(resource: Json, services: Services, *, complete: bool = True) -> Json:
    """Return a resource that has the structure of R4; whatever `validation.mode` says, for nothing else can be read.

    complete: mandatory elements are there; otherwise the operation itself names what it misses of the document's own
    elements, those of its Composition or DocumentReference.

    Raises:
        Unprocessable: every fault of the structure, with its place.
    """
    errors = errors_in(validate(resource, services.structures))
    if not complete:
        errors = tuple(issue for issue in errors if not _is_own(issue))
    if errors:
        raise Unprocessable(issues=errors)
    return resource
