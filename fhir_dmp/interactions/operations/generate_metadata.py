"""DocumentReference/$generate-metadata (ITI-106): the metadata that a document says itself; nothing is stored.

https://profiles.ihe.net/ITI/MHD/ITI-106.html. From a CDA: its header. From a FHIR document: the same facts, by way of
the CDA that it becomes, so that both kinds have metadata of one making; format and media type are those of FHIR.
"""

from __future__ import annotations

import base64
import hashlib

from fhir_dmp.cda.actors import ins_of
from fhir_dmp.cda.datatypes import pair_of
from fhir_dmp.cda.from_fhir import from_fhir
from fhir_dmp.cda.header import Header, read_header
from fhir_dmp.cda.metadata import document_reference
from fhir_dmp.errors import BadRequest, Forbidden, Issue, TooLarge
from fhir_dmp.fhir.elements import codings_of
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.interactions import record
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations.convert import inline, sent_cda, sent_resource
from fhir_dmp.interactions.operations.sent import well_formed
from fhir_dmp.interactions.services import Services
from fhir_dmp.terminology.aliases import TRE_A11_FORMAT

_SUFFICIENT = {"system": TRE_A11_FORMAT, "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient"}


def generate_metadata(call: Call, services: Services) -> Answer:
    """Answer with the DocumentReference of a document.

    Raises:
        BadRequest: neither a CDA nor a FHIR document was sent. Unprocessable: the document lacks what metadata need;
            everything is named.
    """
    if not any(call.caller.may(right, "DocumentReference") for right in "cr"):
        raise Forbidden("The token's scopes allow neither create nor read of DocumentReference.", code="forbidden")
    resource = sent_resource(call) if call.payload is not None and call.payload.raw is None else {}
    if resource.get("resourceType") == "Bundle":
        found = _of_fhir(inline(well_formed(resource, services, complete=False), call, services), services)
    else:
        found = _of_cda(sent_cda(call, services), services)
    record.keep(services, record.record(call, "operation", services, what=["$generate-metadata"]))
    known = services.documents.codes
    if any(known.class_of(system, code) for system, code in codings_of(found["type"])):
        return Answer(body=dump(found))
    text = "The type of the document is not in the table of document types: it is read as a report (class 10)."
    outcome = operation_outcome([Issue("code-invalid", text, "warning", ("DocumentReference.type",))])
    parameters = [{"name": "return", "resource": found}, {"name": "outcome", "resource": outcome}]
    return Answer(body=dump({"resourceType": "Parameters", "parameter": parameters}))


def _of_cda(data: bytes, services: Services) -> Json:
    limit = services.settings.server.max_body_bytes
    if len(data) > limit:
        raise TooLarge(f"A CDA may have {limit} bytes.")
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return _reference(
        read_header(data), {"size": len(data), "hash": base64.b64encode(digest).decode("ascii")}, services
    )


def _of_fhir(bundle: Json, services: Services) -> Json:
    """Size and hash are left to the publication: they are those of the bytes that will be stored."""
    if bundle.get("type") != "document":
        raise BadRequest("The Bundle is no document.", code="value", expression="Bundle.type")
    header = read_header(from_fhir(bundle, services.cda(), services.zone).data)
    found = _reference(header, {"contentType": "application/fhir+json"}, services)
    found["content"][0]["format"] = dict(_SUFFICIENT)
    if isinstance(bundle.get("identifier"), dict):
        found["masterIdentifier"] = bundle["identifier"]
    return found


def _reference(header: Header, attachment: Json, services: Services) -> Json:
    ids = [pair_of(one) for one in header.patient.ids]
    named = ins_of(header.patient) or next((pair for pair in ids if pair[1]), None)
    if named is None:
        raise BadRequest("The document names no patient.", code="required", expression="recordTarget.patientRole.id")
    subject = {"identifier": {"system": named[0], "value": named[1]}}
    found = document_reference(header, subject, attachment, services.documents.codes, services.zone)
    # The profile wants the URL of the content, which only a publication gives: this is not yet what it describes.
    return {name: part for name, part in found.items() if name != "meta"}
