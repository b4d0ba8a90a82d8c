"""A stored resource as a decision sees it: what was read, and which version it was."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_dmp.fhir.resource import Json


@dataclass(frozen=True, slots=True)
class Held:
    """The current version of a stored resource, gathered for a pure decision."""

    type: str
    id: str
    version: int
    resource: Json

    @property
    def reference(self) -> str:
        """The literal reference `Type/id`."""
        return f"{self.type}/{self.id}"
