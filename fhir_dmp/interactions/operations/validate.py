"""$validate at structure level: judge a resource without storing it. https://hl7.org/fhir/R4/resource-operation-validate.html"""

from __future__ import annotations

from fhir_dmp.errors import BadRequest, Forbidden, Issue
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.interactions import record
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services


def validate(call: Call, services: Services) -> Answer:
    """Answer 200 with an OperationOutcome, whether or not the resource is valid."""
    type_ = call.path[0]
    if not (call.caller.may("c", type_) or call.caller.may("u", type_)):
        raise Forbidden("The token's scopes allow neither create nor update of this type.", code="forbidden")
    resource = _subject(call)
    issues = list(services.validate(resource))
    if resource.get("resourceType") != type_:
        issues.append(Issue("invalid", f"The URL names {type_}.", expression=("resourceType",)))
    if not issues:
        issues.append(Issue("informational", "No problem was found.", severity="information"))
    record.keep(services, record.record(call, "operation", services, what=["$validate"]))
    return Answer(body=dump(operation_outcome(tuple(issues))))


def _subject(call: Call) -> Json:
    body = call.payload.resource if call.payload else None
    if body is None:
        raise BadRequest("Send the resource, or Parameters with a parameter `resource`.", code="required")
    if body.get("resourceType") != "Parameters":
        return body
    for parameter in objects_of(body.get("parameter")):
        found: Json | None = parameter.get("resource") if parameter.get("name") == "resource" else None
        if isinstance(found, dict):
            return found
    raise BadRequest("Parameters holds no `resource`.", code="required", expression="Parameters.parameter")
