"""Is a Consent well formed for its kind, and who may write it? The rules of each kind are one row of `_KINDS`.

Common shape: IHE PCF (patient-privacy, one provision with at most one nested level, role IRCP, no restriction that
this server cannot apply to each document). https://profiles.ihe.net/ITI/PCF/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fhir_dmp.access.consent import (
    NARROWING,
    ConsentKind,
    Reading,
    Statement,
    actor_references,
    consent_kind,
    kinds_of,
    statements,
    subject_of,
)
from fhir_dmp.access.decision import Decision, Effect
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.matrix import health_profession
from fhir_dmp.access.parties import Party, PartyKind, codings, is_caller, parties
from fhir_dmp.access.relation import active_delegation
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.dates import covered
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.patients.consents import profession_extension

DOCTOR_PROFESSION = "10"
_YEAR_MS = 366 * 86_400_000
_PEOPLE = frozenset({PartyKind.PROFESSIONAL, PartyKind.STRUCTURE})


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a kind demands. actors: kinds of parties it may name, empty for none; needed: at least one actor."""

    types: tuple[str, ...]
    actors: frozenset[PartyKind] = frozenset()
    needed: bool = False
    period: bool = False
    purposes: frozenset[str] | None = None


_KINDS: Mapping[ConsentKind, _Kind] = {
    ConsentKind.OPENING: _Kind(("permit", "deny")),
    ConsentKind.AUTHORISATION: _Kind(("permit",), _PEOPLE, needed=True),
    ConsentKind.TEAM: _Kind(("permit", "deny"), frozenset({PartyKind.TEAM}), needed=True),
    ConsentKind.BLOCK: _Kind(("deny",), _PEOPLE, needed=True, purposes=frozenset()),
    ConsentKind.DOCTOR: _Kind(("permit",), frozenset({PartyKind.PROFESSIONAL}), needed=True),
    ConsentKind.EMERGENCY: _Kind(("permit", "deny"), purposes=frozenset({"BTG", "ETREAT"})),
    ConsentKind.DELEGATION: _Kind(("permit",), frozenset({PartyKind.RELATIVE}), needed=True, period=True),
    ConsentKind.APP: _Kind(("permit",), frozenset({PartyKind.DEVICE}), needed=True),
    ConsentKind.FEEDING: _Kind(("deny",), _PEOPLE),
    ConsentKind.TEAM_INFORMATION: _Kind(("permit", "deny"), frozenset({PartyKind.TEAM, PartyKind.RELATIVE})),
}


def _issue(what: str, place: str, code: str = "business-rule") -> Issue:
    return Issue(code, what, expression=(place,))


def check_consent(consent: Json, reading: Reading) -> tuple[Issue, ...]:
    """Return what is wrong with a Consent about to be written, empty when nothing is; each issue means 422."""
    return tuple(_wrong(consent, reading))


def _wrong(consent: Json, reading: Reading) -> Iterator[Issue]:
    yield from _common(consent)
    kind = consent_kind(consent, reading.canonical_base)
    if kind is None:
        known = ", ".join(ConsentKind)
        several = len(kinds_of(consent, reading.canonical_base)) > 1
        text = "names several kinds; keep one" if several else f"names no kind of this server; one of {known}"
        yield _issue(f"Consent.category {text}.", "Consent.category", "code-invalid")
        return
    provision = consent.get("provision")
    if isinstance(provision, dict):
        yield from _provision(consent, provision, kind, reading)


#: Elements that every Consent needs here.
_NEEDED = ("status", "scope", "category", "patient", "dateTime", "performer", "provision")


def _common(consent: Json) -> Iterator[Issue]:
    for name in _NEEDED:
        if not consent.get(name):
            yield _issue(f"Consent.{name} is missing.", f"Consent.{name}", "required")
    if consent.get("scope") and "patient-privacy" not in {code for _, code in codings(consent["scope"])}:
        yield _issue("Consent.scope must be patient-privacy.", "Consent.scope", "value")
    if consent.get("patient") and subject_of(consent) is None:
        yield _issue("Consent.patient must be a reference Patient/id.", "Consent.patient", "value")
    if not consent.get("policyRule") and not any(policy.get("uri") for policy in objects_of(consent.get("policy"))):
        yield _issue("Consent needs policy.uri or policyRule.", "Consent.policy", "required")
    if consent.get("verification"):
        yield _issue("Consent.verification is not allowed by this profile.", "Consent.verification", "structure")
    profiles = consent["meta"].get("profile") if isinstance(consent.get("meta"), dict) else None
    if isinstance(profiles, list) and any("IHE.PCF." in profile for profile in profiles if isinstance(profile, str)):
        if not (consent.get("sourceAttachment") or consent.get("sourceReference")):
            yield _issue("The PCF profile needs source[x], the proof of the consent.", "Consent.source", "required")
        if not consent.get("organization"):
            yield _issue("The PCF profile needs the managing organization.", "Consent.organization", "required")


def _provision(consent: Json, provision: Json, kind: ConsentKind, reading: Reading) -> Iterator[Issue]:
    rule, place = _KINDS[kind], "Consent.provision"
    if provision.get("type") not in rule.types:
        yield _issue(f"A consent of kind {kind} must be of type {' or '.join(rule.types)}.", f"{place}.type")
    actors = objects_of(provision.get("actor"))
    if rule.needed and not actors:
        yield _issue(f"A consent of kind {kind} must name an actor.", f"{place}.actor", "required")
    yield from _period(consent, provision, rule, reading)
    yield from _level(consent, provision, kind, reading, place)
    for index, inner in enumerate(objects_of(provision.get("provision"))):
        inside = f"{place}.provision[{index}]"
        if inner.get("type") not in ("permit", "deny"):
            yield _issue("A nested provision must permit or deny.", f"{inside}.type", "required")
        yield from _level(consent, inner, kind, reading, inside)
        if objects_of(inner.get("provision")):
            yield _issue("A third level of provisions is not supported.", f"{inside}.provision", "not-supported")


def _period(consent: Json, provision: Json, rule: _Kind, reading: Reading) -> Iterator[Issue]:
    period = provision.get("period")
    bounds = period if isinstance(period, dict) else {}
    start, end = covered(bounds.get("start"), reading.zone), covered(bounds.get("end"), reading.zone)
    place = "Consent.provision.period"
    for name, found in (("start", start), ("end", end)):
        if name in bounds and found is None:
            yield _issue(f"period.{name} is not a date.", f"{place}.{name}", "value")
    if start and end and end[1] <= start[0]:
        yield _issue("The period ends before it starts.", place, "value")
    if rule.period:
        since = start or covered(consent.get("dateTime"), reading.zone)
        if end is None:
            yield _issue("A delegation needs a period with an end.", place, "required")
        elif since is not None and end[1] - since[0] > _YEAR_MS + 86_400_000:
            yield _issue("A delegation lasts one year at most; it can be renewed.", place)


def _level(consent: Json, provision: Json, kind: ConsentKind, reading: Reading, place: str) -> Iterator[Issue]:
    rule = _KINDS[kind]
    for name in NARROWING:
        if provision.get(name):
            text = f"A restriction by {name} is not supported; labels of documents say what is hidden."
            yield _issue(text, f"{place}.{name}", "not-supported")
    if rule.purposes is not None:
        extra = {code for _, code in codings(provision.get("purpose"))} - rule.purposes
        if extra:
            yield _issue(f"These purposes do not fit the kind {kind}.", f"{place}.purpose")
    for index, actor in enumerate(objects_of(provision.get("actor"))):
        yield from _actor(consent, actor, kind, reading, f"{place}.actor[{index}]")


def _actor(consent: Json, actor: Json, kind: ConsentKind, reading: Reading, place: str) -> Iterator[Issue]:
    if "IRCP" not in {code for _, code in codings(actor.get("role"))}:
        yield _issue("The role of an actor must be IRCP.", f"{place}.role", "value")
    named = {party.kind for party in parties(actor.get("reference"), consent, reading.directory)}
    if not named <= _KINDS[kind].actors:
        wanted = ", ".join(sorted(_KINDS[kind].actors)) or "nobody"
        text = f"A consent of kind {kind} names {wanted}, by a national identifier or a known resource."
        yield _issue(text, f"{place}.reference", "value")


def _named(consent: Json, reading: Reading) -> tuple[Party, ...]:
    return tuple(p for ref in actor_references(consent) for p in parties(ref, consent, reading.directory))


def names_caller(consent: Json, caller: Caller, reading: Reading) -> bool:
    """Say whether a Consent names the caller or the caller's structure: those are what a professional may read."""
    refs = {caller.fhir_user} - {None}
    return any(is_caller(party, caller) or party.value in refs for party in _named(consent, reading))


def may_read_consent(caller: Caller, consent: Json, reading: Reading) -> bool:
    """Say whether a Consent may be shown: the holder's own, to representatives too; others read those naming them.

    The caller's entry to the record has been decided before, but for professionals: who is named may always know.
    """
    if caller.is_admin:
        return True
    if caller.actor in (Actor.PATIENT, Actor.REPRESENTATIVE):
        return subject_of(consent) == f"Patient/{caller.patient}"
    if caller.actor in (Actor.DELEGATE, Actor.PROFESSIONAL, Actor.STRUCTURE):
        return names_caller(consent, caller, reading)
    return False


def may_write_consent(
    caller: Caller,
    decision: Decision,
    consent: Json,
    before: Json | None,
    facts: PatientFacts,
    reading: Reading,
) -> Decision:
    """W10: decide on creating (`before` None) or updating a Consent that `enter` let in with Op.CONSENT_WRITE.

    Nobody changes the kind or the patient of a Consent. A block on the current médecin traitant is 409.
    """
    if not decision.permitted:
        return decision
    kind = consent_kind(consent, reading.canonical_base)
    if before is not None and not caller.is_admin:
        same = consent_kind(before, reading.canonical_base) is kind and subject_of(before) == subject_of(consent)
        if not same:
            return _refused(decision, "consent-writer")
    if kind is ConsentKind.BLOCK and consent.get("status") == "active" and _names_doctor(consent, facts, reading):
        return _refused(decision, "mt-cannot-be-blocked", 409)
    if caller.is_admin:
        return decision
    if kind is None or subject_of(consent) != facts.reference:
        return _refused(decision, "consent-writer")
    if set(_professions(consent, reading)) - set(_professions(before or {}, reading)):
        return _refused(decision, "consent-writer")  # a profession is proved by a token, not by whoever writes it
    if not _writer(caller, kind, consent, before, facts, reading):
        return _refused(decision, "consent-writer")
    return replace(decision, row="W10", obligations=(*decision.obligations, "notify:N7"))


def _professions(consent: Json, reading: Reading) -> Iterator[tuple[Party, str, str]]:
    """Yield the professions that a Consent keeps of its actors, as `$dmp-autoriser` recorded them."""
    url = profession_extension(reading.canonical_base)
    waiting = objects_of(consent.get("provision"))
    while waiting:
        provision = waiting.pop()
        waiting.extend(objects_of(provision.get("provision")))
        for actor in objects_of(provision.get("actor")):
            for extension in objects_of(actor.get("extension")):
                if extension.get("url") == url:
                    for party in parties(actor.get("reference"), consent, reading.directory):
                        for system, code in codings(extension.get("valueCoding")):
                            yield party, system, code


def _refused(decision: Decision, reason: str, status: int = 403) -> Decision:
    return replace(decision, effect=Effect.DENY, row="W10", reason=reason, status=status)


def _names_doctor(consent: Json, facts: PatientFacts, reading: Reading) -> bool:
    return any(p.kind is PartyKind.PROFESSIONAL and p.value in facts.doctors for p in _named(consent, reading))


def _writer(
    caller: Caller, kind: ConsentKind, consent: Json, before: Json | None, facts: PatientFacts, reading: Reading
) -> bool:
    if caller.actor in (Actor.PATIENT, Actor.REPRESENTATIVE):
        return kind is not ConsentKind.APP or before is not None
    if caller.actor is Actor.DELEGATE:
        delegation = active_delegation(caller, facts)
        own = {ConsentKind.DELEGATION, ConsentKind.OPENING, ConsentKind.APP}
        return delegation is not None and "settings" in delegation.rights and kind not in own
    if caller.actor is not Actor.PROFESSIONAL or caller.professional is None:
        return False
    if not _only_names_caller(consent, caller, kind, reading):
        return False
    if before is not None and not _only_names_caller(before, caller, kind, reading):
        return False
    if kind is ConsentKind.DOCTOR:
        return health_profession(caller.roles) == DOCTOR_PROFESSION
    return kind is ConsentKind.AUTHORISATION


def _only_names_caller(consent: Json, caller: Caller, kind: ConsentKind, reading: Reading) -> bool:
    """A professional speaks for the person or the structure, never for a third party; as MT for the person only."""
    said = _permits(consent, reading)
    named = [party for statement in said for party in statement.parties]
    if kind is ConsentKind.DOCTOR and any(party.kind is not PartyKind.PROFESSIONAL for party in named):
        return False
    return bool(named) and all(is_caller(party, caller) for party in named)


def _permits(consent: Json, reading: Reading) -> tuple[Statement, ...]:
    shaped: dict[str, Any] = {**consent, "status": "active"}
    return tuple(statements(shaped, reading))
