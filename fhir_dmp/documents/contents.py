"""What a document's metadata say of its content, against the content itself. [dmp-fhir 3.2.3 rows 7 to 10]"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_dmp.documents.metadata import attachment_of, hash_fault, hash_of, media_type, same_hash, uniques
from fhir_dmp.documents.rules import Rules
from fhir_dmp.documents.slices import Entry
from fhir_dmp.documents.survey import Gathered
from fhir_dmp.errors import Conflict, Issue
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.elements import text_of
from fhir_dmp.fhir.resource import Json

FHIR_MEDIA_TYPES = ("application/fhir+json", "application/fhir+xml", "application/json", "application/xml")


@dataclass(frozen=True, slots=True)
class Content:
    """The content of one document: a Binary (with its bytes) or a FHIR document, and the entry that brings it."""

    entry: Entry
    blob: Blob | None

    @property
    def is_fhir_document(self) -> bool:
        """Say whether the content is a Bundle of type document."""
        return self.entry.resource.get("resourceType") == "Bundle"


def duplicate(
    resource: Json, content_hash: str | None, gathered: Gathered, rules: Rules, place: str
) -> Conflict | None:
    """Return the refusal of a resource whose uniqueId is in use already, None when it is free. [row 7]

    The answer never says who holds it: the holder may be hidden from the caller.
    """
    for key in uniques(resource):
        holder = gathered.holders.get(key)
        if holder is None:
            continue
        stated = content_hash or text_of(attachment_of(resource).get("hash"))
        known = text_of(attachment_of(holder.resource).get("hash"))
        if resource.get("resourceType") == "DocumentReference" and stated and known and not same_hash(stated, known):
            return Conflict(
                "This uniqueId is in use for another content.",
                expression=f"{place}.masterIdentifier",
                details=rules.erreur("hash-different", "XDSNonIdenticalHash"),
            )
        return repeated(resource, rules, place)
    return None


def repeated(resource: Json, rules: Rules, place: str) -> Conflict:
    """Return the refusal of a uniqueId that is in use for the same content, or twice in one submission."""
    element = "masterIdentifier" if resource.get("resourceType") == "DocumentReference" else "identifier"
    return Conflict(
        "This uniqueId is in use already.",
        code="duplicate",
        expression=f"{place}.{element}",
        details=rules.erreur("doublon-uniqueid", "XDSDuplicateUniqueIdInRegistry"),
    )


def described(docref: Json, content: Content, rules: Rules, place: str) -> list[Issue]:
    """Return the faults of hash, size and media type. [rows 9, 10]"""
    attachment = attachment_of(docref)
    where = f"{place}.content[0].attachment"
    stated = media_type(text_of(attachment.get("contentType")))
    if content.is_fhir_document:
        if stated in FHIR_MEDIA_TYPES:
            return []
        return [_media_issue(where, "contentType of a FHIR document must be application/fhir+json or +xml.")]
    found = fingerprint_issues(attachment, content.blob, rules, where)
    if stated != media_type(text_of(content.entry.resource.get("contentType"))):
        found.append(_media_issue(where, "contentType differs from the Binary's."))
    return found


def _media_issue(where: str, text: str) -> Issue:
    return Issue("invariant", text, expression=(f"{where}.contentType",))


def fingerprint_issues(attachment: Json, blob: Blob | None, rules: Rules, where: str) -> list[Issue]:
    """Return the fault of a hash or size that does not describe the bytes; a warning when the setting says so."""
    fault = hash_fault(attachment, blob) if blob is not None else None
    if fault is None:
        return []
    hint = "; it is the base64 of the SHA-1 of the decoded bytes" if fault == "hash" else ""
    return [
        Issue(
            "invalid",
            f"{fault} does not describe the content{hint}.",
            severity="warning" if rules.verify_hash == "warn" else "error",
            expression=(f"{where}.{fault}",),
            details=rules.erreur("empreinte-incorrecte", "XDSRepositoryMetadataError"),
        )
    ]


def completed_attachment(attachment: Json, blob: Blob | None) -> Json:
    """Return an attachment whose missing size and hash are computed; `data` is left out."""
    bare = {key: part for key, part in attachment.items() if key not in ("data", "_data")}
    if blob is not None:
        bare.setdefault("size", blob.size)
        bare.setdefault("hash", hash_of(blob))
    return bare
