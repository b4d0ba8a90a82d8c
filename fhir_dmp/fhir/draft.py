"""What an interaction intends to write, before ids, versions and index terms make it a stored version."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_dmp.fhir.resource import Json


@dataclass(frozen=True, slots=True)
class Blob:
    """A content: sha-256 (hex, its address), sha-1 (20 bytes, for attachment.hash) and size in bytes.

    data: the bytes, only for a content staged in memory and not yet stored.
    """

    sha256: str
    sha1: bytes
    size: int
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """One new version in the making.

    resource: the content; id, versionId and lastUpdated are set later. current: the version it builds upon (0: none).
    method: POST, PUT or PATCH. blob: content of a Binary. entry: index of the bundle entry that asked for it, None
    for what the server adds by itself (the submission set of ITI-105, a superseded target).
    """

    type: str
    id: str
    resource: Json
    current: int = 0
    method: str = "POST"
    blob: Blob | None = None
    entry: int | None = None
