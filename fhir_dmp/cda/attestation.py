"""Codecs of the header: who signed, and what was documented. [cda 2.3, 2.6]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_dmp.cda.elements import first, make, same
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.parties import CODECS as PARTIES
from fhir_dmp.cda.party_elements import role_element
from fhir_dmp.cda.party_resources import read_role
from fhir_dmp.cda.values.codec import Codec, Read
from fhir_dmp.cda.values.concepts import read_concept, write_concept
from fhir_dmp.cda.values.moments import moment, read_period, write_period, write_time
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json


def _attester(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """legalAuthenticator, authenticator -> attester."""
    element = elements[0]
    role = first(element, "assignedEntity")
    reference = read_role(role, reader) if role is not None else None
    found: Json = {"mode": part.options["mode"]}
    time, _ = moment(first(element, "time"), reader.zone)
    if time:
        found["time"] = time
    if reference is not None:
        found["party"] = reference
    if not reader.whole:
        return Read(found, False)
    again = _write_attester(found, part, str(element.tag).rpartition("}")[2], reader.mirror())
    return Read(found, bool(again) and same(again[0], element))


def _write_attester(value: Any, part: Part, name: str, writer: Any) -> list[Element]:
    element = make(name)
    if value.get("time"):
        element.extend(write_time(value["time"], part, "time", writer))
    element.append(make("signatureCode", {"code": "S"}))
    resource = writer.resolve(value.get("party"))
    if resource is None:
        return []
    element.append(role_element(resource, "assignedEntity", "assignedPerson", "representedOrganization", writer))
    return [element]


PERFORMER = "https://dmp-fhir.example/ig/StructureDefinition/cda-performer"


def _event(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """serviceEvent -> event: code, period, performer."""
    element = elements[0]
    found: Json = {}
    code, time, performer = (first(element, name) for name in ("code", "effectiveTime", "performer"))
    concept = read_concept([code], part, reader) if code is not None else None
    period = read_period([time], part, reader) if time is not None else None
    party = PARTIES["party"].read([performer], part, reader) if performer is not None else None
    if party is not None and party.value:
        found["extension"] = [{"url": PERFORMER, "valueReference": party.value}]
    if concept is not None and concept.value:
        found["code"] = [concept.value]
    if period is not None and period.value:
        found["period"] = period.value
    return Read(found or None, False)


def _write_event(value: Any, part: Part, name: str, writer: Any) -> list[Element]:
    element = make(name)
    for concept in value.get("code", ())[:1]:
        element.extend(write_concept(concept, part, "code", writer))
    if value.get("period"):
        element.extend(write_period(value["period"], part, "effectiveTime", writer))
    for extension in value.get("extension", ()):
        if extension.get("url") == PERFORMER:
            options = Part((), None, part.to, "party", {"type": "PRF"})
            element.extend(PARTIES["party"].write(extension["valueReference"], options, "performer", writer))
    return [element]


CODECS = {
    "attester": Codec(_attester, _write_attester),
    "event": Codec(_event, _write_event),
}
