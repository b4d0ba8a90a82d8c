"""The ports: what the use cases need from the outside, and the small types that cross. Import them from here."""

from fhir_dmp.ports.outside import Clock, IdentityProvider, Ids, Mailer, RequestInfo, SignInFailed, SignInSecrets
from fhir_dmp.ports.state import StateRecord, StateStore
from fhir_dmp.ports.store import BlobStore, Ledger, Outbox, ResourceStore
from fhir_dmp.ports.values import (
    MARK,
    AuditPage,
    AuditQuery,
    Claim,
    Commit,
    HistoryPage,
    HistoryQuery,
    Key,
    Notice,
    Page,
    Queued,
    Require,
    Version,
    Write,
)

__all__ = [
    "MARK",
    "AuditPage",
    "AuditQuery",
    "BlobStore",
    "Claim",
    "Clock",
    "Commit",
    "HistoryPage",
    "HistoryQuery",
    "IdentityProvider",
    "Ids",
    "Key",
    "Ledger",
    "Mailer",
    "Notice",
    "Outbox",
    "Page",
    "Queued",
    "RequestInfo",
    "Require",
    "ResourceStore",
    "SignInFailed",
    "SignInSecrets",
    "StateRecord",
    "StateStore",
    "Version",
    "Write",
]
