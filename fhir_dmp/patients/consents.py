"""The Consents that record the legal acts of a dossier: opening, closing, rights of people, oppositions.

Shapes of [security 5.2 to 5.8] (IHE PCF); the French categories and historical codes of [dmp-fhir 3.8] stand beside
the kind as aliases. The decision that reads them is made in the access room.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.elements import codings_of, object_of, objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import ACT_REASON, CONSENT_SCOPE, LOINC, PARTICIPATION, STRUCTURE
from fhir_dmp.terminology.national import HISTORICAL_CONSENT, RFC_3986

PCF = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF"
POLICY_DENY = "https://profiles.ihe.net/ITI/PCF/Policy-deny"
BREAK_GLASS = "BTG"
REGULATION = "ETREAT"

OPENING = "dmp-opening"
AUTHORISATION = "ps-authorisation"
BLOCK = "block"
DOCTOR = "mt"
EMERGENCY = "emergency"
FEEDING = "feeding-opposition"

#: Refused emergency mode -> French category, historical code.
_MODES = {
    BREAK_GLASS: ("opposition-bris-de-glace", "OPPOSITION_BRIS_DE_GLACE"),
    REGULATION: ("opposition-centre-regulation", "OPPOSITION_ACCES_URGENCE"),
}


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


def category_system(base: str) -> str:
    """Return the code system of the French categories, which name some kinds in other words."""
    return f"{base}/CodeSystem/dmp-consent-categorie"


def closing_extension(base: str) -> str:
    """Return the URL of the extension that marks the Consent of a closing."""
    return f"{base}/StructureDefinition/dmp-closing"


def is_kind(consent: Json, kind: str, base: str) -> bool:
    """Say whether a Consent is of this kind (second category)."""
    return (kind_system(base), kind) in codings_of(consent.get("category"))


def in_force(consents: Iterable[Json], kind: str, base: str) -> list[Json]:
    """Return the active Consents of this kind."""
    return [c for c in consents if c.get("status") == "active" and is_kind(c, kind, base)]


def refused_modes(consent: Json) -> frozenset[str]:
    """Return the purposes (BTG, ETREAT) that an emergency Consent denies."""
    return frozenset(
        code
        for nested in objects_of(object_of(consent.get("provision")).get("provision"))
        if nested.get("type") == "deny"
        for _, code in codings_of(nested.get("purpose"))
    )


def denied_outright(consent: Json) -> frozenset[str]:
    """Return the emergency modes that a Consent of type deny refuses; without purposes or category it refuses both."""
    purposes = {code for _, code in codings_of(object_of(consent.get("provision")).get("purpose"))}
    categories = {code for _, code in codings_of(consent.get("category"))}
    modes = {mode for mode, names in _MODES.items() if mode in purposes or (not purposes and names[0] in categories)}
    return frozenset(modes) if modes or purposes else frozenset(_MODES)


def opening(act: Act, *, again: bool = False) -> Json:
    """Return the Consent that records the opening of a dossier, or its reopening."""
    historical = "CONSENTEMENT_REACTIVATION_DMP" if again else "CONSENTEMENT_OUVERTURE_DMP"
    title = "Consent to the reopening of the record" if again else "Consent to the opening of the record"
    return {
        **_common(act, OPENING, title, ("consentement-ouverture",), (historical,)),
        "provision": {"type": "permit", "purpose": [{"system": ACT_REASON, "code": "TREAT"}]},
    }


def automatic_opening(act: Act) -> Json:
    """Return the Consent of an opening that nobody asked for: the person was told, and did not object in time."""
    return {
        **_common(act, OPENING, "Opening of the record without objection of the person", ()),
        "provision": {"type": "permit", "purpose": [{"system": ACT_REASON, "code": "TREAT"}]},
    }


def closing(act: Act, parts: Iterable[Json]) -> Json:
    """Return the Consent that records a closing. parts: date, motive and reason as extensions of dmp-closing."""
    return {
        **_common(act, OPENING, "Closing of the record", ()),
        "extension": [{"url": closing_extension(act.base), "extension": list(parts)}],
        "policy": [{"uri": POLICY_DENY}],
        "provision": {"type": "deny"},
    }


def refusal_of_creation(act: Act) -> Json:
    """Return the Consent of a person who wants no dossier at all."""
    return {
        **_common(act, OPENING, "Objection to the creation of a record", ("opposition-creation",)),
        "policy": [{"uri": POLICY_DENY}],
        "provision": {"type": "deny"},
    }


def actor(who: tuple[str, str], base: str, profession: tuple[str, str] | None = None) -> Json:
    """Return the provision.actor of a professional or a structure.

    profession: (system, code) that the professional's own token proved, kept because a médecin traitant must be a
    doctor and no directory may know him.
    """
    system, value = who
    type_ = "Organization" if system == STRUCTURE else "Practitioner"
    named: Json = {
        "role": {"coding": [{"system": PARTICIPATION, "code": "IRCP"}]},
        "reference": {"type": type_, "identifier": {"system": system, "value": value}},
    }
    if profession is not None:
        coding = {"system": profession[0], "code": profession[1]}
        named = {"extension": [{"url": profession_extension(base), "valueCoding": coding}], **named}
    return named


def profession_extension(base: str) -> str:
    """Return the URL of the extension that keeps the profession of an actor."""
    return f"{base}/StructureDefinition/dmp-profession"


def authorisation(act: Act, named: Json, start: str, end: str | None) -> Json:
    """Return the Consent that lets an actor consult, from a date to a date included, or without end."""
    period = {"start": start} if end is None else {"start": start, "end": end}
    return {
        **_common(act, AUTHORISATION, "Authorisation to consult the record", ("autorisation-acces",)),
        "provision": {
            "type": "permit",
            "period": period,
            "actor": [named],
            "purpose": [{"system": ACT_REASON, "code": "TREAT"}],
        },
    }


def doctor(act: Act, named: Json) -> Json:
    """Return the Consent that makes an actor a médecin traitant."""
    return {
        **_common(act, DOCTOR, "Designation of a médecin traitant", ()),
        "provision": {"type": "permit", "actor": [named]},
    }


def block(act: Act, named: Json) -> Json:
    """Return the Consent that keeps an actor out, whatever the mode, until it is lifted."""
    return {
        **_common(act, BLOCK, "Block of a professional", ("blocage",)),
        "provision": {"type": "deny", "actor": [named]},
    }


def feeding_opposition(act: Act, named: Json | None) -> Json:
    """Return the Consent that refuses feeding, by one actor or by everybody."""
    provision: Json = {"type": "deny"} if named is None else {"type": "deny", "actor": [named]}
    return {
        **_common(act, FEEDING, "Objection to feeding the record", ("opposition-alimentation",)),
        "provision": provision,
    }


def emergency(act: Act, refused: Iterable[str]) -> Json:
    """Return the Consent of the emergency settings: everything permitted but the refused modes (BTG, ETREAT)."""
    modes = sorted(refused)
    french, historical = [_MODES[mode][0] for mode in modes], [_MODES[mode][1] for mode in modes]
    consent = _common(act, EMERGENCY, "Settings", french, historical, profile="Intermediate")
    consent["provision"] = {
        "type": "permit",
        "purpose": [{"system": ACT_REASON, "code": code} for code in (BREAK_GLASS, REGULATION)],
        "provision": [{"type": "deny", "purpose": [{"system": ACT_REASON, "code": code}]} for code in modes],
    }
    return consent


def _common(
    act: Act,
    kind: str,
    title: str,
    french: Iterable[str],
    historical: Iterable[str] = (),
    profile: str = "Basic",
) -> Json:
    system, value = act.ins
    patient = {"reference": act.patient, "identifier": {"system": system, "value": value}}
    category = [
        {"system": kind_system(act.base), "code": kind},
        *({"system": category_system(act.base), "code": code} for code in french),
        *({"system": HISTORICAL_CONSENT, "code": code} for code in historical),
    ]
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
