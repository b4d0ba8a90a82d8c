"""The least that a valid resource of a type holds, made from the R4 structures."""

from __future__ import annotations

from functools import cache
from random import Random

from tests.samples import consent
from tests.structures import STRUCTURES, _Maker
from tests.world import Json


class _Sparing(Random):
    """Chooses the first of everything, and no optional part."""

    def random(self) -> float:
        return 0.999999

    def choice(self, seq):  # type: ignore[no-untyped-def]
        return seq[0]

    def randint(self, a: int, b: int) -> int:
        return a


#: What a constraint of R4 demands beyond the mandatory elements.
_ROLE = {"text": "x"}
_DEMANDED: dict[str, Json] = {
    "AllergyIntolerance": {
        "clinicalStatus": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}
            ]
        }
    },
    "Appointment": {"participant": [{"status": "accepted", "type": [_ROLE]}]},
    "AppointmentResponse": {"participantType": [_ROLE]},
    "Bundle": {"type": "collection"},
    "CapabilityStatement": {"kind": "requirements", "description": "x", "rest": [{"mode": "server"}]},
    "Consent": consent("nobody", "emergency", deny=True),
    "EventDefinition": {"trigger": [{"type": "named-event", "name": "x"}]},
    "ImmunizationRecommendation": {"recommendation": [{"forecastStatus": _ROLE, "targetDisease": _ROLE}]},
    "InsurancePlan": {"name": "x"},
    "Linkage": {"item": [{"type": "source", "resource": {"display": name}} for name in "ab"]},
    "Organization": {"name": "x"},
    "StructureDefinition": {
        "kind": "resource",
        "type": "Patient",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}]},
    },
    "TerminologyCapabilities": {"kind": "requirements", "description": "x"},
}


@cache
def _minimal(type_: str) -> Json:
    return {**_Maker(_Sparing(0)).resource(type_), **_DEMANDED.get(type_, {})}


def minimal(type_: str) -> Json:
    """Return a valid resource with nothing but its mandatory elements."""
    return dict(_minimal(type_))


TYPES = STRUCTURES.resource_types
