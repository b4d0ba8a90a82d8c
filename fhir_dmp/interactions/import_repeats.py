"""Is a submission that the server refuses as a repetition really there already, every document with its content?"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping

from fhir_dmp.documents.contents import duplicate
from fhir_dmp.documents.metadata import attachment_of, unique_id, unique_key
from fhir_dmp.documents.survey import Gathered
from fhir_dmp.errors import Conflict, DmpError
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.interactions.import_outcome import Importer, Outcome, is_repetition, refused
from fhir_dmp.interactions.services import Services


def repeated(importer: Importer, name: str, bundle: Json, error: DmpError, staged: Mapping[str, Blob]) -> Outcome:
    """Return the outcome of a submission that was refused: unchanged when all its documents are stored as they are.

    The server's refusal names the first repetition, often the submission set; a document may still differ or be new.
    staged: contents behind markers in `data`.
    """
    if not is_repetition(error):
        return refused(name, error)
    contents = {entry.get("fullUrl"): entry["resource"] for entry in bundle["entry"] if "resource" in entry}
    for index, entry in enumerate(bundle["entry"]):
        document = entry.get("resource", {})
        if document.get("resourceType") == "DocumentReference":
            content = contents.get(attachment_of(document).get("url"), {})
            hash_ = _hash(content.get("data"), staged)
            fault = _fault(importer.services, document, hash_, f"Bundle.entry[{index}].resource")
            if fault is None or not is_repetition(fault):
                return refused(name, fault or error)
    return Outcome(name, "unchanged", reason="already stored")


def _fault(services: Services, document: Json, hash_: str | None, place: str) -> Conflict | None:
    """Return what stands against storing a document, None when its uniqueId is free."""
    pair = unique_id(document)
    key = services.store.holder(unique_key("DocumentReference", pair)) if pair else None
    version = services.store.read(key) if key else None
    if pair is None or version is None:
        return None
    held = Held(version.type, version.id, version.version, parse_stored(version.body))
    gathered = Gathered(holders={unique_key("DocumentReference", pair): held})
    return duplicate(document, hash_, gathered, services.documents, place)


def _hash(data: object, staged: Mapping[str, Blob]) -> str | None:
    """Return the attachment hash of a content, in base64 or staged."""
    if isinstance(data, str) and data in staged:
        return base64.b64encode(staged[data].sha1).decode()
    try:
        content = base64.b64decode("".join(str(data).split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode() if data else None
