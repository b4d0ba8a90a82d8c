"""Contents: from the base64 of a Binary or an attachment, or from raw bytes, to a staged blob."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from operator import is_
from typing import Any

from fhir_dmp.errors import BadRequest, Unprocessable
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions.exchange import Payload
from fhir_dmp.interactions.services import Services

_CONTEXT = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}")


def content_of_binary(payload: Payload, services: Services, *, context: str | None = None) -> tuple[Json, Blob | None]:
    """Return the Binary without its data, and the content: from a Binary resource or from any other body.

    A FHIR media type whose body is not a Binary is stored as raw content (fhir-rest 11). context: X-Security-Context of
    a raw content.

    Raises:
        BadRequest: no content, or a context that is no `Type/id`.
    """
    resource = payload.resource
    if resource is not None and resource.get("resourceType") == "Binary":
        return split(resource, payload.staged, services)
    if payload.blob is None:
        raise BadRequest("A Binary needs content.", code="required")
    made: Json = {"resourceType": "Binary", "contentType": payload.declared or "application/octet-stream"}
    if context:
        if not _CONTEXT.fullmatch(context) or not services.structures.is_resource(context.partition("/")[0]):
            raise BadRequest("X-Security-Context must be Type/id.", code="value")
        made["securityContext"] = {"reference": context}
    return made, payload.blob


def split(
    binary: Json, staged: Mapping[str, Blob], services: Services, *, where: str = "Binary"
) -> tuple[Json, Blob | None]:
    """Return a Binary resource without `data`, and its staged content (None when it has none).

    Raises:
        Unprocessable: no contentType.
        BadRequest: data that is not base64.
    """
    if not isinstance(binary.get("contentType"), str):
        raise Unprocessable("A Binary needs a contentType.", code="required", expression=f"{where}.contentType")
    bare = {key: value for key, value in binary.items() if key != "data"}
    data = binary.get("data")
    if data is None:
        return bare, None
    return bare, stage(data, staged, services, where=f"{where}.data")


def stage(data: object, staged: Mapping[str, Blob], services: Services, *, where: str) -> Blob:
    """Return the content behind a base64 string, or behind the marker that replaced one too long for memory.

    Raises:
        BadRequest: not base64.
    """
    if not isinstance(data, str):
        raise BadRequest("data must be a base64 string.", code="value", expression=where)
    if data in staged:
        return staged[data]
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("data is not valid base64.", code="value", expression=where) from error
    return services.store.blobs.stage(iter((content,)))


#: Stands for a content while the resource around it is judged: the content itself is judged when it is staged.
_ANY_CONTENT = "AA=="


def judged(value: Any) -> Any:
    """Return the value with every `data` of a Binary or an attachment short, for the structural validator.

    What holds no such `data` is not copied.
    """
    if isinstance(value, dict):
        changes = {key: new for key, part in value.items() if (new := _judged_part(key, part)) is not part}
        return {**value, **changes} if changes else value
    if isinstance(value, list):
        parts = [judged(part) if isinstance(part, _CONTAINERS) else part for part in value]
        return value if all(map(is_, parts, value)) else parts
    return value


_CONTAINERS = (dict, list)


def _judged_part(key: str, part: Any) -> Any:
    if isinstance(part, str):
        return _ANY_CONTENT if key == "data" and part else part
    return judged(part) if isinstance(part, _CONTAINERS) else part
