"""The Consents that record the legal acts of a dossier: opening, opposition, emergency settings.

Shapes of [security 5.2, 5.6] (IHE PCF). The decision that reads them is made in the access room.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.elements import codings_of, object_of, objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import LOINC
from fhir_dmp.terminology.national import HISTORICAL_CONSENT, RFC_3986

PCF = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
CONSENT_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
BREAK_GLASS = "BTG"
REGULATION = "ETREAT"


@dataclass(frozen=True, slots=True)
class Act:
    """One legal act: on whose record, when, who recorded it, and who keeps the record.

    base: canonical base of the server's own artefacts. patient: `Patient/id`; ins: (system, value). performer: a
    Reference to the person who recorded the choice, None when it is the patient.
    """

    base: str
    patient: str
    ins: tuple[str, str]
    at_ms: int
    operator_name: str
    operator_oid: str
    performer: Json | None = None


def kind_system(base: str) -> str:
    """Return the code system of the kinds of Consent."""
    return f"{base}/CodeSystem/dmp-consent-kind"


def closing_extension(base: str) -> str:
    """Return the URL of the extension that marks the Consent of a closing."""
    return f"{base}/StructureDefinition/dmp-closing"


def is_kind(consent: Json, kind: str, base: str) -> bool:
    """Say whether a Consent is of this kind (second category)."""
    return (kind_system(base), kind) in codings_of(consent.get("category"))


def in_force(consents: Iterable[Json], kind: str, base: str) -> list[Json]:
    """Return the active Consents of this kind."""
    return [c for c in consents if c.get("status") == "active" and is_kind(c, kind, base)]


def provision_type(consent: Json) -> str | None:
    """Return `permit` or `deny`."""
    kind = object_of(consent.get("provision")).get("type")
    return kind if isinstance(kind, str) else None


def refused_modes(consent: Json) -> frozenset[str]:
    """Return the purposes (BTG, ETREAT) that an emergency Consent denies."""
    return frozenset(
        code
        for nested in objects_of(object_of(consent.get("provision")).get("provision"))
        if nested.get("type") == "deny"
        for _, code in codings_of(nested.get("purpose"))
    )


def opening(act: Act) -> Json:
    """Return the Consent that records the opening of a dossier."""
    return {
        **_common(act, "dmp-opening", "CONSENTEMENT_OUVERTURE_DMP", "Basic", "Consent to the opening of the record"),
        "provision": {"type": "permit", "purpose": [{"system": ACT_REASON, "code": "TREAT"}]},
    }


def emergency(act: Act, refused: Iterable[str]) -> Json:
    """Return the Consent of the emergency settings: everything permitted but the refused modes (BTG, ETREAT)."""
    codes = {BREAK_GLASS: "OPPOSITION_BRIS_DE_GLACE", REGULATION: "OPPOSITION_ACCES_URGENCE"}
    modes = sorted(refused)
    consent = _common(act, "emergency", codes[modes[0]] if len(modes) == 1 else None, "Intermediate", "Settings")
    consent["provision"] = {
        "type": "permit",
        "purpose": [{"system": ACT_REASON, "code": code} for code in (BREAK_GLASS, REGULATION)],
        "provision": [{"type": "deny", "purpose": [{"system": ACT_REASON, "code": code}]} for code in modes],
    }
    return consent


def _common(act: Act, kind: str, historical: str | None, profile: str, title: str) -> Json:
    system, value = act.ins
    patient = {"reference": act.patient, "identifier": {"system": system, "value": value}}
    category = [{"system": kind_system(act.base), "code": kind}]
    if historical is not None:
        category.append({"system": HISTORICAL_CONSENT, "code": historical})
    return {
        "resourceType": "Consent",
        "meta": {"profile": [f"{PCF}.consent{profile}"]},
        "status": "active",
        "scope": {"coding": [{"system": CONSENT_SCOPE, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": LOINC, "code": "59284-0"}]}, {"coding": category}],
        "patient": patient,
        "dateTime": instant(act.at_ms),
        "performer": [act.performer or patient],
        "organization": [operator(act.operator_name, act.operator_oid)],
        "sourceAttachment": {"title": title},
        "policy": [{"uri": f"{act.base}/policies/dmp-default-2025"}],
    }


def operator(name: str, oid: str) -> Json:
    """Return the logical reference to the organisation that keeps the record."""
    return {
        "type": "Organization",
        "identifier": {"system": RFC_3986, "value": f"urn:oid:{oid}"},
        "display": name,
    }
