"""$validate: judge a resource without storing it, as R4 and as profiles.

https://hl7.org/fhir/R4/resource-operation-validate.html. Modes: create, update, delete, profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhir_dmp.access.refusal import absent
from fhir_dmp.errors import BadRequest, Forbidden, Issue, NotFound
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.outcome import operation_outcome
from fhir_dmp.fhir.resource import Json, dump, parse_stored
from fhir_dmp.interactions import authorise, criteria, record
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.offer import offered
from fhir_dmp.interactions.read import current, key_of
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import as_stored
from fhir_dmp.validation.conformance import judge

MODES = ("create", "update", "delete", "profile")


def validate(call: Call, services: Services) -> Answer:
    """Answer 200 with an OperationOutcome, whether or not the resource is valid.

    Raises:
        BadRequest: nothing to judge, or a mode that R4 does not have.
    """
    type_ = call.path[0]
    if not (call.caller.may("c", type_) or call.caller.may("u", type_)):
        raise Forbidden("The token's scopes allow neither create nor update of this type.", code="forbidden")
    body, mode, profile = _asked(call)
    issues = list(_of_mode(call, mode, profile, services))
    if mode != "delete":
        issues += _of_resource(call, body or _stored(call, services), profile, body is not None, services)
    if not any(issue.severity in ("error", "fatal") for issue in issues):
        issues.append(Issue("informational", "No error was found.", severity="information"))
    record.keep(services, record.record(call, "operation", services, what=["$validate"]))
    return Answer(body=dump(operation_outcome(tuple(issues))))


def _asked(call: Call) -> tuple[Json | None, str | None, str | None]:
    """Return the resource, the mode and the profile, from Parameters, a bare resource or the URL."""
    body = call.payload.resource if call.payload else None
    named = dict(call.query)
    if body is not None and body.get("resourceType") == "Parameters" and call.path[0] != "Parameters":
        parameters, body = objects_of(body.get("parameter")), None
        for each in parameters:
            if each.get("name") == "resource" and isinstance(each.get("resource"), dict):
                body = each["resource"]
            for kind in ("valueCode", "valueUri", "valueCanonical", "valueString"):
                if isinstance(each.get(kind), str):
                    named[str(each.get("name"))] = each[kind]
    mode = named.get("mode")
    if mode is not None and mode not in MODES:
        raise BadRequest(f"mode is one of {', '.join(MODES)}.", code="value", expression="mode")
    if mode == "profile" and "profile" not in named:
        raise BadRequest("The mode `profile` needs a profile.", code="required", expression="profile")
    if body is None and len(call.path) != 3 and mode != "delete":
        raise BadRequest(
            "Send the resource, or Parameters with a parameter `resource`.",
            code="required",
            expression="Parameters.parameter",
        )
    return body, mode, named.get("profile")


def _stored(call: Call, services: Services) -> Json:
    """Return what is stored under the URL, to be judged as it is."""
    version = current(call, services)
    authorise.to_read(call, version, services)
    if version.deleted:
        raise absent(version.type)
    return parse_stored(version.body)


def _of_resource(call: Call, resource: Json, profile: str | None, sent: bool, services: Services) -> Iterator[Issue]:
    """Judge the resource: base, what it declares, the minimum of its type, the profile that was asked for."""
    type_ = call.path[0]
    asked = (*services.judging.minimum(type_), *((profile,) if profile is not None else ()))
    # A stored document that came by simplified publish has its content moved and its URL set: see `write.checked`.
    yield from judge(resource, services.profiles(), asked, every if sent else as_stored)
    if resource.get("resourceType") != type_:
        yield Issue("invalid", f"The URL names {type_}.", expression=("resourceType",))
    if len(call.path) == 3 and resource.get("id") != call.path[1]:
        yield Issue("invalid", "The id in the body is not the id in the URL.", expression=(f"{type_}.id",))


def every(url: str) -> bool:
    """Apply every declared profile."""
    return True


def _of_mode(call: Call, mode: str | None, profile: str | None, services: Services) -> Iterable[Issue]:
    """Say whether the interaction that the mode stands for is offered, and whether something is in its way."""
    type_ = call.path[0]
    if mode in ("create", "update", "delete") and mode not in offered(type_):
        yield Issue("not-supported", f"{mode} is not offered on {type_}.")
    if mode == "delete" and len(call.path) == 3:
        yield from _in_use(call, services)


def _in_use(call: Call, services: Services) -> Iterator[Issue]:
    """Say whether others refer to the resource: of what the caller must not know, as little as of an unknown id."""
    try:
        _stored(call, services)
    except NotFound:
        return
    users = criteria.referring(key_of(call.path), services, limit=10)
    if users:
        yield Issue("conflict", criteria.said_of(users, call, services))
