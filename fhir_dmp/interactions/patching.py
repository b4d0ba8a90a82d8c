"""Applies a patch of any accepted format to a resource, before any rule of the record looks at the result."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fhir_dmp.documents.patch_dialect import normalise_pointers
from fhir_dmp.errors import BadRequest, Unprocessable
from fhir_dmp.fhir.fhirpath_patch import apply_fhirpath_patch, read_fhirpath_patch
from fhir_dmp.fhir.json_patch import apply_json_patch, read_json_patch
from fhir_dmp.fhir.patch import refuse_untouchable
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions.contents import stage
from fhir_dmp.interactions.exchange import Payload
from fhir_dmp.interactions.services import Services

NON_STANDARD = '299 - "non standard JSON Pointer accepted"'


@dataclass(frozen=True, slots=True)
class Patched:
    """The resource after the patch; warning: value of a Warning header to add."""

    resource: Json
    warning: str | None = None


def apply(before: Json, payload: Payload, services: Services) -> Patched:
    """Return the patched copy; nothing is written.

    Raises:
        Unprocessable: a path that does not exist, a failed test, or a change of id, type or version.
        BadRequest: no patch at all.
    """
    warning = None
    if isinstance(payload.patch, list):
        operations, non_standard = payload.patch, False
        if before.get("resourceType") in ("DocumentReference", "List"):
            operations, non_standard = normalise_pointers(operations, before)
        after = apply_json_patch(before, operations)
        warning = NON_STANDARD if non_standard else None
    elif payload.resource is not None:
        after = apply_fhirpath_patch(before, read_fhirpath_patch(payload.resource), services.structures)
    else:
        raise BadRequest("A patch needs a body: JSON Patch or a Parameters resource.", code="required")
    refuse_untouchable(before, after)
    return Patched(after, warning)


def unwrapped(payload: Payload, services: Services) -> Payload:
    """Return the payload of a PATCH; a Binary that wraps a JSON Patch (the form bundles use) is taken out.

    Raises:
        BadRequest: the wrapped content is not JSON.
    """
    resource = payload.resource
    if resource is None or resource.get("resourceType") != "Binary":
        return payload
    if resource.get("contentType") != "application/json-patch+json":
        raise Unprocessable(
            "A Binary in a PATCH holds application/json-patch+json.", code="processing", expression="Binary.contentType"
        )
    blob = stage(resource.get("data"), payload.staged, services, where="Binary.data")
    content = blob.data if blob.data is not None else b"".join(services.store.blobs.read(blob.sha256))
    return replace(payload, resource=None, patch=read_json_patch(content))
