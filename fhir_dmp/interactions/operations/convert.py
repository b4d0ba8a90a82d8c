"""$cda-to-fhir and $fhir-to-cda: documents between CDA and FHIR; nothing is stored. [docs/cda.md]

In: the bytes of a CDA file, or a Binary. The answer is the document Bundle when nothing was lost (or when the client
prefers `return=minimal`), else Parameters with `bundle` and `losses`. Out: a document Bundle, or a DocumentReference
with its content; the answer is the CDA itself, or a Binary when FHIR is asked for.
"""

from __future__ import annotations

import base64
import binascii

from fhir_dmp.cda.from_fhir import Written, from_fhir
from fhir_dmp.cda.level1 import document_of
from fhir_dmp.cda.succession import Predecessor
from fhir_dmp.cda.to_fhir import to_fhir
from fhir_dmp.errors import BadRequest, Forbidden, TooLarge
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.interactions import read, record
from fhir_dmp.interactions.exchange import Answer, Call, Content
from fhir_dmp.interactions.operations import replaced
from fhir_dmp.interactions.operations.sent import well_formed
from fhir_dmp.interactions.services import Services

_MEDIA_TYPE = "application/xml"


def cda_to_fhir(call: Call, services: Services) -> Answer:
    """Answer with the FHIR document of a CDA file.

    Raises:
        BadRequest: no CDA was sent, or it cannot be read; the place is named.
        TooLarge: longer than `server.max_body_bytes`.
    """
    if len(call.path) == 2 and not (call.caller.may("c", "Binary") or call.caller.may("r", "Binary")):
        raise Forbidden("The token's scopes allow neither create nor read of Binary.", code="forbidden")
    data = _stored(call, services) if len(call.path) == 3 else sent_cda(call, services)
    limit = services.settings.server.max_body_bytes
    if len(data) > limit:
        raise TooLarge(f"A CDA may have {limit} bytes.")
    found = to_fhir(data, services.cda(), services.zone, limit)
    record.keep(services, record.record(call, "operation", services, what=["$cda-to-fhir"]))
    lost = [issue for issue in found.issues if issue.severity != "information"]
    if not lost or (call.info.prefer_stated and call.info.prefer_return == "minimal"):
        return Answer(body=dump(found.bundle))
    parameters = [
        {"name": "bundle", "resource": found.bundle},
        {"name": "losses", "resource": operation_outcome(found.issues)},
    ]
    return Answer(body=dump({"resourceType": "Parameters", "parameter": parameters}))


def _stored(call: Call, services: Services) -> bytes:
    """Return the content of a stored Binary, under the rights and the record of a retrieval."""
    retrieval = Call("GET", call.path[:2], call.caller, call.info, accept_raw=True)
    answer = read.read(retrieval, services)
    if answer.content is None:
        raise BadRequest("The Binary has no content.", code="required")
    return b"".join(answer.content.chunks)


def sent_cda(call: Call, services: Services) -> bytes:
    """Return the CDA file that was sent, bare or in a Binary.

    Raises:
        BadRequest: something else was sent.
    """
    if call.payload is not None and call.payload.raw is not None:
        return call.payload.raw
    binary = sent_resource(call)
    data = binary.get("data")
    if binary.get("resourceType") != "Binary" or not isinstance(data, str):
        raise BadRequest("Send a CDA file, or a Binary that holds one.", code="required", expression="Binary")
    staged = call.payload.staged.get(data) if call.payload else None
    if staged is not None:
        return _content(staged, services)
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("The data of the Binary is not base64.", code="value", expression="Binary.data") from error


def _content(blob: Blob, services: Services) -> bytes:
    return blob.data if blob.data is not None else b"".join(services.store.blobs.read(blob.sha256))


def sent_resource(call: Call) -> Json:
    """Return the resource that was sent, bare or as the parameter `resource`."""
    body = call.payload.resource if call.payload else None
    if body is not None and body.get("resourceType") == "Parameters":
        return next(
            (one["resource"] for one in objects_of(body.get("parameter")) if isinstance(one.get("resource"), dict)), {}
        )
    return body or {}


def fhir_to_cda(call: Call, services: Services) -> Answer:
    """Answer with the CDA of a FHIR document, or of a DocumentReference with its content.

    Raises:
        BadRequest: neither was sent.
        Unprocessable: mandatory metadata are missing (all are named), or the content is of a type that CDA excludes.
    """
    if not any(call.caller.may(right, call.path[0]) for right in "cr"):
        raise Forbidden("The token's scopes do not allow this.", code="forbidden")
    sent = sent_resource(call)
    if sent.get("resourceType") in ("Bundle", "DocumentReference"):
        well_formed(sent, services, complete=False)
    resource = inline(sent, call, services)
    predecessor: Predecessor | None = None
    if resource.get("resourceType") == "DocumentReference":
        relations, predecessor = replaced.resolved(resource.get("relatesTo"), call, services)
        resource = document_of({**resource, "relatesTo": relations})
    elif resource.get("resourceType") != "Bundle":
        raise BadRequest("Send a Bundle of type document, or a DocumentReference with its content.", code="required")
    else:
        resource, predecessor = _replacing(resource, call, services)
    found = from_fhir(resource, services.cda(), services.zone, predecessor)
    record.keep(services, record.record(call, "operation", services, what=["$fhir-to-cda"]))
    return _written(found, call)


def _replacing(bundle: Json, call: Call, services: Services) -> tuple[Json, Predecessor | None]:
    """Return a document whose Composition names by its uniqueId what it replaces, and what is known of that."""
    entries = objects_of(bundle.get("entry"))
    composition = object_of(entries[0].get("resource")) if entries else {}
    if not composition.get("relatesTo"):
        return bundle, None
    relations, predecessor = replaced.resolved(composition["relatesTo"], call, services)
    first = {**entries[0], "resource": {**composition, "relatesTo": relations}}
    return {**bundle, "entry": [first, *entries[1:]]}, predecessor


def inline(resource: Json, call: Call, services: Services) -> Json:
    """Put contents that were set aside while the body arrived back into their places."""
    staged = call.payload.staged if call.payload else {}
    if not staged:
        return resource

    def restored(value: object) -> object:
        if isinstance(value, dict):
            return {key: restored(one) for key, one in value.items()}
        if isinstance(value, list):
            return [restored(one) for one in value]
        if isinstance(value, str) and value in staged:
            return base64.b64encode(_content(staged[value], services)).decode("ascii")
        return value

    found = restored(resource)
    assert isinstance(found, dict)  # a dict gives a dict
    return found


def _written(found: Written, call: Call) -> Answer:
    if call.accept_raw or not call.accepts:
        size = len(found.data)
        return Answer(content=Content(iter((found.data,)), _MEDIA_TYPE, size, end=size), issues=found.issues)
    binary = {
        "resourceType": "Binary",
        "contentType": _MEDIA_TYPE,
        "data": base64.b64encode(found.data).decode("ascii"),
    }
    if not found.issues:
        return Answer(body=dump(binary))
    parameters = [
        {"name": "binary", "resource": binary},
        {"name": "losses", "resource": operation_outcome(found.issues)},
    ]
    return Answer(body=dump({"resourceType": "Parameters", "parameter": parameters}))
