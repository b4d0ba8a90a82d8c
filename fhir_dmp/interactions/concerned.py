"""Whose record a call was about, as far as that can be told without the use case: for the audit of refusals.

The call may be anything, for it was refused: nothing here raises because of what a client sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from fhir_dmp.access.parties import local
from fhir_dmp.errors import DmpError
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json, is_id
from fhir_dmp.interactions import gather
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.ins import every_ins, ins_in
from fhir_dmp.ports import Key
from fhir_dmp.search.grammar import hops
from fhir_dmp.search.patients import patient_criterion

#: So many entries of a refused bundle are looked at: the record is named in the first ones, or not at all.
_ENTRIES = 20
_SUBJECTS = ("subject", "patient", "beneficiary", "individual", "for")


def patient_of(call: Call, services: Services) -> str | None:
    """Return `Patient/id` of the record that a call names, else of the record that its token is bound to."""
    for named in (_in_path(call, services), _in_query(call.path, call.query, services), _in_body(call, services)):
        if named is not None:
            return named
    return f"Patient/{call.caller.patient}" if call.caller.patient else None


def _in_path(call: Call, services: Services) -> str | None:
    path = call.path
    if len(path) < 2 or not is_id(path[1]) or not services.structures.is_resource(path[0]):
        return None
    version = services.store.read(Key(path[0], path[1]))
    if version is None:
        return None
    if version.type in ("Binary", "Bundle"):
        return next((each.patient for each in gather.documents_of_content(version.type, version.id, services)), None)
    return f"Patient/{version.id}" if version.type == "Patient" else version.patient


def _in_query(path: tuple[str, ...], pairs: tuple[tuple[str, str], ...], services: Services) -> str | None:
    types = (path[0],) if path else ("Basic",)
    for name, value in pairs:
        try:
            criterion = patient_criterion(types, hops(name), value, services.base)
        except DmpError:
            continue
        for reference in criterion.references if criterion else ():
            if (found := _existing(reference, services)) is not None:
                return found
        for system, number in criterion.identifiers if criterion else ():
            if (found := _identified(system, number, services)) is not None:
                return found
    return None


def _existing(reference: str, services: Services) -> str | None:
    type_, _, id_ = reference.partition("/")
    if type_ != "Patient" or not is_id(id_):
        return None
    return reference if services.store.read(Key(type_, id_)) is not None else None


def _identified(system: str | None, number: str, services: Services) -> str | None:
    found = gather.patient_by_identifier(system, number, services)
    return f"Patient/{found}" if found else None


def _in_body(call: Call, services: Services) -> str | None:
    body = call.payload.resource if call.payload else None
    if body is None:
        return None
    for resource in islice(_resources(body), _ENTRIES):
        if (found := _subject(resource, services)) is not None:
            return found
    return None


def _resources(body: Json) -> Iterator[Json]:
    """Yield the resource itself, those of a bundle's entries, or those among the parameters of an operation."""
    inside = {"Bundle": "entry", "Parameters": "parameter"}.get(str(body.get("resourceType")))
    if inside is None:
        yield body
        return
    for part in objects_of(body.get(inside)):
        yield from objects_of(part.get("resource"))


def _subject(resource: Json, services: Services) -> str | None:
    if resource.get("resourceType") == "Patient":
        return _first(every_ins(resource), services)
    for name in _SUBJECTS:
        subject = resource.get(name)
        place = local(subject)
        if place is not None:
            type_, mark, query = place.partition("?")
            if type_ == "Patient" and mark:
                name_, _, value = query.partition("=")
                found = _in_query(("Patient",), ((name_, value),), services)
            else:
                found = _existing(place, services)
            if found is not None:
                return found
        if isinstance(subject, dict) and isinstance(subject.get("identifier"), dict):
            stated = ins_in(subject["identifier"])
            if stated is not None and (found := _first([stated], services)) is not None:
                return found
    return None


def _first(numbers: Iterable[tuple[str, str]], services: Services) -> str | None:
    for system, number in numbers:
        if (found := _identified(system, number, services)) is not None:
            return found
    return None
