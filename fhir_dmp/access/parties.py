"""Whom a reference names: a professional, a structure, a team, a relative, an application; by national identifier.

References come by `identifier` (any spelling of RPPS, FINESS and the like), contained, or literal; literal ones are
looked up in a directory that the interaction gathered. Nothing is fetched here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Caller
from fhir_dmp.terminology.aliases import PROFESSIONAL, STRUCTURE, canonical_identifier


class PartyKind(StrEnum):
    """What sort of party a consent names."""

    PROFESSIONAL = "professional"
    STRUCTURE = "structure"
    TEAM = "team"
    RELATIVE = "relative"
    DEVICE = "device"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Party:
    """A party: PSIdNat of a professional, StructIdNat of a structure, else `Type/id` or `system|value`."""

    kind: PartyKind
    value: str


_KINDS = {
    "CareTeam": PartyKind.TEAM,
    "RelatedPerson": PartyKind.RELATIVE,
    "Person": PartyKind.RELATIVE,
    "Device": PartyKind.DEVICE,
}


def listed(value: Any) -> list[Any]:
    """Return the items of a JSON array, nothing when it is something else."""
    return value if isinstance(value, list) else []


def codings(value: Any) -> Iterator[tuple[str, str]]:
    """Yield (system, code) of a CodeableConcept, a list of them, or a Coding; absent systems are empty.

    Unlike `codings_of`, a blank code counts: a label that says nothing is one that is not understood.
    """
    for concept in objects_of(value):
        for coding in objects_of(concept["coding"]) if "coding" in concept else [concept]:
            system, code = coding.get("system"), coding.get("code")
            if isinstance(code, str):
                yield (system if isinstance(system, str) else ""), code


def identifiers(value: Any) -> Iterator[tuple[str, str]]:
    """Yield (system, value) of identifiers in their national form."""
    for identifier in objects_of(value):
        system, text = identifier.get("system"), identifier.get("value")
        if isinstance(text, str) and text:
            yield canonical_identifier(system if isinstance(system, str) else "", text)


def local(reference: Any) -> str | None:
    """Return `Type/id` (or `#id`) of a reference without version, None when there is no literal reference."""
    text = reference.get("reference") if isinstance(reference, dict) else None
    if not isinstance(text, str) or not text:
        return None
    return text.split("/_history/", 1)[0]


def target(reference: Any, holder: Json, directory: Mapping[str, Json]) -> Json | None:
    """Return the resource that a reference points to: contained in `holder`, or in the directory."""
    place = local(reference)
    if place is None:
        return None
    if place.startswith("#"):
        return next((part for part in objects_of(holder.get("contained")) if part.get("id") == place[1:]), None)
    return directory.get(place)


def _of_identifiers(pairs: Iterator[tuple[str, str]]) -> Iterator[Party]:
    for system, value in pairs:
        if system == PROFESSIONAL:
            yield Party(PartyKind.PROFESSIONAL, value)
        elif system == STRUCTURE:
            yield Party(PartyKind.STRUCTURE, value)


def parties(reference: Any, holder: Json, directory: Mapping[str, Json]) -> tuple[Party, ...]:
    """Return every party that one reference names; a single UNKNOWN one when nobody can be told from it.

    A PractitionerRole names its practitioner, never the whole structure.
    """
    if not isinstance(reference, dict):
        return (Party(PartyKind.UNKNOWN, ""),)
    found = list(_named(reference, holder, directory))
    return tuple(dict.fromkeys(found)) or (Party(PartyKind.UNKNOWN, local(reference) or ""),)


def _named(reference: Json, holder: Json, directory: Mapping[str, Json]) -> Iterator[Party]:
    place = local(reference)
    resource = target(reference, holder, directory)
    type_ = resource.get("resourceType") if resource else None
    if type_ is None:
        type_ = place.split("/", 1)[0] if place and "/" in place else reference.get("type")
    kind = _KINDS.get(type_) if isinstance(type_, str) else None
    if kind is not None:
        if place is not None:
            yield Party(kind, place)
        for system, value in identifiers(reference.get("identifier")):
            yield Party(kind, f"{system}|{value}")
        if resource is not None:
            for system, value in identifiers(resource.get("identifier")):
                yield Party(kind, f"{system}|{value}")
        return
    yield from _of_identifiers(identifiers(reference.get("identifier")))
    if resource is None:
        return
    if type_ == "PractitionerRole":
        yield from (p for p in _of_identifiers(identifiers(resource.get("identifier"))) if p.kind == "professional")
        if isinstance(resource.get("practitioner"), dict) and resource["practitioner"] is not reference:
            inner = target(resource["practitioner"], holder, directory)
            yield from _of_identifiers(identifiers(resource["practitioner"].get("identifier")))
            yield from _of_identifiers(identifiers(inner.get("identifier")) if inner else iter(()))
    else:
        yield from _of_identifiers(identifiers(resource.get("identifier")))


def is_caller(party: Party, caller: Caller) -> bool:
    """Say whether the party is the caller in person, or the structure that the caller acts for."""
    if party.kind is PartyKind.PROFESSIONAL:
        return caller.professional is not None and party.value == caller.professional
    if party.kind is PartyKind.STRUCTURE:
        return caller.structure is not None and party.value == caller.structure
    return False
