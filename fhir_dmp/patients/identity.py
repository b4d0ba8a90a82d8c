"""Is this identity good enough to open a dossier (FR Core Patient INS), and do two Patients describe one person?

[dmp-fhir 2.2, 2.3]. The base structure of the resource is judged by the validation room.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from fhir_dmp.errors import Issue
from fhir_dmp.fhir.elements import extensions_of, object_of, objects_of, text_of, texts_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.ins import InsRules, every_ins, ins_in, verdicts
from fhir_dmp.terminology.national import (
    BIRTH_LIST_GIVEN,
    CLOSING,
    IDENTITY_RELIABILITY,
    IDENTITY_STATUS,
    IDENTITY_STATUS_2_1,
    IDENTITY_STATUS_INTERMEDIATE,
    INS_SYSTEMS,
    IS_MT,
    erreur,
)

STATUS_SYSTEMS = (IDENTITY_STATUS, IDENTITY_STATUS_2_1, IDENTITY_STATUS_INTERMEDIATE)
GENDERS = ("male", "female", "unknown")
_DOUBTS = {"DOUT", "FICT"}


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """ins: rules of the matricule. status_required: QUAL, VALI, or empty for any status."""

    ins: InsRules
    status_required: str = "QUAL"


def opening_issues(patient: Json, rules: IdentityRules, place: str = "Patient") -> tuple[Issue, ...]:
    """Return every fault and warning of an identity on which a dossier is to be opened; errors mean 422."""
    return (
        *_matricule(patient, rules, place),
        *_traits_present(patient, place),
        *_reliability(patient, rules, place),
        *_server_owned(patient, rules, place),
    )


def _matricule(patient: Json, rules: IdentityRules, place: str) -> Iterator[Issue]:
    found = every_ins(patient)
    if not found:
        yield Issue(
            "required",
            "A dossier is keyed by an INS (NIR or NIA): add an identifier of one of these systems that is not of type "
            f"NH: {', '.join(INS_SYSTEMS)}.",
            expression=(f"{place}.identifier",),
            details=(erreur(rules.ins.base, "ins-format-invalide"),),
        )
    if len({system for system, _ in found}) < len(found):
        yield Issue(
            "invariant",
            "Two INS of the same system are in force; mark the deactivated one with use 'old'.",
            expression=(f"{place}.identifier",),
            details=(erreur(rules.ins.base, "ins-format-invalide"),),
        )
    for index, identifier in enumerate(objects_of(patient.get("identifier"))):
        ins = ins_in(identifier)
        if ins is not None:
            yield from verdicts(ins, rules.ins, f"{place}.identifier[{index}].value", creates=True)


def _traits_present(patient: Json, place: str) -> Iterator[Issue]:
    names = [(i, name) for i, name in enumerate(objects_of(patient.get("name"))) if name.get("use") == "official"]
    if not names:
        yield _missing(f"{place}.name", "name with use 'official' (birth name)")
    for index, name in names:
        if text_of(name.get("family")) is None:
            yield _missing(f"{place}.name[{index}].family", "birth name")
        if not texts_of(name.get("given")):
            yield _missing(f"{place}.name[{index}].given", "first given name of the birth certificate")
    if patient.get("gender") not in GENDERS:
        yield Issue(
            "code-invalid" if "gender" in patient else "required",
            f"gender must be one of {', '.join(GENDERS)}.",
            expression=(f"{place}.gender",),
        )
    if text_of(patient.get("birthDate")) is None:
        yield _missing(f"{place}.birthDate", "birth date")


def _missing(expression: str, what: str) -> Issue:
    return Issue("required", f"An identity needs its {what}.", expression=(expression,))


def status_of(patient: Json) -> tuple[str | None, str | None]:
    """Return (system, code) of the identity status, (None, None) when the Patient states none."""
    for part in _parts(patient, "identityStatus"):
        coding = object_of(part.get("valueCoding"))
        if coding.get("system") in STATUS_SYSTEMS:
            return text_of(coding.get("system")), text_of(coding.get("code"))
    return None, None


def _parts(patient: Json, name: str) -> Iterator[Json]:
    for extension in extensions_of(patient, IDENTITY_RELIABILITY):
        yield from extensions_of(extension, name)


def _comments(patient: Json) -> set[str]:
    """Return the codes of the comments; older releases wrote a Coding where later ones write a CodeableConcept."""
    found: set[str] = set()
    for part in _parts(patient, "comment"):
        concept = object_of(part.get("valueCodeableConcept"))
        for coding in (*objects_of(concept.get("coding")), object_of(part.get("valueCoding"))):
            code = text_of(coding.get("code"))
            if code is not None:
                found.add(code)
    return found


def _reliability(patient: Json, rules: IdentityRules, place: str) -> Iterator[Issue]:
    where = (f"{place}.extension('{IDENTITY_RELIABILITY}')",)
    details = (erreur(rules.ins.base, "identite-non-qualifiee"),)
    system, status = status_of(patient)
    doubts = _comments(patient) & _DOUBTS
    if doubts == _DOUBTS:
        yield Issue("invariant", "An identity cannot be both DOUT and FICT.", expression=where, details=details)
    elif doubts and status != "PROV":
        yield Issue(
            "invariant",
            f"An identity marked {doubts.pop()} must have the status PROV.",
            expression=where,
            details=details,
        )
    if not _is_strong(system, status, rules.status_required):
        yield Issue(
            "business-rule",
            f"A dossier opens on an identity of status {rules.status_required}; this one states {status or 'none'}.",
            expression=where,
            details=details,
        )


def _is_strong(system: str | None, status: str | None, required: str) -> bool:
    if not required or status == "QUAL":
        return True
    return status == "VALI" and (required == "VALI" or system == IDENTITY_STATUS_2_1)


def _server_owned(patient: Json, rules: IdentityRules, place: str) -> Iterator[Issue]:
    """Extensions by which the server states a closing or a role: a client that could send them could forge them."""
    own = ("dmp-statut-autorisation", "dmp-ouverture-annoncee")
    for url in (CLOSING, IS_MT, *(f"{rules.ins.base}/StructureDefinition/{name}" for name in own)):
        if extensions_of(patient, url):
            yield Issue(
                "business-rule",
                f"The extension {url} is set by the server; leave it out.",
                expression=(f"{place}.extension('{url}')",),
            )


def fold(text: str) -> str:
    """Return a name without accents, case, hyphens, apostrophes and surplus spaces.

    >>> fold("  D'Aubigné-Lenoir ")
    'D AUBIGNE LENOIR'
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).upper()
    return " ".join("".join(c if c.isalnum() else " " for c in plain).split())


@dataclass(frozen=True, slots=True)
class Traits:
    """What can be compared between two statements of an identity; empty where nothing is stated."""

    families: frozenset[str]
    givens: frozenset[str]
    birth_date: str | None
    gender: str | None


def traits_of(patient: Json) -> Traits:
    """Return the traits of a Patient: official names when there are some, else every name."""
    names = objects_of(patient.get("name"))
    official = [name for name in names if name.get("use") == "official"] or names
    givens = {fold(given) for name in official for given in texts_of(name.get("given"))}
    for name in official:
        for extension in extensions_of(name, BIRTH_LIST_GIVEN):
            givens.add(fold(text_of(extension.get("valueString")) or ""))
    gender = text_of(patient.get("gender"))
    return Traits(
        families=frozenset(fold(family) for name in official if (family := text_of(name.get("family")))),
        givens=frozenset(word for given in givens for word in given.split()),
        birth_date=text_of(patient.get("birthDate")),
        gender=gender if gender in ("male", "female") else None,
    )


def discordances(stated: Json, known: Json) -> tuple[str, ...]:
    """Return the elements (`name.family`...) of `stated` that contradict what is known; absent ones never do.

    A usual name counts as known too: producers often send the name in use only.
    """
    left, right = traits_of(stated), traits_of(known)
    every = traits_of({"name": [{**name, "use": "usual"} for name in objects_of(known.get("name"))]})
    found = []
    if left.families and every.families and not left.families & every.families:
        found.append("name.family")
    if left.givens and every.givens and not left.givens & every.givens:
        found.append("name.given")
    if left.birth_date and right.birth_date and not _same_date(left.birth_date, right.birth_date):
        found.append("birthDate")
    if left.gender and right.gender and left.gender != right.gender:
        found.append("gender")
    return tuple(found)


def _same_date(left: str, right: str) -> bool:
    """Partial dates agree with the dates that they cover."""
    return left.startswith(right) or right.startswith(left)
