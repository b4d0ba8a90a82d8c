from __future__ import annotations

from collections.abc import Iterator, Mapping

from fhir_dmp.errors import UnsupportedMedia
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.resource import Json, parse
from fhir_dmp.ports import BlobStore


def from_xml(content: bytes) -> Json:
    raise UnsupportedMedia("no xml")


def to_xml(body: bytes) -> bytes:
    raise UnsupportedMedia("no xml")


def divert(chunks: Iterator[bytes], blobs: BlobStore) -> tuple[Json, Mapping[str, Blob]]:
    return parse(b"".join(chunks)), {}
