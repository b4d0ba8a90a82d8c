"""The rows of the memory store: what one is, and whether it matches."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_dmp.ports import Version
from fhir_dmp.search.match import matches
from fhir_dmp.search.query import Node
from fhir_dmp.search.terms import Terms


@dataclass(frozen=True, slots=True)
class Row:
    """A current version, its terms, and what it is indexed by."""

    version: Version
    terms: Terms


def satisfies(row: Row, node: Node) -> bool:
    """Say whether a row matches a condition whose joins are resolved."""
    return matches(node, row.terms, id_=row.version.id, updated_ms=row.version.updated_ms)
