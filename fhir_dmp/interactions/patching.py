"""Applies a patch of any accepted format to a resource, before any rule of the record looks at the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fhir_dmp.documents.patch_dialect import WARNING, is_filtered, meant_labels, normalise_pointers
from fhir_dmp.errors import BadRequest, Unprocessable
from fhir_dmp.fhir.fhirpath_patch import apply_fhirpath_patch, read_fhirpath_patch
from fhir_dmp.fhir.json_patch import apply_json_patch, read_json_patch
from fhir_dmp.fhir.patch import refuse_untouchable
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.xml_patch import XmlPatch, apply_xml_patch, read_xml_patch
from fhir_dmp.interactions.contents import stage
from fhir_dmp.interactions.exchange import Payload
from fhir_dmp.interactions.services import Services

#: What a Binary in a PATCH may hold, and how it is read.
_WRAPPED: dict[str, Callable[[bytes], object]] = {
    "application/json-patch+json": read_json_patch,
    "application/xml-patch+xml": read_xml_patch,
}
_SHARED = ("DocumentReference", "List")


def apply(before: Json, payload: Payload, services: Services, *, precise: bool = False) -> Json:
    """Return the patched copy; nothing is written. precise: the client named the version that it knows.

    Raises:
        Unprocessable: a path that does not exist, a failed test, or a change of id, type or version.
        BadRequest: no patch at all.
    """
    if isinstance(payload.patch, list):
        operations = payload.patch
        if before.get("resourceType") in _SHARED:
            operations = normalise_pointers(operations, before)
        if before.get("resourceType") == "DocumentReference":
            operations = meant_labels(operations, before, services.documents, precise=precise)
        after = apply_json_patch(before, operations)
    elif isinstance(payload.patch, XmlPatch):
        after = apply_xml_patch(before, payload.patch, services.structures)
    elif payload.resource is not None:
        after = apply_fhirpath_patch(before, read_fhirpath_patch(payload.resource), services.structures)
    else:
        raise BadRequest("A patch needs a body: JSON Patch, XML Patch or a Parameters resource.", code="required")
    refuse_untouchable(before, after)
    return after


def warnings(type_: str, payload: Payload) -> tuple[tuple[str, str], ...]:
    """Return the headers that go with a patch whose pointers are tolerated, though they are none."""
    if type_ in _SHARED and isinstance(payload.patch, list) and is_filtered(payload.patch):
        return (("Warning", WARNING),)
    return ()


def unwrapped(payload: Payload, services: Services) -> Payload:
    """Return the payload of a PATCH; a Binary that wraps a JSON or XML Patch (the form bundles use) is taken out.

    Raises:
        BadRequest: the wrapped content is neither JSON nor XML.
    """
    resource = payload.resource
    if resource is None or resource.get("resourceType") != "Binary":
        return payload
    reader = _WRAPPED.get(str(resource.get("contentType")))
    if reader is None:
        raise Unprocessable(
            f"A Binary in a PATCH holds {' or '.join(_WRAPPED)}.", code="processing", expression="Binary.contentType"
        )
    blob = stage(resource.get("data"), payload.staged, services, where="Binary.data")
    content = blob.data if blob.data is not None else b"".join(services.store.blobs.read(blob.sha256))
    return replace(payload, resource=None, patch=reader(content))
