"""A DocumentReference with its content as the document Bundle that becomes a CDA of level 1. [cda 3.1, 6.1]"""

from __future__ import annotations

from typing import Any

from fhir_dmp.cda.places import EXTENSIONS
from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.elements import object_of, objects_of, text_of
from fhir_dmp.fhir.resource import Json

_BASED_ON = "http://hl7.org/fhir/StructureDefinition/event-basedOn"
_CONFIDENTIALITY = ("N", "R", "V")


def document_of(reference: Json) -> Json:
    """Return the document whose only section is the content of a DocumentReference.

    Raises:
        Unprocessable: the content is not inside (`content.attachment.data`).
    """
    attachment = object_of(object_of(next(iter(objects_of(reference.get("content"))), {})).get("attachment"))
    if not attachment.get("data"):
        raise Unprocessable(
            "The content must be inside the DocumentReference.",
            code="required",
            expression="DocumentReference.content.attachment.data",
        )
    context = object_of(reference.get("context"))
    contained = objects_of(reference.get("contained"))
    patient = _patient(reference, context, contained)
    composition: Json = {"resourceType": "Composition", "status": "final"}
    _copy(composition, "language", attachment.get("language"))
    _copy(composition, "title", attachment.get("title"))
    _copy(composition, "date", attachment.get("creation") or reference.get("date"))
    for name in ("type", "author", "custodian"):
        _copy(composition, name, reference.get(name))
    if composition.get("title") is None:
        display = next(
            (text_of(one.get("display")) for one in objects_of(object_of(reference.get("type")).get("coding"))), None
        )
        _copy(composition, "title", display)
    set_id = next(
        (one for one in objects_of(reference.get("identifier")) if object_of(one.get("type")).get("text") == "setId"),
        None,
    )
    _copy(composition, "identifier", set_id)
    _copy(composition, "confidentiality", _label(reference))
    if patient is not None:
        composition["subject"] = {"reference": "#cda-patient"}
    if reference.get("authenticator"):
        signed: Json = {"mode": "legal", "party": reference["authenticator"]}
        _copy(signed, "time", composition.get("date"))
        composition["attester"] = [signed]
    composition["event"] = _events(context, composition)
    composition["relatesTo"] = _replaced(reference)
    composition["extension"] = _extensions(context)
    composition["section"] = [{"entry": [{"reference": "#cda-content"}]}]
    binary = {"resourceType": "Binary", "contentType": attachment.get("contentType"), "data": attachment["data"]}
    entries = [("#cda-content", binary), *((f"#{one.get('id')}", one) for one in contained)]
    if patient is not None:
        entries.insert(0, ("#cda-patient", patient))
    bundle: Json = {"resourceType": "Bundle", "type": "document"}
    _copy(bundle, "identifier", reference.get("masterIdentifier"))
    first = {"fullUrl": "#cda-composition", "resource": {key: value for key, value in composition.items() if value}}
    return {**bundle, "entry": [first, *({"fullUrl": url, "resource": one} for url, one in entries)]}


def _copy(target: Json, name: str, value: Any) -> None:
    if value:
        target[name] = value


def _patient(reference: Json, context: Json, contained: list[Json]) -> Json | None:
    """Return the patient: the traits that the producer knows, under the INS of the subject."""
    local = str(object_of(context.get("sourcePatientInfo")).get("reference") or "").lstrip("#")
    known = next((one for one in contained if one.get("id") == local and one.get("resourceType") == "Patient"), None)
    subject = object_of(object_of(reference.get("subject")).get("identifier"))
    if known is None:
        return {"resourceType": "Patient", "identifier": [subject]} if subject else None
    same = [one for one in objects_of(known.get("identifier")) if one.get("value") == subject.get("value")]
    identifiers = objects_of(known.get("identifier"))
    return {**known, "identifier": identifiers if same or not subject else [subject, *identifiers]}


def _label(reference: Json) -> str | None:
    """Return the confidentiality; what hides a document from somebody never goes into a CDA."""
    for concept in objects_of(reference.get("securityLabel")):
        for coding in objects_of(concept.get("coding")):
            if str(coding.get("code")) in _CONFIDENTIALITY:
                return str(coding["code"])
    return None


def _events(context: Json, composition: Json) -> list[Json]:
    period = object_of(context.get("period")) or ({"start": composition["date"]} if composition.get("date") else {})
    events: list[Json] = [{"code": [one]} for one in objects_of(context.get("event"))] or [{}]
    if period:
        events[0]["period"] = period
    return [one for one in events if one]


def _replaced(reference: Json) -> list[Json]:
    found = []
    for one in objects_of(reference.get("relatesTo")):
        identifier = object_of(one.get("target")).get("identifier")
        if one.get("code") == "replaces" and identifier:
            found.append({"code": "replaces", "targetIdentifier": identifier})
    return found


def _extensions(context: Json) -> list[Json]:
    found = [
        {"url": f"{EXTENSIONS}/cda-{name}", "valueCodeableConcept": context[name]}
        for name in ("practiceSetting", "facilityType")
        if context.get(name)
    ]
    for related in objects_of(context.get("related")):
        identifier = object_of(related.get("identifier"))
        bare = {key: value for key, value in identifier.items() if key in ("system", "value")}
        if bare:
            found.append({"url": _BASED_ON, "valueReference": {"identifier": bare}})
    return found
