"""The handle of an EHR launch: what a business software tells beforehand about an application that it opens.

[security 2.4]. Opaque, single use, five minutes, bound to the application and to the national id of the person.
Making one decides nothing about access.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import is_id
from fhir_dmp.oauth.codes import secret_key
from fhir_dmp.signin.desk import Desk
from fhir_dmp.terminology.numbers import professional_id

KIND: Final = "launch"
LIFE_S: Final = 300
_TEXTS: Final = ("intent", "smart_style_url", "tenant", "work_situation", "encounter")
_KNOWN: Final = frozenset({"client_id", "user", "patient", "ins", "fhirContext", "need_patient_banner", *_TEXTS})
_REFERENCE = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}")
_ROLE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+")


@dataclass(frozen=True, slots=True)
class Launch:
    """What an application is opened for. user: PSIdNat; patient: logical id; context: for the token response.

    by: the client that asked. work_situation: see AuthorizationRequest.
    """

    client_id: str
    user: str
    patient: str
    by: str
    context: Mapping[str, Any] = field(default_factory=dict)
    work_situation: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "client_id": self.client_id,
            "user": self.user,
            "patient": self.patient,
            "by": self.by,
            "context": dict(self.context),
            "work_situation": self.work_situation,
        }


def launch_of(values: Mapping[str, Any]) -> Launch:
    """Read what `to_json` wrote."""
    return Launch(**values)


def read(values: object, by: str) -> Launch:
    """Read the JSON of `POST /auth/launch`; `ins` is left to the caller, `patient` is a logical id.

    Raises:
        BadRequest: saying which member is missing or malformed.
    """
    if not isinstance(values, dict):
        raise BadRequest("Send a JSON object.")
    unknown = sorted(set(values) - _KNOWN)
    if unknown:
        raise BadRequest(f"Unknown member '{unknown[0][:40]}'; known are {', '.join(sorted(_KNOWN))}.")
    for name in ("client_id", "user", "patient", "ins", *_TEXTS):
        if not isinstance(values.get(name, ""), str) or len(values.get(name, "")) > 500:
            raise BadRequest(f"'{name}' must be a string.")
    client_id, user = values.get("client_id", ""), professional_id(values.get("user", ""))
    if not client_id or user is None:
        raise BadRequest("'client_id' and 'user' (the national id of the professional) are required.")
    if not isinstance(values.get("need_patient_banner", True), bool):
        raise BadRequest("'need_patient_banner' must be true or false.")
    patient = values.get("patient", "").removeprefix("Patient/")
    if patient and not is_id(patient):
        raise BadRequest("'patient' must be the logical id of a Patient of this server.")
    if bool(patient) == bool(values.get("ins")):
        raise BadRequest("Give either 'patient' or 'ins'.")
    context = {name: values[name] for name in ("intent", "smart_style_url", "tenant", "encounter") if values.get(name)}
    if "encounter" in context and not is_id(context["encounter"]):
        raise BadRequest("'encounter' must be the logical id of an Encounter of this server.")
    if "need_patient_banner" in values:
        context["need_patient_banner"] = values["need_patient_banner"]
    if values.get("fhirContext"):
        context["fhirContext"] = _fhir_context(values["fhirContext"])
    return Launch(client_id, user, patient, by, context, values.get("work_situation", ""))


def _fhir_context(given: object) -> list[dict[str, Any]]:
    if not isinstance(given, list) or len(given) > 50:
        raise BadRequest("'fhirContext' must be an array of objects.")
    return [_context_entry(each) for each in given]


def _context_entry(entry: object) -> dict[str, Any]:
    """Check one entry: reference, canonical or identifier; Patient and Encounter only with a role of their own."""
    if not isinstance(entry, dict) or not {"reference", "canonical", "identifier"} & set(entry):
        raise BadRequest("An entry of 'fhirContext' has a 'reference', a 'canonical' or an 'identifier'.")
    reference, role = entry.get("reference"), entry.get("role")
    if reference is not None and (not isinstance(reference, str) or not _REFERENCE.fullmatch(reference)):
        raise BadRequest("'fhirContext.reference' must be a relative reference, Type/id.")
    if role is not None and (not isinstance(role, str) or not (role == "launch" or _ROLE.fullmatch(role))):
        raise BadRequest("'fhirContext.role' must be an absolute URI.")
    type_ = str(reference).partition("/")[0] if reference else entry.get("type")
    if type_ in ("Patient", "Encounter") and role in (None, "launch"):
        raise BadRequest("'fhirContext' repeats no patient or encounter in the role launch.")
    return {name: entry[name] for name in ("reference", "canonical", "identifier", "type", "role") if name in entry}


def keep(launch: Launch, desk: Desk) -> str:
    """Keep a launch and return its handle."""
    handle = secrets.token_urlsafe(24)
    desk.keep(KIND, secret_key(handle), launch.to_json(), LIFE_S * 1000)
    return handle


def use(handle: str, client_id: str, desk: Desk) -> Launch | None:
    """Return the launch of a handle and use it up; None when it is unknown, expired, used, or another client's.

    A handle that the wrong client shows stays good for the right one: it may not be burnt by a third party.
    """
    key = secret_key(handle)
    found = desk.read(KIND, key)
    if found is None or found["client_id"] != client_id:
        return None
    taken = desk.take(KIND, key)
    return None if taken is None else launch_of(taken)
