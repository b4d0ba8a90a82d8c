"""Resources that are sent to an operation and not stored: what works on them may rely on the structure of R4."""

from __future__ import annotations

from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions.services import Services
from fhir_dmp.validation.validate import errors_in, validate


def well_formed(resource: Json, services: Services, *, complete: bool = True) -> Json:
    """Return a resource that has the structure of R4; whatever `validation.mode` says, for nothing else can be read.

    complete: mandatory elements are there; otherwise the operation itself names all that it misses.

    Raises:
        Unprocessable: every fault of the structure, with its place.
    """
    errors = errors_in(validate(resource, services.structures))
    if not complete:
        errors = tuple(issue for issue in errors if issue.code != "required")
    if errors:
        raise Unprocessable(issues=errors)
    return resource
