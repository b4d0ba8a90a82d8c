"""What document metadata say: business identifiers, the content that they describe, archive flag, profiles.

[dmp-fhir 4.1, 7.1, 7.3]
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.elements import codings_of, has_code, object_of, objects_of, text_of, texts_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.ins import every_ins
from fhir_dmp.terminology.aliases import MHD_LIST_TYPES, canonical_identifier, canonical_system
from fhir_dmp.terminology.national import RFC_3986
from fhir_dmp.terminology.sharing import MHD_IDENTIFIER_TYPE, SHARING_PROFILES

#: (system, value) in the canonical spelling.
Identifier = tuple[str, str]

#: The media type of a CDA, whichever of its two names was given.
CDA_TYPE = "application/xml"
_CDA_TYPES = {"text/xml": CDA_TYPE}


def identifier_of(element: object) -> Identifier | None:
    """Return the canonical (system, value) of an Identifier, None when it lacks one of them."""
    identifier = object_of(element)
    system, value = text_of(identifier.get("system")), text_of(identifier.get("value"))
    return None if system is None or value is None else canonical_identifier(system, value.strip())


def unique_id(docref: Json) -> Identifier | None:
    """Return the uniqueId of a document: its masterIdentifier."""
    return identifier_of(docref.get("masterIdentifier"))


def unique_key(type_: str, identifier: Identifier) -> str:
    """Return the unique business key (Terms.uniques) of an identifier of a type; systems and values canonical."""
    return f"{type_}|{identifier[0]}|{identifier[1]}"


def list_unique_ids(list_: Json) -> Iterator[Identifier]:
    """Yield the uniqueIds of a submission set or folder: typed uniqueId, or an untyped OID."""
    for identifier in objects_of(list_.get("identifier")):
        pair = identifier_of(identifier)
        if pair is None or is_entry_uuid(identifier):
            continue
        typed = has_code(identifier.get("type"), MHD_IDENTIFIER_TYPE, "uniqueId")
        if typed or (pair[0] == RFC_3986 and pair[1].startswith("urn:oid:")):
            yield pair


def uniques(resource: Json) -> tuple[str, ...]:
    """Return the business keys that at most one current resource of the server may hold.

    The uniqueId of a document, the uniqueIds of a submission set or folder, the INS in force of a Patient.
    """
    type_ = str(resource.get("resourceType"))
    found: list[Identifier] = []
    if type_ == "DocumentReference":
        found = [pair for pair in (unique_id(resource),) if pair is not None]
    elif type_ == "List" and list_kind(resource) is not None:
        found = list(list_unique_ids(resource))
    elif type_ == "Patient":
        found = list(every_ins(resource))
    return tuple(dict.fromkeys(unique_key(type_, pair) for pair in found))


def is_entry_uuid(identifier: Json) -> bool:
    """Say whether an Identifier is typed as the registry's entryUUID."""
    return has_code(identifier.get("type"), MHD_IDENTIFIER_TYPE, "entryUUID")


def with_entry_uuid(resource: Json, id_: str) -> Json:
    """Return the resource with the entryUUID that the server assigns; one sent by the client is replaced."""
    kept = [part for part in objects_of(resource.get("identifier")) if not is_entry_uuid(part)]
    entry_uuid = {
        "use": "official",
        "type": {"coding": [{"system": MHD_IDENTIFIER_TYPE, "code": "entryUUID"}]},
        "system": RFC_3986,
        "value": f"urn:uuid:{id_}",
    }
    return {**resource, "identifier": [*kept, entry_uuid]}


def list_kind(list_: Json) -> str | None:
    """Return `submissionset`, `folder`, or None for another List."""
    for system, code in codings_of(list_.get("code")):
        if canonical_system(system or "") == MHD_LIST_TYPES and code in ("submissionset", "folder"):
            return code
    return None


def attachment_of(docref: Json) -> Json:
    """Return content[0].attachment, empty when there is none."""
    content = objects_of(docref.get("content"))
    return object_of(content[0].get("attachment")) if content else {}


def media_type(text: str | None) -> str | None:
    """Return a media type without parameters, in lower case; a CDA's two names (text/xml, application/xml) are one.

    >>> media_type("Text/XML; charset=utf-8")
    'application/xml'
    """
    if text is None:
        return None
    bare = text.split(";")[0].strip().lower()
    return _CDA_TYPES.get(bare, bare)


def hash_of(blob: Blob) -> str:
    """Return attachment.hash of a content: base64 of its SHA-1."""
    return base64.b64encode(blob.sha1).decode("ascii")


def same_hash(left: str | None, right: str | None) -> bool:
    """Say whether two attachment hashes are the same bytes; anything that is not base64 differs."""
    return left is not None and right is not None and _digest(left) is not None and _digest(left) == _digest(right)


def _digest(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def hash_fault(attachment: Json, blob: Blob) -> str | None:
    """Return which element (`hash`, `size`) does not describe the content, None when all that is stated is right."""
    stated = attachment.get("hash")
    if stated is not None and not (isinstance(stated, str) and _digest(stated) == blob.sha1):
        return "hash"
    size = attachment.get("size")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size != blob.size):
        return "size"
    return None


def claims_pdsm(resource: Json) -> bool:
    """Say whether a resource claims a profile of PDSm or of IHE MHD."""
    return any(
        profile.startswith(SHARING_PROFILES) for profile in texts_of(object_of(resource.get("meta")).get("profile"))
    )
