"""$meta on an instance: the profiles, tags and labels in use. https://hl7.org/fhir/R4/resource-operation-meta.html"""

from __future__ import annotations

from fhir_dmp.errors import Gone
from fhir_dmp.fhir.resource import Json, dump, parse_stored
from fhir_dmp.interactions import authorise, record
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.read import current
from fhir_dmp.interactions.services import Services


def meta(call: Call, services: Services) -> Answer:
    """Return Parameters with the instance's Meta."""
    version = current(call, services)
    allowed = authorise.to_read(call, version, services)
    if version.deleted:
        raise Gone(f"This {version.type} was deleted.")
    shown: Json = {
        "resourceType": "Parameters",
        "parameter": [{"name": "return", "valueMeta": parse_stored(version.body)["meta"]}],
    }
    what = [authorise.reference(version)]
    entry = record.record(call, "operation", services, patient=allowed.patient, what=what, details=allowed.details)
    record.keep(services, entry)
    return Answer(body=dump(shown), headers=allowed.headers)
