"""The words of a document's contents, read when it is indexed: from the same commit, or from the store.

What was read is remembered for a while, because a change of a document's metadata indexes the same contents again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fhir_dmp.cda.xml import Element
from fhir_dmp.documents.texts import LONGEST, MOST_BYTES, contents_named, text_of, text_of_clinical, text_of_document
from fhir_dmp.errors import NotFound
from fhir_dmp.fhir.draft import Blob, Draft
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import BlobStore, Key
from fhir_dmp.search.texts import distinct_words

Drafts = Mapping[Key, Draft]


def by_key(drafts: Iterable[Draft]) -> Drafts:
    """Return the contents among the drafts of a commit."""
    return {Key(draft.type, draft.id): draft for draft in drafts if draft.type in ("Binary", "Bundle")}


def words_of(document: Json, drafts: Drafts, services: Services) -> str:
    """Return the words of the contents of a DocumentReference, "" when contents are not searched here.

    drafts: the contents that the same commit brings.
    """
    if services.read_pdf is None:
        return ""
    found = []
    for media_type, place in contents_named(document, services.base):
        key = Key(*place.split("/", 1))
        found.append(_of_binary(key, media_type, drafts, services) if key.type == "Binary" else "")
        if key.type == "Bundle":
            found.append(_of_bundle(key, drafts, services))
    return distinct_words(" ".join(filter(None, found)))


def remember(blob: Blob, media_type: str, document: Element, services: Services) -> None:
    """Read the words of a CDA that was parsed for another purpose, so that it need not be parsed again for them."""
    if services.read_pdf is not None and blob.size <= MOST_BYTES:
        text = text_of_clinical(document, services.read_pdf)[:LONGEST]
        services.words.keep((blob.sha256, media_type), distinct_words(text))


def _of_bundle(key: Key, drafts: Drafts, services: Services) -> str:
    if key in drafts:
        return text_of_document(drafts[key].resource)
    version = services.store.read(key)
    return "" if version is None or version.deleted else text_of_document(parse_stored(version.body))


def _of_binary(key: Key, media_type: str, drafts: Drafts, services: Services) -> str:
    blob = drafts[key].blob if key in drafts else None
    sha256 = blob.sha256 if blob else None
    if sha256 is None:
        version = services.store.read(key)
        sha256 = version.blob if version is not None else None
    if sha256 is None or services.read_pdf is None:
        return ""
    known = services.words.get((sha256, media_type))
    if known is None:
        content = _content(sha256, blob, services.store.blobs)
        known = "" if content is None else distinct_words(text_of(media_type, content, services.read_pdf))
        services.words.keep((sha256, media_type), known)
    return known


def _content(sha256: str, blob: Blob | None, blobs: BlobStore) -> bytes | None:
    """Return the bytes, None when there are too many or none."""
    if blob is not None and blob.data is not None:
        return blob.data if len(blob.data) <= MOST_BYTES else None
    size = blob.size if blob is not None else blobs.size(sha256)
    if size is None or size > MOST_BYTES:
        return None
    try:
        return b"".join(blobs.read(sha256))
    except NotFound:
        return None
