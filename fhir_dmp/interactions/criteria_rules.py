"""The rules under which search parameters are read, from the settings and the clock."""

from __future__ import annotations

from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.terminology import Terminology
from fhir_dmp.search.rules import ParseRules


def rules_of(services: Services, *, strict: bool, base: str | None = None) -> ParseRules:
    """Return the rules under which search parameters are read. base: URL under which the client knows the server."""
    documents, server = services.settings.documents, services.settings.server
    pages = (documents.default_count, documents.max_count)
    terminology = Terminology(services)
    return ParseRules(
        base=base or services.base,
        zone=services.zone,
        now_ms=services.clock.now_ms(),
        strict=strict,
        default_count=server.default_count,
        max_count=server.max_count,
        counts={"DocumentReference": pages, "List": pages},
        members=terminology.members,
        hierarchy=terminology.relatives,
    )
