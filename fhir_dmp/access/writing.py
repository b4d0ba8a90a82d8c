"""May the caller write this? Block W of the decision table: deposits, replacement, labels, deletion, archive. Pure.

Who may mask, show, hide, archive and delete is one table (`_LABELS`, with the colleagues of an author counted as
authors). Consents are judged by consent_rules.py. The emergency modes never come here: `decide.enter` refuses (W11).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from fhir_dmp.access.decision import Decision, Effect, Op, Relation, Rules
from fhir_dmp.access.document import (
    INVALID_LABEL,
    INVISIBLE_PATIENT,
    INVISIBLE_REPRESENTATIVES,
    MASKED,
    VISIBILITY,
    DocumentFacts,
)
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.relation import is_doctor
from fhir_dmp.access.visibility import identities, is_author, is_colleague
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.terminology.aliases import STRUCTURE

#: Producers (TRE_A00) that only a registered feeder may name as author.
FEEDER_PRODUCERS = frozenset({"ALIM_AM", "AUTOMATE"})
PATIENT_CLASS = "90"


@dataclass(frozen=True, slots=True)
class Change:
    """One intended change of a document. before, after: the document as stored and as it would become.

    shown_before: it was once made visible to the representatives. read_by_patient: the patient has consulted it.
    announced: it was deposited longer ago than the time for announcing (`access.announce_days`).
    """

    op: Op
    before: DocumentFacts | None = None
    after: DocumentFacts | None = None
    shown_before: bool = False
    read_by_patient: bool = False
    announced: bool = False


def _no(decision: Decision, row: str, reason: str, status: int = 403) -> Decision:
    return replace(decision, effect=Effect.DENY, row=row, reason=reason, status=status, own_only=False)


def _yes(decision: Decision, row: str, *obligations: str) -> Decision:
    return replace(decision, row=row, reason=None, obligations=(*decision.obligations, *obligations))


def may_write(caller: Caller, decision: Decision, change: Change, facts: PatientFacts, rules: Rules) -> Decision:
    """Decide on one change of a document that `enter` let in and `visible` showed."""
    if not decision.permitted or caller.is_admin:
        return decision
    if not _within_app(caller, change):
        return _no(decision, "D15", "app-classes")
    if change.op is Op.CREATE and change.after is not None:
        return _create(caller, decision, change.after, facts, rules)
    if change.before is None:
        return _no(decision, "W1", "default-deny")
    if change.op is Op.REPLACE:
        return _replace(caller, decision, change.before, change.after, facts, rules)
    if change.op is Op.DELETE:
        owned = _owns(caller, decision, change.before)
        return _yes(decision, "W5", "notify:N6") if owned else _no(decision, "W5", "author-only")
    if change.op is Op.UPDATE_LABEL and change.after is not None:
        return _labels(caller, decision, change, change.before, change.after, facts, rules)
    if change.op is Op.ARCHIVE:
        allowed = not decision.own_only or _owns(caller, decision, change.before)
        return _yes(decision, "W9") if allowed else _no(decision, "W9", "author-only")
    return _no(decision, "W1", "default-deny")


def _within_app(caller: Caller, change: Change) -> bool:
    """D15: a catalogue application writes documents of the classes that it is referenced for, and of no other."""
    if caller.app is None or caller.app_write_classes is None:
        return True
    allowed = {code.lower() for code in caller.app_write_classes}
    return all(each.classes and each.classes <= allowed for each in (change.before, change.after) if each is not None)


def _owns(caller: Caller, decision: Decision, document: DocumentFacts) -> bool:
    """Say whether the document is the caller's own: author, the author's structure, or the patient's own deposit."""
    if caller.actor in (Actor.PATIENT, Actor.REPRESENTATIVE):
        return document.by_patient
    return is_author(caller, decision, document) or is_colleague(caller, document)


def _create(caller: Caller, decision: Decision, document: DocumentFacts, facts: PatientFacts, rules: Rules) -> Decision:
    if document.patient is None or document.patient != facts.patient:
        return _no(decision, "W1", "default-deny")
    if decision.relation in (Relation.SELF, Relation.REPRESENTATIVE, Relation.DELEGATE):
        return _deposit_of_patient(decision, document)
    conflict = _illegal(document.labels, facts, rules)
    if conflict or (caller.secret and _minor(facts, rules) and INVISIBLE_REPRESENTATIVES not in document.labels):
        return _no(decision, "W1", "label-conflict", 422)
    if caller.actor is not Actor.FEEDER and document.producers & FEEDER_PRODUCERS:
        return _no(decision, "W1", "author-forged")
    if _writes_as_itself(caller, decision, document):
        return _yes(decision, "W1", "notify:N5")
    if rules.author_check == "warn":
        return _yes(decision, "W1", "notify:N5", "warn:author-forged")
    return _no(decision, "W1", "author-forged")


def _writes_as_itself(caller: Caller, decision: Decision, document: DocumentFacts) -> bool:
    """W1: an author is the caller or belongs to the caller's structure; signing alone does not make an author."""
    mine = identities(caller)
    if caller.actor in (Actor.STRUCTURE, Actor.FEEDER):
        mine = frozenset(pair for pair in mine if pair[0] == STRUCTURE)
        if caller.actor is Actor.FEEDER and document.producers & FEEDER_PRODUCERS:
            return True
    return bool(mine & document.authors or decision.own_refs & document.references) or is_colleague(caller, document)


def _deposit_of_patient(decision: Decision, document: DocumentFacts) -> Decision:
    """W2: class 90 or a DOCPAT type, a patient as author, and no other visibility label than MASQUE_PS."""
    kept = document.classes <= {PATIENT_CLASS} and (
        bool(document.classes) or all(code.startswith(("docpat", "exppat")) for code in document.types)
    )
    if not kept or not (document.classes or document.types) or not document.by_patient:
        return _no(decision, "W2", "patient-deposit")
    if decision.classes is not None and not document.classes <= decision.classes:
        return _no(decision, "W2", "delegation")
    if document.labels - {MASKED}:
        return _no(decision, "W2", "label-forbidden")
    return _yes(decision, "W2")


def _minor(facts: PatientFacts, rules: Rules) -> bool:
    age = facts.age()
    return age is not None and age < rules.age_of_majority


def _illegal(labels: frozenset[str], facts: PatientFacts, rules: Rules) -> bool:
    """Say whether labels contradict each other or the patient: F6, F7, and codes that do not exist."""
    if INVALID_LABEL in labels:
        return True
    if not rules.mask_plus_invisible and {MASKED, INVISIBLE_PATIENT} <= labels:
        return True
    return INVISIBLE_REPRESENTATIVES in labels and not (rules.minors and _minor(facts, rules))


def _replace(
    caller: Caller,
    decision: Decision,
    before: DocumentFacts,
    after: DocumentFacts | None,
    facts: PatientFacts,
    rules: Rules,
) -> Decision:
    if not _owns(caller, decision, before):
        return _no(decision, "W3", "author-only")
    if after is None:  # only superseded: a withdrawal without successor
        return _yes(decision, "W3", "notify:N6")
    created = _create(caller, decision, after, facts, rules)
    return _yes(created, "W3", "notify:N6") if created.permitted else created


class Hand(StrEnum):
    """Whose hand changes a label."""

    OWN = "own"
    DOCTOR = "doctor"
    OTHER = "other"
    PATIENT = "patient"
    REPRESENTATIVE = "representative"
    NOBODY = "nobody"


#: (label, added) -> (row, hands that may). The table of attribute changes.
_LABELS: dict[tuple[str, bool], tuple[str, frozenset[Hand]]] = {
    (MASKED, True): ("W6", frozenset({Hand.OWN, Hand.DOCTOR, Hand.PATIENT, Hand.REPRESENTATIVE})),
    (MASKED, False): ("W6", frozenset({Hand.OWN, Hand.DOCTOR, Hand.PATIENT, Hand.REPRESENTATIVE})),
    (INVISIBLE_PATIENT, True): ("W7", frozenset({Hand.OWN, Hand.DOCTOR})),
    (INVISIBLE_PATIENT, False): ("W7", frozenset({Hand.OWN, Hand.DOCTOR, Hand.OTHER})),
    (INVISIBLE_REPRESENTATIVES, True): ("W8", frozenset({Hand.OWN, Hand.DOCTOR})),
    (INVISIBLE_REPRESENTATIVES, False): ("W8", frozenset({Hand.OWN, Hand.DOCTOR, Hand.OTHER})),
}


def _hand(caller: Caller, decision: Decision, document: DocumentFacts, facts: PatientFacts, rules: Rules) -> Hand:
    if caller.actor is Actor.PATIENT:
        return Hand.PATIENT
    if caller.actor is Actor.REPRESENTATIVE:
        return Hand.REPRESENTATIVE if _minor(facts, rules) else Hand.NOBODY
    if _owns(caller, decision, document):
        return Hand.OWN
    if caller.actor is not Actor.PROFESSIONAL or decision.own_only:
        return Hand.NOBODY
    if is_doctor(caller, facts):
        return Hand.DOCTOR
    return Hand.OTHER if decision.relation in (Relation.AUTHORISED, Relation.CARE_TEAM) else Hand.NOBODY


def _labels(
    caller: Caller,
    decision: Decision,
    change: Change,
    before: DocumentFacts,
    after: DocumentFacts,
    facts: PatientFacts,
    rules: Rules,
) -> Decision:
    added, removed = after.labels - before.labels, before.labels - after.labels
    hand = _hand(caller, decision, before, facts, rules)
    row = "W6"
    for label in sorted(VISIBILITY & (added | removed)):
        row, hands = _LABELS[label, label in added]
        if hand not in hands:
            return _no(decision, row, "label-forbidden")
    if hand is Hand.NOBODY:
        return _no(decision, row, "label-forbidden")
    refused = _impossible(change, added, after.labels, facts, rules)
    if refused is not None:
        return _no(decision, refused[0], refused[1], 422)
    return _yes(decision, row, "notify:N6") if added or removed else _yes(decision, row)


def _impossible(
    change: Change, added: frozenset[str], labels: frozenset[str], facts: PatientFacts, rules: Rules
) -> tuple[str, str] | None:
    """Return (row, reason) when the change is against the rules of labels whoever asks for it."""
    if INVISIBLE_REPRESENTATIVES in added and change.shown_before:
        return "W8", "irreversible"
    if INVISIBLE_PATIENT in added and change.read_by_patient:
        return "W7", "irreversible"
    if INVISIBLE_PATIENT in added and change.announced:
        return "W7", "announce-delay"
    combined = labels if added & {MASKED, INVISIBLE_PATIENT} else added
    if _illegal(combined - {INVISIBLE_REPRESENTATIVES} | (added & {INVISIBLE_REPRESENTATIVES}), facts, rules):
        return "W6", "label-conflict"
    return None


def may_record_audit(caller: Caller) -> bool:
    """W12: only trusted feeders (and the operator) post AuditEvents; nobody changes or deletes them."""
    return caller.is_admin or caller.actor is Actor.FEEDER
