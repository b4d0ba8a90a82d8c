"""Contents as they come in: whether they are what they say, and whether a scanner finds malware in them.

[security 8.3, TH44, TH45] Nothing is stored that was found bad. What could not be scanned is not stored either, or,
when the operator chose `documents.scanner_down = quarantine`, is stored and not delivered until it was scanned.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Iterator, Sequence

from fhir_dmp.cda.plain import files_in
from fhir_dmp.cda.xml import parse
from fhir_dmp.documents.media import HEAD_BYTES, contradiction, is_test_virus, is_xml
from fhir_dmp.errors import BadRequest, Forbidden, Unavailable, Unprocessable
from fhir_dmp.fhir.draft import Blob, Draft
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Scanner, StateRecord

log = logging.getLogger("fhir_dmp.security")

#: Kind of the records that name, by its SHA-256, a content that waits for its scan; body: its media type.
QUARANTINE = "quarantine"
_RETRY_S = "60"


def inspect(drafts: Sequence[Draft], services: Services) -> None:
    """Judge the contents of a plan before anything of it is stored.

    Raises:
        Unprocessable: a page or a program under another type, or malware.
        Unavailable: the scanner does not answer, and nothing may be stored that was not scanned.
    """
    for draft in drafts:
        if draft.type == "Binary" and draft.blob is not None:
            _judge_head(draft, draft.blob, services)
        if services.scanner is not None:
            _scan(draft, services.scanner, services)


def release(sha256: str, services: Services) -> None:
    """Let a stored content leave, scanning it first when it waits in quarantine.

    Raises:
        Unavailable: it waits for a scan that cannot be made now.
        Forbidden: malware was found in it.
    """
    if services.scanner is None or not sha256:
        return
    now = services.clock.now_ms()
    held = services.store.state.get(QUARANTINE, sha256, now)
    if held is None:
        return
    try:
        found = _found_in(services.store.blobs.read(sha256), held.body, services.scanner)
    except Unavailable as error:
        raise Unavailable(
            f"The content waits for its scan and cannot be delivered yet: {error}.", headers={"Retry-After": _RETRY_S}
        ) from error
    if found is not None:
        log.warning("malware (%s) in the quarantined content %s", found, sha256)
        raise Forbidden("The content holds malware and is not delivered.", code="business-rule")
    services.store.state.remove(QUARANTINE, sha256)


def waiting(services: Services) -> tuple[str, ...]:
    """Return the SHA-256 of the contents in quarantine."""
    found: list[str] = []
    while page := services.store.state.listed(QUARANTINE, services.clock.now_ms(), after=found[-1] if found else ""):
        found += (each.key for each in page)
    return tuple(found)


def _judge_head(draft: Draft, blob: Blob, services: Services) -> None:
    declared = draft.resource.get("contentType")
    if not isinstance(declared, str):
        return
    data = blob.data if blob.data is not None else next(services.store.blobs.read(blob.sha256, 0, HEAD_BYTES), b"")
    head = data[:HEAD_BYTES]
    if is_test_virus(head):
        raise _infected("Binary.data")
    found = contradiction(declared, head)
    if found is not None:
        raise Unprocessable(
            f"The content is {found}, not {declared[:80]}: state what it is.",
            code="value",
            expression="Binary.contentType",
        )


def _scan(draft: Draft, scanner: Scanner, services: Services) -> None:
    place, found = "Binary.data", None
    try:
        if draft.type == "Binary" and draft.blob is not None:
            found = _found_in(_chunks(draft.blob, services), str(draft.resource.get("contentType")), scanner)
        for where, data in _inside(draft.resource, draft.type):
            place = where
            found = found or scanner.scan(iter((data,)))
    except Unavailable as error:
        if draft.blob is None or services.settings.documents.scanner_down != "quarantine":
            raise Unavailable(
                f"The content cannot be scanned for malware now, and nothing was stored: {error}. Send it again later.",
                headers={"Retry-After": _RETRY_S},
            ) from error
        log.warning("a content was not scanned and waits in quarantine: %s", error)
        _hold(draft.blob.sha256, str(draft.resource.get("contentType")), services)
        return
    if found is not None:
        log.warning("a content was refused: malware (%s)", found)
        raise _infected(place)


def _hold(sha256: str, media_type: str, services: Services) -> None:
    """Note that the content may not leave; before the commit, so that it is never there without the note."""
    services.store.state.put(StateRecord(QUARANTINE, sha256, media_type), services.clock.now_ms())


def _infected(place: str) -> Unprocessable:
    return Unprocessable("The content is refused: malware.", code="business-rule", expression=place)


def _chunks(blob: Blob, services: Services) -> Iterator[bytes]:
    return iter((blob.data,)) if blob.data is not None else services.store.blobs.read(blob.sha256)


def _found_in(chunks: Iterator[bytes], media_type: str, scanner: Scanner) -> str | None:
    """Return what is found in a content, or in the files that a CDA document holds in base64."""
    if not is_xml(media_type):
        return scanner.scan(chunks)
    content = b"".join(chunks)
    found = scanner.scan(iter((content,)))
    if found is not None:
        return found
    try:
        files = list(files_in(parse(content)))
    except BadRequest:
        return None  # whatever it is, no part of it is a file that somebody could take out
    return next((name for file in files if (name := scanner.scan(iter((file,)))) is not None), None)


def _inside(value: object, place: str) -> Iterator[tuple[str, bytes]]:
    """Yield place and bytes of every content that a resource holds itself: attachments, Binary in a document."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "data" and isinstance(part, str):
                try:
                    yield f"{place}.data", base64.b64decode("".join(part.split()), validate=True)
                except (binascii.Error, ValueError):
                    continue  # samples of a waveform, or nothing that anybody could open
            elif isinstance(part, dict | list):
                yield from _inside(part, f"{place}.{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _inside(part, f"{place}[{index}]")
