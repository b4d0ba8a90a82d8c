"""read and vread: `GET [type]/[id]` and `GET [type]/[id]/_history/[vid]`, contents of Binary included."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from fhir_dmp.access.refusal import absent
from fhir_dmp.audit.story import preferred
from fhir_dmp.cda.page import POLICY, page
from fhir_dmp.errors import BadRequest, Gone, NotAcceptable, NotFound
from fhir_dmp.fhir.base64_stream import binary_json
from fhir_dmp.fhir.links import on_the_wire
from fhir_dmp.fhir.resource import is_id, parse_stored
from fhir_dmp.interactions import authorise, inspection, masks, projection, record
from fhir_dmp.interactions.exchange import Answer, Call, Content
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version

#: Media types that name the same thing in negotiation (dmp-fhir 3.6).
_XML = ("application/xml", "text/xml")


def read(call: Call, services: Services) -> Answer:
    """Return the current version of a resource, or the content of a Binary.

    Raises:
        NotFound: it never existed, or the caller must not know that it does.
        Gone: it was deleted.
    """
    version = current(call, services)
    return _answer(call, version, "read", authorise.to_read(call, version, services), services)


def vread(call: Call, services: Services) -> Answer:
    """Return one version of a resource, current or not. Today's labels decide on yesterday's versions."""
    newest = current(call, services)
    allowed = authorise.to_read(call, newest, services)
    number = call.path[3]
    found = services.store.read_version(newest.key, int(number)) if number.isdigit() and len(number) < 10 else None
    if found is None:
        raise NotFound(f"{newest.type} with this id has no such version.")
    if not authorise.may_read(call.caller, found, services):
        raise NotFound(f"{newest.type} with this id has no such version.")
    if found.patient != newest.patient:
        authorise.to_read(call, found, services)  # it once belonged to another record
    return _answer(call, found, "vread", allowed, services)


def current(call: Call, services: Services) -> Version:
    """Return the current version of the resource that the path names.

    Raises:
        NotFound: the id never existed, or the token does not cover the type.
    """
    key = key_of(call.path)
    authorise.need_read(call.caller, key, services)
    version = services.store.read(key)
    if version is None:
        raise absent(key.type)
    return version


def key_of(path: tuple[str, ...]) -> Key:
    """Return the key that a path names.

    Raises:
        BadRequest: the id is not a FHIR id.
    """
    if not is_id(path[1]):
        raise BadRequest("A logical id has 1 to 64 letters, digits, '-' and '.'.", code="value")
    return Key(path[0], path[1])


def _answer(call: Call, version: Version, kind: str, allowed: authorise.Allowed, services: Services) -> Answer:
    if version.deleted:
        raise Gone(f"This {version.type} was deleted.", headers={"ETag": f'W/"{version.version}"'})
    kind = "iti-68" if allowed.content_of and version.type in ("Binary", "Bundle") and kind == "read" else kind
    what = [authorise.reference(version), *allowed.content_of]
    entry = record.record(call, kind, services, patient=allowed.patient, what=what, details=allowed.details)
    answer = _content(call, version, services) if version.type == "Binary" else _resource(call, version, services)
    record.keep(services, entry)
    return replace(answer, headers=(*answer.headers, *allowed.headers)) if allowed.warnings else answer


def _resource(call: Call, version: Version, services: Services) -> Answer:
    body = masks.body_of(call.caller, version, services)
    if call.query:
        body = projection.apply(body, call.query, services)
    shown = on_the_wire(version.type, body, call.info.base)
    return Answer(body=shown, version=version.version, updated_ms=version.updated_ms)


def _content(call: Call, version: Version, services: Services) -> Answer:
    head = parse_stored(version.body)
    media_type = head.get("contentType", "application/octet-stream")
    sha256 = version.blob or ""
    inspection.release(sha256, services)
    size = services.store.blobs.size(sha256) or 0
    if call.accept_page and size and _bare(media_type) in _XML:
        shown = _page(call, version, size, services)
        if shown is not None:
            return shown
    if call.accept_raw:
        if call.accepts and not _acceptable(media_type, call.accepts):
            raise NotAcceptable("The document has another media type than those accepted; ask for */* to get it.")
        read_range = partial(services.store.blobs.read, sha256)
        chunks = read_range() if size else iter(())
        content = Content(chunks, media_type, size, filename=version.id, open=read_range)
        return Answer(content=content, version=version.version, updated_ms=version.updated_ms)
    if not size:
        return Answer(body=version.body, version=version.version, updated_ms=version.updated_ms)
    stream = binary_json(version.body[:-1] + b',"data":"', services.store.blobs.read(sha256), b'"}')
    return Answer(stream=stream, version=version.version, updated_ms=version.updated_ms)


def _page(call: Call, version: Version, size: int, services: Services) -> Answer | None:
    """Return the page of a CDA; None when the content is none, or longer than a CDA may be."""
    limit = services.settings.server.max_body_bytes
    if size > limit:
        return None
    language = preferred(call.info.headers.get("accept-language", ""))
    try:
        made = page(b"".join(services.store.blobs.read(version.blob or "")), language, limit)
    except BadRequest:
        return None
    content = Content(iter((made,)), "text/html;charset=utf-8", len(made), policy=POLICY)
    headers = (("Content-Language", language), ("Vary", "Accept, Accept-Encoding, Accept-Language, Authorization"))
    return Answer(content=content, version=version.version, updated_ms=version.updated_ms, headers=headers)


def _bare(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _acceptable(media_type: str, accepts: tuple[str, ...]) -> bool:
    bare = _bare(media_type)
    alike = _XML if bare in _XML else (bare,)
    family = bare.partition("/")[0] + "/*"
    return any(accept in alike or accept in ("*/*", family) for accept in accepts)
