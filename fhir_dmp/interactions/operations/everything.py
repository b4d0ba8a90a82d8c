"""$everything: the whole record of a patient, page by page. https://hl7.org/fhir/R4/patient-operation-everything.html

The patient first, then the compartment, latest change first, and beside each page the resources of directories that it
refers to. Types that the token does not cover are absent, as is whatever the caller may not see.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_dmp.access.types import Kind, type_access
from fhir_dmp.errors import BadRequest, Gone
from fhir_dmp.fhir.resource import parse_stored, references
from fhir_dmp.interactions import authorise, include, masks
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.include import Found
from fhir_dmp.interactions.offer import offered
from fhir_dmp.interactions.operations.primitives import Given
from fhir_dmp.interactions.operations.record_pages import (
    Wanted,
    answer,
    asked,
    care_period,
    page_size,
    since_ms,
)
from fhir_dmp.interactions.read import current
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version

DECLARED = {
    "start": ("date", "dateTime"),
    "end": ("date", "dateTime"),
    "_since": ("instant", "dateTime"),
    "_type": ("code", "string"),
    "_count": ("integer", "positiveInt"),
}


def everything(call: Call, services: Services) -> Answer:
    """Return a page of a patient's record.

    Raises:
        NotFound: no such patient, or none for this caller. Forbidden: the record is shut. BadRequest: a parameter.
    """
    patient = current(call, services)
    authorise.to_read(call, patient, services)
    if patient.deleted:
        raise Gone("This Patient was deleted.", headers={"ETag": f'W/"{patient.version}"'})
    ask = asked(call, DECLARED, services)
    wished = _wished(ask.given, services)
    since = since_ms(ask.given, services)
    care = care_period(ask.given, services)
    members = services.compartments["Patient"]
    types = [type_ for type_ in sorted(members) if members[type_] and type_ not in ("Patient", "AuditEvent")]
    server = services.settings.server
    count = page_size(ask.given, server.default_count, server.max_count)
    wanted = Wanted(
        patient=str(patient.key),
        types=tuple(type_ for type_ in types if type_ in wished and _covered(call, type_)),
        count=count,
        criteria=(("_lastUpdated", f"ge{ask.given.one('_since')}"),) if since is not None else (),
        care=care,
        head=_head(call, patient, services) if _shows(patient, wished, since) else (),
    )

    def beside(matches: Sequence[Found]) -> list[Found]:
        return _supports(call, matches, wanted.patient, wished, services)

    return answer(call, ask, wanted, services, beside)


def _wished(given: Given, services: Services) -> frozenset[str]:
    """Return the types of `_type`, all types without it.

    Raises:
        BadRequest: something that is no resource type, or nothing of the record among them.
    """
    names = [part.strip() for value in given.all("_type") for part in value.split(",") if part.strip()]
    if not names:
        return frozenset(services.types)
    unknown = [name for name in names if not services.is_offered(name)]
    if unknown:
        raise BadRequest(f"_type names no resource type: {unknown[0][:60]}.", code="value", expression="_type")
    if not any(services.compartments["Patient"].get(name) or name == "Patient" for name in names):
        raise BadRequest(
            "_type names no type of a patient's record; types of directories come beside those that refer to them.",
            code="value",
            expression="_type",
        )
    return frozenset(names)


def _covered(call: Call, type_: str) -> bool:
    return "search" in offered(type_) and call.caller.may("r", type_) and call.caller.may("s", type_)


def _shows(patient: Version, wished: frozenset[str], since: int | None) -> bool:
    return "Patient" in wished and (since is None or patient.updated_ms >= since)


def _head(call: Call, patient: Version, services: Services) -> tuple[Found, ...]:
    return ((patient, masks.body_of(call.caller, patient, services)),)


def _supports(
    call: Call, matches: Sequence[Found], patient: str, wished: frozenset[str], services: Services
) -> list[Found]:
    """Return the resources of directories that the matches refer to, each once."""
    named: dict[Key, None] = {}
    for _, body in matches:
        for holding, _ in references(parse_stored(body)):
            type_, _, rest = holding["reference"].removeprefix(f"{services.base}/").partition("/")
            if type_ in wished and type_access(type_).kind is Kind.DIRECTORY and call.caller.may("r", type_):
                named[Key(type_, rest.partition("/")[0])] = None
    found = services.store.read_many(list(named)) if named else {}
    kept = [
        found[key]
        for key in named
        if key in found
        and not found[key].deleted
        and include.may_be_shown(call.caller, found[key], (patient,), services)
    ]
    return list(zip(kept, masks.shown(call.caller, kept, services), strict=True))
