"""Compartment search: `GET [base]/Patient/[id]/[type]` and `/*`. https://hl7.org/fhir/R4/compartmentdefinition.html"""

from __future__ import annotations

from dataclasses import replace

from fhir_dmp.errors import BadRequest, NotFound
from fhir_dmp.fhir.resource import is_id
from fhir_dmp.interactions import audit_events
from fhir_dmp.interactions import search as searching
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services


def search(call: Call, services: Services) -> Answer:
    """Search one type, or every type of the compartment."""
    owner, id_, type_ = call.path[:3]
    members = services.compartments.get(owner)
    if members is None:
        raise NotFound(f"{owner} has no compartment.", code="not-supported")
    if not is_id(id_):
        raise BadRequest("A logical id has 1 to 64 letters, digits, '-' and '.'.", code="value")
    if type_ == "AuditEvent" and owner == "Patient":
        named = (*call.query, ("patient", f"Patient/{id_}"))
        return audit_events.search(replace(call, path=("AuditEvent",), query=named), services)
    if type_ == "*":
        types = tuple(sorted(name for name, parameters in members.items() if parameters))
    elif members.get(type_):
        types = (type_,)
    elif services.is_offered(type_):
        raise BadRequest(f"{type_} is not in the {owner} compartment.", code="invalid")
    else:
        raise NotFound("This server has no such resource type.", code="not-supported")
    return searching.search(call, types, services, compartment=f"{owner}/{id_}")
