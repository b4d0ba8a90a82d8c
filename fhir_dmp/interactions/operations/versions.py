"""$versions: which FHIR versions this server speaks. https://hl7.org/fhir/R4/capabilitystatement-operation-versions.html"""

from __future__ import annotations

from fhir_dmp.fhir.resource import dump
from fhir_dmp.interactions import record
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services

VERSION = "4.0"


def versions(call: Call, services: Services) -> Answer:
    """Return Parameters with the versions and the default."""
    record.keep(services, record.record(call, "operation", services))
    names = ("version", "default")
    return Answer(
        body=dump({"resourceType": "Parameters", "parameter": [{"name": n, "valueCode": VERSION} for n in names]})
    )
