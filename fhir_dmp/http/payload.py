"""From a request body to a Payload: FHIR JSON or XML, JSON Patch, a form, a document for an operation, a content.

https://hl7.org/fhir/R4/http.html. Big JSON bodies and contents are streamed to the store's staging, never held whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from fhir_dmp.errors import UnsupportedMedia
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.json_patch import read_json_patch
from fhir_dmp.fhir.resource import parse
from fhir_dmp.fhir.structure import Structures
from fhir_dmp.fhir.xml import from_xml
from fhir_dmp.fhir.xml_patch import read_xml_patch
from fhir_dmp.http.body import Body
from fhir_dmp.http.negotiation import FHIR_JSON, FHIR_XML, NAMES, Format, MediaType, check_fhir_type, media_type
from fhir_dmp.http.request import Pairs, Request, parse_query, refuse_token
from fhir_dmp.http.staging import divert
from fhir_dmp.interactions.exchange import Payload
from fhir_dmp.ports import BlobStore

FORM = "application/x-www-form-urlencoded"
#: The operation whose body is a CDA file, whatever stands around its ClinicalDocument.
_CDA_IN = ("$cda-to-fhir", "$generate-metadata")
_PLAIN_XML = ("application/xml", "text/xml")
JSON_PATCH = "application/json-patch+json"
XML_PATCH = "application/xml-patch+xml"
ACCEPT_PATCH = f"{JSON_PATCH}, {FHIR_JSON}, {FHIR_XML}, {XML_PATCH}"
#: JSON bodies up to this size are parsed in memory, larger ones while they arrive.
IN_MEMORY = 1 << 20
_ROOT = re.compile(rb"(?:\s+|<\?.*?\?>|<!--.*?-->)*<(?:[\w.\-]+:)?([\w.\-]+)[\s/>]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Intake:
    """What reading a body needs: where contents go, what elements exist, how large a body may be."""

    blobs: BlobStore
    structures: Structures
    max_body_bytes: int


def read_form(request: Request, body: Body) -> tuple[str, Pairs]:
    """Return the form of a POST _search, as sent and as pairs.

    Raises:
        UnsupportedMedia: a body that is no form.
    """
    given = media_type(request.environ.get("CONTENT_TYPE") or "")
    content = body.read() if body.present else b""
    if not content:
        return "", ()
    if given.name not in (FORM, ""):
        raise UnsupportedMedia(f"POST _search takes {FORM}.", headers={"Accept-Post": FORM})
    check_fhir_type(given)
    form = content.decode("latin-1").strip()
    pairs = parse_query(form)
    refuse_token(pairs)
    return form, pairs


def read_payload(request: Request, body: Body, intake: Intake, strict: bool) -> Payload | None:
    """Return what the client sent, None when it sent nothing.

    Raises:
        UnsupportedMedia: a type that this URL does not take.
        BadRequest, TooLarge, Unprocessable: the content is not what its type promises.
    """
    if not body.present:
        return None
    declared: str = request.environ.get("CONTENT_TYPE") or ""
    given = media_type(declared)
    if request.segments[:1] == ("Binary",) and not _is_operation(request) and request.method != "PATCH":
        return _content(given, declared, body, intake)
    if request.segments[-1:] and request.segments[-1] in _CDA_IN and given.name in _PLAIN_XML:
        return Payload(given.name, declared, raw=body.read())
    if not given.name:
        given, chunks = _guess(body, strict)
    else:
        _check_type(given, request)
        chunks = body.chunks()
    return _parsed(given, declared, chunks, request, intake)


def _is_operation(request: Request) -> bool:
    return bool(request.segments) and request.segments[-1].startswith("$")


def _check_type(given: MediaType, request: Request) -> None:
    if request.method == "PATCH":
        if given.name not in (JSON_PATCH, XML_PATCH, FHIR_JSON, FHIR_XML):
            raise UnsupportedMedia(f"PATCH takes {ACCEPT_PATCH}.", headers={"Accept-Patch": ACCEPT_PATCH})
    elif NAMES.get(given.name, Format.HTML) is Format.HTML:
        raise UnsupportedMedia(
            f"The body must be {FHIR_JSON} or {FHIR_XML}.", headers={"Accept-Post": f"{FHIR_JSON}, {FHIR_XML}"}
        )
    check_fhir_type(given)


def _guess(body: Body, strict: bool) -> tuple[MediaType, Iterator[bytes]]:
    """Tell the type from the first byte when the client forgot to."""
    chunks = body.chunks()
    first = next(chunks, b"")
    start = first.lstrip()[:1]
    if strict or start not in (b"{", b"<"):
        raise UnsupportedMedia("The request has a body and no Content-Type.")
    return media_type(FHIR_JSON if start == b"{" else FHIR_XML), chain((first,), chunks)


def _parsed(
    given: MediaType, declared: str, chunks: Iterator[bytes], request: Request, intake: Intake
) -> Payload | None:
    if given.name == JSON_PATCH:
        return Payload(given.name, declared, patch=read_json_patch(b"".join(chunks)))
    if given.name == XML_PATCH:
        return Payload(given.name, declared, patch=read_xml_patch(b"".join(chunks)))
    if NAMES[given.name] is Format.XML:
        return _xml(given, declared, b"".join(chunks), request, intake)
    return _json(given, declared, chunks, intake.blobs)


def _xml(given: MediaType, declared: str, content: bytes, request: Request, intake: Intake) -> Payload | None:
    if not content.strip():
        return None
    if _is_operation(request) and given.name != FHIR_XML and _root(content) == b"ClinicalDocument":
        return Payload(given.name, declared, raw=content)
    return Payload(given.name, declared, resource=from_xml(content, intake.structures))


def _root(content: bytes) -> bytes:
    """Return the local name of the root element, enough to tell a CDA from a resource; empty when there is none."""
    root = _ROOT.match(content.removeprefix(b"\xef\xbb\xbf")[:65_536])
    return root.group(1) if root else b""


def _json(given: MediaType, declared: str, chunks: Iterator[bytes], blobs: BlobStore) -> Payload | None:
    head, rest = _take(chunks, IN_MEMORY)
    if rest is None:
        return Payload(given.name, declared, resource=parse(head)) if head else None
    resource, staged = divert(chain((head,), rest), blobs)
    return Payload(given.name, declared, resource=resource, staged=staged)


def _take(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes] | None]:
    """Return the beginning, and the rest when there is more than `size`."""
    parts: list[bytes] = []
    total = 0
    for chunk in chunks:
        parts.append(chunk)
        total += len(chunk)
        if total > size:
            return b"".join(parts), chunks
    return b"".join(parts), None


def _content(given: MediaType, declared: str, body: Body, intake: Intake) -> Payload | None:
    """Take a content for Binary: as bytes, unless a FHIR type holds a Binary resource.

    Bytes of a FHIR type that is another resource are a content like any other.
    """
    if given.name not in (FHIR_JSON, FHIR_XML):
        return Payload(given.name or "application/octet-stream", declared, blob=intake.blobs.stage(body.chunks()))
    head, rest = _take(body.chunks(), IN_MEMORY)
    if rest is None and not head:
        return None
    if given.name == FHIR_JSON and rest is not None:
        return _large_content(given, declared, chain((head,), rest), intake.blobs)
    content = head + b"".join(rest or ())
    resource = from_xml(content, intake.structures) if given.name == FHIR_XML else parse(content)
    if resource.get("resourceType") == "Binary":
        check_fhir_type(given)
        return Payload(given.name, declared, resource=resource)
    return Payload(given.name, declared, blob=intake.blobs.stage(iter((content,))))


def _large_content(given: MediaType, declared: str, chunks: Iterator[bytes], blobs: BlobStore) -> Payload:
    """Stage first, then look inside: which resource it is may be told at the very end."""
    blob = blobs.stage(chunks)
    resource, staged = divert(_staged(blob, blobs), blobs)
    if resource.get("resourceType") == "Binary":
        check_fhir_type(given)
        return Payload(given.name, declared, resource=resource, staged=staged)
    return Payload(given.name, declared, blob=blob)


def _staged(blob: Blob, blobs: BlobStore) -> Iterator[bytes]:
    return iter((blob.data,)) if blob.data is not None else blobs.read(blob.sha256)
