"""What a client asked to see of a resource: _summary and _elements, on reads and searches."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_dmp.fhir.resource import dump, parse_stored
from fhir_dmp.fhir.subset import check_controls, project
from fhir_dmp.interactions.services import Services


def apply(body: bytes, query: Sequence[tuple[str, str]], services: Services) -> bytes:
    """Apply the _summary and _elements of a read; other parameters have no meaning on a read and are left alone."""
    summary = next((value for name, value in query if name == "_summary"), None)
    elements = tuple(
        part.strip() for name, value in query if name == "_elements" for part in value.split(",") if part.strip()
    )
    check_controls(summary, elements)
    if not elements and summary in (None, "false", "count"):
        return body
    return project_bytes(body, summary, elements, services)


def project_bytes(body: bytes, summary: str | None, elements: tuple[str, ...], services: Services) -> bytes:
    """Return the projected JSON, tagged SUBSETTED."""
    return dump(project(parse_stored(body), services.structures, summary=summary, elements=elements))
