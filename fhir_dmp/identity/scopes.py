"""SMART resource scopes: grammar, wildcards, the maximum of each kind of caller, and the narrowing of a request.

http://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html, versions 1 and 2. A scope that does not follow the
grammar grants nothing. What a constrained scope (`...rs?category=x`) covers is judged resource by resource
(interactions/granular.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fhir_dmp.fhir.types import RESOURCE_TYPES
from fhir_dmp.identity.caller import Actor, Mode, Scope

CONTEXTS: Final = ("patient", "user", "system")
#: The order that the grammar prescribes: create, read, update, delete, search.
LETTERS: Final = "cruds"
V1: Final[Mapping[str, str]] = {"read": "rs", "write": "cud", "*": "cruds"}
#: At most so much per token or request.
MAX_SCOPES: Final = 100
MAX_TEXT: Final = 8192

_V2 = re.compile(r"c?r?u?d?s?")
#: On `*`, only constraints that every type understands mean something.
_ANY_TYPE_CONSTRAINTS = frozenset({"_tag", "_security", "_profile", "_lastUpdated"})
_CONSTRAINTS = _ANY_TYPE_CONSTRAINTS | {"category", "type", "status", "security-label", "class"}
_CONSTRAINT_VALUE = re.compile(r"[\x21-\x25\x27-\x7e]+")


@dataclass(frozen=True, slots=True)
class ResourceScope:
    """One resource scope as written. v1: it used `read`, `write` or `*`, and answers repeat that form."""

    context: str
    type: str
    letters: str
    constraint: tuple[tuple[str, str], ...] = ()
    v1: bool = False


def parse_one(text: str) -> ResourceScope | None:
    """Read one resource scope; None when it is none (or not one that the grammar allows).

    >>> parse_one("patient/DocumentReference.rs").letters
    'rs'
    >>> parse_one("user/*.read").letters
    'rs'
    >>> parse_one("user/Patient.sr") is None  # letters out of order
    True
    >>> parse_one("user/Dossier.r") is None  # no such type
    True
    >>> parse_one("patient/Observation.rs?category=laboratory").constraint
    (('category', 'laboratory'),)
    >>> parse_one("openid") is None
    True
    """
    context, slash, rest = text.partition("/")
    if not slash or context not in CONTEXTS:
        return None
    type_, dot, right = rest.partition(".")
    if not dot or (type_ != "*" and type_ not in RESOURCE_TYPES):
        return None
    letters, question, query = right.partition("?")
    if letters in V1:
        return None if question else ResourceScope(context, type_, V1[letters], v1=True)
    if not letters or not _V2.fullmatch(letters):
        return None
    if not question:
        return ResourceScope(context, type_, letters)
    constraint = _constraint(query, _ANY_TYPE_CONSTRAINTS if type_ == "*" else _CONSTRAINTS)
    return ResourceScope(context, type_, letters, constraint) if constraint else None


def _constraint(query: str, known: frozenset[str]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name not in known or not _CONSTRAINT_VALUE.fullmatch(value):
            return ()
        pairs.append((name, value))
    return tuple(pairs)


def parse(text: str) -> tuple[Scope, ...]:
    """Return what a scope string permits, in the order written; everything else in it is left out.

    >>> [(s.context, s.type, "".join(sorted(s.letters))) for s in parse("openid patient/*.rs user/Binary.write x/y.z")]
    [('patient', '*', 'rs'), ('user', 'Binary', 'cdu')]
    """
    if len(text) > MAX_TEXT:
        return ()
    found = (parse_one(word) for word in text.split()[:MAX_SCOPES])
    return tuple(Scope(s.context, s.type, frozenset(s.letters), s.constraint) for s in found if s)


def dump(scopes: Iterable[Scope]) -> str:
    """Write scopes in version 2 form, letters in the order of the grammar.

    >>> dump(parse("user/*.read patient/Consent.crus"))
    'user/*.rs patient/Consent.crus'
    >>> dump(parse("patient/Observation.rs?category=laboratory&status=final"))
    'patient/Observation.rs?category=laboratory&status=final'
    """
    return " ".join(map(_dumped, scopes))


def _dumped(scope: Scope) -> str:
    letters = "".join(letter for letter in LETTERS if letter in scope.letters)
    query = "&".join(f"{name}={value}" for name, value in scope.constraint)
    return f"{scope.context}/{scope.type}.{letters}{'?' if query else ''}{query}"


def narrow(asked: Iterable[Scope], maximum: Iterable[Scope]) -> tuple[Scope, ...]:
    """Return the permissions that are in both, as few scopes as possible, wildcards first.

    >>> dump(narrow(parse("user/*.cruds"), parse("user/*.rs user/Binary.cr")))
    'user/*.rs user/Binary.c'
    >>> dump(narrow(parse("user/Patient.crs system/*.r"), parse("user/*.rs")))
    'user/Patient.rs'
    """
    limits = tuple(maximum)
    common: dict[_Key, frozenset[str]] = {}
    for wish in asked:
        for limit in limits:
            letters = wish.letters & limit.letters
            if wish.context != limit.context or not letters:
                continue
            if wish.type not in ("*", limit.type) and limit.type != "*":
                continue
            constraint = tuple(dict.fromkeys((*wish.constraint, *limit.constraint)))
            key = (wish.context, limit.type if wish.type == "*" else wish.type, constraint)
            common[key] = common.get(key, frozenset()) | letters
    return _shortest(common)


#: Context, type, constraint.
_Key = tuple[str, str, tuple[tuple[str, str], ...]]


def _shortest(permissions: Mapping[_Key, frozenset[str]]) -> tuple[Scope, ...]:
    kept = []
    for (context, type_, constraint), letters in permissions.items():
        wider: list[_Key] = [(context, "*", ()), (context, type_, ())]
        rest = letters.difference(*(permissions.get(k, ()) for k in wider if k != (context, type_, constraint)))
        if rest:
            kept.append(Scope(context, type_, rest, constraint))
    return tuple(sorted(kept, key=lambda s: (CONTEXTS.index(s.context), s.type != "*", s.type)))


# Patient.u is for contact data (TD1.3): the identity of a Patient never changes by an update.
_PATIENT = (
    "patient/*.rs patient/DocumentReference.cu patient/Binary.c patient/Consent.crus patient/AuditEvent.rs "
    "patient/Observation.c patient/Patient.u"
)
_PROFESSIONAL = " ".join(
    f"{context}/{permission}"
    for context in ("patient", "user")
    for permission in ("*.rs", "DocumentReference.crud", "Binary.cr", "List.crs", "Consent.crus", "Patient.u")
)
# A delegate reads and feeds for the holder, without a right on consents or a look into the access history: a wildcard
# would include both.
_READ_BY_DELEGATES = """
    AllergyIntolerance Appointment Binary Bundle CarePlan CareTeam Composition Condition Device DeviceRequest
    DiagnosticReport DocumentReference Encounter FamilyMemberHistory Goal ImagingStudy Immunization List Location
    Medication MedicationAdministration MedicationDispense MedicationRequest MedicationStatement Observation
    Organization Patient Practitioner PractitionerRole Procedure QuestionnaireResponse RelatedPerson ServiceRequest
    Specimen
"""
_DELEGATE = "patient/DocumentReference.cu patient/Binary.c patient/Observation.c " + " ".join(
    f"patient/{type_}.rs" for type_ in _READ_BY_DELEGATES.split()
)
_DEPOSIT = "system/Binary.c system/List.c system/Patient.rs"
_MAXIMA: Final[Mapping[Actor, str]] = {
    Actor.PATIENT: _PATIENT,
    Actor.REPRESENTATIVE: _PATIENT,
    Actor.DELEGATE: _DELEGATE,
    Actor.PROFESSIONAL: _PROFESSIONAL,
    Actor.STRUCTURE: f"system/DocumentReference.cus {_DEPOSIT}",
    Actor.FEEDER: f"system/DocumentReference.c {_DEPOSIT}",
    Actor.AUDITOR: "user/AuditEvent.rs",
    Actor.ADMIN: "system/*.cruds",
}


def maximum(actor: Actor, mode: Mode = Mode.NORMAL) -> tuple[Scope, ...]:
    """Return the most that a kind of caller may be granted, in that access mode.

    Emergency modes read one patient's record and write nothing.
    """
    if actor is Actor.PROFESSIONAL and mode is not Mode.NORMAL:
        return parse("patient/*.rs")
    # Narrowed by itself: one scope for each type, what the wildcard covers left out.
    everything = parse(_MAXIMA[actor])
    return narrow(everything, everything)
