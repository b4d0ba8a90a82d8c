"""$docref: the current documents of a patient, by type and by when the care took place that they tell of.

http://hl7.org/fhir/us/core/OperationDefinition/docref. This server keeps documents as they were submitted and makes
none by itself: asked for documents made on demand, it has none and says so.
"""

from __future__ import annotations

from fhir_dmp.errors import BadRequest, Issue
from fhir_dmp.fhir.resource import is_id
from fhir_dmp.interactions import authorise
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations.primitives import Given
from fhir_dmp.interactions.operations.record_pages import (
    Wanted,
    answer,
    asked,
    care_period,
    holder,
    page_size,
    warned,
)
from fhir_dmp.interactions.services import Services
from fhir_dmp.search.query import SortKey

DECLARED = {
    "patient": ("id", "string", "uri"),
    "start": ("date", "dateTime"),
    "end": ("date", "dateTime"),
    "type": ("CodeableConcept", "Coding", "string"),
    "on-demand": ("boolean",),
    "profile": ("canonical", "uri", "string"),
    "_count": ("integer", "positiveInt"),
}


def docref(call: Call, services: Services) -> Answer:
    """Return a page of DocumentReferences, newest first.

    Raises:
        BadRequest: no patient, or a parameter that cannot be read. NotFound: no such patient for this caller.
        Forbidden: the record is shut.
    """
    authorise.need(call.caller, "r", "DocumentReference", services)
    authorise.need(call.caller, "s", "DocumentReference", services)
    ask = asked(call, DECLARED, services)
    patient = holder(call, _patient(ask.given), services)
    on_demand = ask.given.flag("on-demand")
    if on_demand:
        ask = warned(
            ask,
            Issue(
                "informational",
                "This server makes no documents on demand; without on-demand=true it lists those it keeps.",
                severity="information",
            ),
        )
    documents = services.settings.documents
    wanted = Wanted(
        patient=str(patient.key),
        types=() if on_demand else ("DocumentReference",),
        count=page_size(ask.given, documents.default_count, documents.max_count),
        criteria=(("status", "current"), *_criteria(ask.given)),
        care=care_period(ask.given, services),
        total=True,
        sort=(SortKey("date", descending=True),),
    )
    return answer(call, ask, wanted, services)


def _patient(given: Given) -> str:
    """Return the logical id of the patient asked for.

    Raises:
        BadRequest: none, or something that is no id.
    """
    text = given.one("patient")
    if text is None:
        raise BadRequest("Name the patient: patient=[id].", code="required", expression="patient")
    id_ = text.removeprefix("Patient/")
    if not is_id(id_):
        raise BadRequest("patient must be the logical id of a Patient.", code="value", expression="patient")
    return id_


def _criteria(given: Given) -> list[tuple[str, str]]:
    """Return what narrows the documents: alternatives of type, and of profile."""
    named = (("type", given.all("type")), ("_profile", given.all("profile")))
    return [(name, ",".join(values)) for name, values in named if values]
