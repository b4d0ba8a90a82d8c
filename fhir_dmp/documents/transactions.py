"""The register of document transactions: what the guides and the audit trail call each.

[dmp-fhir 3.0 to 3.7]
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Transaction:
    """name: as in the guides. kind: row of audit/events.toml. event: IHE event code of the audit subtype."""

    name: str
    kind: str
    event: str
    title: str


PROVIDE = Transaction("TD2", "iti-65", "ITI-65", "Provide document bundle")
PUBLISH = Transaction("TD2", "iti-105", "ITI-105", "Simplified publish")
FIND_LISTS = Transaction("TD3.1a", "iti-66", "ITI-66", "Find document lists")
FIND_DOCUMENTS = Transaction("TD3.1a", "iti-67", "ITI-67", "Find document references")
RETRIEVE = Transaction("TD3.2", "iti-68", "ITI-68", "Retrieve document")
TRANSACTIONS = (PROVIDE, PUBLISH, FIND_LISTS, FIND_DOCUMENTS, RETRIEVE)
