"""Calls of the operations on a dossier, said shortly."""

from __future__ import annotations

from typing import Any

from tests import samples
from tests.flows.steps import Dossier
from tests.samples import Json
from tests.world import Client, Response, World

MOTIVES = "https://interop.esante.gouv.fr/ig/fhir/dmp/CodeSystem/dmp-motif-fermeture"
HISTORICAL = "urn:oid:1.2.250.1.213.4.1.2.4"
PROFESSIONAL = "urn:oid:1.2.250.1.71.4.2.1"
STRUCTURE = "urn:oid:1.2.250.1.71.4.2.2"
_CODES = {"nature", "action", "mode"}
_DATES = {"fin", "date"}


def identifier(value: str, system: str = PROFESSIONAL) -> Json:
    """Return an Identifier."""
    return {"system": system, "value": value}


def motive(code: str = "patient-demande", system: str = MOTIVES) -> Json:
    """Return a closing motive."""
    return {"coding": [{"system": system, "code": code}]}


def parameters(**values: Any) -> Json:
    """Return Parameters: each value under the type that its parameter has."""
    return {"resourceType": "Parameters", "parameter": [_parameter(name, value) for name, value in values.items()]}


def _parameter(name: str, value: Any) -> Json:
    if isinstance(value, bool):
        return {"name": name, "valueBoolean": value}
    if isinstance(value, dict):
        return {"name": name, "valueCodeableConcept" if "coding" in value else "valueIdentifier": value}
    kind = "Code" if name in _CODES else "Date" if name in _DATES else "String"
    return {"name": name, f"value{kind}": value}


def call(client: Client, dossier: Dossier, operation: str, **values: Any) -> Response:
    """Call an operation on a dossier by its id."""
    return client.post(f"/Patient/{dossier.id}/${operation}", parameters(**values))


def by_ins(client: Client, ins: str, operation: str, **values: Any) -> Response:
    """Call an operation on the type, the dossier named by its INS."""
    named = identifier(ins, samples.INS)
    return client.post(f"/Patient/${operation}", parameters(identifiant=named, **values))


def done(answer: Response) -> dict[str, Any]:
    """Return the parameters of an answer by name, the call having succeeded."""
    assert answer.status == 200, answer.body
    found: dict[str, Any] = {}
    for part in answer.json.get("parameter", []):
        value = next((part[key] for key in part if key not in ("name", "part")), None)
        found[part["name"]] = value if value is not None else {p["name"]: _value(p) for p in part["part"]}
    return found


def _value(part: Json) -> Any:
    return next(value for name, value in part.items() if name != "name")


def stranger(world: World) -> Client:
    """A doctor who wrote nothing here."""
    return world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)


def consents(dossier: Dossier, kind: str, status: str = "active") -> list[Json]:
    """Return the Consents of a kind and status."""
    answer = dossier.world.admin.get(f"/Consent?patient=Patient/{dossier.id}&status={status}&category={kind}")
    assert answer.status == 200, answer.body
    return answer.entries


def patient(dossier: Dossier) -> Json:
    """Return the Patient as it is stored."""
    return dossier.world.admin.get(f"/Patient/{dossier.id}").json


def extension(resource: Json, name: str) -> Json | None:
    """Return the extension whose URL ends in this name."""
    return next((e for e in resource.get("extension", []) if e["url"].endswith(f"/{name}")), None)


def trail(dossier: Dossier, subtype: str) -> list[Json]:
    """Return the audit events of this dossier with this transaction number, newest first."""
    answer = dossier.world.admin.get(f"/AuditEvent?patient=Patient/{dossier.id}&subtype={subtype}")
    assert answer.status == 200, answer.body
    return answer.entries
