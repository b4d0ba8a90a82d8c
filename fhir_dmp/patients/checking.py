"""The answer of `$dmp-verifier-acces`: state of the dossier, and how the caller stands to it. [dmp-fhir 3.1, 3.8]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhir_dmp.fhir.elements import extensions_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.dossier import Status
from fhir_dmp.terminology.national import ATTACHED, CLOSING

CHECK: Mapping[str, str] = {}

_STATES = {Status.ACTIVE: "actif", Status.CLOSED: "ferme"}
_CLOSING_PARTS = {"dateFermeture": "date", "motifFermeture": "motif", "raisonFermeture": "raison"}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a caller stands to a dossier. authorisation: its status, None for callers who need none.

    oppositions: what the person objects to, as it concerns the caller. blocked: nothing else may be told.
    """

    authorisation: str | None
    is_doctor: bool
    oppositions: Mapping[str, bool]
    blocked: bool = False


def access_report(patient: Json | None, status: Status, standing: Standing) -> list[Json]:
    """Return the parameters of the answer. patient: None when there is none, or none that may be told of."""
    state = _STATES.get(status, "inexistant")
    parts: list[Json] = [{"name": "statutDmp", "valueCode": state}]
    if standing.authorisation is not None:
        parts.append({"name": "autorisation", "valueCode": standing.authorisation})
        parts.append({"name": "medecinTraitant", "valueBoolean": standing.is_doctor})
    if standing.blocked:
        return parts
    parts.append({"name": "rattachementMes", "valueBoolean": is_attached(patient)})
    closing = _closing(patient)
    if closing:
        parts.append({"name": "fermeture", "part": closing})
    told = [{"name": name, "valueBoolean": value} for name, value in standing.oppositions.items()]
    return [*parts, {"name": "oppositions", "part": told}]


def is_attached(patient: Json | None) -> bool:
    """Say whether the dossier is attached to the patient's national space; nothing stored means no."""
    return any(part.get("valueBoolean") is True for part in extensions_of(patient, ATTACHED))


def _closing(patient: Json | None) -> list[Json]:
    found: list[Json] = []
    for extension in extensions_of(patient, CLOSING)[:1]:
        for url, name in _CLOSING_PARTS.items():
            for part in extensions_of(extension, url)[:1]:
                value = next((key for key in part if key.startswith("value")), None)
                if value is not None:
                    found.append({"name": name, value: part[value]})
    return found
