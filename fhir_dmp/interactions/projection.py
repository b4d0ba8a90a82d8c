"""What a client asked to see of a resource: _summary and _elements, on reads and searches."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import dump, parse_stored
from fhir_dmp.fhir.subset import project
from fhir_dmp.interactions.services import Services

SUMMARIES = ("true", "false", "text", "data", "count")


def apply(body: bytes, query: Sequence[tuple[str, str]], services: Services) -> bytes:
    """Apply the _summary and _elements of a read; other parameters have no meaning on a read and are left alone."""
    summary = next((value for name, value in query if name == "_summary"), None)
    elements = tuple(
        part.strip() for name, value in query if name == "_elements" for part in value.split(",") if part.strip()
    )
    if summary is not None and summary not in SUMMARIES:
        raise BadRequest(f"_summary is one of {', '.join(SUMMARIES)}.", code="value", expression="_summary")
    if summary and elements:
        raise BadRequest("_summary and _elements exclude each other.", code="invalid", expression="_elements")
    if not elements and summary in (None, "false", "count"):
        return body
    return project_bytes(body, summary, elements, services)


def project_bytes(body: bytes, summary: str | None, elements: tuple[str, ...], services: Services) -> bytes:
    """Return the projected JSON, tagged SUBSETTED."""
    return dump(project(parse_stored(body), services.structures, summary=summary, elements=elements))
